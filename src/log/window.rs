//! The newest entries of one log, in memory. Plain data without locks.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::store::Entry;

/// What an entry costs in memory besides its frame's bytes: its slot (40 bytes, up to twice that while the ring grows) and its
/// share of the buffer's bookkeeping.
pub const ENTRY_OVERHEAD: usize = 96;

#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries up to and including this seq are not here.
    floor: u64,
    last: u64,
}

impl Window {
    /// An empty one, after `last`.
    pub(super) fn after(last: u64) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, floor: last, last }
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Seq of the newest entry there ever was, whether or not it is still here.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Seq of the oldest entry here, or the smallest that one could get.
    pub(super) fn first(&self) -> u64 {
        self.entries.front().map_or(self.last + 1, |entry| entry.seq)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// `entry.seq` must be greater than [`last`](Self::last).
    pub(super) fn push(&mut self, entry: Entry) {
        self.last = entry.seq;
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
    }

    /// The oldest entry, when those after it fill `max_bytes` by themselves.
    pub(super) fn surplus(&self, max_bytes: usize) -> Option<&Entry> {
        self.entries.front().filter(|entry| self.bytes - cost(entry) >= max_bytes)
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= cost(&entry);
        self.floor = entry.seq;
        Some(entry)
    }

    /// The entries after `after`, which must not be below the floor.
    pub(super) fn after_seq(&self, after: u64) -> impl Iterator<Item = &Entry> {
        // Almost every read is of the last few entries: look there before searching all of them.
        let near = self.entries.len().saturating_sub(NEAR);
        let start = match self.entries.get(near) {
            Some(entry) if entry.seq <= after => {
                near + self.entries.range(near..).take_while(|entry| entry.seq <= after).count()
            }
            _ => self.entries.partition_point(|entry| entry.seq <= after),
        };
        self.entries.range(start..)
    }

    /// Copies every frame into a buffer of its own size and gives back what the ring does not need.
    pub(super) fn compact(&mut self) {
        for entry in &mut self.entries {
            entry.frame = Utf8Bytes::from(entry.frame.as_str().to_owned());
        }
        self.entries.shrink_to_fit();
    }
}

/// How many of the newest entries are looked through one by one.
const NEAR: usize = 4;

/// What an entry counts in the window.
pub(super) fn cost(entry: &Entry) -> usize {
    entry.frame.len() + ENTRY_OVERHEAD
}
