//! How many cursors (and holds) a log has, and word of each change.

use std::pin::pin;

use parking_lot::MutexGuard;

use super::{
    event_log::{EventLog, State},
    trim::Discarded,
};

/// Guarded by the log's lock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attendance {
    count: usize,
    changes: u64,
}

/// How far somebody has followed the changes. By default: those from the log's beginning on are news.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed(u64);

impl EventLog {
    /// How many cursors there are.
    pub fn cursors(&self) -> usize {
        self.state.lock().attendance.count
    }

    /// Waits for a change in the number of cursors that was not `followed` yet, also for one that came before the call, and gives
    /// the number (several changes may be told as one). Cancel safe.
    pub async fn cursors_changed(&self, followed: &mut Followed) -> usize {
        loop {
            let mut change = pin!(self.attendance_changed.notified());
            // From here on none is missed.
            change.as_mut().enable();
            {
                let Attendance { count, changes } = self.state.lock().attendance;
                if followed.0 != changes {
                    followed.0 = changes;
                    return count;
                }
            }
            change.await;
        }
    }

    /// One more; then releases the lock and tells those who wait.
    pub(super) fn enter(&self, mut state: MutexGuard<'_, State>) {
        state.attendance.count += 1;
        self.tell(state);
    }

    /// One less, likewise.
    pub(super) fn leave(&self, mut state: MutexGuard<'_, State>) {
        state.attendance.count -= 1;
        self.tell(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        state.attendance.changes += 1;
        let discarded = Discarded::unlock(state);
        self.attendance_changed.notify_waiters();
        discarded.give_back();
    }
}
