//! Agent slots: how many Claude Code processes may live at once, who waits for one, and who may be put to sleep for it.
//!
//! Warm agents are parked here, so that one lock decides who gets a slot or an agent; the `warm` room starts and ends them.
//!
//! A process costs some 250 MB, a session a few KB; so slots, not sessions, are what a machine runs out of.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::handle::Mail;
use super::state::LaunchPlan;
use super::warm::WarmAgent;

/// The pool of agent slots. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct AgentPool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    max_waiting: usize,
    /// Something happened that the keeper of warm agents may act on. It alone waits here.
    warm_news: Notify,
}

#[derive(Debug)]
struct State {
    free: usize,
    line: VecDeque<Waiting>,
    /// Sessions whose agent has nothing to do, with the order in which they came to rest.
    idle: HashMap<Arc<str>, Idle>,
    /// Agents that were told to sleep and have not given their slot back yet.
    leaving: usize,
    next_rest: u64,
    warm: WarmState,
}

/// Warm agents. They hold slots, which must not be dropped under the lock.
#[derive(Debug, Default)]
struct WarmState {
    /// Ready to be taken, the oldest first.
    parked: VecDeque<WarmAgent>,
    /// Given up for sessions that wait; the keeper ends them.
    evicted: Vec<WarmAgent>,
    /// One was taken since the keeper last looked.
    taken: bool,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    session: Arc<str>,
    grant: oneshot::Sender<Slot>,
}

#[derive(Debug)]
struct Idle {
    rest: u64,
    mailbox: mpsc::WeakSender<Mail>,
}

/// One agent's place. Dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    pool: Weak<Shared>,
}

/// What came of a wish for a slot.
#[derive(Debug)]
pub enum Acquired {
    /// Here it is.
    Slot(Slot),
    /// In line; the slot comes through the channel. Dropping the receiver leaves the line.
    InLine {
        /// Sessions that are served first.
        ahead: usize,
        /// Sends once.
        slot: oneshot::Receiver<Slot>,
    },
    /// Too many wait already.
    Refused,
}

