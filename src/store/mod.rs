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
mod types;

pub use backlog::Backlog;
pub use types::{Batch, Chunk, Entry, Record, SessionKey, Status, StoreError, StoreHealth};

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio::sync::watch;

/// A boxed future, so that [`Store`] can be a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One session's unstored events; implemented by the log. Every method is called from the store's writer and must not block.
pub trait Source: Send + Sync {
    /// Whose events these are.
    fn key(&self) -> &SessionKey;

    /// The life of the session that they belong to.
    fn epoch(&self) -> &str;

    /// Adds to `batch` what was not pulled before, up to about `max_bytes` of frames but at least one entry. `true`: there is
    /// more. `false`: nothing more for now, and the source calls [`Store::dirty`] again when that changes.
    fn pull(&self, batch: &mut Batch, max_bytes: usize) -> bool;

    /// Everything pulled up to and including `seq` is durable.
    fn committed(&self, seq: u64);
}

/// Keeps sessions. Shared by all of them as `Arc<dyn Store>`.
pub trait Store: fmt::Debug + Send + Sync {
    /// `source` has something to pull. Never blocks; a source calls it once until it was pulled dry.
    fn dirty(&self, source: Arc<dyn Source>);

    /// The events of one session after `after`, at most about `max_bytes` of frames but at least one. Off the caller's thread.
    fn read<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>>;

    /// How many bytes wait to be stored, over all sessions, and how many may.
    fn backlog(&self) -> &Backlog;

    /// Whether writing works. Changes are seen by every receiver, so that sessions can warn their clients.
    fn health(&self) -> watch::Receiver<StoreHealth>;
}
