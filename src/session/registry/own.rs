//! Sessions of a gateway that shares its store with nobody, or has none: taken up from the shelf, and made. (Where the store is shared:
//! `held`.)

use std::sync::Arc;

use uuid::Uuid;

use super::Registry;
use crate::log::{EventLog, SessionKey};
use crate::protocol::SessionConfig;
use crate::session::found::OpenError;
use crate::session::handle::SessionHandle;
use crate::session::journal::Position;
use crate::session::record::{Record, Seen};
use crate::session::revive::{self, Revived};
use crate::session::roots::{Directories, hold_to_roots};
use crate::session::state::{Birth, SessionState};
use crate::session::{shelf, task};

impl Registry {
    /// Takes a session up from the store.
    pub(in crate::session) async fn wake(
        self: &Arc<Self>,
        key: &SessionKey,
        owner: &Arc<str>,
        directories: &Directories<'_>,
    ) -> Result<SessionHandle, OpenError> {
        let lock = self.locks.of(key);
        let _one_at_a_time = lock.acquire().await;
        let place = {
            let sessions = self.sessions.lock();
            // While it waited for its turn, another caller's may have come under the id.
            if let Some(handle) = sessions.at_work(key, owner)? {
                return Ok(handle);
            }
            let resting = sessions.shelf.get(key).filter(|resting| *resting.owner == **owner);
            resting.and_then(|resting| resting.place.clone()).ok_or(OpenError::Unknown)?
        };
        let store = self.shared.store.clone().ok_or(OpenError::Unknown)?;
        let stored = shelf::fetch(&*store, key, &place).await?;
        let Revived { mut birth, leftover, ended } =
            revive::revive(&stored, &*store, self.shared.limits.max_json_depth).await?;
        if ended {
            self.sessions.lock().shelf.has_ended(key);
            return Err(OpenError::Ended);
        }
        hold_to_roots(&mut birth, directories).await?;
        let log = EventLog::restore(
            stored.key.clone(),
            stored.epoch.clone(),
            self.shared.log_window,
            Some(store),
            stored.first_seq,
            stored.last_seq,
        );
        let mut state = SessionState::new(birth, Arc::clone(&self.shared.limits), task::now());
        state.take_up(leftover, task::now());
        let mut sessions = self.sessions.lock();
        // In the meantime the gateway may have begun to drain, or retention may have taken the session.
        if sessions.draining {
            return Err(OpenError::Draining);
        }
        sessions.shelf.remove(key).ok_or(OpenError::Unknown)?;
        log::info!("session {key}: woken up");
        Ok(self.begin(&mut sessions, key, owner, state, log))
    }

    /// Makes one, within the owner's limit.
    pub(super) fn create(
        self: &Arc<Self>,
        key: &SessionKey,
        owner: &Arc<str>,
        config: SessionConfig,
    ) -> Result<(SessionHandle, bool), OpenError> {
        let mut sessions = self.sessions.lock();
        // Somebody else's, or made by another connection in the meantime.
        if let Some(handle) = sessions.at_work(key, owner)? {
            return Ok((handle, false));
        }
        match sessions.shelf.get(key) {
            Some(resting) if resting.owner == *owner && resting.has_ended() => return Err(OpenError::Ended),
            Some(_) => return Err(OpenError::Unknown),
            None => {}
        }
        let own = sessions.count_of(owner);
        if own >= self.max_per_owner {
            return Err(OpenError::TooMany(own));
        }
        let now = task::now();
        let record =
            Record { config, created_at: now.unix_ms, last_active_at: now.unix_ms, ..Record::default() };
        let birth =
            Birth { id: key.id().into(), record, position: Position::default(), seen: Seen::default() };
        let state = SessionState::new(birth, Arc::clone(&self.shared.limits), now);
        let epoch = Uuid::new_v4().to_string();
        let log = EventLog::new(key.clone(), epoch, self.shared.log_window, self.shared.store.clone());
        log::info!("session {key}: created");
        Ok((self.begin(&mut sessions, key, owner, state, log), true))
    }
}
