//! The log itself: one lock, held for a few entries at a time.

use std::{
    fmt, mem,
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    attendance::Attendance,
    cursor::Progress,
    doorbell::Bell,
    feed::Feed,
    trim::Discarded,
    window::{Window, cost},
    withheld::Withheld,
};
use crate::store::{Entry, Record, SessionKey, Store, Tenure};

/// What is to be stored together with a batch of entries: none of it becomes durable before the entries, and all of it with the
/// last of them.
#[derive(Debug, Default)]
pub struct Journal {
    /// Replaces the session's record.
    pub record: Option<Record>,
    /// Ids of client messages that must not be run again, also after a restart.
    pub message_ids: Vec<String>,
    /// The entries that came with it, and all after them, are withheld from cursors until the store has it: what they say is a promise.
    /// Without a store there is nothing to wait for.
    pub stored_first: bool,
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing follows anywhere.
    Closed,
    /// What follows stands in a log elsewhere, or in one that is to be made from the store.
    Moved,
}

/// A session's events. Shared; appended to by one task only.
pub struct EventLog {
    key: SessionKey,
    epoch: Arc<str>,
    pub(super) window_bytes: usize,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) tenure: Option<Arc<Tenure>>,
    pub(super) state: Mutex<State>,
    /// The bells that an append is ringing; kept for its capacity. Locked after `state`, which is not locked under it.
    ringing: Mutex<Vec<Arc<Bell>>>,
    pub(super) attendance_changed: Notify,
    /// Nothing is withheld any more.
    pub(super) shown: Notify,
    this: Weak<Self>,
}

pub(super) struct State {
    pub(super) window: Window,
    /// Large entries that were dropped from it.
    pub(super) discarded: Discarded,
    /// Events up to and including this seq are kept nowhere.
    pub(super) floor: u64,
    /// Seq of the first event after `floor`, where there is one and it is known.
    pub(super) first: Option<u64>,
    armed: Vec<Arc<Bell>>,
    /// Of all cursors.
    pub(super) bells: Vec<Arc<Bell>>,
    /// Size of the largest batch beyond the window that somebody may still be reading; 0: none.
    pub(super) large_batch: usize,
    /// Those who hold the session without reading; rung at the end.
    pub(super) holds: Vec<Arc<Bell>>,
    pub(super) ending: Option<Ending>,
    pub(super) attendance: Attendance,
    pub(super) feed: Feed,
    pub(super) withheld: Option<Withheld>,
}

impl State {
    pub(super) fn first_seq(&self) -> u64 {
        self.first.unwrap_or_else(|| self.window.first())
    }
}

/// What a look into the window gave.
pub(super) enum Here {
    Done(Progress),
    /// The cursor stands before the window, which began after `floor`.
    Below {
        floor: u64,
        store: Arc<dyn Store>,
    },
}

impl EventLog {
    /// An empty log. `window_bytes`: how much of it is kept in memory, see the [module](super).
    pub fn new(
        key: SessionKey,
        epoch: String,
        window_bytes: usize,
        store: Option<Arc<dyn Store>>,
    ) -> Arc<Self> {
        Self::restore(key, epoch, window_bytes, store, 1, 0)
    }

    /// The log of a session that the store knows: events from `first_seq` to `last_seq` are there and not in memory.
    ///
    /// The next event's seq must be greater than any that was given out in this epoch, also by a gateway that died before it could
    /// store them: `StoredSession::next_seq` keeps that distance.
    pub fn restore(
        key: SessionKey,
        epoch: String,
        window_bytes: usize,
        store: Option<Arc<dyn Store>>,
        first_seq: u64,
        last_seq: u64,
    ) -> Arc<Self> {
        Self::restore_held(key, epoch, window_bytes, store, first_seq, last_seq, None)
    }

