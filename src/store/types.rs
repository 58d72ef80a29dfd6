//! Plain data that passes between the log and a store.

use std::{fmt, ops::Deref, sync::Arc};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::NodeId;

/// One session event: its place in the log, and the frame that every client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Strictly increasing within a session's epoch, not always by one.
    pub seq: u64,
    /// The encoded message; clones share the buffer.
    pub frame: Utf8Bytes,
}

/// Between owner and id in a session's key: ids have none (`protocol::parse`).
const BEHIND_OWNER: char = '/';

/// What a session is known by in a gateway and in a store: whose it is, and the id that its clients call it by. Ids of different
/// owners do not meet. As text `OWNER/ID`; just `ID` where nobody has a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(Arc<str>);

impl SessionKey {
    /// The key of `owner`'s session `id`.
    pub fn of(owner: &str, id: &str) -> Self {
        if owner.is_empty() { Self(id.into()) } else { Self(format!("{owner}{BEHIND_OWNER}{id}").into()) }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    pub fn name(&self) -> &Arc<str> {
        &self.0
    }

    /// The id that clients know.
    pub fn id(&self) -> &str {
        self.0.rsplit_once(BEHIND_OWNER).map_or(&*self.0, |(_, id)| id)
    }
}

/// From the text of a key.
impl<T: Into<Arc<str>>> From<T> for SessionKey {
    fn from(key: T) -> Self {
        Self(key.into())
    }
}

impl Deref for SessionKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many message ids of a session are kept at least: the newest.
pub const KEPT_MESSAGE_IDS: usize = 65_536;

/// Whether a session may be deleted to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// In use: never deleted by retention.
    #[default]
    Active,
    /// Asleep, may come back.
    Dormant,
    /// Over for good: the first to be deleted.
    Ended,
}

/// What a session wants to find again after a restart. A store keeps the latest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Name of the token that the session belongs to.
    pub owner: String,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds; retention counts from here.
    pub last_active_at: u64,
    /// Whether retention may touch it.
    pub status: Status,
    /// The session room's own state; opaque here.
    pub state: String,
}

/// What a [`Source`](super::Source) gives at one pull: to be committed together, or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// In ascending order.
    pub entries: Vec<Entry>,
    /// Events before the first of `entries`, up to and including this seq, were dropped unstored (the store had stalled).
    pub lost_through: Option<u64>,
    /// Ids of client messages that must not be run twice.
    pub message_ids: Vec<String>,
    /// Replaces the record kept so far.
    pub record: Option<Record>,
    /// The session is to be deleted, with all of its events; nothing else is in the batch.
    pub delete: bool,
}

impl Batch {
    /// There is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.message_ids.is_empty() && self.record.is_none() && !self.delete
    }
}

/// A session as it is found at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// Whose it is, and its id.
    pub key: SessionKey,
    /// Its life.
    pub epoch: String,
    /// Seq of the first event kept; 1 when there is none.
    pub first_seq: u64,
    /// Seq of the last event kept; 0 when there is none.
    pub last_seq: u64,
    /// The least seq that the next event may get. After a crash it is far from `last_seq`: clients may have seen events in between
    /// that were never stored.
    pub next_seq: u64,
    /// The last one stored; `None` if the gateway died before the first.
    pub record: Option<Record>,
}

impl StoredSession {
    /// The last record, if it says that the session is over.
    pub fn ended(&self) -> Option<&Record> {
        self.record.as_ref().filter(|record| record.status == Status::Ended)
    }
}

/// What an index says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Its id.
    pub key: SessionKey,
    /// Its life.
    pub epoch: String,
    /// Unix milliseconds.
    pub last_active_at: u64,
    /// As its last record says; without one: [`Active`](Status::Active).
    pub status: Status,
    /// The living node that runs it, where the store is shared.
    pub node: Option<NodeId>,
}

impl Indexed {
    pub(super) fn of(stored: StoredSession) -> Option<Self> {
        let Record { last_active_at, status, .. } = stored.record?;
        Some(Self { key: stored.key, epoch: stored.epoch, last_active_at, status, node: None })
    }
}

/// What may be forgotten.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// Unix milliseconds, by the store's [clock](super::Store::clock).
    pub now_ms: u64,
    /// Ended and dormant sessions that were last active longer ago go.
    pub max_age_ms: Option<u64>,
    /// As long as more than this is stored, the oldest ended sessions go, then the oldest dormant ones.
    pub max_bytes: Option<u64>,
    /// Of an owner's ended sessions so many are kept, the most recently active.
    pub max_ended_per_owner: Option<usize>,
}

/// A session that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Whose it is, and its id.
    pub key: SessionKey,
    /// Its life: if it has another by now, it is not to be deleted.
    pub epoch: String,
    /// It had ended; otherwise it was dormant.
    pub ended: bool,
}

/// What a store has after some seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// The next events, in order, none missing between them or before them.
    Entries(Vec<Entry>),
    /// The events up to and including `through` were lost; the first one kept after them is `next`.
    Lost {
        /// Go on reading after this.
        through: u64,
        /// The seq of the next event that is kept.
        next: u64,
    },
    /// Nothing is stored after that seq.
    End,
}

/// Whether a store can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreHealth {
    /// It can.
    #[default]
    Good,
    /// It cannot at the moment and keeps trying: live delivery goes on, what is new is not safe yet.
    Failing,
}

/// What a store has done so far; all only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounts {
    /// Commits of something.
    pub commits: u64,
    /// Commits that failed and are tried again.
    pub failures: u64,
    /// Microseconds spent in commits, failed ones included.
    pub micros: u64,
}

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused; the text is for the log.
    #[error("store: {0}")]
    Database(String),
    /// What is stored is not what can be understood; the text is for the log.
    #[error("{0}")]
    Unreadable(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A shared store does not answer: it is away, or this node is cut off from it. The text is for the log.
    #[error("store: {0}")]
    Away(String),
    /// Another node has the session by now.
    #[error("another node has the session")]
    Refused,
    /// The node that was written to is not there any more.
    #[error("the node is gone")]
    Gone,
    /// The node that was written to does not read its messages.
    #[error("the node's inbox is full")]
    Full,
}

impl StoreError {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}
