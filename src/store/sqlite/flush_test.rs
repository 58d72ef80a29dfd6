//! Who waits for what it said to be stored.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tempfile::TempDir;

use super::tests::{log, open};
use crate::store::{
    Batch, Entry, SessionKey, Source, Status, Store,
    tests::{EPOCH, append, put, record},
};

/// A session that always has more, until it is told to stop.
#[derive(Debug)]
struct Flood {
    key: SessionKey,
    seq: AtomicU64,
    stop: AtomicBool,
}

impl Flood {
    fn new(id: &str) -> Arc<Self> {
        Arc::new(Self { key: id.into(), seq: AtomicU64::new(0), stop: AtomicBool::new(false) })
    }
}

impl Source for Flood {
    fn key(&self) -> &SessionKey {
        &self.key
    }

    fn epoch(&self) -> &str {
        EPOCH
    }

    fn pull(&self, batch: &mut Batch, max_bytes: usize) -> bool {
        let seq = self.seq.fetch_add(1, Relaxed) + 1;
        batch.entries.push(Entry { seq, frame: "x".repeat(max_bytes).into() });
        !self.stop.load(Relaxed)
    }

    fn committed(&self, _: u64) {}

    fn last(&self) -> u64 {
        // It has more than it ever gave.
        self.seq.load(Relaxed) + 1
    }

    fn has_given(&self, seq: u64) -> bool {
        self.seq.load(Relaxed) >= seq
    }
}

/// It waited until nobody had anything any more, which need never be.
#[tokio::test]
async fn a_flush_ends_though_somebody_always_has_more() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let flood = Flood::new("flood");
    store.dirty(flood.clone());
    let quiet = log(&store, "quiet", 1000);
    for round in 1..=3 {
        append(&quiet, [round], 10);
        put(&quiet, record(Status::Active, round));
        let all = async { if round == 1 { store.flush().await } else { store.flush_of(quiet.key()).await } };
        let ended = tokio::time::timeout(Duration::from_secs(30), all).await;
        let stored = store.session(&"quiet".into()).await.unwrap();
        flood.stop.store(ended.is_err(), Relaxed);
        ended.expect("it ends").unwrap();
        let stored = stored.unwrap();
        assert_eq!((stored.last_seq, stored.record.unwrap().last_active_at), (round, round));
    }
    flood.stop.store(true, Relaxed);
    store.close().await.unwrap();
}
