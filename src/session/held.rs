//! Sessions in a store that several gateways share: claimed before they are taken up, released when they go to rest.
//!
//! Nothing of a session that rests stays in memory, since another gateway may take it up at any time; but for what the store could not
//! be given yet, which keeps the session here until it has it or the tenure ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::found::OpenError;
use super::handle::SessionHandle;
use super::journal::Position;
use super::record::{Record, Seen};
use super::registry::Registry;
use super::revive::{self, Revived};
use super::roots::{Directories, hold_to_roots};
use super::shelf;
use super::state::{Birth, Closing, SessionState};
use super::task::{self, Finished};
use crate::log::EventLog;
use crate::protocol::{SessionConfig, SessionSummary};
use crate::store::{
    Claim, NewSession, SessionKey, SharedStore, Source, Status, Store, StoreError, StoredSession, Tenure,
};

/// How long a claim is tried again on top of two leases, before the caller is told that the store does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries of a claim, at least and at most.
const AGAIN: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// What a registry keeps on top where the store is shared.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Of sessions on the shelf: what the store has not got yet is under these.
    unreleased: Mutex<HashMap<SessionKey, Arc<Tenure>>>,
}

/// A session that is this node's; given back at the drop, unless it was set to work.
struct Claimed {
    registry: Arc<Registry>,
    key: SessionKey,
    epoch: String,
    tenure: Arc<Tenure>,
    next_seq: u64,
    is_kept: bool,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (registry, key) = (Arc::clone(&self.registry), self.key.clone());
        let (tenure, next_seq) = (Arc::clone(&self.tenure), self.next_seq);
        self.registry.tasks.spawn(async move {
            let Some(shared) = registry.shared_store() else { return };
            let until = Instant::now() + 10 * shared.lease() + PATIENCE;
            loop {
                match shared.release(&key, &tenure, next_seq).await {
                    Ok(()) | Err(StoreError::Refused) => return,
                    Err(problem) => log::warn!("session {key}: not given back yet: {problem}"),
                }
                // From here on it can be claimed anew, also by this node; then the release is refused.
                tenure.lose();
                if Instant::now() > until || registry.is_draining() {
                    return;
                }
                tokio::time::sleep(LONGEST).await;
            }
        });
    }
}

impl Registry {
    /// The store, where several gateways share it.
    pub fn shared_store(&self) -> Option<&dyn SharedStore> {
        self.shared().store.as_deref().and_then(Store::shared)
    }

    /// Whether this node runs that session of `owner`'s, or is just taking it up or laying it down.
    pub fn is_here(&self, id: &str, owner: &str) -> bool {
        let key = SessionKey::of(owner, id);
        self.is_in_memory(&key) || self.locks.is_wanted(&key)
    }

    /// Makes the session this node's and sets it to work: one that is in the store, or with `config` a new one.
    pub(super) async fn claim(
        self: &Arc<Self>,
        key: &SessionKey,
        owner: &Arc<str>,
        directories: &Directories<'_>,
        config: Option<SessionConfig>,
    ) -> Result<(SessionHandle, bool), OpenError> {
        let Some(shared) = self.shared_store() else { return Err(OpenError::Unknown) };
        let lock = self.locks.of(key);
        let _one_at_a_time = lock.acquire().await;
        if let Some(handle) = self.at_work(key, owner)? {
            return Ok((handle, false));
        }
        self.lay_aside(shared, key).await?;
        if config.is_some() {
            self.check_count(shared, owner).await?;
        }
        let (registry, claimed_key) = (Arc::clone(self), key.clone());
        let new = config.is_some().then(|| (Uuid::new_v4().to_string(), Arc::clone(owner)));
        // A task of its own: who asked may be gone before Redis has answered, and then the session must not stay claimed.
        let claiming = self.tasks.spawn(async move { registry.claimed(claimed_key, new).await });
        let Ok(claimed) = claiming.await else { return Err(OpenError::Store) };
        let (mut claimed, stored) = claimed?;
        let (handle, is_new) = match (stored, config) {
            (Some(stored), config) if config.is_none() || stored.record.is_some() || stored.last_seq > 0 => {
                (self.wake_held(owner, directories, stored, &claimed.tenure).await?, false)
            }
            // Made, perhaps by a node that died before it could store anything of it.
            (_, config) => (self.begin_held(key, owner, config.unwrap_or_default(), &claimed)?, true),
        };
        claimed.is_kept = true;
        Ok((handle, is_new))
    }

