//! Logs of sessions that other nodes take part in: mirrors, holds, lost tenures.

use std::time::{Duration, Instant};

use super::fake::FakeStore;
use super::*;
use crate::log::Ending;
use crate::store::{Lease, Tenure};

fn mirror(window: usize, after: u64) -> (Arc<EventLog>, Arc<FakeStore>) {
    let store = FakeStore::new(1 << 20);
    (EventLog::mirror("s".into(), "e".to_owned(), window, Arc::clone(&store) as _, after), store)
}

fn entries(seqs: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    seqs.into_iter().map(|seq| entry(seq, 10)).collect()
}

#[test]
fn a_mirror_gives_what_follows_a_position_and_stores_nothing() {
    let (log, store) = mirror(1 << 20, 5);
    let bell = Doorbell::new();
    // Ahead of the store, as who was told by the owner may be.
    let mut ahead = log.attach_at(7, &bell);
    let mut live = log.attach_at(5, &bell);
    assert_eq!(read(&mut ahead, 1000), (vec![], Progress::CaughtUp));
    assert_eq!(read(&mut live, 1000), (vec![], Progress::CaughtUp));
    log.extend(entries([6, 7]));
    assert_eq!(take(&bell).len(), 2);
    assert_eq!(read(&mut ahead, 1000), (vec![], Progress::CaughtUp));
    assert_eq!(read(&mut live, 1000), (vec![6, 7], Progress::CaughtUp));
    // Read again after the store was away.
    log.extend(entries([7, 8]));
    assert_eq!(read(&mut ahead, 1000), (vec![8], Progress::CaughtUp));
    assert_eq!(read(&mut live, 1000), (vec![8], Progress::CaughtUp));
    assert!(!store.pull(1000), "a mirror has nothing to store");
    assert_eq!((store.backlog().bytes(), log.durable_seq()), (0, 8));
    take(&bell);
    log.extend(Vec::new());
    assert!(take(&bell).is_empty());
}

#[test]
fn a_mirror_drops_what_its_window_has_no_room_for() {
    let (log, _store) = mirror(3 * (12 + ENTRY_OVERHEAD), 0);
    log.extend(entries(1..=2));
    log.extend(entries(3..=4));
    log.extend(entries(5..=6));
    assert_eq!(log.state.lock().window.first(), 4);
    assert_eq!(log.first_seq(), 1, "the store has the others");
}

#[test]
fn what_the_owner_lost_is_a_gap_in_the_mirror() {
    let (log, store) = mirror(1 << 20, 0);
    let bell = Doorbell::new();
    let mut cursor = log.attach_at(0, &bell);
    log.extend(entries([1]));
    assert_eq!(read(&mut cursor, 1000), (vec![1], Progress::CaughtUp));
    log.lose(4);
    log.extend(entries([5]));
    assert_eq!(take(&bell), [cursor.id()]);
    // The store knows nothing after 1.
    assert_eq!(read(&mut cursor, 1000), (vec![], Progress::Gap { first_seq: 5 }));
    assert_eq!(read(&mut cursor, 1000), (vec![5], Progress::CaughtUp));
    assert!(!store.has(1));
}

#[test]
fn a_hold_counts_as_attached_and_hears_of_the_end() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    let hold = log.hold(&bell);
    assert_eq!((log.cursors(), hold.key().as_str()), (1, "s"));
    append(&log, [1]);
    assert!(take(&bell).is_empty(), "it reads nothing");
    assert_eq!(log.lag(), 0);
    log.close_moved();
    assert_eq!((take(&bell), hold.ending()), (vec![hold.id()], Some(Ending::Moved)));
    let late = log.hold(&bell);
    assert_eq!(take(&bell), [late.id()], "it has ended already");
    drop((hold, late));
    assert_eq!(log.cursors(), 0);
    let gone = log.hold(&bell);
    drop(gone);
    assert!(take(&bell).is_empty(), "who is gone hears nothing");
}

#[test]
fn a_log_that_moves_on_says_so_after_its_last_event_and_only_its_first_end_counts() {
    let (moved, bell) = (log(1 << 20), Doorbell::new());
    let mut cursor = moved.attach(after(0), &bell).cursor;
    append(&moved, [1]);
    moved.close_moved();
    moved.close();
    assert_eq!(read(&mut cursor, 1000), (vec![1], Progress::Moved));
    let ended = log(1 << 20);
    let mut cursor = ended.attach(after(0), &bell).cursor;
    ended.close();
    ended.close_moved();
    assert_eq!(read(&mut cursor, 1000), (vec![], Progress::Closed));
}

#[test]
fn a_log_whose_tenure_is_lost_takes_and_gives_nothing() {
    let lease = Lease::until(Instant::now() + Duration::from_mins(10));
    let tenure = Tenure::new(1, lease);
    let store = FakeStore::new(1 << 20);
    let held = Some(Arc::clone(&tenure));
    let log = EventLog::restore_held(
        "s".into(),
        "e".to_owned(),
        1 << 20,
        Some(Arc::clone(&store) as _),
        1,
        0,
        held,
    );
    let bell = Doorbell::new();
    let mut cursor = log.attach(after(0), &bell).cursor;
    append(&log, [1]);
    assert_eq!(read(&mut cursor, 1000), (vec![1], Progress::CaughtUp));
    append(&log, [2]);
    tenure.lose();
    append(&log, [3]);
    assert_eq!(log.last_seq(), 2);
    assert_eq!(
        read(&mut cursor, 1000),
        (vec![], Progress::Moved),
        "not even what came before and was not read"
    );
}

/// The tenure is released after the last words: who reads slowly gets them all the same.
#[test]
fn a_log_that_came_to_its_end_in_order_gives_all_of_it() {
    let tenure = Tenure::new(1, Lease::until(Instant::now() + Duration::from_mins(10)));
    let store = FakeStore::new(1 << 20);
    let held = Some(Arc::clone(&tenure));
    let log = EventLog::restore_held("s".into(), "e".to_owned(), 1 << 20, Some(store as _), 1, 0, held);
    let bell = Doorbell::new();
    let mut cursor = log.attach(after(0), &bell).cursor;
    append(&log, [1, 2]);
    log.close();
    tenure.lose();
    log.close_moved();
    assert_eq!(read(&mut cursor, 1000), (vec![1, 2], Progress::Closed));
}

#[test]
fn a_log_without_its_tenure_cannot_come_to_its_end() {
    let tenure = Tenure::new(1, Lease::until(Instant::now() + Duration::from_mins(10)));
    let store = FakeStore::new(1 << 20);
    let held = Some(Arc::clone(&tenure));
    let log = EventLog::restore_held("s".into(), "e".to_owned(), 1 << 20, Some(store as _), 1, 0, held);
    tenure.lose();
    log.close();
    assert_eq!(log.ending(), Some(Ending::Moved));
}
