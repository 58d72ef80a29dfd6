//! Events that nobody is told before the store has them: what they say is a promise that must outlive the process.
//!
//! The session's task sets no more than the beginning ([`Journal::stored_first`](super::Journal)); the store's word ends it, on the
//! store's own thread, so that nothing but the commit is waited for. Whoever set it also sets a limit to that ([`EventLog::show`]):
//! a store that does not answer must not make a session mute.

use std::pin::pin;

use super::{
    event_log::{EventLog, State},
    trim::Discarded,
};

/// What cursors are not given yet. Guarded by the log's lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Withheld {
    /// The last event before it.
    after: u64,
    /// All is given when the store has this.
    until: u64,
}

impl State {
    /// Seq of the last event that cursors are given.
    pub(super) fn told(&self) -> u64 {
        self.withheld.map_or_else(|| self.window.last(), |withheld| withheld.after.max(self.feed.durable()))
    }

    /// Whether the store's last word was what is waited for.
    fn is_stored(&self) -> bool {
        self.withheld.is_some_and(|withheld| self.feed.durable() >= withheld.until)
    }
}

impl EventLog {
    /// What was appended after `before` is withheld. `false`: there is nothing to wait for.
    pub(super) fn withhold(&self, state: &mut State, before: u64) -> bool {
        if self.kept_by(state).is_none() || state.ending.is_some() {
            return false;
        }
        let until = state.window.last();
        let after = state.withheld.map_or(before, |withheld| withheld.after);
        state.withheld = Some(Withheld { after, until });
        true
    }

    /// Something is withheld.
    pub fn withholds(&self) -> bool {
        self.state.lock().withheld.is_some()
    }

    /// Seq of the last event that cursors are given.
    pub fn told_seq(&self) -> u64 {
        self.state.lock().told()
    }

    /// Ends when nothing is withheld. Cancel safe.
    pub async fn shown(&self) {
        loop {
            let mut shown = pin!(self.shown.notified());
            // From here on none is missed.
            shown.as_mut().enable();
            if !self.withholds() {
                return;
            }
            shown.await;
        }
    }

    /// Gives cursors what was withheld, stored or not.
    pub fn show(&self) {
        let mut state = self.state.lock();
        if state.withheld.take().is_some() {
            self.ring_all(state);
            self.shown.notify_waiters();
        }
    }

    /// After the store's word: the same, if that was what is waited for. Takes the lock and releases it.
    pub(super) fn show_stored(&self, state: parking_lot::MutexGuard<'_, State>) {
        let mut state = state;
        if state.is_stored() {
            state.withheld = None;
            self.ring_all(state);
            self.shown.notify_waiters();
        } else {
            Discarded::unlock(state).give_back();
        }
    }
}
