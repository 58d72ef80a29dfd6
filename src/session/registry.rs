//! All sessions: the live ones with their tasks, and those that rest.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Shared;
use super::found::{AtRest, Found, OpenError};
use super::handle::{Mail, SessionHandle, Vitals};
use super::held::{Holdings, newest_first};
use super::journal::Position;
use super::record::{Record, Seen};
use super::revive::{self, Revived};
use super::roots::{Directories, hold_to_roots};
use super::shelf::{self, Place, Resting, Shelf};
use super::state::{Birth, Closing, SessionState};
use super::task::{self, SessionTask};
use crate::log::EventLog;
use crate::protocol::{Liveness, SessionConfig, SessionStatus, SessionSummary};
use crate::store::{Expired, Retention, StoreError, StoredSession};

/// Commands that may wait for one session's task. Full: the handlers that send them wait, and with them the readers of their
/// connections.
const MAILBOX: usize = 64;

/// The sessions of one gateway.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    sessions: Mutex<Sessions>,
    /// One session is taken up at a time: two that ask for the same get the same.
    reviving: tokio::sync::Mutex<()>,
    pub(super) tasks: TaskTracker,
    /// `--max-sessions-per-owner`.
    pub(super) max_per_owner: usize,
    /// For a store that several gateways share.
    pub(super) holdings: Holdings,
}

