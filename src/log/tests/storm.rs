//! Real threads: readers come and go while the writer appends as fast as it can.

use std::{sync::Arc, thread};

use super::{
    super::{Cursor, Doorbell, EventLog, From, Progress, Verdict},
    entry, seq_of,
};
use crate::store::{DataDir, SqliteStore, Store};

const EVENTS: u64 = 30_000;
const READERS: u64 = 6;

/// A small generator, so that threads need not share one.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn write(log: &EventLog) {
    let (mut random, mut seq, mut batch) = (Random(1), 0, Vec::new());
    while seq < EVENTS {
        for _ in 0..random.below(20) {
            seq += 1;
            batch.push(entry(seq, usize::try_from(random.below(100)).unwrap()));
        }
        log.append(&mut batch);
        if random.below(50) == 0 {
            thread::yield_now();
        }
    }
    log.close();
}

/// Reads everything from the first event to the end, with broken connections in between.
async fn follow(log: Arc<EventLog>, mut random: Random, may_miss: bool) {
    let bell = Doorbell::new();
    let (mut last, mut out, mut news) = (0, Vec::new(), Vec::new());
    let attach = |seq| {
        let attached = log.attach(From::After { seq, epoch: Some("e") }, &bell);
        assert!(attached.verdict == Verdict::Ok || may_miss);
        attached.cursor
    };
    let mut cursor: Cursor = attach(0);
    loop {
        let max = usize::try_from(random.below(4000)).unwrap();
        let progress = cursor.read(&mut out, max).await;
        for frame in out.drain(..) {
            let seq = seq_of(&frame);
            assert!(seq == last + 1 || may_miss && seq > last, "{seq} after {last}");
            last = seq;
        }
        match progress {
            Progress::More => {}
            Progress::Gap { .. } => assert!(may_miss),
            Progress::CaughtUp => {
                // If a wake-up were lost, this would wait for ever: the writer closes at the end.
                bell.wait(&mut news).await;
                assert!(news.drain(..).eq([cursor.id()]));
            }
            Progress::Closed | Progress::Moved => break,
        }
        if random.below(30) == 0 {
            drop(cursor);
            cursor = attach(last);
        }
    }
    assert!(last >= EVENTS);
}

fn storm(log: &Arc<EventLog>, may_miss: bool) {
    thread::scope(|scope| {
        for n in 0..READERS {
            let log = Arc::clone(log);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(follow(log, Random(n), may_miss));
            });
        }
        scope.spawn(|| write(log));
    });
    assert_eq!(log.cursors(), 0);
}

#[test]
fn storm_in_memory() {
    storm(&EventLog::new("s".into(), "e".to_owned(), 64 << 20, None), false);
}

#[test]
fn storm_with_a_small_window_and_no_store() {
    storm(&EventLog::new("s".into(), "e".to_owned(), 10_000, None), true);
}

#[test]
fn storm_with_a_small_window_and_a_store() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = Arc::new(SqliteStore::open(DataDir::open(dir.path()).unwrap(), 64 << 20).unwrap());
    let log = EventLog::new("s".into(), "e".to_owned(), 10_000, Some(store.clone()));
    storm(&log, false);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.flush()).unwrap();
    assert!(log.memory() < 11_000 && store.backlog().bytes() == 0);
}
