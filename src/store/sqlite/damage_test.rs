//! Files of which a part is not what was written.

use std::{fs, os::unix::fs::FileExt, path::Path};

use tempfile::TempDir;

use super::{
    FILE,
    tests::{log, open},
};
use crate::store::{
    Store,
    tests::{append, range, read_all},
};

const PAGE: u64 = 4096;

/// Writes over a page in the midst of the file, which holds little but events.
fn spoil(dir: &Path) {
    let path = dir.join(FILE);
    let middle = fs::metadata(&path).unwrap().len() / 2 / PAGE * PAGE;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xA5; 4096], middle).unwrap();
}

/// A session that others stand beside, in runs of 64 KB, 32 events each.
async fn written(dir: &Path) {
    let store = open(dir);
    let (a, b) = (log(&store, "a", 1000), log(&store, "b", 1000));
    for from in (1..=289).step_by(32) {
        append(&a, from..from + 32, 2000);
        append(&b, from..from + 32, 2000);
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
}

/// All that followed a bad spot was skipped, up to what was still in memory.
#[tokio::test]
async fn a_bad_spot_costs_the_events_in_it() {
    let dir = TempDir::new().unwrap();
    written(dir.path()).await;
    spoil(dir.path());
    let store = open(dir.path());
    let mut gaps = 0;
    for stored in store.sessions().await.unwrap() {
        assert_eq!((stored.first_seq, stored.last_seq), (1, 320), "{}", stored.key);
        let log = crate::log::EventLog::restore(stored.key, stored.epoch, 1000, Some(store.clone()), 1, 320);
        let seqs = read_all(&log, 0).await;
        let (lost, kept): (Vec<_>, Vec<_>) = range(1, 320).into_iter().partition(|seq| !seqs.contains(seq));
        gaps += lost.len();
        assert!(lost.len() <= 64, "of {} these are lost: {lost:?}", log.key());
        assert_eq!(seqs.iter().filter(|seq| **seq != 0).copied().collect::<Vec<_>>(), kept);
        assert_eq!(
            seqs.iter().filter(|seq| **seq == 0).count(),
            usize::from(!lost.is_empty()),
            "each gap is told"
        );
        // It goes on.
        append(&log, 2_000_000..2_000_010, 10);
        store.flush().await.unwrap();
        assert_eq!(read_all(&log, 310).await[..10], range(311, 320));
    }
    assert!(gaps > 0, "something was there");
    store.close().await.unwrap();
}
