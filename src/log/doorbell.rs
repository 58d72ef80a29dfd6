//! How a log tells a connection that one of its cursors has news.
//!
//! # Why no wake-up is lost
//! A cursor is *armed* when a read found it at the log's end; both happen under the log's lock. An append takes all armed bells
//! under the same lock. So for every append and cursor one of two holds: the cursor's read came later and saw the entries, or it
//! came earlier, found the end, and its bell is among those taken and is rung. A cursor that was not read to the end is not armed
//! and not rung: whoever reads it still has to come back ([`Progress::More`](super::Progress)).
//!
//! Ringing puts the bell into the doorbell's list, and the waiter looks into the list and leaves its waker, each under the
//! doorbell's lock: what is put in after that look finds the waker. The waker stays, so whoever waits there again and again leaves
//! it once. A bell that finds others in the list wakes nobody: the first of them did, and the list was not emptied since.

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

/// Names a cursor; unique within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorId(u64);

/// One per connection: the logs of its cursors ring it, its writer waits at it. Clones are the same doorbell; one task waits.
#[derive(Debug, Clone, Default)]
pub struct Doorbell {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bells that rang since the last look, each at most once: bounded by the number of cursors.
    rung: Vec<Arc<Bell>>,
    /// The waiter is wanted for something else.
    nudged: bool,
    /// Of who waited last.
    waiter: Option<Waker>,
}

impl Shared {
    fn take(&mut self, news: &mut Vec<CursorId>) -> bool {
        let any = !self.rung.is_empty();
        for bell in self.rung.drain(..) {
            bell.rung.store(false, Ordering::Relaxed);
            news.push(bell.id);
        }
        any
    }
}

impl Doorbell {
    /// A silent one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until a cursor has news, and adds the ids of all that have to `news`; or until a [`nudge`](Self::nudge).
    /// Cancel safe. Each is to be read until it is caught up.
    pub async fn wait(&self, news: &mut Vec<CursorId>) {
        poll_fn(|cx| self.poll_wait(cx, news)).await;
    }

    /// As [`wait`](Self::wait).
    pub fn poll_wait(&self, cx: &mut Context<'_>, news: &mut Vec<CursorId>) -> Poll<()> {
        let mut shared = self.shared.lock();
        if shared.take(news) || mem::take(&mut shared.nudged) {
            return Poll::Ready(());
        }
        if !shared.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
            shared.waiter = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ends the wait, or the next one, without news.
    pub fn nudge(&self) {
        let mut shared = self.shared.lock();
        shared.nudged = true;
        let waiter = shared.waiter.clone();
        drop(shared);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Nobody waits any more: the doorbell holds nothing of the task that did.
    pub fn leave(&self) {
        self.shared.lock().waiter = None;
    }

    /// As [`wait`](Self::wait), without waiting: `false` when nothing rang.
    pub fn take(&self, news: &mut Vec<CursorId>) -> bool {
        self.shared.lock().take(news)
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

    /// Under the log's lock: it is not in the list of armed ones any more.
    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Under the log's lock: moves all armed bells to `ringing`, which is empty.
    pub(super) fn disarm_all(armed: &mut Vec<Arc<Self>>, ringing: &mut Vec<Arc<Self>>) {
        mem::swap(armed, ringing);
        for bell in &*ringing {
            bell.disarm();
        }
    }

    /// The cursor is gone: forgets the bell and never lets it ring again. Also breaks the cycle of list, bell and doorbell.
    pub(super) fn silence(&self) {
        let mut shared = self.doorbell.shared.lock();
        if self.rung.swap(true, Ordering::Relaxed) {
            shared.rung.retain(|bell| bell.id != self.id);
        }
    }

    /// Outside of the log's lock, so that the readers that this wakes find it free; and the wake outside of the doorbell's.
    pub(super) fn ring(self: Arc<Self>) {
        let waiter = {
            let mut shared = self.doorbell.shared.lock();
            if self.rung.swap(true, Ordering::Relaxed) {
                return;
            }
            shared.rung.push(Arc::clone(&self));
            if shared.rung.len() > 1 {
                return;
            }
            shared.waiter.clone()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
