//! A log whose events come out of the store: of a session that another node runs.
//!
//! Its cursors read as those of any log: what is new from the window, what lies further back from the store. It has no journal
//! and gives the store nothing.

use std::sync::Arc;

use super::{cursor::Cursor, doorbell::Doorbell, event_log::EventLog, feed::Feed, window::Window};
use crate::store::{Entry, SessionKey, Store};

impl EventLog {
    /// A mirror. The store must have everything up to and including `after` (but for what was lost); what follows is to be
    /// given to [`extend`](Self::extend).
    pub fn mirror(
        key: SessionKey,
        epoch: String,
        window_bytes: usize,
        store: Arc<dyn Store>,
        after: u64,
    ) -> Arc<Self> {
        let log = Self::restore(key, epoch, window_bytes, Some(store), 1, after);
        log.state.lock().feed = Feed::of_mirror(after);
        log
    }

    /// The store has these now, in order. What the mirror has already is left out.
    pub fn extend(&self, mut entries: Vec<Entry>) {
        let last = self.last_seq();
        entries.retain(|entry| entry.seq > last);
        if self.ending().is_none() {
            self.append(&mut entries);
        }
    }

    /// The owner dropped the events after the last one, up to and including this seq, without storing them. Who has read less finds
    /// what there is in the store, and that it is not all.
    pub fn lose(&self, through: u64) {
        let mut state = self.state.lock();
        if through > state.window.last() {
            state.window = Window::after(through);
            state.feed = Feed::of_mirror(through);
        }
    }

    /// A cursor that stands after `position`, which its owner was told by the log that this one mirrors. It may be ahead of the
    /// mirror: what comes up to there is not read again.
    pub fn attach_at(self: &Arc<Self>, position: u64, doorbell: &Doorbell) -> Cursor {
        let bell = doorbell.bell();
        bell.stand_at(position);
        let mut state = self.state.lock();
        state.bells.push(Arc::clone(&bell));
        self.enter(state);
        Cursor::new(Arc::clone(self), bell, position)
    }

    /// The store has everything up to and including this seq, but for what was lost.
    pub fn durable_seq(&self) -> u64 {
        self.state.lock().feed.durable()
    }
}
