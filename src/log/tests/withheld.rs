//! What is stored before it is told, and places that were lost.

use futures_util::FutureExt;

use super::{after, append, entry, fake::FakeStore, read, take};
use crate::log::{Doorbell, EventLog, From, Journal, Progress, Verdict};

fn accept(log: &EventLog, seq: u64) {
    let journal = Journal { message_ids: vec![format!("m{seq}")], stored_first: true, ..Journal::default() };
    log.append_with(&mut vec![entry(seq, 10)], journal);
}

/// It was told at once: a gateway that was killed in the next moment had told of a message that it had never had.
#[test]
fn what_was_accepted_is_told_when_it_is_stored_with_all_that_follows() {
    let (store, bell) = (FakeStore::new(1 << 20), Doorbell::new());
    let log = EventLog::new("s".into(), "e".to_owned(), 1 << 20, Some(store.clone()));
    append(&log, [1]);
    let mut cursor = log.attach(From::Live, &bell).cursor;
    assert_eq!(read(&mut cursor, 1000), (vec![], Progress::CaughtUp));
    accept(&log, 2);
    append(&log, [3]);
    accept(&log, 4);
    assert!(take(&bell).is_empty());
    assert_eq!(read(&mut cursor, 1000), (vec![], Progress::CaughtUp));
    // Who comes now stands before it, and who has read it cannot be.
    let mut late = log.attach(From::Live, &bell);
    assert_eq!((late.last_seq, log.told_seq(), log.last_seq()), (1, 1, 4));
    assert_eq!(read(&mut late.cursor, 1000), (vec![], Progress::CaughtUp));
    assert_eq!(log.attach(after(2), &bell).verdict, Verdict::Reset);
    let mut shown = Box::pin(log.shown());
    assert!(shown.as_mut().now_or_never().is_none());

    // A part of it is stored, which is no news yet.
    assert!(store.pull(1) && store.pull(1));
    store.commit(&*log);
    assert!(take(&bell).is_empty() && log.withholds());
    // What is stored may be read.
    assert_eq!(read(&mut cursor, 1000), (vec![2], Progress::CaughtUp));
    while store.pull(1000) {}
    store.commit(&*log);
    assert!(!log.withholds() && shown.now_or_never().is_some());
    let mut rung = take(&bell);
    rung.sort_unstable();
    assert_eq!(rung, [cursor.id(), late.cursor.id()]);
    assert_eq!(read(&mut cursor, 1000), (vec![3, 4], Progress::CaughtUp));
    assert_eq!(read(&mut late.cursor, 1000), (vec![2, 3, 4], Progress::CaughtUp));
    // What comes without such a promise waits for nothing.
    append(&log, [5]);
    assert_eq!(read(&mut cursor, 1000), (vec![5], Progress::CaughtUp));
    assert_eq!(store.message_ids(), ["m2", "m4"]);
}

#[test]
fn a_store_that_says_nothing_makes_nobody_mute() {
    let (store, bell) = (FakeStore::new(1 << 20), Doorbell::new());
    let log = EventLog::new("s".into(), "e".to_owned(), 1 << 20, Some(store));
    let mut cursor = log.attach(From::Live, &bell).cursor;
    assert_eq!(read(&mut cursor, 1000), (vec![], Progress::CaughtUp));
    accept(&log, 1);
    log.show();
    assert_eq!(take(&bell), [cursor.id()]);
    assert_eq!(read(&mut cursor, 1000), (vec![1], Progress::CaughtUp));
    // So does the end.
    accept(&log, 2);
    log.close();
    assert_eq!(read(&mut cursor, 1000), (vec![2], Progress::Closed));
}

#[test]
fn without_a_store_nothing_is_waited_for() {
    let (log, bell) = (super::log(1 << 20), Doorbell::new());
    let mut cursor = log.attach(From::Live, &bell).cursor;
    accept(&log, 1);
    assert_eq!(read(&mut cursor, 1000), (vec![1], Progress::CaughtUp));
}

/// Once the session had gone on, a client that had read what was lost was told that it had read everything.
#[tokio::test]
async fn places_that_were_lost_are_known() {
    let (store, bell) = (FakeStore::new(1 << 20), Doorbell::new());
    let log = EventLog::new("s".into(), "e".to_owned(), 1000, Some(store.clone()));
    append(&log, 1..=3);
    while store.pull(1000) {}
    store.commit(&*log);
    // As after a kill: of what clients may have seen, 4 and more, nothing is left.
    let log = EventLog::restore("s".into(), "e".to_owned(), 1000, Some(store.clone()), 1, 3);
    // The first who comes back: what ends with its coming gets numbers behind the hole before it is attached.
    assert!(log.has_lost(4).await && log.has_lost(1_000_003).await, "ahead of the log");
    assert_eq!(log.attach(after(4), &bell).verdict, Verdict::Reset);
    for reaches in ["memory", "the store"] {
        if reaches == "memory" {
            append(&log, 1_000_004..1_000_006);
        } else {
            append(&log, 1_000_006..1_000_030);
            while store.pull(1000) {}
            store.commit(&*log);
            assert!(store.has(1_000_004) && log.memory() < 2000, "it has left the memory");
        }
        for (seq, lost) in [
            (0, false),
            (1, false),
            (3, false),
            (4, true),
            (1_000_003, true),
            (1_000_004, false),
            (1_000_005, false),
        ] {
            assert_eq!(log.has_lost(seq).await, lost, "{seq} in {reaches}");
        }
    }
    let attached = log.attach(From::Anew, &bell);
    assert_eq!((attached.verdict, attached.first_seq), (Verdict::Reset, 1));
}
