//! The store in one `SQLite` file (write-ahead log) with one writer thread.
//!
//! # What is safe
//! - Death of the process (`kill -9`): everything committed stays; lost is at most what was given out in the last 100 ms.
//! - Power cut, kernel crash: the file stays whole; the last commits may be gone, back to the last checkpoint.
//! - Full disk, I/O errors: see [`StoreHealth`]; what waits is bounded by [`Backlog`], and committed when the disk is back.

mod chunks;
mod clock;
#[cfg(test)]
mod damage_test;
mod delta;
#[cfg(test)]
mod flush_test;
#[cfg(test)]
mod kill_test;
mod place;
mod reader;
mod retention;
mod schema;
mod tables;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upkeep_test;
mod writer;

pub use schema::OpenError;

use std::{
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Instant,
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    clock::Clock,
    place::FilePlace,
    reader::Readers,
    schema::Opened,
    tables::Rows,
    writer::{Command, Shared, Writer},
};
use super::{
    Backlog, Chunk, DataDir, Expired, Indexed, Pending, Record, Retention, SessionKey, Source, Store,
    StoreCounts, StoreError, StoreHealth, StoredSession,
};

/// Name of the database file in the data directory.
const FILE: &str = "sessions.db";

/// Sessions in a `SQLite` file. Dropping it commits what there is without waiting for it; [`Store::close`] waits.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    readers: Readers,
    /// Many methods send, the writer reads. Full: the method waits its turn. Closed: the writer has ended.
    commands: mpsc::Sender<Command>,
    /// Read from the file when it is first asked for.
    clock: Mutex<Option<Clock>>,
    /// Added to what sessions' next seqs are by the file: it could not be noted there that it is in use.
    jump: u64,
}

impl SqliteStore {
    /// Opens the directory's file, or makes it. `backlog_bytes`: see [`Backlog::new`]. Blocks for some milliseconds.
    pub fn open(dir: DataDir, backlog_bytes: usize) -> Result<Self, OpenError> {
        let path = dir.path().join(FILE);
        let Opened { conn, unprepared } = schema::open(&path)?;
        let checkpointer = schema::reopen(&path)?;
        let readers = Readers::start(&path)?;
        let shared = Arc::new(Shared::new(Backlog::new(backlog_bytes)));
        if unprepared.is_some() {
            shared.health.send_replace(StoreHealth::Failing);
        }
        let (commands, receiver) = mpsc::channel(64);
        // From the writer to the checkpoint thread; full: it is at it. Closed: the writer has ended.
        let (checkpoints, wanted) = sync_channel(1);
        let turns = Arc::clone(&shared);
        thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
            while let Ok(()) = wanted.recv() {
                let _alone = turns.checkpoint.lock();
                if let Err(error) = schema::checkpoint(&checkpointer, "PASSIVE") {
                    ::log::warn!("store: checkpoint: {error}");
                }
            }
        })?;
        let writer = Writer {
            conn,
            shared: Arc::clone(&shared),
            commands: receiver,
            checkpoints,
            wal: path.with_extension("db-wal"),
            place: FilePlace::of(&path),
            dir,
            state: writer::State::of(unprepared),
        };
        let jump = unprepared.map_or(0, |_| schema::unprepared_jump());
        thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared, readers, commands, clock: Mutex::default(), jump })
    }

    async fn command(&self, command: Command) -> Result<(), StoreError> {
        self.commands.send(command).await.map_err(|_| StoreError::Closed)?;
        self.shared.urge(false);
        Ok(())
    }

    #[cfg(test)]
    pub(super) async fn used_bytes(&self) -> Result<u64, StoreError> {
        self.readers.run(retention::used_bytes).await
    }

    /// As a full disk does it, or an empty one.
    #[cfg(test)]
    pub(super) async fn allow_pages(&self, pages: u32) {
        let allowed =
            self.run(move |conn, _| conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())));
        allowed.await.expect("the pragma works");
    }

    async fn flushed(&self, of: Option<SessionKey>) -> Result<(), StoreError> {
        let (done, result) = oneshot::channel();
        self.command(Command::Flush { of, done }).await?;
        result.await.map_err(|_| StoreError::Closed)
    }

    /// Runs `job` on the writer's connection, between two commits.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &mut Rows) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        let run = move |conn: &Connection, rows: &mut Rows| {
            let _ = done.send(job(conn, rows));
        };
        self.command(Command::Run(Box::new(run))).await?;
        result.await.map_err(|_| StoreError::Closed)?.map_err(|error| StoreError::of(&error))
    }
}

