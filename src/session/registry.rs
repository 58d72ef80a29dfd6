//! All sessions: the live ones with their tasks, and those that rest.
//!
//! How they are taken up and made is in `own` and, where the store is shared, in `held`; how they leave in `ends`, and when they are
//! forgotten in `retention`.

mod ends;
mod own;
mod retention;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::found::{AtRest, Found, OpenError};
use super::handle::{SessionHandle, Vitals};
use super::held::Holdings;
use super::locks::SessionLocks;
use super::record::Record;
use super::roots::Directories;
use super::shelf::{self, Place, Resting, Shelf};
use super::state::SessionState;
use super::task::{SessionTask, Stage};
use crate::log::{EventLog, SessionKey, stored_event};
use crate::protocol::{Liveness, SessionConfig, SessionSummary};
use crate::store::{StoreError, StoredSession};

/// Commands that may wait for one session's task. Full: the handlers that send them wait, and with them the readers of their
/// connections.
const MAILBOX: usize = 64;

/// The sessions of one gateway.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    sessions: Mutex<Sessions>,
    /// Held by who takes a session up.
    pub(super) locks: SessionLocks,
    /// By owner: held by who makes a list.
    pub(super) lists: SessionLocks,
    pub(super) tasks: TaskTracker,
    /// `--max-sessions-per-owner`.
    pub(super) max_per_owner: usize,
    /// For a store that several gateways share.
    pub(super) holdings: Holdings,
}

#[derive(Debug, Default)]
struct Sessions {
    live: HashMap<SessionKey, SessionHandle>,
    shelf: Shelf,
    draining: bool,
}

impl Registry {
    /// The sessions that `stored` lists, all at rest. `tasks` tracks the tasks of the others.
    pub fn new(
        shared: Arc<Shared>,
        stored: Vec<StoredSession>,
        max_per_owner: usize,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        let sessions = Sessions { shelf: Shelf::of(stored), ..Sessions::default() };
        Arc::new(Self {
            shared,
            sessions: Mutex::new(sessions),
            locks: SessionLocks::default(),
            lists: SessionLocks::default(),
            tasks,
            max_per_owner,
            holdings: Holdings::default(),
        })
    }

    /// What all sessions share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Looks for a session of `owner`'s.
    ///
    /// # Errors
    /// The store does not answer, so that it is not known whether there is one.
    pub async fn find(&self, id: &str, owner: &str) -> Result<Found, OpenError> {
        self.look(&SessionKey::of(owner, id), owner).await
    }

    async fn look(&self, key: &SessionKey, owner: &str) -> Result<Found, OpenError> {
        {
            let sessions = self.sessions.lock();
            if let Some(handle) = sessions.live.get(key) {
                let is_own = *handle.owner == *owner;
                return Ok(if is_own { Found::Live(handle.clone()) } else { Found::Unknown });
            }
            if let Some(resting) = sessions.shelf.get(key) {
                return Ok(resting.found_by(owner));
            }
        }
        match &self.shared.store {
            Some(store) => Ok(shelf::look_up(&**store, key, owner).await?),
            None => Ok(Found::Unknown),
        }
    }

    /// Shows what memory holds of the owner's, as far as there is something true to say.
    pub(super) fn each_in_memory(&self, owner: &str, mut look: impl FnMut(&SessionKey, &SessionSummary)) {
        let sessions = self.sessions.lock();
        for handle in sessions.live.values().filter(|handle| *handle.owner == *owner) {
            look(&handle.key, &handle.summary.lock());
        }
        for (key, resting) in sessions.shelf.of_owner(owner).filter(|(_, resting)| resting.readable) {
            look(key, &resting.summary);
        }
    }

    /// Those of these places that memory holds.
    pub(super) fn in_memory(&self, ranks: &[Reverse<(u64, SessionKey)>], owner: &str) -> Vec<SessionSummary> {
        let sessions = self.sessions.lock();
        let look = |Reverse((_, key)): &Reverse<(u64, SessionKey)>| {
            let live = sessions.live.get(key).filter(|handle| *handle.owner == *owner);
            let resting =
                || sessions.shelf.get(key).filter(|resting| *resting.owner == *owner && resting.readable);
            live.map(SessionHandle::summary).or_else(|| resting().map(|resting| resting.summary.clone()))
        };
        ranks.iter().filter_map(look).collect()
    }

