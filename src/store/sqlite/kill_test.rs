//! A process that is killed in the middle of writing. The test binary runs itself as that process.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::SqliteStore;
use crate::{
    log::EventLog,
    store::{Chunk, DataDir, Entry, Store},
};

const DIR: &str = "CLAUDE_WS_TEST_KILL_DIR";
const THIS: &str = "store::sqlite::kill_test::killed_process_loses_nothing_that_was_committed";

/// Writes for ever, and says on stderr what must not be lost any more.
async fn write_until_killed(dir: &Path) {
    let store = Arc::new(SqliteStore::open(DataDir::open(dir).unwrap(), 64 << 20).unwrap());
    let log = EventLog::new("s".into(), "e".to_owned(), 1000, Some(store.clone()));
    for n in 0.. {
        let frames = (1..=50).map(|i| Entry { seq: n * 50 + i, frame: Utf8Bytes::from("x".repeat(200)) });
        log.append(&mut frames.collect());
        if n % 10 == 9 {
            store.flush().await.unwrap();
            eprintln!("committed {}", n * 50 + 50);
        }
    }
}

#[tokio::test]
async fn killed_process_loses_nothing_that_was_committed() {
    // This same test, in the process that it kills.
    if let Some(dir) = env::var_os(DIR) {
        return write_until_killed(Path::new(&dir)).await;
    }
    let dir = TempDir::new().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--nocapture", "--exact", THIS])
        .env(DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let committed =
        lines.map(|line| line.unwrap().strip_prefix("committed ").unwrap().parse::<u64>().unwrap());
    let committed = committed.take(5).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let store = SqliteStore::open(DataDir::open(dir.path()).unwrap(), 1 << 20).unwrap();
    let session = store.sessions().await.unwrap().remove(0);
    assert!(session.last_seq >= committed);
    assert!(session.next_seq > session.last_seq + 1_000_000);
    let Chunk::Entries(entries) = store.read(&session.key, "e", 0, usize::MAX).await.unwrap() else {
        panic!()
    };
    assert!(entries.iter().map(|entry| entry.seq).eq(1..=session.last_seq));
}
