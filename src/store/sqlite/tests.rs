//! The store with real files, fed by real logs.

use std::{fs, path::Path, sync::Arc};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{FILE, OpenError, SqliteStore};
use crate::{
    log::{Doorbell, EventLog, From, Journal, Progress, Verdict},
    store::{
        DataDir, DataDirError, Entry, Record, Retention, SessionKey, Status, Store, StoreHealth,
        StoredSession,
    },
};

pub(super) const EPOCH: &str = "e";

pub(super) fn open(dir: &Path) -> Arc<SqliteStore> {
    open_with(dir, 64 << 20)
}

fn open_with(dir: &Path, backlog: usize) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(DataDir::open(dir).unwrap(), backlog).unwrap())
}

pub(super) fn log(store: &Arc<SqliteStore>, id: &str, window: usize) -> Arc<EventLog> {
    EventLog::new(id.into(), EPOCH.to_owned(), window, Some(store.clone()))
}

fn restore(store: &Arc<SqliteStore>, session: &StoredSession) -> Arc<EventLog> {
    let StoredSession { key, epoch, first_seq, last_seq, .. } = session.clone();
    EventLog::restore(key, epoch, 1000, Some(store.clone()), first_seq, last_seq)
}

pub(super) fn append(log: &EventLog, seqs: impl IntoIterator<Item = u64>, len: usize) {
    // Letters that no two neighbours have in common at the same place: what is alike takes no room in the file.
    let letter = |seq: u64, at: usize| char::from(b'a' + u8::try_from((seq + at as u64) % 26).unwrap());
    let text = |seq| (0..len).map(|at| letter(seq, at)).collect::<String>();
    let entry = |seq| Entry { seq, frame: Utf8Bytes::from(format!("{seq}:{}", text(seq))) };
    log.append(&mut seqs.into_iter().map(entry).collect());
}

pub(super) fn record(status: Status, last_active_at: u64) -> Record {
    Record { owner: "me".to_owned(), created_at: 1, last_active_at, status, state: "{}".to_owned() }
}

pub(super) fn put(log: &EventLog, record: Record) {
    log.append_with(&mut Vec::new(), Journal { record: Some(record), message_ids: vec![] });
}

/// Reads on until the end. The seqs, and the gaps as 0.
async fn read_all(log: &Arc<EventLog>, after: u64) -> Vec<u64> {
    let mut cursor = log.attach(From::After { seq: after, epoch: None }, &Doorbell::new()).cursor;
    let (mut seqs, mut out) = (Vec::new(), Vec::new());
    loop {
        let progress = cursor.read(&mut out, 10_000).await;
        seqs.extend(out.drain(..).map(|frame| frame.split(':').next().unwrap().parse::<u64>().unwrap()));
        match progress {
            Progress::More => {}
            Progress::Gap { .. } => seqs.push(0),
            Progress::CaughtUp | Progress::Closed => return seqs,
        }
    }
}

fn range(first: u64, last: u64) -> Vec<u64> {
    (first..=last).collect()
}

#[tokio::test]
async fn clean_end_keeps_everything_and_goes_on_with_the_next_seq() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let first = log(&store, "a", 1000);
    append(&first, 1..=500, 50);
    first.append_with(
        &mut Vec::new(),
        Journal {
            record: Some(record(Status::Dormant, 7)),
            message_ids: vec!["m1".to_owned(), "m2".to_owned()],
        },
    );
    store.close().await.unwrap();
    append(&first, 501..=502, 50);
    assert!(matches!(store.flush().await, Err(crate::store::StoreError::Closed)));

    let store = open(dir.path());
    let sessions = store.sessions().await.unwrap();
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    assert_eq!((session.first_seq, session.last_seq, session.next_seq), (1, 500, 501));
    assert_eq!(session.record, Some(record(Status::Dormant, 7)));
    assert_eq!(store.message_ids(&session.key, EPOCH).await.unwrap(), ["m1", "m2"]);
    let log = restore(&store, session);
    assert_eq!(log.attach(From::After { seq: 3, epoch: Some(EPOCH) }, &Doorbell::new()).verdict, Verdict::Ok);
    append(&log, 501..=505, 50);
    assert_eq!(read_all(&log, 3).await, range(4, 505));
}

