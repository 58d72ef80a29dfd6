//! Unit tests of log, cursors and doorbell without a store.

mod fake;
mod nodes;
mod random;
mod storm;
mod withheld;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Cursor, CursorId, Doorbell, ENTRY_OVERHEAD, Entry, EventLog, From, Journal, Progress, Verdict};
use crate::store::{Batch, Record, Source, Store};

fn entry(seq: u64, len: usize) -> Entry {
    Entry { seq, frame: frame(seq, len) }
}

/// A frame that tells its seq, at least `len` bytes long.
fn frame(seq: u64, len: usize) -> Utf8Bytes {
    Utf8Bytes::from(format!("{seq}:{}", "x".repeat(len)))
}

fn seq_of(frame: &Utf8Bytes) -> u64 {
    frame.split(':').next().unwrap().parse().unwrap()
}

fn log(window: usize) -> Arc<EventLog> {
    EventLog::new("s".into(), "e".to_owned(), window, None)
}

fn append(log: &EventLog, seqs: impl IntoIterator<Item = u64>) {
    log.append(&mut seqs.into_iter().map(|seq| entry(seq, 10)).collect());
}

/// One read, which must not have to wait.
fn read(cursor: &mut Cursor, max_bytes: usize) -> (Vec<u64>, Progress) {
    let mut out = Vec::new();
    let progress =
        cursor.read(&mut out, max_bytes).now_or_never().expect("a read of the window does not wait");
    (out.iter().map(seq_of).collect(), progress)
}

fn take(doorbell: &Doorbell) -> Vec<CursorId> {
    let mut news = Vec::new();
    doorbell.take(&mut news);
    news
}

fn after(seq: u64) -> From<'static> {
    From::After { seq, epoch: None }
}

#[test]
fn live_cursor_sees_only_what_follows() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    append(&log, [1, 2]);
    let mut attached = log.attach(From::Live, &bell);
    assert_eq!((attached.verdict, attached.first_seq, attached.last_seq), (Verdict::None, 1, 2));
    assert_eq!(read(&mut attached.cursor, 1000), (vec![], Progress::CaughtUp));
    append(&log, [5]);
    assert_eq!(read(&mut attached.cursor, 1000), (vec![5], Progress::CaughtUp));
}

#[test]
fn verdicts_follow_rule_one() {
    let (log, bell) = (log(3 * (13 + ENTRY_OVERHEAD)), Doorbell::new());
    append(&log, [10, 20, 30, 40, 50, 60]);
    assert_eq!((log.first_seq(), log.last_seq()), (40, 60));
    for (seq, epoch, verdict, seqs) in [
        (60, Some("e"), Verdict::Ok, vec![]),
        (50, None, Verdict::Ok, vec![60]),
        (30, Some("e"), Verdict::Ok, vec![40, 50, 60]),
        (31, Some("e"), Verdict::Ok, vec![40, 50, 60]),
        (29, Some("e"), Verdict::Gap, vec![40, 50, 60]),
        (0, None, Verdict::Gap, vec![40, 50, 60]),
        (61, Some("e"), Verdict::Reset, vec![40, 50, 60]),
        (u64::MAX, None, Verdict::Reset, vec![40, 50, 60]),
        (60, Some("other"), Verdict::Reset, vec![40, 50, 60]),
    ] {
        let mut attached = log.attach(From::After { seq, epoch }, &bell);
        assert_eq!(attached.verdict, verdict, "after {seq} of {epoch:?}");
        assert_eq!(read(&mut attached.cursor, 1000), (seqs, Progress::CaughtUp), "after {seq} of {epoch:?}");
    }
}

