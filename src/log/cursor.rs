//! A reader's place in a log.

use std::sync::Arc;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    doorbell::{Bell, CursorId, Doorbell},
    event_log::{EventLog, Here},
    hold::Hold,
};
use crate::store::{Chunk, SessionKey, Store, StoreError};

/// How a read ended. Frames may have been added to `out` in every case but [`Gap`](Self::Gap).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left; the doorbell rings when there is more.
    CaughtUp,
    /// There is more to read now. The doorbell does **not** ring for it.
    More,
    /// Events that the cursor had not read yet are no longer kept. It now stands before `first_seq`; read on.
    Gap {
        /// The first event that is kept after the missing ones.
        first_seq: u64,
    },
    /// Everything was read, and nothing will follow.
    Closed,
    /// Nothing will follow here: the session goes on elsewhere.
    Moved,
}

/// A place in one session's log. Dropped = detached.
///
/// A new cursor was not read yet: its holder reads it until [`Progress::CaughtUp`]; only from then on its doorbell rings.
#[derive(Debug)]
pub struct Cursor {
    log: Arc<EventLog>,
    bell: Arc<Bell>,
    /// Seq of the last event that was read.
    after: u64,
    /// See [`wants_at_most`](Self::wants_at_most).
    wanted: usize,
}

impl Cursor {
    pub(super) fn new(log: Arc<EventLog>, bell: Arc<Bell>, after: u64) -> Self {
        Self { log, bell, after, wanted: usize::MAX }
    }

    /// Notes how many bytes of one content its reader wants. The cursor reads whole frames all the same: whoever sends them and knows
    /// what they mean cuts them.
    pub fn want_at_most(&mut self, bytes: usize) {
        self.wanted = bytes;
    }

    /// What was [noted](Self::want_at_most); `usize::MAX` where nothing was.
    pub fn wants_at_most(&self) -> usize {
        self.wanted
    }

    /// What the doorbell calls this cursor.
    pub fn id(&self) -> CursorId {
        self.bell.id
    }

    /// The log's epoch.
    pub fn epoch(&self) -> &str {
        self.log.epoch()
    }

    /// Id of the session, as its clients know it.
    pub fn session(&self) -> &str {
        self.log.key().id()
    }

    /// Key of the session.
    pub fn key(&self) -> &SessionKey {
        self.log.key()
    }

    /// A hold on the same log.
    pub fn hold(&self, doorbell: &Doorbell) -> Hold {
        self.log.hold(doorbell)
    }

    /// See [`EventLog::durable_seq`].
    pub fn durable_seq(&self) -> u64 {
        self.log.durable_seq()
    }

    /// Seq of the last event that was read.
    pub fn position(&self) -> u64 {
        self.after
    }

    /// Adds the next frames to `out`: at most `max_bytes` of them, but at least one if there is any (a frame that is larger comes
    /// alone). Waits only for the store, and only when the cursor lags behind the window. Cancel safe: a read that was dropped
    /// has moved nothing.
    pub async fn read(&mut self, out: &mut Vec<Utf8Bytes>, max_bytes: usize) -> Progress {
        let progress = match self.log.read_window(&mut self.after, &self.bell, out, max_bytes) {
            Here::Done(progress) => progress,
            Here::Below { floor, store } => self.read_store(&*store, floor, out, max_bytes).await,
        };
        self.bell.stand_at(self.after);
        progress
    }

    /// `floor`: the window began after it when we looked, so the store has all up to there that was not lost.
    async fn read_store(
        &mut self,
        store: &dyn Store,
        floor: u64,
        out: &mut Vec<Utf8Bytes>,
        max_bytes: usize,
    ) -> Progress {
        let chunk = store.read(self.log.key(), self.log.epoch(), self.after, max_bytes).await;
        match chunk {
            Ok(Chunk::Entries(entries)) if !entries.is_empty() => {
                for entry in entries {
                    self.after = entry.seq;
                    out.push(entry.frame);
                }
                Progress::More
            }
            Ok(Chunk::Lost { through, next }) => {
                self.after = through.max(self.after);
                Progress::Gap { first_seq: next }
            }
            Ok(Chunk::Entries(_) | Chunk::End) => self.skip_to(floor),
            // It is there, and will be read when the store is back.
            Err(StoreError::Away(problem)) => {
                ::log::warn!("session {}: events after {} must wait: {problem}", self.log.key(), self.after);
                Progress::More
            }
            Err(error) => {
                // Live delivery is worth more than a place in a history that cannot be read.
                ::log::error!(
                    "session {}: events after {} cannot be read: {error}",
                    self.log.key(),
                    self.after
                );
                self.skip_to(floor)
            }
        }
    }

    fn skip_to(&mut self, floor: u64) -> Progress {
        self.after = floor;
        Progress::Gap { first_seq: self.log.first_after(floor) }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.log.detach(&self.bell);
    }
}
