//! Agent slots: how many Claude Code processes may live at once, who waits for one, and who may be put to sleep for it.
//!
//! A process costs some 250 MB, a session a few KB; so slots, not sessions, are what a machine runs out of.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

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
    resting: HashMap<Arc<str>, Resting>,
    /// The same of sessions whose agent has nothing to do but background tasks, which would end.
    lingering: HashMap<Arc<str>, Resting>,
    /// Sessions that will give their slot back: told to sleep, or on their way out. One that turns out to be busy is struck off.
    leaving: HashSet<Arc<str>>,
    next_rest: u64,
}

#[derive(Debug)]
struct Waiting {
    session: Arc<str>,
    /// It has waited for so long that others have to give theirs.
    impatient: bool,
    grant: oneshot::Sender<Slot>,
}

#[derive(Debug)]
struct Resting {
    since: u64,
    /// Tells the session that its agent must sleep. Kept until it listens; a session that has work by then says so.
    bedtime: Arc<Notify>,
}

/// One agent's place. Dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    session: Arc<str>,
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
            resting: HashMap::new(),
            lingering: HashMap::new(),
            leaving: HashSet::new(),
            next_rest: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), max_waiting }))
    }

    /// Asks for a slot for `session`. Where none is free, the agent that has rested longest is put to sleep.
    pub fn acquire(&self, session: &Arc<str>) -> Acquired {
        let mut state = self.0.state.lock();
        if let Some(slot) = self.free_slot(&mut state, session) {
            return Acquired::Slot(slot);
        }
        if state.line.len() >= self.0.max_waiting {
            return Acquired::Refused;
        }
        let (grant, slot) = oneshot::channel();
        let ahead = state.line.len();
        state.line.push_back(Waiting { session: Arc::clone(session), impatient: false, grant });
        state.make_room();
        Acquired::InLine { ahead, slot }
    }

    /// A slot, if one is free that nobody waits for.
    pub fn try_acquire(&self, session: &Arc<str>) -> Option<Slot> {
        self.free_slot(&mut self.0.state.lock(), session)
    }

    /// The agent of `session` may be put to sleep for another one.
    pub(super) fn rests(&self, session: &Arc<str>, bedtime: Arc<Notify>) {
        let mut state = self.0.state.lock();
        state.next_rest += 1;
        let since = state.next_rest;
        // It was told to sleep, had work in between, and is told again if it is still wanted.
        state.leaving.remove(session);
        state.lingering.remove(session);
        state.resting.insert(Arc::clone(session), Resting { since, bedtime });
        state.make_room();
    }

    /// The agent of `session` has nothing to do but background tasks: it is put to sleep for another one only if nobody else can be, and
    /// if that one has waited for long.
    pub(super) fn lingers(&self, session: &Arc<str>, bedtime: Arc<Notify>) {
        let mut state = self.0.state.lock();
        state.next_rest += 1;
        let since = state.next_rest;
        state.leaving.remove(session);
        state.resting.remove(session);
        state.lingering.insert(Arc::clone(session), Resting { since, bedtime });
        state.make_room();
    }

    /// `session` has waited in line for long.
    pub(super) fn is_impatient(&self, session: &Arc<str>) {
        let mut state = self.0.state.lock();
        for waiting in state.line.iter_mut().filter(|waiting| waiting.session == *session) {
            waiting.impatient = true;
        }
        state.make_room();
    }

    /// As [`rests`](Self::rests), for agents that nobody uses: they go before all others.
    pub(super) fn is_spare(&self, name: &Arc<str>, bedtime: Arc<Notify>) {
        let mut state = self.0.state.lock();
        state.resting.insert(Arc::clone(name), Resting { since: 0, bedtime });
        state.make_room();
    }

    /// Whether `session` was told to sleep and is still wanted to.
    pub(super) fn is_leaving(&self, session: &Arc<str>) -> bool {
        self.0.state.lock().leaving.contains(session)
    }

    /// The agent of `session` is needed; whoever counted on its slot must find another.
    pub(super) fn is_busy(&self, session: &Arc<str>) {
        let mut state = self.0.state.lock();
        state.resting.remove(session);
        state.lingering.remove(session);
        if state.leaving.remove(session) {
            state.make_room();
        }
    }

    /// The slot of `session` will be given back soon.
    pub(super) fn leaves(&self, session: &Arc<str>) {
        let mut state = self.0.state.lock();
        state.resting.remove(session);
        state.lingering.remove(session);
        state.leaving.insert(Arc::clone(session));
    }

    /// Slots that are free, and sessions that wait.
    pub fn load(&self) -> (usize, usize) {
        let mut state = self.0.state.lock();
        state.forget_the_gone();
        (state.free, state.line.len())
    }

    fn free_slot(&self, state: &mut State, session: &Arc<str>) -> Option<Slot> {
        state.forget_the_gone();
        if state.free == 0 || !state.line.is_empty() {
            return None;
        }
        state.free -= 1;
        Some(Slot { session: Arc::clone(session), pool: Arc::downgrade(&self.0) })
    }
}

impl Slot {
    /// From now on it is the slot of `session`, which the pool was not told anything of yet.
    pub(super) fn pass_to(&mut self, session: &Arc<str>) {
        self.session = Arc::clone(session);
    }
}

impl State {
    fn forget_the_gone(&mut self) {
        self.line.retain(|waiting| !waiting.grant.is_closed());
    }

    /// Puts as many resting agents to sleep as sessions wait for a slot, those first that have rested longest; and for those who have
    /// waited for long, agents that have nothing to do but background tasks.
    fn make_room(&mut self) {
        self.forget_the_gone();
        let wanted = self.line.len();
        Self::put_to_sleep(&mut self.resting, &mut self.leaving, wanted.saturating_sub(self.free));
        let wanted = self.line.iter().filter(|waiting| waiting.impatient).count();
        Self::put_to_sleep(&mut self.lingering, &mut self.leaving, wanted.saturating_sub(self.free));
    }

    fn put_to_sleep(from: &mut HashMap<Arc<str>, Resting>, leaving: &mut HashSet<Arc<str>>, wanted: usize) {
        while leaving.len() < wanted {
            let longest = from.iter().min_by_key(|(_, resting)| resting.since);
            let Some(longest) = longest.map(|(session, _)| Arc::clone(session)) else { return };
            let Some(resting) = from.remove(&longest) else { return };
            resting.bedtime.notify_one();
            leaving.insert(longest);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut state = pool.state.lock();
        state.leaving.remove(&self.session);
        state.resting.remove(&self.session);
        state.lingering.remove(&self.session);
        while let Some(next) = state.line.pop_front() {
            let session = Arc::clone(&next.session);
            let slot = Self { session: next.session, pool: Weak::clone(&self.pool) };
            match next.grant.send(slot) {
                Ok(()) => {
                    log::debug!("session {session}: got an agent slot");
                    return;
                }
                // Nobody waits there any more; the slot must not give itself back under the lock.
                Err(mut refused) => refused.pool = Weak::new(),
            }
        }
        state.free += 1;
    }
}