#[test]
fn bell_rings_once_for_who_has_read_everything() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    let mut cursor = log.attach(From::Live, &bell).cursor;
    append(&log, [1]);
    assert!(take(&bell).is_empty(), "a cursor that was never read is not rung");
    assert_eq!(read(&mut cursor, 1000).1, Progress::CaughtUp);
    append(&log, [2]);
    append(&log, [3]);
    assert_eq!(take(&bell), [cursor.id()]);
    append(&log, [4]);
    assert!(take(&bell).is_empty(), "it still has news that it knows of");
    assert_eq!(read(&mut cursor, 1), (vec![2], Progress::More));
    append(&log, [5]);
    assert!(take(&bell).is_empty());
    assert_eq!(read(&mut cursor, 1000), (vec![3, 4, 5], Progress::CaughtUp));
    append(&log, []);
    assert!(take(&bell).is_empty(), "an empty batch is no news");
}

#[test]
fn nudge_ends_one_wait_and_no_news_are_lost_with_it() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    let mut cursor = log.attach(From::Live, &bell).cursor;
    assert_eq!(read(&mut cursor, 1000).1, Progress::CaughtUp);
    let mut news = Vec::new();
    // Before the wait, and while one waits.
    bell.nudge();
    assert!(bell.wait(&mut news).now_or_never().is_some());
    let mut waiting = Box::pin(bell.wait(&mut news));
    assert!(waiting.as_mut().now_or_never().is_none());
    bell.nudge();
    assert!(waiting.as_mut().now_or_never().is_some());
    drop(waiting);
    // With news at the same time: both are told, in one wait or in two.
    append(&log, [1]);
    bell.nudge();
    assert!(bell.wait(&mut news).now_or_never().is_some());
    assert_eq!(news, [cursor.id()]);
    assert!(bell.wait(&mut news).now_or_never().is_some(), "the nudge");
    assert!(bell.wait(&mut news).now_or_never().is_none(), "nothing is left");
}

#[test]
fn reads_keep_to_their_budget_but_a_large_frame_comes_alone() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    log.append(&mut vec![entry(1, 8), entry(2, 8), entry(3, 500), entry(4, 8)]);
    let mut cursor = log.attach(after(0), &bell).cursor;
    assert_eq!(read(&mut cursor, 25), (vec![1, 2], Progress::More));
    assert_eq!(read(&mut cursor, 25), (vec![3], Progress::More));
    assert_eq!(read(&mut cursor, 0), (vec![4], Progress::CaughtUp));
}

#[test]
fn frame_larger_than_the_window_reaches_who_keeps_up() {
    let (log, bell) = (log(1000), Doorbell::new());
    let mut cursor = log.attach(From::Live, &bell).cursor;
    log.append(&mut vec![entry(1, 5000), entry(2, 10)]);
    assert_eq!(read(&mut cursor, 100), (vec![1], Progress::More));
    log.append(&mut vec![entry(3, 8000)]);
    assert_eq!(read(&mut cursor, 9000), (vec![2, 3], Progress::CaughtUp));
    for seq in 4..14 {
        log.append(&mut vec![entry(seq, 900)]);
    }
    assert_eq!(log.first_seq(), 12, "each fills most of the window, none is larger");
    assert_eq!(read(&mut cursor, 9000), (vec![], Progress::Gap { first_seq: 12 }));
    assert_eq!(read(&mut cursor, 9000), (vec![12, 13], Progress::CaughtUp));
}

