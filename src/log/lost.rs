//! Places that a client may name: the event there, or that the log has none for it.
//!
//! Seqs follow one another without a hole, except where events were lost: a gateway that died before it could store them leaves
//! a hole (the next one goes on far behind it), and so do events that a stalled store never took. Who has read into such a hole has seen
//! what nobody else will ever see, and what did not happen for the session that goes on.

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event_log::EventLog;
use crate::store::{Chunk, SessionKey, Store};

/// The event `seq` of a session, from the store. None: it is not there, or the store cannot be read.
pub async fn stored_event(store: &dyn Store, key: &SessionKey, epoch: &str, seq: u64) -> Option<Utf8Bytes> {
    match store.read(key, epoch, seq.checked_sub(1)?, 1).await {
        Ok(Chunk::Entries(entries)) => {
            entries.into_iter().next().filter(|entry| entry.seq == seq).map(|entry| entry.frame)
        }
        Ok(Chunk::Lost { .. } | Chunk::End) => None,
        Err(problem) => {
            ::log::warn!("session {key}: event {seq} cannot be read: {problem}");
            None
        }
    }
}

impl EventLog {
    /// The event `seq`, if it is kept and may be told.
    pub async fn event(&self, seq: u64) -> Option<Utf8Bytes> {
        let store = {
            let state = self.state.lock();
            if seq == 0 || seq > state.told() {
                return None;
            }
            // Without the tenure only what was stored is sure to be the session's.
            if seq > state.window.floor() && self.is_held() {
                let entry = state.window.after_seq(seq - 1).next();
                return entry.filter(|entry| entry.seq == seq).map(|entry| entry.frame.clone());
            }
            std::sync::Arc::clone(self.kept_by(&state)?)
        };
        stored_event(&*store, self.key(), self.epoch(), seq).await
    }

    /// Whether `seq` is in such a hole. `false` also where it cannot be known: below what is kept (that is a gap), or when the store cannot be read, which then has no replay either.
    pub async fn has_lost(&self, seq: u64) -> bool {
        let store = {
            let state = self.state.lock();
            if seq == 0 || seq <= state.floor || seq == state.window.floor() {
                return false;
            }
            // Nobody has read what is not here yet. (By the time of the attach there may be an event of that number.)
            if seq > state.window.last() {
                return true;
            }
            if seq > state.window.floor() {
                return state.window.after_seq(seq - 1).next().is_none_or(|entry| entry.seq != seq);
            }
            let Some(store) = self.kept_by(&state) else { return false };
            std::sync::Arc::clone(store)
        };
        match store.read(self.key(), self.epoch(), seq - 1, 1).await {
            Ok(Chunk::Entries(entries)) => entries.first().is_some_and(|entry| entry.seq != seq),
            Ok(Chunk::Lost { .. }) => true,
            // What is not stored yet is not below the window.
            Ok(Chunk::End) => false,
            Err(problem) => {
                ::log::warn!("session {}: event {seq} cannot be looked for: {problem}", self.key());
                false
            }
        }
    }
}
