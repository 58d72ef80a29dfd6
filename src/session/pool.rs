//! Agent slots: how many Claude Code processes may live at once, who waits for one, and who may be put to sleep for it.
//!
//! A process costs some 250 MB, a session a few KB; so slots, not sessions, are what a machine runs out of.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::handle::Mail;

/// The pool of agent slots. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct AgentPool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    max_waiting: usize,
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
        };
        Self(Arc::new(Shared { state: Mutex::new(state), max_waiting }))
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
        state.make_room();
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
                state.make_room();
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
}

impl State {
    /// Puts as many resting agents to sleep as sessions wait for a slot, those first that have rested longest.
    fn make_room(&mut self) {
        while self.leaving + self.free < self.line.len() {
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
    }
}
