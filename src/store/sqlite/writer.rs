//! The one thread that writes: pulls what sessions have gathered, commits it, tells them.
//!
//! What a session gives out gathers for up to [`GATHER`], and there is a commit each [`PACE`] at most: all is committed within 60 ms
//! and the time that one commit takes. A command, or much that waits, ends the gathering. While the file cannot be written it keeps what it has pulled (at
//! most [`CYCLE_BYTES`] and one entry), pulls nothing more, and tries again and again: order is kept, and nothing is pulled twice.

use std::{
    collections::VecDeque,
    fs, mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::SyncSender,
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    place::FilePlace,
    retention::clear_step,
    schema::{self, checkpoint, set_clean},
    tables::{self, Rows},
};
use crate::store::{Backlog, Batch, DataDir, SessionKey, Source, StoreCounts, StoreError, StoreHealth};

/// Between the starts of two commits, unless there is more than fits into one.
const PACE: Duration = Duration::from_millis(20);
/// How long a session's events gather: what a commit costs is mostly a row and an index page for each session that is in it, so
/// with the sessions in turns, each commit has few of them, and more events of each.
const GATHER: Duration = Duration::from_millis(60);
/// How often it is looked whether the file is still there, while nothing is written.
const LOOK: Duration = Duration::from_secs(5);
/// When so much waits, it is not left to gather.
const MUCH: usize = 4 << 20;
/// How much one commit takes up: what `SQLite`'s cache holds, or it would write pages twice.
const CYCLE_BYTES: usize = 2 << 20;
/// How much is pulled from one session before it is another's turn; bounds how long its log is locked.
const PULL_BYTES: usize = 512 << 10;
/// First and longest wait before a failed commit is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A lasting failure is logged this often.
const LOG_AGAIN: Duration = Duration::from_mins(1);
/// The write-ahead log's size at which the checkpoint thread is woken, and the one at which the writer does it itself: while it
/// writes without a pause, nobody else can empty the log.
const WAL_BYTES: (u64, u64) = (4 << 20, 64 << 20);

/// What the writer shares with those who have something for it.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    pub(super) backlog: Backlog,
    pub(super) health: watch::Sender<StoreHealth>,
    /// Held by whoever runs a checkpoint, the writer or the checkpoint thread.
    pub(super) checkpoint: Mutex<()>,
    pub(super) counters: Counters,
}

/// As [`StoreCounts`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    failures: AtomicU64,
    micros: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> StoreCounts {
        StoreCounts {
            commits: self.commits.load(Relaxed),
            failures: self.failures.load(Relaxed),
            micros: self.micros.load(Relaxed),
        }
    }

    fn count(&self, ok: bool, took: Duration) {
        if ok { &self.commits } else { &self.failures }.fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// Each source at most once, and since when: bounded by the number of sessions.
    dirty: VecDeque<(Instant, Arc<dyn Source>)>,
    /// Those of them that somebody waits for.
    hurried: Vec<Arc<dyn Source>>,
    /// There is a command: do not wait.
    urgent: bool,
    /// The store was dropped.
    orphaned: bool,
    /// The writer has ended: nothing is taken any more.
    ended: bool,
}

impl Queue {
    /// The session's sources, an earlier life's first, are not left to gather. `false`: none is here.
    fn hurry(&mut self, key: &SessionKey) -> bool {
        let before = self.hurried.len();
        let Self { dirty, hurried, .. } = self;
        dirty.retain(|(_, source)| {
            let is_it = source.key() == key;
            if is_it {
                hurried.push(Arc::clone(source));
            }
            !is_it
        });
        hurried.len() > before
    }

    /// Those that are hurried come before all others.
    fn put_hurried(&mut self, sources: &mut VecDeque<Arc<dyn Source>>) {
        for source in self.hurried.drain(..).rev() {
            sources.push_front(source);
        }
    }
}