    pub(super) fn note_unreadable(&self, key: &SessionKey, problem: &StoreError) {
        self.sessions.lock().shelf.note_unreadable(key, problem);
    }

    /// The session `id` of `owner`'s: at work, woken up, or made with what `config` gives. The flag tells whether it is new.
    ///
    /// `directories` resolves each directory if sessions may work there: what was allowed when a session was stored need not be
    /// now. `config` is waited for where the session is new.
    pub async fn open<E: From<OpenError>>(
        self: &Arc<Self>,
        id: &str,
        owner: &Arc<str>,
        directories: &Directories<'_>,
        config: impl Future<Output = Result<SessionConfig, E>>,
    ) -> Result<(SessionHandle, bool), E> {
        let key = &SessionKey::of(owner, id);
        match self.look(key, owner).await? {
            Found::Live(handle) => return Ok((handle, false)),
            Found::Ended(_) => return Err(OpenError::Ended.into()),
            Found::Dormant(_) if self.shared_store().is_some() => {
                return Ok(self.claim(key, owner, directories, None).await?);
            }
            Found::Dormant(_) => return Ok((self.wake(key, owner, directories).await?, false)),
            Found::Unknown => {}
        }
        let config = config.await?;
        if self.shared_store().is_some() {
            return Ok(self.claim(key, owner, directories, Some(config)).await?);
        }
        Ok(self.create(key, owner, config)?)
    }

    /// The session, if it is at work here and `owner`'s.
    pub(super) fn at_work(&self, key: &SessionKey, owner: &str) -> Result<Option<SessionHandle>, OpenError> {
        self.sessions.lock().at_work(key, owner)
    }

    /// Nothing new begins.
    pub(super) fn is_draining(&self) -> bool {
        self.sessions.lock().draining
    }

    /// Whether a session has a task, or waits for the store.
    pub(super) fn is_in_memory(&self, key: &SessionKey) -> bool {
        let sessions = self.sessions.lock();
        sessions.live.contains_key(key) || sessions.shelf.get(key).is_some()
    }

    pub(super) fn begin_unless_draining(
        self: &Arc<Self>,
        key: &SessionKey,
        owner: &Arc<str>,
        state: SessionState,
        log: Arc<EventLog>,
    ) -> Result<SessionHandle, OpenError> {
        let mut sessions = self.sessions.lock();
        if sessions.draining {
            return Err(OpenError::Draining);
        }
        Ok(self.begin(&mut sessions, key, owner, state, log))
    }

    /// The session is not at work any more. Another one may have its id by now, and stays.
    pub(super) fn forget_live(&self, handle: &SessionHandle) {
        self.sessions.lock().forget_live(handle);
    }

    /// From work to rest, in one step.
    pub(super) fn to_shelf(&self, handle: &SessionHandle, place: Place) {
        let (owner, summary) = (Arc::clone(&handle.owner), handle.summary());
        let mut sessions = self.sessions.lock();
        sessions.forget_live(handle);
        let resting = Resting { owner, summary, place: Some(place), readable: true };
        sessions.shelf.put(handle.key.clone(), resting);
    }

    pub(super) fn on_shelf(&self, key: &SessionKey) -> Option<Place> {
        self.sessions.lock().shelf.get(key)?.place.clone()
    }

    /// Takes it off, if it still rests at that place.
    pub(super) fn off_shelf(&self, key: &SessionKey, place: &Place) -> bool {
        let mut sessions = self.sessions.lock();
        let is_there = sessions.shelf.get(key).is_some_and(|resting| resting.place.as_ref() == Some(place));
        is_there && sessions.shelf.remove(key).is_some()
    }

