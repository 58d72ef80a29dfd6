//! All sessions: the live ones with their tasks, and those that rest.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Shared;
use super::handle::{Mail, SessionHandle, Vitals};
use super::journal::Position;
use super::record::{Record, Seen};
use super::revive::{self, Revived};
use super::state::{Birth, Closing, SessionState};
use super::task::{self, SessionTask};
use crate::log::EventLog;
use crate::protocol::{Liveness, SessionConfig, SessionSummary};
use crate::store::{Retention, Status, StoreError, StoredSession};

/// Commands that may wait for one session's task. Full: the handlers that send them wait, and with them the readers of their
/// connections.
const MAILBOX: usize = 64;
/// Ended sessions that are remembered where there is no store, so that late commands get `session_ended`.
const MAX_ENDED: usize = 1024;

/// The sessions of one gateway.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    sessions: Mutex<Sessions>,
    /// One session is taken up at a time: two that ask for the same get the same.
    reviving: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    /// `--max-sessions-per-owner`.
    max_per_owner: usize,
}

#[derive(Debug, Default)]
struct Sessions {
    live: HashMap<Arc<str>, SessionHandle>,
    resting: HashMap<Arc<str>, Resting>,
    /// Ended sessions without a store, oldest first.
    ended: VecDeque<Arc<str>>,
    draining: bool,
}

/// A session without a task.
#[derive(Debug, Clone)]
struct Resting {
    owner: Arc<str>,
    summary: SessionSummary,
    /// Where it can be taken up from.
    stored: Option<StoredSession>,
}

/// What a caller finds under an id.
#[derive(Debug)]
pub enum Found {
    /// A session at work.
    Live(SessionHandle),
    /// One that rests in the store; [`Registry::open`] wakes it.
    Dormant(SessionSummary),
    /// One that is over.
    Ended(SessionSummary),
    /// None that is the caller's.
    Unknown,
}

/// Why a session could not be had. The texts are for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is none of that id for this caller.
    #[error("no session of that id")]
    Unknown,
    /// It is over.
    #[error("the session has ended")]
    Ended,
    /// Too many.
    #[error("too many sessions for this caller ({0}); end one first (--max-sessions-per-owner)")]
    TooMany(usize),
    /// The server goes down.
    #[error("the server is going down")]
    Draining,
    /// It would work where it may not.
    #[error(
        "the session's directory is gone, or is not under the server's workspace roots now (--workspace-root)"
    )]
    Directory,
    /// The store does not answer.
    #[error("the session store does not answer")]
    Store,
}

impl From<StoreError> for OpenError {
    fn from(problem: StoreError) -> Self {
        log::error!("a session could not be taken up: {problem}");
        Self::Store
    }
}

impl Registry {
    /// The sessions that `stored` lists, all at rest. `tasks` tracks the tasks of the others.
    pub fn new(
        shared: Arc<Shared>,
        stored: Vec<StoredSession>,
        max_per_owner: usize,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        let resting =
            stored.into_iter().map(|stored| (Arc::from(stored.key.as_str()), resting(stored))).collect();
        let sessions = Sessions { resting, ..Sessions::default() };
        Arc::new(Self {
            shared,
            sessions: Mutex::new(sessions),
            reviving: tokio::sync::Mutex::default(),
            tasks,
            max_per_owner,
        })
    }

    /// What all sessions share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Looks for a session of `owner`'s.
    pub fn find(&self, id: &str, owner: &str) -> Found {
        let sessions = self.sessions.lock();
        if let Some(handle) = sessions.live.get(id) {
            return if *handle.owner == *owner { Found::Live(handle.clone()) } else { Found::Unknown };
        }
        match sessions.resting.get(id) {
            Some(resting) if *resting.owner != *owner => Found::Unknown,
            Some(resting) if resting.summary.status == Liveness::Ended => {
                Found::Ended(resting.summary.clone())
            }
            Some(resting) => Found::Dormant(resting.summary.clone()),
            None => Found::Unknown,
        }
    }