impl Shared {
    pub(super) fn new(backlog: Backlog) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            backlog,
            health: watch::Sender::default(),
            checkpoint: Mutex::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn dirty(&self, source: Arc<dyn Source>) {
        let mut queue = self.queue.lock();
        if queue.ended {
            return;
        }
        queue.dirty.push_back((Instant::now(), source));
        if queue.dirty.len() == 1 {
            self.wake.notify_one();
        }
    }

    /// What this session has is not left to gather.
    pub(super) fn hurry(&self, key: &SessionKey) {
        let mut queue = self.queue.lock();
        // None there: the writer has it in hand.
        if queue.hurry(key) {
            self.wake.notify_one();
        }
    }

    /// A command was sent, or the store was dropped.
    pub(super) fn urge(&self, orphaned: bool) {
        let mut queue = self.queue.lock();
        queue.urgent = true;
        queue.orphaned |= orphaned;
        self.wake.notify_one();
    }
}

/// Something to do on the writer's connection.
type Job = Box<dyn FnOnce(&Connection, &mut Rows) + Send>;

/// What the writer is asked to do besides pulling. Sent by the store's methods, which wait for the answer; the writer reads it
/// between commits. Full: the method waits. Closed: the store is closed.
pub(super) enum Command {
    /// Say when all that was appended before is committed, of one session or of all.
    Flush { of: Option<SessionKey>, done: oneshot::Sender<()> },
    /// Run this between two commits. It may change any row.
    Run(Job),
    /// Commit all there is, and end.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Command>,
    /// Wakes the checkpoint thread; full means that it is awake.
    pub(super) checkpoints: SyncSender<()>,
    pub(super) wal: PathBuf,
    pub(super) place: FilePlace,
    /// Unlocked when the writer has ended.
    pub(super) dir: DataDir,
    pub(super) state: State,
}

#[derive(Default)]
pub(super) struct State {
    /// Dirty, and not yet pulled dry.
    sources: VecDeque<Arc<dyn Source>>,
    /// Pulled, and not yet committed.
    in_hand: Vec<(Arc<dyn Source>, Batch)>,
    rows: Rows,
    flushes: Vec<Flush>,
    closing: Option<oneshot::Sender<Result<(), StoreError>>>,
    last_commit: Option<Instant>,
    failure: Option<Failure>,
    /// Deleted sessions may still have events, or the file free pages.
    to_clear: bool,
    /// See [`schema::Opened`].
    unprepared: Option<i64>,
}

impl State {
    pub(super) fn of(unprepared: Option<i64>) -> Self {
        let now = Instant::now();
        // It was said in the log just now.
        let failure = Failure { wait: RETRY.0, retry_at: now + RETRY.0, log_at: now + LOG_AGAIN };
        Self { failure: unprepared.map(|_| failure), unprepared, ..Self::default() }
    }
}

/// Somebody waits for what there was.
struct Flush {
    /// Where something of it may still be to be pulled, and what was the newest event there.
    left: Vec<(Arc<dyn Source>, u64)>,
    done: oneshot::Sender<()>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    wait: Duration,
    retry_at: Instant,
    log_at: Instant,
}

impl Writer {
    /// The thread's body.
    pub(super) fn run(mut self) {
        self.state.to_clear = true;
        loop {
            let orphaned = self.wait();
            self.commands();
            self.pull();
            if self.commit() {
                self.after_commit();
                if self.state.sources.is_empty() && (orphaned || self.state.closing.is_some()) {
                    return self.end();
                }
            } else if orphaned {
                // Nobody can be told any more, and nobody waits: what could not be written is lost.
                return self.end();
            }
        }
    }