/// What a killed process leaves behind.
fn crash(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in [FILE.to_owned(), format!("{FILE}-wal")] {
        fs::copy(dir.join(&file), copy.path().join(&file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn crash_keeps_what_was_committed_and_jumps_over_what_clients_may_have_seen() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let first = log(&store, "a", 1000);
    append(&first, 1..=100, 50);
    store.flush().await.unwrap();
    let dir = crash(dir.path());

    let store = open(dir.path());
    let session = store.sessions().await.unwrap().remove(0);
    assert_eq!((session.last_seq, session.next_seq, &session.record), (100, 1_000_101, &None));
    let log = restore(&store, &session);
    assert_eq!(read_all(&log, 0).await, range(1, 100));
    // The client saw 103 before the crash.
    let seen = From::After { seq: 103, epoch: Some(EPOCH) };
    assert_eq!(log.attach(seen, &Doorbell::new()).verdict, Verdict::Reset);
    let twice = crash(dir.path());
    append(&log, [session.next_seq + 5], 10);
    assert_eq!(log.attach(seen, &Doorbell::new()).verdict, Verdict::Ok);
    assert_eq!(read_all(&log, 103).await, [1_000_106]);
    store.flush().await.unwrap();
    let thrice = crash(dir.path());

    let session = open(twice.path()).sessions().await.unwrap().remove(0);
    assert_eq!(
        (session.last_seq, session.next_seq),
        (100, 2_000_101),
        "events after the first restart may be lost too"
    );
    let session = open(thrice.path()).sessions().await.unwrap().remove(0);
    assert_eq!((session.last_seq, session.next_seq), (1_000_106, 2_000_107));
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
async fn lagging_cursor_reads_from_the_store_and_memory_stays_at_the_window() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let log = log(&store, "a", 10_000);
    for n in 0..20 {
        append(&log, n * 100 + 1..=n * 100 + 100, 100);
    }
    append(&log, [2001], 3_000_000);
    append(&log, 2002..=3000, 100);
    store.flush().await.unwrap();
    assert!(log.memory() < 11_000, "{}", log.memory());
    assert_eq!(store.backlog().bytes(), 0);
    assert_eq!((log.first_seq(), log.last_seq()), (1, 3000));
    assert_eq!(read_all(&log, 0).await, range(1, 3000));
    log.compact();
    assert_eq!(log.memory(), 0);
    assert_eq!(read_all(&log, 1999).await, range(2000, 3000));
}

#[tokio::test]
async fn full_disk_is_told_waited_for_and_made_up_for() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let mut health = store.health();
    let log = log(&store, "a", 10_000);
    append(&log, 1..=10, 100);
    store.flush().await.unwrap();
    store.run(|conn, _| conn.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))).await.unwrap();
    append(&log, 11..=3000, 100);
    health.wait_for(|health| *health == StoreHealth::Failing).await.unwrap();
    append(&log, 3001..=4000, 100);
    assert_eq!(read_all(&log, 10).await, range(11, 4000), "live delivery goes on");
    assert!(store.close().await.is_err(), "who closes is told");
    store
        .run(|conn, _| conn.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(())))
        .await
        .unwrap();
    health.wait_for(|health| *health == StoreHealth::Good).await.unwrap();
    store.flush().await.unwrap();
    assert!(log.memory() < 11_000, "{}", log.memory());
    assert_eq!(read_all(&log, 0).await, range(1, 4000));
    assert!(!store.backlog().has_lost());
}

#[tokio::test]
async fn long_stall_loses_the_oldest_unstored_events_and_says_so() {
    let dir = TempDir::new().unwrap();
    let store = open_with(dir.path(), 100_000);
    let mut health = store.health();
    let log = log(&store, "a", 10_000);
    append(&log, 1..=10, 100);
    store.flush().await.unwrap();
    store.run(|conn, _| conn.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))).await.unwrap();
    append(&log, 11..=200, 100);
    health.wait_for(|health| *health == StoreHealth::Failing).await.unwrap();
    for seq in 201..=5000 {
        append(&log, [seq], 100);
        assert!(log.memory() <= 120_000, "{}", log.memory());
    }
    assert!(store.backlog().has_lost());
    let during = read_all(&log, 0).await;
    assert!(during.starts_with(&range(1, 10)) && during[10] == 0, "then a gap");
    assert_eq!(during.iter().filter(|seq| **seq == 0).count(), 1);
    store
        .run(|conn, _| conn.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(())))
        .await
        .unwrap();
    health.wait_for(|health| *health == StoreHealth::Good).await.unwrap();
    // As much as the backlog takes at once, so that nothing more is lost.
    for first in (5001..=6000).step_by(200) {
        store.flush().await.unwrap();
        append(&log, first..first + 200, 100);
    }
    store.flush().await.unwrap();
    log.compact();
    let after = read_all(&log, 0).await;
    let gap = after.iter().position(|seq| *seq == 0).expect("a gap");
    assert_eq!(after.iter().filter(|seq| **seq == 0).count(), 1);
    assert_eq!(after[..gap], range(1, gap as u64), "what was pulled before the loss is stored");
    assert_eq!(after[gap + 1..], range(after[gap + 1], 6000));

    // Its seqs were given out, so the next start must keep away from them, although this end is in order.
    store.close().await.unwrap();
    let session = open(dir.path()).sessions().await.unwrap().remove(0);
    assert_eq!(session.next_seq, 1_006_001);
}

