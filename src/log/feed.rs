//! What the store has not got yet: the log's side of [`Source`].

use std::{collections::VecDeque, mem, sync::Arc};

use super::{
    event_log::{EventLog, Journal, State},
    window::{Window, cost},
};
use crate::store::{Backlog, Batch, Entry, Record, SessionKey, Source, Tenure};

/// How far the store is. `durable <= pulled <= last`.
#[derive(Debug)]
pub(super) struct Feed {
    /// Committed up to and including this seq.
    durable: u64,
    /// Handed to the store up to and including this seq.
    pulled: u64,
    /// Cost of the entries that were not pulled yet. This and `in_flight` are what the backlog counts.
    waiting: usize,
    /// Pulled and not committed: last seq and cost of each pull.
    in_flight: VecDeque<(u64, usize)>,
    /// Entries up to here were dropped before they could be pulled.
    lost_through: Option<u64>,
    /// At most two: the newest takes the place of the one before it, and the first stays until it is pulled. (Were it replaced
    /// too, a session that says more than the store can take would never get one stored.)
    records: VecDeque<Waiting>,
    /// Message ids, and the seq that each must not overtake.
    message_ids: VecDeque<(u64, String)>,
    /// What was pulled of these two already, for a store that may lose what it has committed; newest ids last.
    kept: Option<Kept>,
    delete: Deletion,
    /// The store was told and has not pulled us dry since.
    dirty: bool,
    /// What is appended came from the store.
    mirrors: bool,
}

#[derive(Debug, Default)]
struct Kept {
    record: Option<Record>,
    message_ids: VecDeque<String>,
}

/// A record that waits.
#[derive(Debug)]
struct Waiting {
    /// The seq that it must not overtake.
    after: u64,
    /// The same of the oldest record in whose place it is.
    since: u64,
    record: Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    No,
    Wanted,
    /// Nothing is to be stored any more.
    Passed,
}

/// How many message ids of one session wait while the store stalls, and how many are kept for one that may lose them; the oldest
/// beyond that are forgotten.
const MAX_MESSAGE_IDS: usize = 4096;

impl Feed {
    /// `may_rewind`: the store may lose what it has committed, see [`Source::rewind`].
    pub(super) fn after(last: u64, may_rewind: bool) -> Self {
        Self {
            durable: last,
            pulled: last,
            waiting: 0,
            in_flight: VecDeque::new(),
            lost_through: None,
            records: VecDeque::new(),
            message_ids: VecDeque::new(),
            kept: may_rewind.then(Kept::default),
            delete: Deletion::No,
            dirty: false,
            mirrors: false,
        }
    }

    /// That of a log whose events come out of the store: there is never anything to pull.
    pub(super) fn of_mirror(last: u64) -> Self {
        Self { mirrors: true, ..Self::after(last, false) }
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.delete != Deletion::No
    }

    /// Entries that cost `bytes` were appended; `last` is the log's last seq with them.
    pub(super) fn add(&mut self, bytes: usize, journal: Option<Journal>, last: u64, backlog: &Backlog) {
        if self.is_deleted() {
            return;
        }
        if self.mirrors {
            self.durable = last;
            self.pulled = last;
            return;
        }
        self.waiting += bytes;
        backlog.add(bytes);
        let Some(journal) = journal else { return };
        if let Some(record) = journal.record {
            let replaced = self.records.pop_back_if(|waiting| waiting.after == last);
            let replaced = replaced.or_else(|| self.records.remove(1));
            let since = replaced.map_or(last, |waiting| waiting.since);
            self.records.push_back(Waiting { after: last, since, record });
        }
        for id in journal.message_ids {
            if self.message_ids.len() == MAX_MESSAGE_IDS {
                self.message_ids.pop_front();
            }
            self.message_ids.push_back((last, id));
        }
    }

    /// `true` when the store must be told that there is something to pull.
    pub(super) fn mark_dirty(&mut self, last: u64) -> bool {
        let news = match self.delete {
            Deletion::No => self.pulled < last || !self.records.is_empty() || !self.message_ids.is_empty(),
            Deletion::Wanted => true,
            Deletion::Passed => false,
        };
        // A source that is dirty is told once more only after it was pulled dry.
        news && !mem::replace(&mut self.dirty, true)
    }

    fn delete(&mut self, backlog: &Backlog) {
        if !self.is_deleted() {
            self.delete = Deletion::Wanted;
            self.records.clear();
            self.message_ids.clear();
            backlog.sub(mem::take(&mut self.waiting));
        }
    }

    pub(super) fn is_durable(&self, entry: &Entry) -> bool {
        entry.seq <= self.durable
    }

    /// Handed to the store up to and including this seq.
    pub(super) fn pulled(&self) -> u64 {
        self.pulled
    }

    /// `entry` leaves the window although it is not durable. What was pulled is not lost: the store still has it in its hands.
    pub(super) fn give_up(&mut self, entry: &Entry, backlog: &Backlog) {
        if entry.seq > self.pulled {
            self.pulled = entry.seq;
            self.lost_through = Some(entry.seq);
            backlog.note_loss();
            self.waiting -= cost(entry);
            backlog.sub(cost(entry));
        }
    }