    /// As [`restore`](Self::restore), of a session that this node holds in a store that it shares: what is stored names `tenure`.
    pub fn restore_held(
        key: SessionKey,
        epoch: String,
        window_bytes: usize,
        store: Option<Arc<dyn Store>>,
        first_seq: u64,
        last_seq: u64,
        tenure: Option<Arc<Tenure>>,
    ) -> Arc<Self> {
        let state = State {
            window: Window::after(last_seq),
            discarded: Discarded::default(),
            floor: first_seq.saturating_sub(1).min(last_seq),
            first: (first_seq <= last_seq).then_some(first_seq),
            armed: Vec::new(),
            bells: Vec::new(),
            large_batch: 0,
            holds: Vec::new(),
            ending: None,
            attendance: Attendance::default(),
            feed: Feed::after(last_seq, tenure.is_some()),
            withheld: None,
        };
        Arc::new_cyclic(|this| Self {
            key,
            epoch: epoch.into(),
            window_bytes,
            store,
            tenure,
            state: Mutex::new(state),
            ringing: Mutex::default(),
            attendance_changed: Notify::new(),
            shown: Notify::new(),
            this: this.clone(),
        })
    }

    /// The session's id.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Names this life of the session: seqs of different epochs have nothing to do with each other.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Seq of the oldest event that is kept; one more than [`last_seq`](Self::last_seq) when none is.
    pub fn first_seq(&self) -> u64 {
        self.state.lock().first_seq()
    }