#[derive(Debug, Default)]
struct Sessions {
    live: HashMap<Arc<str>, SessionHandle>,
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
            reviving: tokio::sync::Mutex::default(),
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
        self.look(&id.into(), owner).await
    }

    async fn look(&self, id: &Arc<str>, owner: &str) -> Result<Found, OpenError> {
        {
            let sessions = self.sessions.lock();
            if let Some(handle) = sessions.live.get(id) {
                let is_own = *handle.owner == *owner;
                return Ok(if is_own { Found::Live(handle.clone()) } else { Found::Unknown });
            }
            if let Some(resting) = sessions.shelf.get(id) {
                return Ok(resting.found_by(owner));
            }
        }
        match &self.shared.store {
            Some(store) => Ok(shelf::look_up(&**store, id, owner).await?),
            None => Ok(Found::Unknown),
        }
    }

    /// The caller's sessions, newest first.
    pub async fn list(&self, owner: &str) -> Vec<SessionSummary> {
        // Memory first: what leaves it afterwards is in the store by then.
        let mut list = self.list_memory(owner);
        if let Some(store) = &self.shared.store {
            match store.ended(owner).await {
                Ok(ended) => {
                    let ended = self.read_list(ended);
                    let here: HashSet<_> = list.iter().map(|summary| summary.session_id.clone()).collect();
                    list.extend(ended.into_iter().filter(|summary| !here.contains(&summary.session_id)));
                }
                Err(problem) => log::error!("ended sessions cannot be listed: {problem}"),
            }
        }
        newest_first(&mut list);
        list
    }

    /// What memory holds of the owner's.
    pub(super) fn list_memory(&self, owner: &str) -> Vec<SessionSummary> {
        let sessions = self.sessions.lock();
        let live = sessions.live.values().filter(|handle| *handle.owner == *owner);
        let resting = sessions.shelf.of_owner(owner).filter(|resting| resting.readable);
        let resting = resting.map(|resting| resting.summary.clone());
        live.map(SessionHandle::summary).chain(resting).collect()
    }

    /// What there is to say of sessions that the store has.
    pub(super) fn read_list(&self, stored: Vec<StoredSession>) -> Vec<SessionSummary> {
        self.sessions.lock().shelf.list(stored)
    }

    /// The session `id` of `owner`'s: at work, woken up, or made with what `config` gives. The flag tells whether it is new.
    ///
    /// `directories` resolves each directory if sessions may work there: what was allowed when a session was stored need not be
    /// now. `config` is waited for where the session is new.
    pub async fn open<E: From<OpenError>>(
        self: &Arc<Self>,
        id: &Arc<str>,
        owner: &Arc<str>,
        directories: &Directories<'_>,
        config: impl Future<Output = Result<SessionConfig, E>>,
    ) -> Result<(SessionHandle, bool), E> {
        match self.look(id, owner).await? {
            Found::Live(handle) => return Ok((handle, false)),
            Found::Ended(_) => return Err(OpenError::Ended.into()),
            Found::Dormant(_) if self.shared_store().is_some() => {
                return Ok(self.claim(id, owner, directories, None).await?);
            }
            Found::Dormant(_) => return Ok((self.wake(id, owner, directories).await?, false)),
            Found::Unknown => {}
        }
        let config = config.await?;
        if self.shared_store().is_some() {
            return Ok(self.claim(id, owner, directories, Some(config)).await?);
        }
        Ok(self.create(id, owner, config)?)
    }

    /// The session, if it is at work here and `owner`'s.
    pub(super) fn at_work(&self, id: &str, owner: &str) -> Result<Option<SessionHandle>, OpenError> {
        let sessions = self.sessions.lock();
        if sessions.draining {
            return Err(OpenError::Draining);
        }
        let Some(handle) = sessions.live.get(id) else { return Ok(None) };
        if *handle.owner == *owner { Ok(Some(handle.clone())) } else { Err(OpenError::Unknown) }
    }

    /// Nothing new begins.
    pub(super) fn is_draining(&self) -> bool {
        self.sessions.lock().draining
    }

    /// Whether a session has a task, or waits for the store.
    pub(super) fn is_in_memory(&self, id: &str) -> bool {
        let sessions = self.sessions.lock();
        sessions.live.contains_key(id) || sessions.shelf.get(id).is_some()
    }

    pub(super) fn begin_unless_draining(
        self: &Arc<Self>,
        id: &Arc<str>,
        owner: &Arc<str>,
        state: SessionState,
        log: Arc<EventLog>,
    ) -> Result<SessionHandle, OpenError> {
        let mut sessions = self.sessions.lock();
        if sessions.draining {
            return Err(OpenError::Draining);
        }
        Ok(self.begin(&mut sessions, id, owner, state, log))
    }

    pub(super) fn forget_live(&self, id: &str) {
        self.sessions.lock().live.remove(id);
    }

    /// From work to rest, in one step.
    pub(super) fn to_shelf(&self, handle: &SessionHandle, place: Place) {
        let (owner, summary) = (Arc::clone(&handle.owner), handle.summary());
        let mut sessions = self.sessions.lock();
        sessions.live.remove(&handle.id);
        let resting = Resting { owner, summary, place: Some(place), readable: true };
        sessions.shelf.put(Arc::clone(&handle.id), resting);
    }

    pub(super) fn on_shelf(&self, id: &str) -> Option<Place> {
        self.sessions.lock().shelf.get(id)?.place.clone()
    }

    /// Takes it off, if it still rests at that place.
    pub(super) fn off_shelf(&self, id: &str, place: &Place) -> bool {
        let mut sessions = self.sessions.lock();
        let is_there = sessions.shelf.get(id).is_some_and(|resting| resting.place.as_ref() == Some(place));
        is_there && sessions.shelf.remove(id).is_some()
    }

    pub(super) async fn wake(
        self: &Arc<Self>,
        id: &Arc<str>,
        owner: &Arc<str>,
        directories: &Directories<'_>,
    ) -> Result<SessionHandle, OpenError> {
        let _one_at_a_time = self.reviving.lock().await;
        let place = {
            let sessions = self.sessions.lock();
            if sessions.draining {
                return Err(OpenError::Draining);
            }
            // While it waited for its turn, another caller's may have come under the id.
            if let Some(handle) = sessions.live.get(id) {
                let is_own = *handle.owner == **owner;
                return if is_own { Ok(handle.clone()) } else { Err(OpenError::Unknown) };
            }
            let resting = sessions.shelf.get(id).filter(|resting| *resting.owner == **owner);
            resting.and_then(|resting| resting.place.clone()).ok_or(OpenError::Unknown)?
        };
        let store = self.shared.store.clone().ok_or(OpenError::Unknown)?;
        let stored = shelf::fetch(&*store, id, &place).await?;
        let Revived { mut birth, leftover, ended } =
            revive::revive(&stored, &*store, self.shared.limits.max_json_depth).await?;
        if ended {
            self.sessions.lock().shelf.has_ended(id);
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
        sessions.shelf.remove(id).ok_or(OpenError::Unknown)?;
        log::info!("session {id}: woken up");
        Ok(self.begin(&mut sessions, id, owner, state, log))
    }

    fn create(
        self: &Arc<Self>,
        id: &Arc<str>,
        owner: &Arc<str>,
        config: SessionConfig,
    ) -> Result<(SessionHandle, bool), OpenError> {
        let mut sessions = self.sessions.lock();
        if sessions.draining {
            return Err(OpenError::Draining);
        }
        // Somebody else's, or made by another connection in the meantime.
        if let Some(handle) = sessions.live.get(id) {
            return if handle.owner == *owner {
                Ok((handle.clone(), false))
            } else {
                Err(OpenError::Unknown)
            };
        }
        match sessions.shelf.get(id) {
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
            Birth { id: Arc::clone(id), record, position: Position::default(), seen: Seen::default() };
        let state = SessionState::new(birth, Arc::clone(&self.shared.limits), now);
        let epoch = Uuid::new_v4().to_string();
        let log =
            EventLog::new(Arc::clone(id).into(), epoch, self.shared.log_window, self.shared.store.clone());
        log::info!("session {id}: created");
        Ok((self.begin(&mut sessions, id, owner, state, log), true))
    }

    fn begin(
        self: &Arc<Self>,
        sessions: &mut Sessions,
        id: &Arc<str>,
        owner: &Arc<str>,
        state: SessionState,
        log: Arc<EventLog>,
    ) -> SessionHandle {
        // From handlers to the session's task; see `MAILBOX` for full, `SessionHandle::mailbox` for closed.
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let handle = SessionHandle {
            id: Arc::clone(id),
            owner: Arc::clone(owner),
            mailbox: sender,
            summary: Arc::new(Mutex::new(state.summary())),
            vitals: Arc::new(Mutex::new(state.vitals())),
            log: Arc::clone(&log),
        };
        sessions.live.insert(Arc::clone(id), handle.clone());
        let task = SessionTask::new(Arc::clone(&self.shared), handle.clone(), mailbox, state, log);
        // Boxed: a future would hold it twice, as what it is given and as what it works with.
        let mut task = Box::new(task);
        let (registry, broken) = (Arc::clone(self), handle.clone());
        self.tasks.spawn(async move {
            let life = async move {
                let closing = task.run().await;
                task.farewell(closing)
            };
            match AssertUnwindSafe(life).catch_unwind().await {
                Ok(finished) => registry.finished(finished).await,
                Err(_) => registry.broke_down(&broken).await,
            }
        });
        handle
    }

    /// A session's task panicked: a bug. Its agent went with it; the session is taken up from the store as after a kill, or is
    /// over where there is none.
    async fn broke_down(&self, handle: &SessionHandle) {
        let id = &handle.id;
        log::error!("session {id}: broke down by a fault of the gateway; please report it");
        self.shared.pool.is_busy(id);
        let place = self.lay_down(handle);
        if self.shared_store().is_some() {
            self.lay_down_held(handle).await;
        } else if let Some(place) = place
            && let Some(store) = &self.shared.store
            && shelf::settle(&**store, Some(id)).await
        {
            self.sessions.lock().shelf.settled(&[(Arc::clone(id), place)]);
        }
    }

    /// Says the last words of a session whose task is gone, and puts it on the shelf. In one step: who has heard of it and starts
    /// it again finds it at rest, and who finds it at rest has all its events.
    fn lay_down(&self, handle: &SessionHandle) -> Option<Place> {
        let id = &handle.id;
        let mut sessions = self.sessions.lock();
        task::last_words(&handle.log, id, self.shared.store.is_some());
        let place = self.shared.store.is_some().then(|| Place {
            epoch: handle.log.epoch().to_owned(),
            next_seq: handle.log.last_seq() + 1,
            settled: false,
        });
        let mut summary = handle.summary();
        summary.state = SessionStatus::Idle;
        summary.pending_permissions = 0;
        if summary.status != Liveness::Ended {
            summary.status = if place.is_some() { Liveness::Dormant } else { Liveness::Ended };
        }
        sessions.live.remove(id);
        let owner = Arc::clone(&handle.owner);
        let resting = Resting { owner, summary, place: place.clone(), readable: true };
        sessions.shelf.put(Arc::clone(id), resting);
        place
    }

    /// A session's task is done. What came too late is dropped last, so that whoever waits looks again and finds what is now.
    async fn finished(&self, finished: task::Finished) {
        if self.shared_store().is_some() {
            let (id, closing) = (Arc::clone(&finished.handle.id), finished.closing);
            self.finished_held(finished).await;
            log::info!("session {id}: {}", describe(closing));
            return;
        }
        let task::Finished { handle, closing, place, too_late } = finished;
        let mut place = place;
        if let (Some(place), Some(store)) = (&mut place, &self.shared.store) {
            place.settled = shelf::settle(&**store, Some(&handle.id)).await;
            if !place.settled {
                log::warn!(
                    "session {}: the store takes long for its last events; it has them in hand",
                    handle.id
                );
            }
        }
        let mut sessions = self.sessions.lock();
        sessions.live.remove(&handle.id);
        if closing != Closing::Removed {
            let owner = Arc::clone(&handle.owner);
            let resting = Resting { owner, summary: handle.summary(), place, readable: true };
            sessions.shelf.put(Arc::clone(&handle.id), resting);
        }
        drop(sessions);
        drop(too_late);
        log::info!("session {}: {}", handle.id, describe(closing));
    }

    /// Has every session come to its end; running turns get until `until`. Nothing new begins.
    pub async fn drain(&self, until: Instant) {
        let live: Vec<_> = {
            let mut sessions = self.sessions.lock();
            sessions.draining = true;
            self.shared.warm.close();
            sessions.live.values().cloned().collect()
        };
        // Closed: it is over already. Full: that one takes its time, and the others need not.
        join_all(live.iter().map(|handle| handle.mailbox.send(Mail::Drain(until)))).await;
        drop(live);
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Deletes what `retention` gives up of the sessions at rest. One that the store fails to delete stays, and is tried again the
    /// next time.
    pub async fn forget(&self, retention: Retention) -> Result<(), StoreError> {
        let Some(store) = &self.shared.store else { return Ok(()) };
        let unsettled = self.sessions.lock().shelf.unsettled();
        if let Some(shared) = store.shared() {
            for (id, _) in &unsettled {
                // Later, if the store still does not take it.
                let _ = self.lay_aside(shared, id).await;
            }
        } else if !unsettled.is_empty() && shelf::settle(&**store, None).await {
            self.sessions.lock().shelf.settled(&unsettled);
        }
        let mut outcome = Ok(());
        for expired in store.expired(retention).await? {
            let LetGo::Yes(resting) = self.let_go(&expired) else { continue };
            match store.delete(&expired.key, &expired.epoch).await {
                Ok(()) => log::info!("session {}: deleted from the store", expired.key),
                // Somebody has just taken it up.
                Err(StoreError::Refused) => {}
                Err(problem) => {
                    self.put_back(&expired, resting);
                    outcome = Err(problem);
                }
            }
        }
        outcome
    }

    /// Whether the session rests, so that it may be deleted. If so, nobody finds it any more.
    fn let_go(&self, expired: &Expired) -> LetGo {
        let mut sessions = self.sessions.lock();
        let id = expired.key.as_str();
        match sessions.shelf.get(id).map(|resting| &resting.place) {
            Some(Some(place)) if place.epoch == expired.epoch => LetGo::Yes(sessions.shelf.remove(id)),
            // Over, and known to the store alone; or its task is about to end.
            None if (expired.ended || self.shared_store().is_some()) && !sessions.live.contains_key(id) => {
                LetGo::Yes(None)
            }
            Some(_) | None => LetGo::No,
        }
    }

    /// It could not be deleted. Unless somebody began another under its id, it is found again.
    fn put_back(&self, expired: &Expired, resting: Option<Resting>) {
        let mut sessions = self.sessions.lock();
        let id = expired.key.as_str();
        if let Some(resting) = resting
            && !sessions.live.contains_key(id)
            && sessions.shelf.get(id).is_none()
        {
            sessions.shelf.put(id.into(), resting);
        }
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
    pub async fn at_rest(&self, id: &str) -> Result<Option<AtRest>, OpenError> {
        let place = self.sessions.lock().shelf.get(id).and_then(|resting| resting.place.clone());
        let Some(store) = &self.shared.store else { return Ok(None) };
        let stored = match place {
            Some(place) => Some(shelf::fetch(&**store, &id.into(), &place).await?),
            None => store.session(&Arc::<str>::from(id).into()).await?,
        };
        let Some(stored) = stored else { return Ok(None) };
        let record = Record::of(&stored)?;
        let StoredSession { epoch, first_seq, last_seq, .. } = stored;
        Ok(Some(AtRest { record, epoch, first_seq, last_seq }))
    }
}

/// Whether a session may be deleted, and what was on the shelf of it.
enum LetGo {
    No,
    Yes(Option<Resting>),
}

impl Sessions {
    fn count_of(&self, owner: &str) -> usize {
        // One that is ending still has its task, until its agent is gone.
        let goes_on = |handle: &&SessionHandle| handle.summary.lock().status != Liveness::Ended;
        let live = self.live.values().filter(|handle| *handle.owner == *owner).filter(goes_on).count();
        live + self.shelf.count_of(owner)
    }
}

fn describe(closing: Closing) -> &'static str {
    match closing {
        Closing::Ended(_) => "ended",
        Closing::Removed => "removed",
        Closing::Dormant => "dormant",
        Closing::Lost => "another gateway may have it by now",
    }
}