    /// The caller's sessions, newest first.
    pub fn list(&self, owner: &str) -> Vec<SessionSummary> {
        let sessions = self.sessions.lock();
        let live =
            sessions.live.values().filter(|handle| *handle.owner == *owner).map(SessionHandle::summary);
        let resting = sessions.resting.values().filter(|resting| *resting.owner == *owner);
        let mut list: Vec<_> = live.chain(resting.map(|resting| resting.summary.clone())).collect();
        list.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.session_id.cmp(&a.session_id)));
        list
    }

    /// The session `id` of `owner`'s: at work, woken up, or made with what `config` gives. The flag tells whether it is new.
    ///
    /// `directory` resolves a directory if sessions may work there: what was allowed when a session was stored need not be now.
    pub async fn open<E: From<OpenError>>(
        self: &Arc<Self>,
        id: &Arc<str>,
        owner: &Arc<str>,
        directory: &(dyn Fn(&str) -> Option<String> + Sync),
        config: impl FnOnce() -> Result<SessionConfig, E>,
    ) -> Result<(SessionHandle, bool), E> {
        match self.find(id, owner) {
            Found::Live(handle) => return Ok((handle, false)),
            Found::Ended(_) => return Err(OpenError::Ended.into()),
            Found::Dormant(_) => return Ok((self.wake(id, owner, directory).await?, false)),
            Found::Unknown => {}
        }
        let config = config()?;
        Ok(self.create(id, owner, config)?)
    }

    async fn wake(
        self: &Arc<Self>,
        id: &Arc<str>,
        owner: &Arc<str>,
        directory: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<SessionHandle, OpenError> {
        let _one_at_a_time = self.reviving.lock().await;
        let stored = {
            let sessions = self.sessions.lock();
            if sessions.draining {
                return Err(OpenError::Draining);
            }
            if let Some(handle) = sessions.live.get(id) {
                return Ok(handle.clone());
            }
            sessions.resting.get(id).and_then(|resting| resting.stored.clone()).ok_or(OpenError::Unknown)?
        };
        let store = self.shared.store.clone().ok_or(OpenError::Unknown)?;
        let Revived { mut birth, leftover, ended } = revive::revive(&stored, &*store).await?;
        if ended {
            if let Some(resting) = self.sessions.lock().resting.get_mut(id) {
                resting.summary.status = Liveness::Ended;
            }
            return Err(OpenError::Ended);
        }
        hold_to_roots(&mut birth, directory)?;
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
        sessions.resting.remove(id).ok_or(OpenError::Unknown)?;
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
        match sessions.resting.get(id) {
            Some(resting) if resting.owner == *owner && resting.summary.status == Liveness::Ended => {
                return Err(OpenError::Ended);
            }
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
        let registry = Arc::clone(self);
        self.tasks.spawn(async move {
            let finished = task.run().await;
            registry.finished(finished).await;
        });
        handle
    }

    /// A session's task is done. Its mailbox is dropped last, so that whoever waits there looks again and finds what is now.
    async fn finished(&self, finished: task::Finished) {
        let task::Finished { handle, closing, stored, mailbox } = finished;
        if stored.is_some()
            && let Some(store) = &self.shared.store
        {
            // While the store fails this may be never; the session is then taken up from what it had before.
            if tokio::time::timeout(Duration::from_secs(10), store.flush()).await.is_err() {
                log::error!("session {}: the store did not take its last events", handle.id);
            }
        }
        let mut sessions = self.sessions.lock();
        sessions.live.remove(&handle.id);
        if closing != Closing::Removed {
            let owner = Arc::clone(&handle.owner);
            let kept = stored.is_some();
            let resting = Resting { owner, summary: handle.summary(), stored };
            sessions.resting.insert(Arc::clone(&handle.id), resting);
            if !kept {
                sessions.remember_ended(Arc::clone(&handle.id));
            }
        }
        drop(sessions);
        drop(mailbox);
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
        for handle in live {
            // Closed: it is over already.
            let _ = handle.mailbox.send(Mail::Drain(until)).await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Deletes what `retention` gives up of the sessions at rest.
    pub async fn forget(&self, retention: Retention) -> Result<(), StoreError> {
        let Some(store) = &self.shared.store else { return Ok(()) };
        for expired in store.expired(retention).await? {
            let at_rest = {
                let mut sessions = self.sessions.lock();
                let is_it = |resting: &Resting| {
                    resting.stored.as_ref().is_some_and(|stored| stored.epoch == expired.epoch)
                };
                let at_rest = sessions.resting.get(expired.key.as_str()).is_some_and(is_it);
                if at_rest {
                    sessions.resting.remove(expired.key.as_str());
                }
                at_rest
            };
            if at_rest {
                store.delete(&expired.key, &expired.epoch).await?;
                log::info!("session {}: deleted from the store", expired.key);
            }
        }
        Ok(())
    }

    /// What metrics show of the live sessions, and how many are at rest.
    pub fn vitals(&self) -> (Vec<Vitals>, usize) {
        let sessions = self.sessions.lock();
        let (live, resting): (Vec<_>, _) =
            (sessions.live.values().cloned().collect(), sessions.resting.len());
        drop(sessions);
        (live.iter().map(SessionHandle::vitals).collect(), resting)
    }

    /// Summaries of all live sessions, and the number of those at rest.
    pub fn census(&self) -> (Vec<SessionSummary>, usize) {
        let sessions = self.sessions.lock();
        (sessions.live.values().map(SessionHandle::summary).collect(), sessions.resting.len())
    }
}

impl Sessions {
    fn count_of(&self, owner: &str) -> usize {
        // One that is ending still has its task, until its agent is gone.
        let goes_on = |handle: &&SessionHandle| handle.summary.lock().status != Liveness::Ended;
        let live = self.live.values().filter(|handle| *handle.owner == *owner).filter(goes_on).count();
        let dormant = self.resting.values();
        live + dormant
            .filter(|resting| *resting.owner == *owner && resting.summary.status != Liveness::Ended)
            .count()
    }

    fn remember_ended(&mut self, id: Arc<str>) {
        self.ended.push_back(id);
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.resting.remove(&oldest);
        }
    }
}

/// The directories of a stored session, held to what the operator allows now and to where symlinks lead now.
fn hold_to_roots(birth: &mut Birth, directory: &dyn Fn(&str) -> Option<String>) -> Result<(), OpenError> {
    let Record { config, rules, .. } = &mut birth.record;
    if let Some(cwd) = &mut config.cwd {
        *cwd = directory(cwd).ok_or_else(|| {
            log::warn!("session {}: not woken up: {cwd:?} is gone or not under a workspace root", birth.id);
            OpenError::Directory
        })?;
    }
    for list in [&mut config.add_dirs, &mut rules.directories] {
        list.retain_mut(|path| {
            let Some(resolved) = directory(path) else {
                log::warn!("session {}: {path:?} is gone or not under a workspace root; dropped", birth.id);
                return false;
            };
            *path = resolved;
            true
        });
    }
    Ok(())
}

fn resting(stored: StoredSession) -> Resting {
    let record = stored.record.clone().unwrap_or_default();
    let state: Record = serde_json::from_str(&record.state).unwrap_or_default();
    let status = match record.status {
        Status::Ended => Liveness::Ended,
        Status::Active | Status::Dormant => Liveness::Dormant,
    };
    Resting {
        owner: record.owner.into(),
        summary: state.summary(stored.key.as_str(), status),
        stored: Some(stored),
    }
}

fn describe(closing: Closing) -> &'static str {
    match closing {
        Closing::Ended(_) => "ended",
        Closing::Removed => "removed",
        Closing::Dormant => "dormant",
    }
}