#[tokio::test]
async fn deleted_session_is_gone_and_its_id_can_be_used_again() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let old = log(&store, "a", 100);
    append(&old, 1..=50, 100);
    store.flush().await.unwrap();
    old.delete();
    append(&old, 51..=60, 100);
    let new = EventLog::new("a".into(), "e2".to_owned(), 100, Some(store.clone()));
    append(&new, 1..=20, 100);
    let third = EventLog::new("a".into(), "e3".to_owned(), 100, Some(store.clone()));
    store.flush().await.unwrap();
    assert_eq!(read_all(&new, 0).await, range(1, 20));
    // Without a word: the later life takes the place of the earlier one.
    append(&third, 1..=5, 100);
    store.flush().await.unwrap();
    let sessions = store.sessions().await.unwrap();
    assert_eq!(sessions.iter().map(|s| (&*s.epoch, s.last_seq)).collect::<Vec<_>>(), [("e3", 5)]);
    store.delete(&"a".into(), "e2").await.unwrap();
    assert_eq!(store.sessions().await.unwrap().len(), 1, "another life is not touched");
    store.delete(&"a".into(), "e3").await.unwrap();
    assert_eq!(store.sessions().await.unwrap().len(), 0);
    assert_eq!(store.backlog().bytes(), 0);
}

#[tokio::test]
async fn retention_takes_ended_before_dormant_before_nothing() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let mut logs = Vec::new();
    for (id, status, at) in [
        ("dormant-old", Status::Dormant, 10),
        ("dormant-new", Status::Dormant, 90),
        ("ended-new", Status::Ended, 80),
        ("ended-old", Status::Ended, 20),
        ("active-old", Status::Active, 1),
    ] {
        let log = log(&store, id, 1000);
        append(&log, 1..=1000, 1000);
        put(&log, record(status, at));
        logs.push(log);
    }
    store.flush().await.unwrap();
    let used = store.readers.run(super::retention::used_bytes).await.unwrap();
    assert!((5_000_000..7_500_000).contains(&used), "{used}");
    let one_too_many = used - 500_000;
    let expired = async |max_age_ms, max_bytes| {
        let retention = Retention { now_ms: 100, max_age_ms, max_bytes };
        let expired = store.expired(retention).await.unwrap();
        expired.iter().map(|e| e.key.to_string()).collect::<Vec<_>>()
    };
    assert!(expired(None, None).await.is_empty());
    assert_eq!(expired(Some(50), None).await, ["ended-old", "dormant-old"]);
    assert_eq!(expired(None, Some(one_too_many)).await, ["ended-old"]);
    assert_eq!(expired(None, Some(0)).await, ["ended-old", "ended-new", "dormant-old", "dormant-new"]);
    assert_eq!(expired(Some(15), Some(one_too_many)).await, ["ended-old", "ended-new", "dormant-old"]);
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

#[tokio::test]
async fn many_sessions_share_one_writer() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let logs: Vec<_> = (0..300).map(|n| log(&store, &format!("s{n}"), 200)).collect();
    for seq in 1..=20 {
        for log in &logs {
            append(log, [seq * 3], 30);
        }
    }
    store.flush().await.unwrap();
    for log in &logs {
        assert_eq!(read_all(log, 3).await, (2..=20).map(|n| n * 3).collect::<Vec<_>>());
    }
    assert_eq!(store.sessions().await.unwrap().len(), 300);
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