    fn begin(
        self: &Arc<Self>,
        sessions: &mut Sessions,
        key: &SessionKey,
        owner: &Arc<str>,
        state: SessionState,
        log: Arc<EventLog>,
    ) -> SessionHandle {
        // From handlers to the session's task; see `MAILBOX` for full, `SessionHandle::mailbox` for closed.
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let handle = SessionHandle {
            key: key.clone(),
            owner: Arc::clone(owner),
            mailbox: sender,
            summary: Arc::new(Mutex::new(state.summary())),
            vitals: Arc::new(Mutex::new(state.vitals())),
            log: Arc::clone(&log),
        };
        sessions.live.insert(key.clone(), handle.clone());
        let task = SessionTask::new(Arc::clone(&self.shared), handle.clone(), mailbox, state, log);
        // Boxed: a future would hold it twice, as what it is given and as what it works with.
        let mut task = Box::new(task);
        let (registry, left) = (Arc::clone(self), handle.clone());
        let fallback = (Arc::clone(self), handle.clone());
        self.tasks.spawn(async move {
            let life = async move {
                let closing = loop {
                    match task.run().await {
                        Stage::Removed => {
                            registry.forget_live(&left);
                            task.make_way();
                        }
                        Stage::Closed(closing) => break closing,
                    }
                };
                (registry, task.farewell(closing))
            };
            match AssertUnwindSafe(life).catch_unwind().await {
                // Boxed: the task need not have room for its end all its life.
                Ok((registry, finished)) => Box::pin(registry.finished(finished)).await,
                Err(_) => Box::pin(fallback.0.broke_down(&fallback.1)).await,
            }
        });
        handle
    }

    /// What metrics show of the live sessions, and how many are at rest.
    pub fn vitals(&self) -> (Vec<Vitals>, usize) {
        let sessions = self.sessions.lock();
        let (live, resting): (Vec<_>, _) = (sessions.live.values().cloned().collect(), sessions.shelf.len());
        drop(sessions);
        (live.iter().map(SessionHandle::vitals).collect(), resting)
    }

    /// What is kept of a session that rests. None where there is no store.
    ///
    /// # Errors
    /// The store does not answer, or what it has cannot be read.
    pub async fn at_rest(&self, id: &str, owner: &str) -> Result<Option<AtRest>, OpenError> {
        let key = SessionKey::of(owner, id);
        let place = self.sessions.lock().shelf.get(&key).and_then(|resting| resting.place.clone());
        let Some(store) = &self.shared.store else { return Ok(None) };
        let stored = match place {
            Some(place) => Some(shelf::fetch(&**store, &key, &place).await?),
            None => store.session(&key).await?,
        };
        let Some(stored) = stored else { return Ok(None) };
        let record = Record::of(&stored)?;
        let StoredSession { epoch, first_seq, last_seq, .. } = stored;
        Ok(Some(AtRest { record, epoch, first_seq, last_seq }))
    }

    /// The event `seq` of a session that rests or has ended, if it is kept.
    ///
    /// # Errors
    /// As [`at_rest`](Self::at_rest).
    pub async fn event_at_rest(
        &self,
        id: &str,
        owner: &str,
        seq: u64,
    ) -> Result<Option<Utf8Bytes>, OpenError> {
        let Some(kept) = self.at_rest(id, owner).await? else { return Ok(None) };
        let Some(store) = &self.shared.store else { return Ok(None) };
        Ok(stored_event(&**store, &SessionKey::of(owner, id), &kept.epoch, seq).await)
    }
}

impl Sessions {
    fn is_live(&self, handle: &SessionHandle) -> bool {
        self.live.get(&handle.key).is_some_and(|live| live.mailbox.same_channel(&handle.mailbox))
    }

    /// Another session may have its id by now, and stays.
    fn forget_live(&mut self, handle: &SessionHandle) {
        if self.is_live(handle) {
            self.live.remove(&handle.key);
        }
    }

    /// The session, if it is at work and `owner`'s. Nothing is to be had any more while the gateway drains.
    fn at_work(&self, key: &SessionKey, owner: &str) -> Result<Option<SessionHandle>, OpenError> {
        if self.draining {
            return Err(OpenError::Draining);
        }
        let Some(handle) = self.live.get(key) else { return Ok(None) };
        if *handle.owner == *owner { Ok(Some(handle.clone())) } else { Err(OpenError::Unknown) }
    }

    fn count_of(&self, owner: &str) -> usize {
        // One that is ending still has its task, until its agent is gone.
        let goes_on = |handle: &&SessionHandle| handle.summary.lock().status != Liveness::Ended;
        let live = self.live.values().filter(|handle| *handle.owner == *owner).filter(goes_on).count();
        live + self.shelf.count_of(owner)
    }
}
