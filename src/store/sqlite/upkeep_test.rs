//! What the store does for its file: who may read it, how large the write-ahead log stays, what is pruned.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{FILE, SqliteStore};
use crate::{
    log::{EventLog, Journal},
    store::{
        Chunk, DataDir, Entry, KEPT_MESSAGE_IDS, Record, SessionKey, Status, Store,
        tests::{append, put, record},
    },
};

fn open(dir: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(DataDir::open(dir).unwrap(), 64 << 20).unwrap())
}

fn log(store: &Arc<SqliteStore>) -> Arc<EventLog> {
    EventLog::new("a".into(), "e".to_owned(), 1000, Some(store.clone()))
}

fn ids(log: &EventLog, ids: impl IntoIterator<Item = String>) {
    log.append_with(
        &mut Vec::new(),
        Journal { message_ids: ids.into_iter().collect(), ..Journal::default() },
    );
}

/// It had the mode of any file, in a directory that was there before.
#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = open(dir.path());
    ids(&log(&store), ["m".to_owned()]);
    store.flush().await.unwrap();
    for file in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
        let mode = fs::metadata(dir.path().join(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// It stayed as large as it once was, and every commit woke the checkpoint thread for it.
#[tokio::test]
async fn the_write_ahead_log_is_small_again_after_a_burst() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let log = log(&store);
    let frame = Utf8Bytes::from("x".repeat(1 << 20));
    log.append(&mut (1..=8).map(|seq| Entry { seq, frame: frame.clone() }).collect());
    store.flush().await.unwrap();
    let wal = || fs::metadata(dir.path().join(format!("{FILE}-wal"))).unwrap().len();
    assert!(wal() > 4 << 20, "{}", wal());
    // It begins anew with the first commit that comes after the checkpoint, which is another thread's work.
    let mut seq = 8;
    while wal() > 2 << 20 {
        seq += 1;
        log.append(&mut vec![Entry { seq, frame: "y".into() }]);
        store.flush().await.unwrap();
    }
}

/// They came back in alphabetical order, so that what was forgotten after a wake was not the oldest.
#[tokio::test]
async fn message_ids_come_back_in_the_order_in_which_they_came() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let log = log(&store);
    for id in ["z", "b", "a", "c", "b"] {
        ids(&log, [id.to_owned()]);
        store.flush().await.unwrap();
    }
    assert_eq!(store.message_ids(&"a".into(), "e").await.unwrap(), ["z", "b", "a", "c"]);
}

#[tokio::test]
async fn the_oldest_message_ids_are_pruned() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let log = log(&store);
    let all: Vec<_> = (0..KEPT_MESSAGE_IDS + 10).map(|n| format!("m{n}")).collect();
    for some in all.chunks(4000) {
        ids(&log, some.iter().cloned());
        store.flush().await.unwrap();
    }
    ids(&log, ["last".to_owned()]);
    store.close().await.unwrap();
    // Looked for when the session is written to anew.
    let store = open(dir.path());
    let stored = store.sessions().await.unwrap().remove(0);
    let log = EventLog::restore(stored.key, stored.epoch, 1000, Some(store.clone()), 1, 0);
    ids(&log, ["later".to_owned()]);
    store.flush().await.unwrap();
    let kept = store.message_ids(&"a".into(), "e").await.unwrap();
    assert_eq!(kept.len(), KEPT_MESSAGE_IDS);
    assert_eq!((kept[0].as_str(), kept.last().map(String::as_str)), ("m12", Some("later")));
}

#[tokio::test]
async fn a_file_of_the_first_version_keeps_its_message_ids() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    ids(&log(&store), ["a".to_owned(), "b".to_owned()]);
    store.close().await.unwrap();
    let conn = Connection::open(dir.path().join(FILE)).unwrap();
    conn.execute_batch(
        "CREATE TABLE old (session INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (session, id)) WITHOUT ROWID;
         INSERT INTO old SELECT session, id FROM message_ids; DROP TABLE message_ids;
         ALTER TABLE old RENAME TO message_ids; PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(conn);
    let store = open(dir.path());
    assert_eq!(store.message_ids(&"a".into(), "e").await.unwrap(), ["a", "b"]);
    let stored = store.sessions().await.unwrap().remove(0);
    let log = EventLog::restore(stored.key, stored.epoch, 1000, Some(store.clone()), 1, 0);
    ids(&log, ["0".to_owned()]);
    store.flush().await.unwrap();
    assert_eq!(store.message_ids(&"a".into(), "e").await.unwrap(), ["a", "b", "0"]);
}

/// Two owners could not have sessions of the same id.
#[tokio::test]
async fn a_file_of_the_third_version_gives_its_sessions_to_their_owners() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let log = super::tests::log(&store, "s", 1000);
    append(&log, 1..=3, 10);
    put(&log, record(Status::Dormant, 1));
    let nobodys = super::tests::log(&store, "free", 1000);
    put(&nobodys, Record { owner: String::new(), ..record(Status::Dormant, 1) });
    store.close().await.unwrap();
    let conn = Connection::open(dir.path().join(FILE)).unwrap();
    conn.execute_batch("PRAGMA user_version = 3").unwrap();
    drop(conn);
    for _ in 0..2 {
        let store = open(dir.path());
        let keys: Vec<_> = store.sessions().await.unwrap().into_iter().map(|stored| stored.key).collect();
        assert_eq!(keys, [SessionKey::of("me", "s"), SessionKey::of("", "free")]);
        assert_eq!(keys[0].id(), "s");
        let stored = store.session(&keys[0]).await.unwrap().unwrap();
        assert_eq!((stored.last_seq, store.session(&"s".into()).await.unwrap()), (3, None));
        let chunk = store.read(&keys[0], &stored.epoch, 0, usize::MAX).await.unwrap();
        assert!(matches!(chunk, Chunk::Entries(entries) if entries.len() == 3));
        store.close().await.unwrap();
    }
}
