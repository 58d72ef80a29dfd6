//! What leaves the window, and when.
//!
//! One rule is about memory: the oldest entry goes when the ones after it fill the window by themselves. The other is about fairness:
//! who had read everything must not miss the beginning of a batch because of the batch's own end, nor because of what comes while
//! it is being read. So after a batch that is larger than the window, the window is larger by so much until every cursor that has
//! not fallen out of it has read everything. Memory is at most the window and the largest batch.

use std::mem;

use parking_lot::MutexGuard;

use super::event_log::{EventLog, State};
use crate::lengthy::{LENGTHY, at_length};
use crate::store::{Backlog, Entry};

impl State {
    /// Drops durable entries until the window fits into `max_bytes`.
    pub(super) fn drop_durable(&mut self, max_bytes: usize) {
        while self.window.surplus(max_bytes).is_some_and(|entry| self.feed.is_durable(entry)) {
            let entry = self.window.pop();
            self.discard(entry);
        }
    }

    /// A large one is not given back under the log's lock: that takes its time.
    fn discard(&mut self, entry: Option<Entry>) {
        self.discarded.0.extend(entry.filter(|entry| entry.frame.len() >= LENGTHY));
    }

    /// Drops entries, durable or not, until the window fits into `max_bytes` or the rest is to be kept for a reader.
    fn drop_unstored(&mut self, max_bytes: usize, backlog: &Backlog) {
        let keep = self.kept_for_readers();
        while self.surplus(max_bytes, keep).is_some() {
            let nothing_stored = self.feed.pulled() <= self.floor;
            let Some(entry) = self.window.pop() else { break };
            self.feed.give_up(&entry, backlog);
            if nothing_stored {
                self.floor = entry.seq;
                self.first = Some(self.window.first()).filter(|first| *first <= self.window.last());
            }
            self.discard(Some(entry));
        }
    }

    /// As [`drop_unstored`](Self::drop_unstored), where there is no store.
    fn drop_for_good(&mut self, max_bytes: usize) {
        let keep = self.kept_for_readers();
        while self.surplus(max_bytes, keep).is_some() {
            let entry = self.window.pop();
            self.discard(entry);
        }
        self.floor = self.window.floor();
        self.first = None;
    }

    /// The oldest entry, when there is no room for it in `max_bytes`, nor in what is granted to readers.
    fn surplus(&self, max_bytes: usize, keep: Keep) -> Option<&Entry> {
        let kept =
            |entry: &&Entry| entry.seq > keep.after && self.window.surplus(max_bytes + keep.bytes).is_none();
        self.window.surplus(max_bytes).filter(|entry| !kept(entry))
    }

    /// Who keeps up is granted the largest batch on top of the window. (Looks at the cursors only after such a batch.)
    fn kept_for_readers(&mut self) -> Keep {
        if self.large_batch == 0 {
            return Keep::NOTHING;
        }
        let (floor, last) = (self.window.floor(), self.window.last());
        let positions = self.bells.iter().map(|bell| bell.position());
        let Some(after) = positions.filter(|position| (floor..last).contains(position)).min() else {
            self.large_batch = 0;
            return Keep::NOTHING;
        };
        Keep { after, bytes: self.large_batch }
    }
}

/// What is kept beyond the window: entries after `after`, as long as they need no more than `bytes` on top of it.
#[derive(Debug, Clone, Copy)]
struct Keep {
    after: u64,
    bytes: usize,
}

impl Keep {
    const NOTHING: Self = Self { after: u64::MAX, bytes: 0 };
}

/// Large entries that were dropped from a window, and whose memory is still to be given back: without the log's lock.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Discarded(Vec<Entry>);

impl Discarded {
    /// Releases the lock, and takes what was dropped under it.
    pub(super) fn unlock(mut state: MutexGuard<'_, State>) -> Self {
        mem::take(&mut state.discarded)
    }

    pub(super) fn give_back(self) {
        if !self.0.is_empty() {
            at_length(LENGTHY, || drop(self));
        }
    }
}

impl EventLog {
    /// Drops what the window has no room for.
    pub(super) fn trim(&self, state: &mut State) {
        match self.kept_by(state) {
            None => state.drop_for_good(self.window_bytes),
            Some(store) => {
                state.drop_durable(self.window_bytes);
                if store.backlog().is_over() {
                    state.drop_unstored(self.window_bytes, store.backlog());
                }
            }
        }
    }

    /// A cursor moved on or is gone: what was kept for it may go.
    pub(super) fn trim_after_reader(&self, state: &mut State) {
        if state.large_batch > 0 {
            self.trim(state);
        }
    }
}