    fn pull(&mut self, window: &Window, batch: &mut Batch, max_bytes: usize) -> bool {
        match self.delete {
            Deletion::No => {}
            Deletion::Wanted => {
                batch.delete = true;
                self.delete = Deletion::Passed;
                self.dirty = false;
                return false;
            }
            Deletion::Passed => {
                self.dirty = false;
                return false;
            }
        }
        let mut bytes = 0;
        for entry in window.after_seq(self.pulled.max(window.floor())) {
            if bytes >= max_bytes {
                break;
            }
            bytes += cost(entry);
            self.pulled = entry.seq;
            batch.entries.push(entry.clone());
        }
        if bytes > 0 {
            batch.lost_through = self.lost_through.take();
            self.waiting -= bytes;
            self.in_flight.push_back((self.pulled, bytes));
        }
        while let Some((_, id)) = self.message_ids.pop_front_if(|(after, _)| *after <= self.pulled) {
            batch.message_ids.push(id);
        }
        while let Some(waiting) = self.records.pop_front_if(|waiting| waiting.after <= self.pulled) {
            batch.record = Some(waiting.record);
        }
        if let Some(kept) = &mut self.kept {
            kept.keep(batch);
        }
        self.dirty = self.pulled < window.last();
        self.dirty
    }

    /// Committed up to and including this seq.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// See [`Source::has_given`].
    fn has_given(&self, seq: u64) -> bool {
        match self.delete {
            Deletion::No => {
                let records = self.records.iter().all(|waiting| waiting.since > seq);
                self.pulled >= seq
                    && records
                    && self.message_ids.front().is_none_or(|(after, _)| *after > seq)
            }
            Deletion::Wanted => false,
            Deletion::Passed => true,
        }
    }

    /// Cost of what is not committed.
    fn unstored(&self) -> usize {
        self.waiting + self.in_flight.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }

    fn committed(&mut self, seq: u64, backlog: &Backlog) {
        self.durable = self.durable.max(seq);
        while let Some((_, bytes)) = self.in_flight.pop_front_if(|(last, _)| *last <= seq) {
            backlog.sub(bytes);
        }
    }

    /// See [`Source::rewind`].
    fn rewind(&mut self, window: &Window, durable: u64, backlog: &Backlog) {
        if self.is_deleted() {
            return;
        }
        backlog.sub(
            mem::take(&mut self.waiting) + self.in_flight.drain(..).map(|(_, bytes)| bytes).sum::<usize>(),
        );
        // What the window holds no more was once durable, or was lost and told of then: now it is gone in either case.
        if window.floor() > durable {
            self.lost_through = Some(window.floor());
            backlog.note_loss();
        }
        self.durable = durable;
        self.pulled = durable.max(window.floor());
        self.waiting = window.after_seq(self.pulled).map(cost).sum();
        backlog.add(self.waiting);
        let Some(kept) = &mut self.kept else { return };
        // One that waits is newer.
        if let (true, Some(record)) = (self.records.is_empty(), kept.record.take()) {
            self.records.push_back(Waiting { after: durable, since: durable, record });
        }
        for id in mem::take(&mut kept.message_ids).into_iter().rev() {
            if self.message_ids.len() < MAX_MESSAGE_IDS {
                self.message_ids.push_front((durable, id));
            }
        }
    }
}

impl Kept {
    fn keep(&mut self, batch: &Batch) {
        if batch.record.is_some() {
            self.record.clone_from(&batch.record);
        }
        for id in &batch.message_ids {
            if self.message_ids.len() == MAX_MESSAGE_IDS {
                self.message_ids.pop_front();
            }
            self.message_ids.push_back(id.clone());
        }
    }
}

impl EventLog {
    /// Whether who appends here is to wait for the store, which is behind: not who has hardly anything there.
    pub fn outruns_the_store(&self) -> bool {
        let Some(store) = &self.store else { return false };
        // Nearly always not, and then without the lock.
        store.backlog().is_high() && store.backlog().is_pressing(self.state.lock().feed.unstored())
    }

    /// The session is removed: closes the log, and has the store delete all that it holds of it, in order with what was stored
    /// before. Nothing is stored from now on.
    pub fn delete(&self) {
        self.close();
        let Some(store) = &self.store else { return };
        let mut state = self.state.lock();
        state.feed.delete(store.backlog());
        let last = state.window.last();
        let dirty = state.feed.mark_dirty(last);
        drop(state);
        if dirty {
            self.tell_store();
        }
    }
}

impl Source for EventLog {
    fn key(&self) -> &SessionKey {
        Self::key(self)
    }

    fn epoch(&self) -> &str {
        Self::epoch(self)
    }

    fn pull(&self, batch: &mut Batch, max_bytes: usize) -> bool {
        let State { window, feed, .. } = &mut *self.state.lock();
        feed.pull(window, batch, max_bytes)
    }

    fn committed(&self, seq: u64) {
        let Some(store) = &self.store else { return };
        let mut state = self.state.lock();
        state.feed.committed(seq, store.backlog());
        self.trim(&mut state);
        self.show_stored(state);
    }

    fn tenure(&self) -> Option<&Arc<Tenure>> {
        self.tenure.as_ref()
    }

    fn rewind(&self, durable: u64) {
        let Some(store) = &self.store else { return };
        let State { window, feed, .. } = &mut *self.state.lock();
        feed.rewind(window, durable, store.backlog());
    }

    fn last(&self) -> u64 {
        self.last_seq()
    }

    fn has_given(&self, seq: u64) -> bool {
        self.state.lock().feed.has_given(seq)
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        if let Some(store) = &self.store {
            store.backlog().sub(self.state.get_mut().feed.unstored());
        }
    }
}
