//! How a log tells a connection that one of its cursors has news.
//!
//! # Why no wake-up is lost
//! A cursor is *armed* when a read found it at the log's end; both happen under the log's lock. An append takes all armed bells
//! under the same lock. So for every append and cursor one of two holds: the cursor's read came later and saw the entries, or it
//! came earlier, found the end, and its bell is among those taken and is rung. A cursor that was not read to the end is not armed
//! and not rung: whoever reads it still has to come back ([`Progress::More`](super::Progress)).
//!
//! Ringing puts the bell into the doorbell's list (under the doorbell's lock) and then notifies. `Notify::notify_one` keeps a
//! permit when nobody waits, and the waiter looks into the list before it waits: what is put in after that look leaves a permit.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Names a cursor; unique within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorId(u64);

/// One per connection: the logs of its cursors ring it, its writer waits at it. Clones are the same doorbell; one task waits.
#[derive(Debug, Clone, Default)]
pub struct Doorbell {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bells that rang since the last look, each at most once: bounded by the number of cursors.
    rung: Mutex<Vec<Arc<Bell>>>,
    /// The waiter is wanted for something else.
    nudged: AtomicBool,
    notify: Notify,
}

impl Doorbell {
    /// A silent one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until a cursor has news, and adds the ids of all that have to `news`; or until a [`nudge`](Self::nudge).
    /// Cancel safe. Each is to be read until it is caught up.
    pub async fn wait(&self, news: &mut Vec<CursorId>) {
        while !self.take(news) && !self.shared.nudged.swap(false, Ordering::Acquire) {
            self.shared.notify.notified().await;
        }
    }

    /// Ends the wait, or the next one, without news.
    pub fn nudge(&self) {
        self.shared.nudged.store(true, Ordering::Release);
        self.shared.notify.notify_one();
    }

    /// As [`wait`](Self::wait), without waiting: `false` when nothing rang.
    pub fn take(&self, news: &mut Vec<CursorId>) -> bool {
        let mut rung = self.shared.rung.lock();
        let any = !rung.is_empty();
        for bell in rung.drain(..) {
            bell.rung.store(false, Ordering::Relaxed);
            news.push(bell.id);
        }
        any
    }

    pub(super) fn bell(&self) -> Arc<Bell> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Bell {
            id: CursorId(NEXT.fetch_add(1, Ordering::Relaxed)),
            armed: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            position: AtomicU64::new(0),
            doorbell: self.clone(),
        })
    }
}

/// The wire from one log to one doorbell.
#[derive(Debug)]
pub(super) struct Bell {
    pub(super) id: CursorId,
    /// In the log's list of armed bells. Guarded by the log's lock.
    armed: AtomicBool,
    /// In the doorbell's list. Guarded by the doorbell's lock.
    rung: AtomicBool,
    /// Seq of the last event that the cursor read; for metrics.
    position: AtomicU64,
    doorbell: Doorbell,
}

impl Bell {
    /// Under the log's lock.
    pub(super) fn arm(self: &Arc<Self>, armed: &mut Vec<Arc<Self>>) {
        if !self.armed.swap(true, Ordering::Relaxed) {
            armed.push(Arc::clone(self));
        }
    }

    /// The cursor has read up to there.
    pub(super) fn stand_at(&self, seq: u64) {
        self.position.store(seq, Ordering::Relaxed);
    }

    /// Where the cursor stood a moment ago.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Under the log's lock: moves all armed bells to `ringing`, which is empty.
    pub(super) fn disarm_all(armed: &mut Vec<Arc<Self>>, ringing: &mut Vec<Arc<Self>>) {
        mem::swap(armed, ringing);
        for bell in ringing.iter() {
            bell.armed.store(false, Ordering::Relaxed);
        }
    }

    /// The cursor is gone: forgets the bell and never lets it ring again. Also breaks the cycle of list, bell and doorbell.
    pub(super) fn silence(&self) {
        let mut rung = self.doorbell.shared.rung.lock();
        if self.rung.swap(true, Ordering::Relaxed) {
            rung.retain(|bell| bell.id != self.id);
        }
    }

    /// Outside of the log's lock, so that the readers that this wakes find it free.
    pub(super) fn ring(self: Arc<Self>) {
        let shared = Arc::clone(&self.doorbell.shared);
        let mut rung = shared.rung.lock();
        if self.rung.swap(true, Ordering::Relaxed) {
            return;
        }
        let first = rung.is_empty();
        rung.push(self);
        drop(rung);
        if first {
            shared.notify.notify_one();
        }
    }
}