/// One line of the agent that was larger than the window evicted the beginning of its own batch: a gap for clients that kept up.
#[test]
fn a_batch_larger_than_the_window_reaches_who_keeps_up() {
    for store in [None, Some(fake::FakeStore::new(0) as Arc<dyn Store>)] {
        let log = EventLog::new("s".into(), "e".to_owned(), 1000, store);
        let bells: Vec<_> = (0..3).map(|_| Doorbell::new()).collect();
        let mut fast = log.attach(From::Live, &bells[0]).cursor;
        let mut steady = log.attach(From::Live, &bells[1]).cursor;
        assert_eq!(read(&mut fast, 100).1, Progress::CaughtUp);
        assert_eq!(read(&mut steady, 100).1, Progress::CaughtUp);
        log.append(&mut (1..=20).map(|seq| entry(seq, 500)).collect());
        assert_eq!(read(&mut fast, usize::MAX), ((1..=20).collect(), Progress::CaughtUp));
        // What comes while the other one is still reading does not take it away either.
        for seq in 1..=20 {
            assert_eq!(read(&mut steady, 0), (vec![seq], Progress::More));
            append(&log, [20 + seq]);
        }
        let whole = 20 * (500 + 3 + ENTRY_OVERHEAD);
        assert!(log.memory() <= 1000 + whole, "{}", log.memory());
        assert_eq!(read(&mut steady, usize::MAX), ((21..=40).collect(), Progress::CaughtUp));
        drop(fast);
        drop(steady);
        assert!(log.memory() < 1000 + 2 * (500 + ENTRY_OVERHEAD), "nobody needs it: {}", log.memory());
        // One that never reads holds no more than that.
        let _idle = log.attach(From::Live, &bells[2]).cursor;
        for round in 1..10 {
            log.append(&mut (1..=20).map(|seq| entry(round * 100 + seq, 500)).collect());
            assert!(log.memory() <= 1000 + whole + 500 + 3 + ENTRY_OVERHEAD, "{}", log.memory());
        }
    }
}

#[test]
fn close_delivers_what_is_left_and_rings() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    let mut idle = log.attach(From::Live, &bell).cursor;
    assert_eq!(read(&mut idle, 100).1, Progress::CaughtUp);
    append(&log, [1, 2]);
    log.close();
    log.close();
    assert_eq!(take(&bell), [idle.id()]);
    assert_eq!(read(&mut idle, 1), (vec![1], Progress::More));
    assert_eq!(read(&mut idle, 100), (vec![2], Progress::Closed));
    assert_eq!(read(&mut idle, 100), (vec![], Progress::Closed));
    append(&log, [3]);
    let mut late = log.attach(after(1), &bell);
    assert_eq!((late.verdict, read(&mut late.cursor, 100)), (Verdict::Ok, (vec![2], Progress::Closed)));
}

/// Bytes of an entry that say when they are given back.
struct Large(Vec<u8>, Arc<AtomicBool>);

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

/// Two megabytes, and whether they are gone.
fn large(seq: u64) -> (Entry, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    let bytes = Bytes::from_owner(Large(vec![b'x'; 2 << 20], Arc::clone(&gone)));
    (Entry { seq, frame: Utf8Bytes::try_from(bytes).unwrap() }, gone)
}

/// They are put by while the log is locked, and must not stay there.
#[test]
fn large_entries_are_given_back_with_what_drops_them() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    let (first, first_gone) = large(1);
    let (second, second_gone) = large(2);
    log.append(&mut vec![first]);
    log.append(&mut vec![second]);
    assert!(first_gone.load(Ordering::Relaxed), "by the next of its size");
    // A batch larger than the window stays for who keeps up, until it has been read.
    let mut reader = log.attach(From::Live, &bell).cursor;
    assert_eq!(read(&mut reader, 100).1, Progress::CaughtUp);
    let (third, third_gone) = large(3);
    log.append(&mut vec![third, entry(4, 2 << 20)]);
    assert!(second_gone.load(Ordering::Relaxed) && !third_gone.load(Ordering::Relaxed));
    let mut out = Vec::new();
    while reader.read(&mut out, 1 << 20).now_or_never().unwrap() == Progress::More {}
    assert_eq!(out.len(), 2);
    out.clear();
    assert!(third_gone.load(Ordering::Relaxed), "by its last reader");
}

#[test]
fn dropped_cursors_are_counted_and_silent() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    let mut followed = super::Followed::default();
    let mut first = log.attach(From::Live, &bell).cursor;
    let second = log.attach(From::Live, &bell).cursor;
    assert_eq!(log.cursors(), 2);
    assert_eq!(read(&mut first, 100).1, Progress::CaughtUp);
    append(&log, [1]);
    drop(first);
    assert!(take(&bell).is_empty(), "also when it rang before it was dropped");
    drop(second);
    let count =
        log.cursors_changed(&mut followed).now_or_never().expect("a change from before the call is seen");
    assert_eq!(count, 0);
    assert!(log.cursors_changed(&mut followed).now_or_never().is_none());
}