    /// Until there is something to do and the pace allows it. `true`: the store was dropped.
    fn wait(&mut self) -> bool {
        let mut queue = self.shared.queue.lock();
        while !queue.urgent && queue.hurried.is_empty() {
            match self.due(&queue) {
                None => {
                    if self.shared.wake.wait_for(&mut queue, LOOK).timed_out() {
                        break;
                    }
                }
                Some(due) => {
                    let now = Instant::now();
                    if due <= now {
                        break;
                    }
                    // Looks now and then whether much waits by now.
                    self.shared.wake.wait_until(&mut queue, due.min(now + PACE));
                }
            }
        }
        queue.urgent = false;
        let all = self.is_much();
        let ripe = Instant::now() + PACE;
        while let Some((_, source)) = queue.dirty.pop_front_if(|(since, _)| all || *since + GATHER <= ripe) {
            self.state.sources.push_back(source);
        }
        queue.put_hurried(&mut self.state.sources);
        queue.orphaned
    }

    /// When the next commit is due; `None`: never, as things are.
    fn due(&self, queue: &Queue) -> Option<Instant> {
        let (state, now) = (&self.state, Instant::now());
        if let Some(failure) = &state.failure {
            return Some(failure.retry_at);
        }
        if !state.sources.is_empty() {
            return Some(now);
        }
        let gathered = queue.dirty.front().map(|(since, _)| *since + GATHER);
        let at_once = state.to_clear || gathered.is_some() && self.is_much();
        let due = if at_once { now } else { gathered? };
        Some(state.last_commit.map_or(due, |last| due.max(last + PACE)))
    }

    fn is_much(&self) -> bool {
        let backlog = &self.shared.backlog;
        backlog.bytes() > MUCH || backlog.is_high()
    }

