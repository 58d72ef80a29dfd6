//! Room: what outlives the process. Keeps sessions' events and records, and gives them back.
//!
//! May assume: one [`Source`] per session, whose events come in ascending order of `seq`. Must not know: what events, records and
//! message ids mean.
//!
//! A store **pulls**. A log that has something new says so once ([`Store::dirty`]); when the store is ready to write it takes what
//! has gathered ([`Source::pull`]), commits it, and says how far it got ([`Source::committed`]). So the hot path has no queue of
//! its own and no lock that sessions share, a slow disk makes larger batches instead of longer queues, and what is not stored yet
//! is held once: in the log.

mod backlog;
mod dir;
mod redis;
mod shared;
mod sqlite;
mod tenure;
#[cfg(test)]
mod tests;
mod types;

pub use backlog::Backlog;
pub use dir::{DataDir, DataDirError};
pub use redis::{RedisAddress, RedisError, RedisFindings, RedisOptions, RedisStore};
pub use shared::{Claim, Follow, Follower, NewSession, NodeId, SharedStore, Whereabouts};
#[cfg(test)]
pub(crate) use sqlite::raw;
pub use sqlite::{OpenError, SqliteStore};
pub use tenure::{Lease, Tenure};
pub use types::{
    Batch, Chunk, Entry, Expired, Indexed, KEPT_MESSAGE_IDS, Record, Retention, SessionKey, Status,
    StoreCounts, StoreError, StoreHealth, StoredSession,
};

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio::sync::watch;

/// A boxed future, so that [`Store`] can be a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One session's unstored events; implemented by the log. Every method is called from the store's writer and must not block.
pub trait Source: fmt::Debug + Send + Sync {
    /// Whose events these are.
    fn key(&self) -> &SessionKey;

    /// The life of the session that they belong to.
    fn epoch(&self) -> &str;

    /// Adds to `batch` what was not pulled before, up to about `max_bytes` of frames but at least one entry. `true`: there is
    /// more. `false`: nothing more for now, and the source calls [`Store::dirty`] again when that changes.
    fn pull(&self, batch: &mut Batch, max_bytes: usize) -> bool;

    /// Everything pulled up to and including `seq` is durable.
    fn committed(&self, seq: u64);

    /// The right under which it writes to a [shared](Store::shared) store; `None`: the store is not shared.
    fn tenure(&self) -> Option<&Arc<Tenure>> {
        None
    }

    /// The store has lost what it had committed of this source: of the events it has those up to and including `durable` (0: none), and
    /// of records and message ids perhaps none. Everything after it that is still in memory is to be pulled again; what is not is
    /// lost ([`Batch::lost_through`]). The store goes on pulling; it need not be told.
    fn rewind(&self, durable: u64) {
        let _ = durable;
    }

    /// Seq of the newest event there is, pulled or not; 0: none.
    fn last(&self) -> u64;

    /// Whether nothing is left to pull of what was there when `seq` was the newest event: events, records and message ids.
    fn has_given(&self, seq: u64) -> bool;
}

/// Keeps sessions. Shared by all of them as `Arc<dyn Store>`.
pub trait Store: fmt::Debug + Send + Sync {
    /// `source` has something to pull. Never blocks; a source calls it once until it was pulled dry.
    fn dirty(&self, source: Arc<dyn Source>);

    /// What the session has said that it has is to be committed at once, not with what others gather. Never blocks. A store that
    /// gathers nothing need not do anything.
    fn hurry(&self, key: &SessionKey) {
        let _ = key;
    }

    /// The events of one session after `after`, at most about `max_bytes` of frames but at least one. Off the caller's thread.
    fn read<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>>;

    /// What it offers where several gateways share it; `None`: it is this gateway's alone.
    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }

    /// How many bytes wait to be stored, over all sessions, and how many may.
    fn backlog(&self) -> &Backlog;

    /// Whether writing works. Changes are seen by every receiver, so that sessions can warn their clients.
    fn health(&self) -> watch::Receiver<StoreHealth>;

    /// What it has done so far, for metrics.
    fn counts(&self) -> StoreCounts {
        StoreCounts::default()
    }

    /// All sessions, oldest first: for the start of the gateway.
    fn sessions(&self) -> Pending<'_, Result<Vec<StoredSession>, StoreError>>;

    /// One of them, if it is there.
    fn session<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<Option<StoredSession>, StoreError>> {
        Box::pin(async move { Ok(self.sessions().await?.into_iter().find(|stored| stored.key == *key)) })
    }

    /// The index of `owner`'s sessions, in no order: of those that have ended, and where the store is [shared](Self::shared) of all.
    fn index<'a>(&'a self, owner: &'a str) -> Pending<'a, Result<Vec<Indexed>, StoreError>> {
        Box::pin(async move {
            let stored = self.sessions().await?;
            let ended = stored
                .into_iter()
                .filter(|stored| stored.ended().is_some_and(|record| record.owner == owner));
            Ok(ended.filter_map(Indexed::of).collect())
        })
    }

    /// The records of these sessions, in this order. Asked for some at a time, as it takes a reader's time.
    fn records(&self, keys: Vec<SessionKey>) -> Pending<'_, Result<Vec<Option<Record>>, StoreError>> {
        Box::pin(async move {
            let mut records = Vec::with_capacity(keys.len());
            for key in &keys {
                records.push(self.session(key).await?.and_then(|stored| stored.record));
            }
            Ok(records)
        })
    }

    /// Ids of the client messages that the session has seen, oldest first: for when it wakes up. At least the newest
    /// [`KEPT_MESSAGE_IDS`].
    fn message_ids<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
    ) -> Pending<'a, Result<Vec<String>, StoreError>>;

    /// What time it is for [`Retention`], Unix milliseconds, when this machine's clock says `wall_ms`: clocks may be wrong, and what was
    /// deleted does not come back.
    fn clock(&self, wall_ms: u64) -> Pending<'_, Result<u64, StoreError>> {
        Box::pin(std::future::ready(Ok(wall_ms)))
    }

    /// The sessions that are to be deleted by `retention`; by their last record none of them is active. Whoever knows the living
    /// sessions deletes them, those with a log by `EventLog::delete`, the others by [`delete`](Self::delete): only there it is
    /// certain that none has woken up in the meantime.
    fn expired(&self, retention: Retention) -> Pending<'_, Result<Vec<Expired>, StoreError>>;

    /// Deletes a session that has no log in memory. The file shrinks in the background.
    fn delete<'a>(&'a self, key: &'a SessionKey, epoch: &'a str) -> Pending<'a, Result<(), StoreError>>;

    /// Ends when everything that was appended before is committed. While the store fails that may be never: the caller sets a
    /// deadline.
    fn flush(&self) -> Pending<'_, Result<(), StoreError>>;

    /// As [`flush`](Self::flush), for one session only: ends when what it appended before is committed, whatever others append.
    fn flush_of<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<(), StoreError>> {
        let _ = key;
        self.flush()
    }

    /// Commits everything, notes that the end was in order, and ends. `Err`: it could not, and still runs; try again or give up. The caller
    /// sets a deadline, and stops appending before.
    fn close(&self) -> Pending<'_, Result<(), StoreError>>;
}