#[test]
fn restored_log_goes_on_after_a_jump() {
    let bell = Doorbell::new();
    let log = EventLog::restore("s".into(), "e".to_owned(), 1000, None, 3, 7);
    assert_eq!((log.first_seq(), log.last_seq()), (3, 7));
    append(&log, [1_000_007]);
    assert_eq!(log.attach(after(9), &bell).verdict, Verdict::Ok);
    assert_eq!(log.attach(after(1_000_008), &bell).verdict, Verdict::Reset);
}

#[test]
fn compact_keeps_the_frames() {
    let (log, bell) = (log(1 << 20), Doorbell::new());
    append(&log, [1, 2]);
    log.compact();
    assert_eq!(read(&mut log.attach(after(0), &bell).cursor, 100), (vec![1, 2], Progress::CaughtUp));
}

/// It was taken from the newest event when the oldest ones had been lost unstored.
#[test]
fn first_seq_is_right_after_a_loss() {
    let store = fake::FakeStore::new(0);
    let log = EventLog::new("s".into(), "e".to_owned(), 3 * (13 + ENTRY_OVERHEAD), Some(store));
    append(&log, [10, 20, 30, 40, 50]);
    assert_eq!(log.first_seq(), 30);
    append(&log, [60]);
    assert_eq!(log.first_seq(), 40);
    let mut attached = log.attach(after(10), &Doorbell::new());
    assert_eq!((attached.verdict, attached.first_seq), (Verdict::Gap, 40));
    assert_eq!(read(&mut attached.cursor, 1000), (vec![40, 50, 60], Progress::CaughtUp));
}

fn record(number: u64) -> Record {
    Record { last_active_at: number, ..Record::default() }
}

/// Of a session that says more than is stored, no record was, as long as newer ones took its place.
#[test]
fn a_record_is_stored_though_newer_ones_come_all_the_time() {
    let store = fake::FakeStore::new(1 << 20);
    let log = EventLog::new("s".into(), "e".to_owned(), 1 << 20, Some(store));
    for (seqs, number) in [(vec![1, 2], 1), (vec![3, 4], 2), (vec![], 3), (vec![5], 4)] {
        let mut entries = seqs.into_iter().map(|seq| entry(seq, 10)).collect();
        log.append_with(&mut entries, Journal { record: Some(record(number)), ..Journal::default() });
    }
    let given: Vec<_> = (1..=5)
        .map(|seq| {
            let mut batch = Batch::default();
            log.pull(&mut batch, 1);
            let earlier: Vec<_> = (1..=5).filter(|moment| log.has_given(*moment)).collect();
            (seq, batch.record.map(|record| record.last_active_at), earlier)
        })
        .collect();
    // What was there at 4 is there only with the record that came after it: the two before that were replaced.
    let expected = [
        (1, None, vec![1]),
        (2, Some(1), vec![1, 2]),
        (3, None, vec![1, 2, 3]),
        (4, None, vec![1, 2, 3]),
        (5, Some(4), vec![1, 2, 3, 4, 5]),
    ];
    assert_eq!(given, expected);
}

#[test]
fn who_has_nothing_to_be_stored_does_not_wait_for_a_store_that_is_behind() {
    let store = fake::FakeStore::new(1 << 20);
    let of = |name: &str| EventLog::new(name.into(), "e".to_owned(), 1 << 20, Some(store.clone()));
    let (loud, quiet) = (of("loud"), of("quiet"));
    loud.append(&mut vec![entry(1, 800 << 10)]);
    assert!(store.backlog().is_high());
    assert!(loud.outruns_the_store() && !quiet.outruns_the_store());
}
