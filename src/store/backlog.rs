//! How much waits to be stored, over all sessions: the bound on memory while a store stalls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A session may have its limit divided by two to the power of this waiting without being pressed.
const SHARE: u32 = 10;

/// A count of bytes with a limit that its users are expected to act on.
#[derive(Debug)]
pub struct Backlog {
    bytes: AtomicUsize,
    limit: usize,
    lost: AtomicBool,
    fell: Notify,
}

impl Backlog {
    /// `limit`: how many bytes of events may wait before logs drop unstored ones, on top of their windows.
    pub fn new(limit: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), limit, lost: AtomicBool::new(false), fell: Notify::new() }
    }

    /// Bytes that wait now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// More waits than may.
    pub fn is_over(&self) -> bool {
        self.bytes() > self.limit
    }

    /// So much waits that it is better to let the agent wait than to go on (three quarters of the limit): as long as the store is
    /// [healthy](super::StoreHealth), it is merely slower than the agents, and reading on would end in lost events.
    pub fn is_high(&self) -> bool {
        self.bytes() > self.high_water()
    }

    /// Whether a session of whose bytes so many wait is one of those that let their agents wait while it [is high](Self::is_high).
    /// Who has but a small share (a thousandth of the limit) did not bring it about; if they all together are too many after all,
    /// each that has any waits.
    pub fn is_pressing(&self, own: usize) -> bool {
        let share = if self.bytes() > self.limit / 8 * 7 { 0 } else { self.limit >> SHARE };
        own > share
    }

    /// Ends when [`is_high`](Self::is_high) does. The caller decides how long it is willing to wait.
    pub async fn fallen(&self) {
        loop {
            let mut fell = std::pin::pin!(self.fell.notified());
            // Registered before the look, so that a fall between the look and the wait is not missed.
            fell.as_mut().enable();
            if !self.is_high() {
                return;
            }
            fell.await;
        }
    }

    /// Some event was dropped without being stored, since the start.
    pub fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn note_loss(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before > self.high_water() && before - bytes <= self.high_water() {
            self.fell.notify_waiters();
        }
    }

    fn high_water(&self) -> usize {
        self.limit / 4 * 3
    }
}

#[cfg(test)]
mod tests {
    use super::Backlog;

    /// Every agent waited, also that of a session which said a word an hour.
    #[test]
    fn who_has_little_is_not_pressed_for_who_has_much() {
        let backlog = Backlog::new(1 << 20);
        backlog.add(800 << 10);
        assert!(backlog.is_high());
        assert!(backlog.is_pressing(400 << 10));
        assert!(!backlog.is_pressing(1 << 10) && !backlog.is_pressing(0));
        // Many with little are much, too.
        backlog.add(120 << 10);
        assert!(backlog.is_pressing(1) && !backlog.is_pressing(0));
    }
}
