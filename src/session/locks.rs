//! One lock for each session that is being taken up.
//!
//! Who holds it may wait for the store and for file systems: a slow one holds up those who want the same session, and nobody else.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::SessionKey;

/// One caller at a time takes up a session: two that ask for the same get the same.
#[derive(Debug, Default)]
pub(super) struct SessionLocks(Mutex<HashMap<SessionKey, Arc<tokio::sync::Mutex<()>>>>);

/// A session's lock. The table forgets it with the last of those who hold it or wait for it.
pub(super) struct SessionLock<'a> {
    locks: &'a SessionLocks,
    key: SessionKey,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl SessionLocks {
    /// The lock of that session, to be [acquired](SessionLock::acquire).
    pub(super) fn of(&self, key: &SessionKey) -> SessionLock<'_> {
        let lock = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        SessionLock { locks: self, key: key.clone(), lock }
    }

    /// Whether somebody holds that session's lock, or waits for it.
    pub(super) fn is_wanted(&self, key: &SessionKey) -> bool {
        self.0.lock().contains_key(key)
    }
}

impl SessionLock<'_> {
    /// Waits until the lock is this caller's. Cancel safe.
    pub(super) async fn acquire(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.lock.lock().await
    }
}

impl Drop for SessionLock<'_> {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock();
        // The table's and this one.
        if Arc::strong_count(&self.lock) <= 2 {
            locks.remove(&self.key);
        }
    }
}
