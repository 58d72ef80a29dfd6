//! The store with real files and a real Redis, fed by real logs: one set of tests for both.

pub(super) mod proxy;
mod same;
pub(super) mod server;

use std::{path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use self::server::Server;
use super::{
    Claim, DataDir, DataDirError, Entry, NewSession, Record, RedisAddress, RedisOptions, RedisStore,
    SessionKey, SharedStore, SqliteStore, Status, Store, StoredSession,
};
use crate::log::{Doorbell, EventLog, From, Journal, Progress};

pub(super) const EPOCH: &str = "e";
/// Of tests that are not about its end, also on a machine that is very busy.
pub(super) const LONG_LEASE: Duration = Duration::from_mins(10);

/// A node's store in that Redis, with a data directory.
pub(super) async fn node(url: &str, dir: &Path, lease: Duration, backlog: usize) -> Arc<RedisStore> {
    let address = RedisAddress::parse(url).unwrap();
    let options = RedisOptions { address, ca_file: None, lease, name: "test".to_owned() };
    let dir = data_dir(dir).await;
    Arc::new(RedisStore::open(dir, options, backlog, TaskTracker::new()).await.unwrap())
}

/// Free by now, but for the moment that a process that another test starts takes from its fork to its exec: so long it has the lock too.
pub(super) async fn data_dir(path: &Path) -> DataDir {
    loop {
        match DataDir::open(path) {
            Err(DataDirError::InUse { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

/// Where a store's data is.
#[derive(Debug)]
enum Place {
    File { dir: TempDir },
    Redis { server: Server, dir: TempDir },
}

/// An open store.
#[derive(Debug, Clone)]
enum Open {
    File(Arc<SqliteStore>),
    Redis(Arc<RedisStore>),
}

impl std::ops::Deref for Open {
    type Target = dyn Store;

    fn deref(&self) -> &(dyn Store + 'static) {
        match self {
            Self::File(store) => &**store,
            Self::Redis(store) => &**store,
        }
    }
}

impl Place {
    fn file() -> Self {
        Self::File { dir: TempDir::new().unwrap() }
    }

    fn redis() -> Self {
        Self::Redis { server: Server::start(), dir: TempDir::new().unwrap() }
    }

    async fn open(&self) -> Open {
        self.open_with(64 << 20).await
    }

    async fn open_with(&self, backlog: usize) -> Open {
        match self {
            Self::File { dir } => {
                Open::File(Arc::new(SqliteStore::open(data_dir(dir.path()).await, backlog).unwrap()))
            }
            Self::Redis { server, dir } => {
                Open::Redis(node(&server.url(), dir.path(), LONG_LEASE, backlog).await)
            }
        }
    }

    /// What a killed process leaves behind: everything that the store has by now, and no last word. The old store goes on elsewhere.
    fn crash(&mut self) {
        let copy = TempDir::new().unwrap();
        let (Self::File { dir } | Self::Redis { dir, .. }) = self;
        for file in ["sessions.db", "sessions.db-wal", "node"] {
            let from = dir.path().join(file);
            if from.exists() {
                std::fs::copy(from, copy.path().join(file)).unwrap();
            }
        }
        // The directory of a store that still runs must not go away.
        std::mem::forget(std::mem::replace(dir, copy));
    }

    /// Nothing can be written.
    async fn break_writes(&self, store: &Open) {
        self.allow(store, 1).await;
    }

    async fn mend_writes(&self, store: &Open) {
        self.allow(store, 0).await;
    }

    /// 1: no more than there is; 0: all.
    async fn allow(&self, store: &Open, limit: u32) {
        match (self, store) {
            (Self::Redis { server, .. }, _) => {
                server.ask::<()>(&["CONFIG", "SET", "maxmemory", &limit.to_string()]).await;
            }
            (Self::File { .. }, Open::File(store)) => {
                store.allow_pages(if limit == 0 { 1_000_000 } else { 1 }).await;
            }
            _ => unreachable!("a place opens its own kind"),
        }
    }
}

impl Open {
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::File(store) => store.clone(),
            Self::Redis(store) => store.clone(),
        }
    }

    /// A new session's log.
    async fn log(&self, id: &str, window: usize) -> Arc<EventLog> {
        self.log_of(id, EPOCH, window).await
    }

    async fn log_of(&self, id: &str, epoch: &str, window: usize) -> Arc<EventLog> {
        let Self::Redis(store) = self else {
            return EventLog::new(SessionKey::of("me", id), epoch.to_owned(), window, Some(self.store()));
        };
        made(store, id, epoch, window).await
    }

    /// A stored session's log, as a restart takes it up.
    async fn wake(&self, id: &str) -> (Arc<EventLog>, StoredSession) {
        let key = SessionKey::of("me", id);
        let Self::Redis(store) = self else {
            let stored = self.session(&key).await.unwrap().unwrap();
            let StoredSession { key, epoch, first_seq, last_seq, .. } = stored.clone();
            return (EventLog::restore(key, epoch, 1000, Some(self.store()), first_seq, last_seq), stored);
        };
        woken(store, id, 1000).await
    }

    /// What all sessions take up.
    async fn used_bytes(&self) -> u64 {
        match self {
            Self::File(store) => store.used_bytes().await,
            Self::Redis(store) => store.used_bytes().await,
        }
        .unwrap()
    }

    /// The session is not in use any more.
    async fn rest(&self, log: &EventLog) {
        if let Self::Redis(store) = self {
            let tenure = crate::store::Source::tenure(log).unwrap();
            store.release(log.key(), tenure, log.last_seq() + 1).await.unwrap();
        }
    }
}

/// A new session of that node.
pub(super) async fn made(store: &Arc<RedisStore>, id: &str, epoch: &str, window: usize) -> Arc<EventLog> {
    let key = SessionKey::of("me", id);
    let new = NewSession { epoch, owner: "me", created_at: 1 };
    let Claim::Mine { tenure, stored: None } = store.claim(&key, Some(new)).await.unwrap() else {
        panic!("{id} is to be made")
    };
    EventLog::restore_held(key, epoch.to_owned(), window, Some(store.clone()), 1, 0, Some(tenure))
}

/// A stored session that the node takes.
pub(super) async fn woken(
    store: &Arc<RedisStore>,
    id: &str,
    window: usize,
) -> (Arc<EventLog>, StoredSession) {
    let key = SessionKey::of("me", id);
    let claim = store.claim(&key, None).await.unwrap();
    let Claim::Mine { tenure, stored: Some(stored) } = claim else { panic!("{id} is to be had: {claim:?}") };
    let StoredSession { epoch, first_seq, last_seq, .. } = stored.clone();
    let log =
        EventLog::restore_held(key, epoch, window, Some(store.clone()), first_seq, last_seq, Some(tenure));
    (log, stored)
}

pub(super) fn append(log: &EventLog, seqs: impl IntoIterator<Item = u64>, len: usize) {
    // Letters that no two neighbours have in common at the same place: what is alike takes no room in SQLite's file.
    let letter = |seq: u64, at: usize| char::from(b'a' + u8::try_from((seq + at as u64) % 26).unwrap());
    let text = |seq| (0..len).map(|at| letter(seq, at)).collect::<String>();
    let entry = |seq| Entry { seq, frame: Utf8Bytes::from(format!("{seq}:{}", text(seq))) };
    log.append(&mut seqs.into_iter().map(entry).collect());
}

pub(super) fn record(status: Status, last_active_at: u64) -> Record {
    Record { owner: "me".to_owned(), created_at: 1, last_active_at, status, state: "{}".to_owned() }
}

pub(super) fn put(log: &EventLog, record: Record) {
    log.append_with(&mut Vec::new(), Journal { record: Some(record), ..Journal::default() });
}

pub(super) fn ids(log: &EventLog, ids: impl IntoIterator<Item = String>) {
    log.append_with(
        &mut Vec::new(),
        Journal { message_ids: ids.into_iter().collect(), ..Journal::default() },
    );
}

/// Reads on until the end. The seqs, and the gaps as 0.
pub(super) async fn read_all(log: &Arc<EventLog>, after: u64) -> Vec<u64> {
    let mut cursor = log.attach(From::After { seq: after, epoch: None }, &Doorbell::new()).cursor;
    let (mut seqs, mut out) = (Vec::new(), Vec::new());
    loop {
        let progress = cursor.read(&mut out, 10_000).await;
        seqs.extend(out.drain(..).map(|frame| frame.split(':').next().unwrap().parse::<u64>().unwrap()));
        match progress {
            Progress::More => {}
            Progress::Gap { .. } => seqs.push(0),
            Progress::CaughtUp | Progress::Closed | Progress::Moved => return seqs,
        }
    }
}

pub(super) fn range(first: u64, last: u64) -> Vec<u64> {
    (first..=last).collect()
}
