//! Places that a client may name and that the log has no event for.
//!
//! Seqs follow one another without a hole, except where events were lost: a gateway that died before it could store them leaves
//! a hole (the next one goes on far behind it), and so do events that a stalled store never took. Who has read into such a hole has seen
//! what nobody else will ever see, and what did not happen for the session that goes on.

use super::event_log::EventLog;
use crate::store::Chunk;

impl EventLog {
    /// Whether `seq` is in such a hole. `false` also where it cannot be known: below what is kept (that is a gap), ahead of the
    /// log (that is told when it is attached to), or when the store cannot be read, which then has no replay either.
    pub async fn has_lost(&self, seq: u64) -> bool {
        let store = {
            let state = self.state.lock();
            if seq == 0 || seq <= state.floor || seq > state.window.last() || seq == state.window.floor() {
                return false;
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
