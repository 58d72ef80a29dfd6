//! The store with real files, fed by real logs.

use std::{fs, path::Path, sync::Arc};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{FILE, OpenError, SqliteStore};
use crate::{
    log::EventLog,
    store::{
        DataDir, DataDirError, SessionKey, Store,
        tests::{EPOCH, append, range, read_all},
    },
};

pub(super) fn open(dir: &Path) -> Arc<SqliteStore> {
    open_with(dir, 64 << 20)
}

fn open_with(dir: &Path, backlog: usize) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(DataDir::open(dir).unwrap(), backlog).unwrap())
}

pub(super) fn log(store: &Arc<SqliteStore>, id: &str, window: usize) -> Arc<EventLog> {
    EventLog::new(id.into(), EPOCH.to_owned(), window, Some(store.clone()))
}

#[tokio::test]
async fn drop_without_flush_commits_what_there_is() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let log = log(&store, "a", 1000);
    append(&log, 1..=2000, 50);
    drop((log, store));
    // The writer still holds the directory until it has ended.
    let store = loop {
        match DataDir::open(dir.path()) {
            Ok(dir) => break Arc::new(SqliteStore::open(dir, 1 << 20).unwrap()),
            Err(DataDirError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let session = store.sessions().await.unwrap().remove(0);
    assert_eq!(session.last_seq, 2000);
    assert!(session.next_seq > 1_000_000, "that was no orderly end");
}

#[tokio::test]
async fn file_shrinks_when_sessions_are_deleted() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let (keep, log) = (log(&store, "keep", 1000), log(&store, "a", 1000));
    append(&keep, 1..=10, 10);
    append(&log, 1..=5000, 1000);
    store.flush().await.unwrap();
    log.delete();
    store.flush().await.unwrap();
    while store.run(|conn, _| super::retention::clear_step(conn)).await.unwrap() {}
    assert_eq!(read_all(&keep, 0).await, range(1, 10));
    store.close().await.unwrap();
    let size = fs::metadata(dir.path().join(FILE)).unwrap().len();
    assert!(size < 200_000, "{size}");
}

#[test]
fn newer_schema_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE later (x); PRAGMA user_version = 99;").unwrap();
    drop(conn);
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(DataDir::open(dir.path()).unwrap(), 1).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("version 99"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn damaged_file_is_named_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE);
    fs::write(&path, "not a database. ".repeat(1000)).unwrap();
    let error = SqliteStore::open(DataDir::open(dir.path()).unwrap(), 1).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(FILE) && error.to_string().contains("move it"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), "not a database. ".repeat(1000).into_bytes());
}

#[tokio::test]
async fn data_dir_is_used_by_one_and_keeps_its_name() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new/er");
    let first = DataDir::open(&path).unwrap();
    let id = first.instance_id();
    let error = DataDir::open(&path).unwrap_err().to_string();
    assert!(error.contains("in use") && error.contains(&std::process::id().to_string()), "{error}");
    let store = SqliteStore::open(first, 1).unwrap();
    assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse { .. })));
    store.close().await.unwrap();
    assert_eq!(DataDir::open(&path).unwrap().instance_id(), id);
    assert_eq!(SessionKey::from("a").as_str(), "a");
}