    /// Seq of the newest event there ever was; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.state.lock().window.last()
    }

    /// Bytes in memory, as the window counts them.
    pub fn memory(&self) -> usize {
        self.state.lock().window.bytes()
    }

    /// Adds the entries of `batch`, in order, and wakes each cursor that had read everything once. Leaves `batch` empty.
    pub fn append(&self, batch: &mut Vec<Entry>) {
        self.add(batch, None);
    }

    /// As [`append`](Self::append), and gives the store what belongs to these entries; `batch` may be empty. After
    /// [`close`](Self::close) nothing is added any more, but the journal is still kept. A log whose tenure is lost takes neither.
    pub fn append_with(&self, batch: &mut Vec<Entry>, journal: Journal) {
        self.add(batch, Some(journal));
    }

    fn add(&self, batch: &mut Vec<Entry>, journal: Option<Journal>) {
        if !self.is_held() {
            batch.clear();
            return;
        }
        let mut state = self.state.lock();
        let before = state.window.last();
        let stored_first = journal.as_ref().is_some_and(|journal| journal.stored_first);
        let mut added = 0;
        for entry in batch.drain(..) {
            if state.ending.is_some() || entry.seq <= state.window.last() {
                let last = state.window.last();
                ::log::error!(
                    "session {}: event {} after {last} or after the end: dropped",
                    self.key,
                    entry.seq
                );
                debug_assert!(state.ending.is_some(), "seqs increase");
                continue;
            }
            added += cost(&entry);
            state.first.get_or_insert(entry.seq);
            state.window.push(entry);
        }
        if let Some(store) = &self.store {
            let last = state.window.last();
            state.feed.add(added, journal, last, store.backlog());
        }
        if added > self.window_bytes {
            state.large_batch = state.large_batch.max(added);
        }
        self.trim(&mut state);
        let last = state.window.last();
        let dirty = self.store.is_some() && state.feed.mark_dirty(last);
        let urgent = stored_first && added > 0 && self.withhold(&mut state, before);
        if added > 0 && state.withheld.is_none() {
            self.ring_all(state);
        } else {
            Discarded::unlock(state).give_back();
        }
        if dirty {
            self.tell_store();
        }
        if let Some(store) = self.store.as_ref().filter(|_| urgent) {
            store.hurry(&self.key);
        }
    }

    /// Rings what is armed, and gives back what was dropped, outside of the lock of `state`.
    pub(super) fn ring_all(&self, mut state: MutexGuard<'_, State>) {
        // Nearly always there is one reader, or none.
        if state.armed.len() < 2 {
            let bell = state.armed.pop();
            if let Some(bell) = &bell {
                bell.disarm();
            }
            let discarded = Discarded::unlock(state);
            bell.into_iter().for_each(Bell::ring);
            discarded.give_back();
            return;
        }
        let mut ringing = self.ringing.lock();
        let State { armed, .. } = &mut *state;
        Bell::disarm_all(armed, &mut ringing);
        let discarded = Discarded::unlock(state);
        ringing.drain(..).for_each(Bell::ring);
        drop(ringing);
        discarded.give_back();
    }

    /// Nothing follows: cursors deliver what is left and then say [`Progress::Closed`]. Only the first end counts.
    pub fn close(&self) {
        // Without the tenure that is not this log's to say.
        self.end(if self.is_held() { Ending::Closed } else { Ending::Moved });
    }

    /// Nothing follows here, but elsewhere: as [`close`](Self::close), and cursors say [`Progress::Moved`].
    pub fn close_moved(&self) {
        self.end(Ending::Moved);
    }

    fn end(&self, ending: Ending) {
        let mut state = self.state.lock();
        state.ending.get_or_insert(ending);
        state.withheld = None;
        let holds = mem::take(&mut state.holds);
        self.ring_all(state);
        self.shown.notify_waiters();
        holds.into_iter().for_each(Bell::ring);
    }

    /// Whether what stands here may still be told to anybody: the tenure holds, if there is one.
    pub fn is_held(&self) -> bool {
        self.tenure.as_ref().is_none_or(|tenure| tenure.holds(Instant::now()))
    }

    /// How it came to its end, if it did.
    pub fn ending(&self) -> Option<Ending> {
        self.state.lock().ending
    }

    /// Events that the slowest cursor has not read yet, counted by their seqs; 0 without cursors.
    pub fn lag(&self) -> u64 {
        let state = self.state.lock();
        let slowest = state.bells.iter().map(|bell| bell.position()).min();
        slowest.map_or(0, |position| state.window.last().saturating_sub(position))
    }

    /// For a session that goes to sleep: what the store holds leaves the memory, and what stays is copied into buffers of its own
    /// size, so that no chunk of the encoder is held by a small frame.
    pub fn compact(&self) {
        let mut state = self.state.lock();
        if self.store.is_some() {
            state.drop_durable(0);
        }
        state.window.compact();
        state.armed.shrink_to_fit();
        state.bells.shrink_to_fit();
        Discarded::unlock(state).give_back();
    }

    pub(super) fn detach(&self, bell: &Arc<Bell>) {
        let mut state = self.state.lock();
        state.armed.retain(|armed| !Arc::ptr_eq(armed, bell));
        state.bells.retain(|one| !Arc::ptr_eq(one, bell));
        self.trim_after_reader(&mut state);
        self.leave(state);
        bell.silence();
    }

    pub(super) fn read_window(
        &self,
        after: &mut u64,
        bell: &Arc<Bell>,
        out: &mut Vec<Utf8Bytes>,
        max_bytes: usize,
    ) -> Here {
        let mut state = self.state.lock();
        // What was closed in order was all said under the tenure, which is released after that.
        if state.ending != Some(Ending::Closed) && !self.is_held() {
            // Another node may have the session by now: what was not read yet is read there, as far as it was stored.
            return Here::Done(Progress::Moved);
        }
        let floor = state.window.floor();
        if *after < floor {
            if let Some(store) = self.kept_by(&state) {
                return Here::Below { floor, store: Arc::clone(store) };
            }
            *after = floor;
            return Here::Done(Progress::Gap { first_seq: state.window.first() });
        }
        let told = state.told();
        let (mut bytes, mut all) = (0, true);
        for entry in state.window.after_seq(*after).take_while(|entry| entry.seq <= told) {
            bytes += entry.frame.len();
            if bytes > max_bytes && bytes > entry.frame.len() {
                all = false;
                break;
            }
            out.push(entry.frame.clone());
            *after = entry.seq;
        }
        bell.stand_at(*after);
        self.trim_after_reader(&mut state);
        let progress = match state.ending {
            _ if !all => Progress::More,
            Some(Ending::Closed) => Progress::Closed,
            Some(Ending::Moved) => Progress::Moved,
            None => {
                bell.arm(&mut state.armed);
                Progress::CaughtUp
            }
        };
        Discarded::unlock(state).give_back();
        Here::Done(progress)
    }

    /// Seq of the first event after `after`, which is the floor of the window or was so a moment ago.
    pub(super) fn first_after(&self, after: u64) -> u64 {
        self.state.lock().window.first().max(after + 1)
    }

    pub(super) fn tell_store(&self) {
        if let (Some(store), Some(this)) = (&self.store, self.this.upgrade()) {
            store.dirty(this);
        }
    }

    /// The store, unless the session was deleted from it.
    pub(super) fn kept_by(&self, state: &State) -> Option<&Arc<dyn Store>> {
        self.store.as_ref().filter(|_| !state.feed.is_deleted())
    }
}

/// Without the events: what people write does not belong into the gateway's log.
impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").field("key", &self.key).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