impl AgentPool {
    /// A pool of `max_agents` slots, for which at most `max_waiting` sessions may wait.
    pub fn new(max_agents: usize, max_waiting: usize) -> Self {
        let state = State {
            free: max_agents.max(1),
            line: VecDeque::new(),
            idle: HashMap::new(),
            leaving: 0,
            next_rest: 0,
            warm: WarmState::default(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), max_waiting, warm_news: Notify::new() }))
    }

    /// Asks for a slot for `session`. Where none is free, the agent that has rested longest is put to sleep.
    pub fn acquire(&self, session: &Arc<str>) -> Acquired {
        let mut state = self.0.state.lock();
        state.line.retain(|waiting| !waiting.grant.is_closed());
        if state.free > 0 && state.line.is_empty() {
            state.free -= 1;
            return Acquired::Slot(self.slot());
        }
        if state.line.len() >= self.0.max_waiting {
            return Acquired::Refused;
        }
        let (grant, slot) = oneshot::channel();
        let ahead = state.line.len();
        state.line.push_back(Waiting { session: Arc::clone(session), grant });
        state.make_room(&self.0.warm_news);
        Acquired::InLine { ahead, slot }
    }

    /// Says whether the agent of `session` may be put to sleep for another one.
    pub(super) fn set_idle(&self, session: &Arc<str>, mailbox: Option<mpsc::WeakSender<Mail>>) {
        let mut state = self.0.state.lock();
        match mailbox {
            Some(mailbox) => {
                state.next_rest += 1;
                let rest = state.next_rest;
                state.idle.insert(Arc::clone(session), Idle { rest, mailbox });
                state.make_room(&self.0.warm_news);
            }
            None => {
                state.idle.remove(session);
            }
        }
    }

    /// Slots that are free, and sessions that wait.
    pub fn load(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        (state.free, state.line.len())
    }

    fn slot(&self) -> Slot {
        Slot { pool: Arc::downgrade(&self.0) }
    }

    /// A warm agent that was started with what `plan` says. It brings its own slot.
    pub(super) fn take_warm(&self, plan: impl FnOnce() -> LaunchPlan) -> Option<WarmAgent> {
        let mut state = self.0.state.lock();
        let warm = &mut state.warm;
        if warm.parked.is_empty() {
            return None;
        }
        let plan = plan();
        let at = warm.parked.iter().position(|agent| agent.is_alive() && agent.plan.fits(&plan))?;
        warm.taken = true;
        self.0.warm_news.notify_one();
        warm.parked.remove(at)
    }

    /// A slot for a warm agent, if nobody else wants it.
    pub(super) fn spare_slot(&self) -> Option<Slot> {
        let mut state = self.0.state.lock();
        if state.free == 0 || !state.line.is_empty() || state.warm.closed {
            return None;
        }
        state.free -= 1;
        Some(self.slot())
    }

    /// Keeps a warm agent until somebody takes it or needs its slot.
    pub(super) fn park(&self, agent: WarmAgent) {
        let mut state = self.0.state.lock();
        state.warm.parked.push_back(agent);
        state.make_room(&self.0.warm_news);
    }

    /// Warm agents that can be taken.
    pub(super) fn parked(&self) -> usize {
        self.0.state.lock().warm.parked.len()
    }

    /// Takes out the warm agents that were given up, and those that `unfit` tells.
    pub(super) fn unfit(&self, mut unfit: impl FnMut(&WarmAgent) -> bool) -> Vec<WarmAgent> {
        let warm = &mut self.0.state.lock().warm;
        let mut out = std::mem::take(&mut warm.evicted);
        let (unfit, fit): (VecDeque<_>, _) =
            std::mem::take(&mut warm.parked).into_iter().partition(|agent| unfit(agent));
        warm.parked = fit;
        out.extend(unfit);
        out
    }

    /// Waits until there may be something to do for the keeper: whether an agent was taken; `None`: the end.
    pub(super) async fn warm_news(&self) -> Option<bool> {
        self.0.warm_news.notified().await;
        let warm = &mut self.0.state.lock().warm;
        (!warm.closed).then(|| std::mem::take(&mut warm.taken))
    }

    /// No warm agents from now on; the keeper ends those that are left.
    pub(super) fn close_warm(&self) {
        self.0.state.lock().warm.closed = true;
        self.0.warm_news.notify_one();
    }
}

impl State {
    /// Puts as many resting agents to sleep as sessions wait for a slot, those first that have rested longest.
    fn make_room(&mut self, warm_news: &Notify) {
        while self.leaving + self.free < self.line.len() {
            if let Some(warm) = self.warm.parked.pop_front() {
                self.warm.evicted.push(warm);
                self.leaving += 1;
                warm_news.notify_one();
                continue;
            }
            let Some(longest) =
                self.idle.iter().min_by_key(|(_, idle)| idle.rest).map(|(id, _)| Arc::clone(id))
            else {
                return;
            };
            let Some(idle) = self.idle.remove(&longest) else { return };
            // A full mailbox means that the session has work; it will say when it rests again.
            if idle.mailbox.upgrade().is_some_and(|mailbox| mailbox.try_send(Mail::Sleep).is_ok()) {
                self.leaving += 1;
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut state = pool.state.lock();
        state.leaving = state.leaving.saturating_sub(1);
        while let Some(next) = state.line.pop_front() {
            let slot = Slot { pool: Weak::clone(&self.pool) };
            match next.grant.send(slot) {
                Ok(()) => {
                    log::debug!("session {}: got an agent slot", next.session);
                    return;
                }
                // Nobody waits there any more; the slot must not give itself back under the lock.
                Err(mut refused) => refused.pool = Weak::new(),
            }
        }
        state.free += 1;
        pool.warm_news.notify_one();
    }
}
