//! The sessions that this node has: under which fence, and how far Redis is with each.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use crate::store::{SessionKey, Source, Tenure};

/// One session of this node.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: SessionKey,
    pub(super) epoch: String,
    /// The owner of the session and when it was made: to put it back should Redis lose it.
    pub(super) owner: String,
    pub(super) created_at: u64,
    pub(super) tenure: Arc<Tenure>,
    /// Number of the last batch that Redis has. Changed only by the one batch of this session that is under way.
    pub(super) batch: AtomicU64,
    /// Seq of the last event that Redis has.
    pub(super) last: AtomicU64,
    /// The log, once it has written: it is asked again when Redis has lost something.
    pub(super) source: Mutex<Option<Weak<dyn Source>>>,
}

impl Held {
    pub(super) fn now_at(&self, batch: u64, last: u64) {
        self.batch.store(batch, Ordering::Relaxed);
        self.last.store(last, Ordering::Relaxed);
    }

    pub(super) fn batch(&self) -> u64 {
        self.batch.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
enum Slot {
    /// A claim is under way.
    Claiming,
    Held(Arc<Held>),
}

impl Slot {
    fn is_lost(&self) -> bool {
        matches!(self, Self::Held(held) if !held.tenure.holds(Instant::now()))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Holdings(Mutex<HashMap<SessionKey, Slot>>);

impl Holdings {
    /// Keeps others of this node from claiming the same session. `None`: it is held or being claimed.
    pub(super) fn reserve(&self, key: &SessionKey) -> Option<Reservation<'_>> {
        match self.0.lock().entry(key.clone()) {
            Entry::Vacant(free) => {
                free.insert(Slot::Claiming);
                Some(Reservation { holdings: self, key: key.clone() })
            }
            // Lost: a release or a claim of it did not come to its end. Redis decides under a new fence.
            Entry::Occupied(mut lost) if lost.get().is_lost() => {
                lost.insert(Slot::Claiming);
                Some(Reservation { holdings: self, key: key.clone() })
            }
            Entry::Occupied(_) => None,
        }
    }

    pub(super) fn get(&self, key: &SessionKey) -> Option<Arc<Held>> {
        match self.0.lock().get(key) {
            Some(Slot::Held(held)) => Some(Arc::clone(held)),
            _ => None,
        }
    }

    /// The one under this tenure, whose log this is.
    pub(super) fn of(&self, source: &Arc<dyn Source>) -> Option<Arc<Held>> {
        let tenure = source.tenure()?;
        let held = self.get(source.key()).filter(|held| Arc::ptr_eq(&held.tenure, tenure))?;
        let mut known = held.source.lock();
        if known.is_none() {
            *known = Some(Arc::downgrade(source));
        }
        drop(known);
        Some(held)
    }

    /// It is not this node's any more, if it still was under this tenure; whoever runs it is told.
    pub(super) fn give_up(&self, key: &SessionKey, tenure: &Tenure) {
        self.forget(key, tenure);
        tenure.lose();
    }

    /// It is not there any more, if it still was under this tenure.
    pub(super) fn forget(&self, key: &SessionKey, tenure: &Tenure) {
        let mut all = self.0.lock();
        if let Some(Slot::Held(held)) = all.get(key)
            && std::ptr::eq(&raw const *held.tenure, tenure)
        {
            all.remove(key);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Held>> {
        let all = self.0.lock();
        let held = all.values().filter_map(|slot| match slot {
            Slot::Held(held) => Some(Arc::clone(held)),
            Slot::Claiming => None,
        });
        held.collect()
    }

    /// All are lost.
    pub(super) fn lose_all(&self) {
        for held in self.all() {
            self.give_up(&held.key, &held.tenure);
        }
    }
}

/// A claim under way; given up at the drop.
pub(super) struct Reservation<'a> {
    holdings: &'a Holdings,
    key: SessionKey,
}

impl Reservation<'_> {
    /// The claim came through.
    pub(super) fn hold(self, held: Arc<Held>) {
        self.holdings.0.lock().insert(self.key.clone(), Slot::Held(held));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut all = self.holdings.0.lock();
        if matches!(all.get(&self.key), Some(Slot::Claiming)) {
            all.remove(&self.key);
        }
    }
}