    fn commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Flush { of, done } => self.flush(of.as_ref(), done),
                Command::Close(done) => self.state.closing = Some(done),
                Command::Run(run) => {
                    run(&self.conn, &mut self.state.rows);
                    self.state.to_clear = true;
                }
            }
        }
        if self.state.closing.is_some() {
            self.look_again();
        }
    }

    /// Who was told `dirty` before a command may have come after we looked.
    fn look_again(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.put_hurried(&mut self.state.sources);
        self.state.sources.extend(queue.dirty.drain(..).map(|(_, source)| source));
    }

    /// The same of one session, whose turn is next.
    fn look_again_for(&mut self, key: &SessionKey) {
        let mut queue = self.shared.queue.lock();
        queue.hurry(key);
        queue.put_hurried(&mut self.state.sources);
    }

    /// What is in hand is committed by the next commit that succeeds. For the rest: only what there is now, so that a session that
    /// always has more keeps nobody waiting.
    fn flush(&mut self, of: Option<&SessionKey>, done: oneshot::Sender<()>) {
        match of {
            Some(key) => self.look_again_for(key),
            None => self.look_again(),
        }
        let wanted = self.state.sources.iter().filter(|source| of.is_none_or(|key| source.key() == key));
        let left = wanted.map(|source| (Arc::clone(source), source.last())).collect();
        self.state.flushes.push(Flush { left, done });
    }

    fn pull(&mut self) {
        if !self.state.in_hand.is_empty() {
            return; // The last commit failed.
        }
        let mut bytes = 0;
        while bytes < CYCLE_BYTES
            && let Some(source) = self.state.sources.pop_front()
        {
            let mut batch = Batch::default();
            let more = source.pull(&mut batch, PULL_BYTES);
            bytes += batch.entries.iter().map(|entry| entry.frame.len()).sum::<usize>();
            if more {
                self.state.sources.push_back(Arc::clone(&source));
            }
            if !batch.is_empty() {
                self.state.to_clear |= batch.delete;
                self.state.in_hand.push((source, batch));
            }
        }
    }

    /// `false`: it failed, and what is in hand stays there.
    fn commit(&mut self) -> bool {
        let begun = Instant::now();
        self.state.last_commit = Some(begun);
        let tried = self.try_commit();
        if tried.is_err() || !self.state.in_hand.is_empty() {
            self.shared.counters.count(tried.is_ok(), begun.elapsed());
        }
        if let Err(error) = tried {
            self.state.rows.forget_all();
            self.failed(&error);
            return false;
        }
        for (source, batch) in self.state.in_hand.drain(..) {
            if let Some(last) = batch.entries.last() {
                source.committed(last.seq);
            }
        }
        if self.state.failure.take().is_some() {
            ::log::info!("store: {} can be written again", self.dir.path().display());
            self.shared.health.send_replace(StoreHealth::Good);
        }
        true
    }

    fn try_commit(&mut self) -> rusqlite::Result<()> {
        if let Some(trouble) = self.place.trouble() {
            return Err(rusqlite::Error::InvalidParameterName(trouble));
        }
        if let Some(found) = self.state.unprepared {
            schema::prepare(&mut self.conn, found)?;
            self.state.unprepared = None;
        }
        if self.state.in_hand.is_empty() {
            return Ok(());
        }
        let tx = self.conn.unchecked_transaction()?;
        for (source, batch) in &self.state.in_hand {
            tables::write(&tx, &mut self.state.rows, source.key(), source.epoch(), batch)?;
        }
        tx.commit()
    }

    fn failed(&mut self, error: &rusqlite::Error) {
        let now = Instant::now();
        let before = self.state.failure;
        let log = before.is_none_or(|failure| now >= failure.log_at);
        let wait = before.map_or(RETRY.0, |failure| (failure.wait * 2).min(RETRY.1));
        if log {
            ::log::error!(
                "store: {} cannot be written: {error}. Live delivery goes on; what is new is not safe until this is mended",
                self.dir.path().display()
            );
        }
        let log_at = if log { now + LOG_AGAIN } else { before.map_or(now, |failure| failure.log_at) };
        self.state.failure = Some(Failure { wait, retry_at: now + wait, log_at });
        if before.is_none() {
            self.shared.health.send_replace(StoreHealth::Failing);
        }
        if let Some(done) = self.state.closing.take() {
            // Who closes may try again, or end without.
            let _ = done.send(Err(StoreError::of(error)));
        }
    }

    fn after_commit(&mut self) {
        // Nothing is in hand now: what was given is committed.
        for mut flush in mem::take(&mut self.state.flushes) {
            flush.left.retain(|(source, seq)| !source.has_given(*seq));
            if flush.left.is_empty() {
                let _ = flush.done.send(());
            } else {
                self.state.flushes.push(flush);
            }
        }
        let wal = fs::metadata(&self.wal).map_or(0, |wal| wal.len());
        if wal > WAL_BYTES.1 {
            self.log_error("checkpoint", self.checkpoint("PASSIVE"));
        } else if wal > WAL_BYTES.0 {
            let _ = self.checkpoints.try_send(());
        }
        if self.state.to_clear && self.state.sources.is_empty() {
            match clear_step(&self.conn) {
                Ok(more) => self.state.to_clear = more,
                Err(error) => {
                    // Tried again after the next deletion or start.
                    self.state.to_clear = false;
                    self.log_error("clearing away deleted sessions", Err(error));
                }
            }
        }
    }

    /// All is committed, or the store was dropped.
    fn end(mut self) {
        if let Err(error) = self.state.rows.save(&self.conn) {
            self.log_error("sizes", Err(error));
        }
        let all_stored = self.state.in_hand.is_empty() && !self.shared.backlog.has_lost();
        let mut result = Ok(());
        if let Some(done) = self.state.closing.take() {
            if all_stored {
                result = set_clean(&self.conn, true).and_then(|()| self.checkpoint("TRUNCATE"));
            }
            let mut queue = self.shared.queue.lock();
            queue.ended = true;
            let late = (mem::take(&mut queue.dirty), mem::take(&mut queue.hurried));
            drop(queue);
            drop(late);
            let Self { conn, dir, .. } = self;
            drop(conn);
            drop(dir);
            let _ = done.send(result.map_err(|error| StoreError::of(&error)));
        }
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<()> {
        let _alone = self.shared.checkpoint.lock();
        checkpoint(&self.conn, mode).map(drop)
    }

    fn log_error(&self, what: &str, result: rusqlite::Result<()>) {
        if let Err(error) = result {
            ::log::warn!("store: {}: {what}: {error}", self.dir.path().display());
        }
    }
}
