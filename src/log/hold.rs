//! Somebody who is there without reading: a connection of another node, which reads the events from the store.

use std::sync::Arc;

use super::{
    doorbell::{Bell, CursorId, Doorbell},
    event_log::{Ending, EventLog},
};
use crate::store::SessionKey;

/// Counts as a cursor ([`EventLog::cursors`]), but has no place that anything is kept for. Its doorbell rings when the log ends.
/// Dropped = let go.
#[derive(Debug)]
pub struct Hold {
    log: Arc<EventLog>,
    bell: Arc<Bell>,
}

impl EventLog {
    /// Keeps the session as a cursor would. `doorbell` rings with the hold's id at the log's end, also if that has come already.
    pub fn hold(self: &Arc<Self>, doorbell: &Doorbell) -> Hold {
        let bell = doorbell.bell();
        let mut state = self.state.lock();
        let has_ended = state.ending.is_some();
        if !has_ended {
            state.holds.push(Arc::clone(&bell));
        }
        self.enter(state);
        if has_ended {
            Arc::clone(&bell).ring();
        }
        Hold { log: Arc::clone(self), bell }
    }
}

impl Hold {
    /// What the doorbell calls it.
    pub fn id(&self) -> CursorId {
        self.bell.id
    }

    /// The log's epoch.
    pub fn epoch(&self) -> &str {
        self.log.epoch()
    }

    /// Key of the session.
    pub fn key(&self) -> &SessionKey {
        self.log.key()
    }

    /// How the log ended, if it did.
    pub fn ending(&self) -> Option<Ending> {
        self.log.ending()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.log.state.lock();
        state.holds.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
        self.log.leave(state);
        self.bell.silence();
    }
}