impl Store for SqliteStore {
    fn dirty(&self, source: Arc<dyn Source>) {
        self.shared.dirty(source);
    }

    fn hurry(&self, key: &SessionKey) {
        self.shared.hurry(key);
    }

    fn read<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>> {
        let (key, epoch) = (key.clone(), epoch.to_owned());
        Box::pin(self.readers.run(move |conn| chunks::read(conn, &key, &epoch, after, max_bytes)))
    }

    fn backlog(&self) -> &Backlog {
        &self.shared.backlog
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.shared.health.subscribe()
    }

    fn counts(&self) -> StoreCounts {
        self.shared.counters.read()
    }

    fn sessions(&self) -> Pending<'_, Result<Vec<StoredSession>, StoreError>> {
        Box::pin(async {
            let mut sessions = self.readers.run(tables::sessions).await?;
            for session in &mut sessions {
                session.next_seq += self.jump;
            }
            Ok(sessions)
        })
    }

    fn session<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<Option<StoredSession>, StoreError>> {
        let key = key.clone();
        Box::pin(async move {
            let mut session = self.readers.look(move |conn| tables::session(conn, &key)).await?;
            if let Some(session) = &mut session {
                session.next_seq += self.jump;
            }
            Ok(session)
        })
    }

    fn index<'a>(&'a self, owner: &'a str) -> Pending<'a, Result<Vec<Indexed>, StoreError>> {
        let owner = owner.to_owned();
        Box::pin(self.readers.run(move |conn| tables::ended(conn, &owner)))
    }

    fn records(&self, keys: Vec<SessionKey>) -> Pending<'_, Result<Vec<Option<Record>>, StoreError>> {
        Box::pin(self.readers.run(move |conn| keys.iter().map(|key| tables::record(conn, key)).collect()))
    }

    fn message_ids<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
    ) -> Pending<'a, Result<Vec<String>, StoreError>> {
        let (key, epoch) = (key.clone(), epoch.to_owned());
        Box::pin(self.readers.look(move |conn| tables::message_ids(conn, &key, &epoch)))
    }

    fn clock(&self, wall_ms: u64) -> Pending<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            if self.clock.lock().is_none() {
                let read = self.readers.run(move |conn| Clock::read(conn, wall_ms)).await?;
                self.clock.lock().get_or_insert(read);
            }
            let told = self.clock.lock().as_mut().map(|clock| clock.tell(wall_ms, Instant::now()));
            let now_ms = told.unwrap_or(wall_ms);
            // A file that cannot be written at the moment is told of elsewhere.
            let _ = self.run(move |conn, _| Clock::write(now_ms, conn)).await;
            Ok(now_ms)
        })
    }

    fn expired(&self, retention: Retention) -> Pending<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(self.readers.run(move |conn| retention::expired(conn, &retention)))
    }

    fn delete<'a>(&'a self, key: &'a SessionKey, epoch: &'a str) -> Pending<'a, Result<(), StoreError>> {
        let (key, epoch) = (key.clone(), epoch.to_owned());
        Box::pin(self.run(move |conn, rows| {
            rows.forget(&key);
            let tx = conn.unchecked_transaction()?;
            tables::delete(&tx, &key, &epoch)?;
            tx.commit()
        }))
    }

    fn flush(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.flushed(None))
    }

    fn flush_of<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(self.flushed(Some(key.clone())))
    }

    fn close(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async {
            let (done, result) = oneshot::channel();
            self.command(Command::Close(done)).await?;
            result.await.map_err(|_| StoreError::Closed)?
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.shared.urge(true);
    }
}

/// The file itself, for tests that do to it what others might.
#[cfg(test)]
pub(crate) fn raw(dir: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("sessions.db")).expect("the store's file")
}