    /// Claims, and waits where it is not allowed yet. `new`: epoch and owner of the session to make, if there is none.
    async fn claimed(
        self: Arc<Self>,
        key: SessionKey,
        new: Option<(String, Arc<str>)>,
    ) -> Result<(Claimed, Option<StoredSession>), OpenError> {
        let Some(shared) = self.shared_store() else { return Err(OpenError::Unknown) };
        let created_at = task::now().unix_ms;
        let create = new.as_ref().map(|(epoch, owner)| NewSession { epoch, owner, created_at });
        let until = Instant::now() + 2 * shared.lease() + PATIENCE;
        loop {
            if self.is_draining() {
                return Err(OpenError::Draining);
            }
            let claim = match shared.claim(&key, create).await {
                // It may have been given and nobody heard: asked again, it is given again.
                Err(StoreError::Away(problem)) if Instant::now() + LONGEST < until => {
                    log::warn!("session {key}: not claimed yet: {problem}");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                claim => claim?,
            };
            let wait = match claim {
                Claim::Mine { tenure, stored } => {
                    let epoch = stored.as_ref().map(|stored| stored.epoch.clone());
                    let epoch = epoch.or_else(|| new.as_ref().map(|(epoch, _)| epoch.clone()));
                    let claimed = Claimed {
                        registry: Arc::clone(&self),
                        key: key.clone(),
                        epoch: epoch.unwrap_or_default(),
                        next_seq: stored.as_ref().map_or(1, |stored| stored.next_seq),
                        tenure,
                        is_kept: false,
                    };
                    return Ok((claimed, stored));
                }
                Claim::Elsewhere(node) if node != *shared.node() => return Err(OpenError::Elsewhere),
                // An earlier claim of this node's whose caller went away.
                Claim::Elsewhere(_) => AGAIN,
                Claim::Foreign | Claim::Absent => return Err(OpenError::Unknown),
                // Now and then it is looked whether the gateway goes down meanwhile.
                Claim::NotYet(wait) => wait.clamp(AGAIN, LONGEST),
            };
            if Instant::now() + wait > until {
                return Err(OpenError::Store);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn wake_held(
        self: &Arc<Self>,
        owner: &Arc<str>,
        directories: &Directories<'_>,
        stored: StoredSession,
        tenure: &Arc<Tenure>,
    ) -> Result<SessionHandle, OpenError> {
        let key = stored.key.clone();
        if stored.record.as_ref().is_none_or(|record| *record.owner != **owner) {
            return Err(OpenError::Unknown);
        }
        let store = self.shared().store.clone().ok_or(OpenError::Unknown)?;
        let Revived { mut birth, leftover, ended } =
            revive::revive(&stored, &*store, self.shared().limits.max_json_depth).await?;
        if ended {
            return Err(OpenError::Ended);
        }
        hold_to_roots(&mut birth, directories).await?;
        let log = EventLog::restore_held(
            stored.key,
            stored.epoch,
            self.shared().log_window,
            Some(store),
            stored.first_seq,
            stored.last_seq,
            Some(Arc::clone(tenure)),
        );
        let mut state = SessionState::new(birth, Arc::clone(&self.shared().limits), task::now());
        state.take_up(leftover, task::now());
        let handle = self.begin_unless_draining(&key, owner, state, log)?;
        log::info!("session {key}: taken up");
        Ok(handle)
    }

    fn begin_held(
        self: &Arc<Self>,
        key: &SessionKey,
        owner: &Arc<str>,
        config: SessionConfig,
        claimed: &Claimed,
    ) -> Result<SessionHandle, OpenError> {
        let now = task::now();
        let record =
            Record { config, created_at: now.unix_ms, last_active_at: now.unix_ms, ..Record::default() };
        // Clients may have seen events that were never stored.
        let position = Position { next_seq: claimed.next_seq, ..Position::default() };
        let birth = Birth { id: key.id().into(), record, position, seen: Seen::default() };
        let state = SessionState::new(birth, Arc::clone(&self.shared().limits), now);
        let (window, store) = (self.shared().log_window, self.shared().store.clone());
        let tenure = Some(Arc::clone(&claimed.tenure));
        let log = EventLog::restore_held(key.clone(), claimed.epoch.clone(), window, store, 1, 0, tenure);
        let handle = self.begin_unless_draining(key, owner, state, log)?;
        log::info!("session {key}: created");
        Ok(handle)
    }

    /// A session's task is done: the store gets what is left, then any node may have the session, then those who are attached are sent
    /// to find it. The mailbox is dropped last, so that whoever waits there looks again and finds what is now.
    pub(super) async fn finished_held(&self, finished: Finished) {
        let Finished { handle, closing, place, too_late } = finished;
        let key = &handle.key;
        if let (Some(place), Some(shared)) = (place, self.shared_store()) {
            self.unreleased(&handle);
            self.to_shelf(&handle, place);
            let laid = self.lay_aside(shared, key).await;
            if laid.is_err() {
                log::warn!("session {key}: the store takes long for its last events; it has them in hand");
            }
        } else {
            if let (Closing::Removed, Some(store)) = (closing, &self.shared().store) {
                shelf::settle(&**store, Some(key)).await;
            }
            self.forget_live(&handle);
        }
        // After an orderly end nothing is changed by it: that was the first.
        handle.log.close_moved();
        drop(too_late);
    }

    /// The session of a task that broke down, which is on the shelf now.
    pub(super) async fn lay_down_held(&self, handle: &SessionHandle) {
        self.unreleased(handle);
        if let Some(shared) = self.shared_store() {
            let _ = self.lay_aside(shared, &handle.key).await;
        }
    }

    fn unreleased(&self, handle: &SessionHandle) {
        if let Some(tenure) = handle.log.tenure() {
            self.holdings.unreleased.lock().insert(handle.key.clone(), Arc::clone(tenure));
        }
    }

    /// Gives up a session on the shelf, once the store has all of it.
    pub(super) async fn lay_aside(
        &self,
        shared: &dyn SharedStore,
        key: &SessionKey,
    ) -> Result<(), OpenError> {
        let Some(place) = self.on_shelf(key) else { return Ok(()) };
        let tenure = self.holdings.unreleased.lock().get(key).cloned();
        if let Some(tenure) = tenure.filter(|tenure| tenure.holds(Instant::now())) {
            if !shelf::settle(shared, Some(key)).await {
                return Err(OpenError::Store);
            }
            match shared.release(key, &tenure, place.next_seq).await {
                Ok(()) | Err(StoreError::Refused) => {}
                Err(problem) => return Err(problem.into()),
            }
        }
        // Only what was there before: it may have been taken up meanwhile.
        if self.off_shelf(key, &place) {
            self.holdings.unreleased.lock().remove(key);
        }
        Ok(())
    }

    /// What is known of these sessions of the owner's that this node runs; of all where none is named.
    pub fn list_live(&self, owner: &str, sessions: &[String]) -> Vec<SessionSummary> {
        let mut list = Vec::new();
        self.each_in_memory(owner, |key, summary| {
            if sessions.is_empty() || sessions.iter().any(|wanted| *wanted == key.id()) {
                list.push(summary.clone());
            }
        });
        list
    }

    async fn check_count(&self, shared: &dyn SharedStore, owner: &str) -> Result<(), OpenError> {
        // Counted one by one only where the ended ones make a difference.
        if shared.count_of(owner).await? < self.max_per_owner {
            return Ok(());
        }
        let index = shared.index(owner).await?;
        let own = index.iter().filter(|indexed| indexed.status != Status::Ended).count();
        if own >= self.max_per_owner { Err(OpenError::TooMany(own)) } else { Ok(()) }
    }
}
