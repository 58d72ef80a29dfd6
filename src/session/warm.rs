//! Warm agents: started for the default options and workspace before anybody asks, so that a new session need not wait.
//!
//! Its keeper starts them one at a time, only in slots that nobody wants, and parks them in [`WarmAgents`], where the session
//! that one fits takes it, also while it is being started: what has begun is done before what would begin now, and two that start at
//! once are slower than one. For a session that it does not fit it makes way. To the [`AgentPool`] they are resting agents, and the first to go. May assume that an agent that
//! has answered the greeting and was told nothing is as good as new. Must not know what sessions do with it.

mod keeper;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pool::{AgentPool, Slot};
use super::state::LaunchPlan;
use crate::agent::{Agent, AgentOutput};

pub use keeper::keep;

/// How many agents are kept warm, and for whom.
#[derive(Debug, Clone)]
pub struct Warm {
    /// `--warm-agents`.
    pub agents: usize,
    /// `--warm-agent-age`: an agent that nobody took for so long is replaced.
    pub max_age: Duration,
    /// The working directory of sessions that name none.
    pub cwd: String,
}

/// The agents that are ready to be taken.
#[derive(Debug, Default)]
pub struct WarmAgents {
    // Locked before the pool, never the other way round.
    parked: Mutex<Parked>,
    /// An agent was taken, or it is over. The keeper alone waits here.
    news: Notify,
}

#[derive(Debug, Default)]
struct Parked {
    /// The oldest first.
    agents: VecDeque<WarmAgent>,
    /// One is on its way.
    starting: Option<Begun>,
    /// The last one on its way made way; the next one need not, or there would never be one.
    made_way: bool,
    /// One was taken since the keeper last looked, or made way.
    taken: bool,
    closed: bool,
}

/// What a session gets.
#[derive(Debug)]
pub(super) enum Taken {
    /// An agent that is ready.
    Ready(Box<WarmAgent>),
    /// One that will be.
    Soon(Box<Begun>),
}

/// The start of an agent, greeting included. Dropped in the middle: the process is killed.
pub(super) type Starting = Pin<Box<dyn Future<Output = Result<(Agent, AgentOutput), String>> + Send>>;

/// An agent on its way.
pub(super) struct Begun {
    /// What the pool knows its slot by.
    name: Arc<str>,
    pub(super) starting: Starting,
    pub(super) slot: Slot,
    /// What it is started with, its conversation's id among it.
    pub(super) plan: LaunchPlan,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").field("name", &self.name).finish_non_exhaustive()
    }
}

impl WarmAgents {
    /// An agent that is or is being started with what `plan` says, and its slot, for `session`.
    pub(super) fn take(
        &self,
        pool: &AgentPool,
        session: &Arc<str>,
        plan: impl FnOnce() -> LaunchPlan,
    ) -> Option<Taken> {
        let mut parked = self.parked.lock();
        if parked.agents.is_empty() && parked.starting.is_none() {
            return None;
        }
        let plan = plan();
        // One whose slot was promised to another session goes.
        let is_free = |agent: &WarmAgent| agent.is_alive() && !pool.is_leaving(&agent.name);
        let at = parked.agents.iter().position(|agent| is_free(agent) && agent.plan.fits(&plan));
        let taken = if let Some(mut agent) = at.and_then(|at| parked.agents.remove(at)) {
            pool.is_busy(&agent.name);
            agent.slot.pass_to(session);
            Taken::Ready(Box::new(agent))
        } else {
            let mut begun = parked.starting.take_if(|begun| begun.plan.fits(&plan))?;
            begun.slot.pass_to(session);
            Taken::Soon(Box::new(begun))
        };
        parked.taken = true;
        self.news.notify_one();
        Some(taken)
    }

    /// A session starts an agent of its own: one that is on its way for nobody in particular does not take the processor from it.
    pub(super) fn make_way(&self) {
        let mut parked = self.parked.lock();
        if parked.starting.is_none() || std::mem::replace(&mut parked.made_way, true) {
            return;
        }
        let begun = parked.starting.take();
        parked.taken = true;
        self.news.notify_one();
        drop(parked);
        drop(begun);
    }

    /// There will be no more; the keeper ends those that are left.
    pub fn close(&self) {
        self.parked.lock().closed = true;
        self.news.notify_one();
    }

    /// Keeps an agent until it is taken, or its slot is wanted: then `bedtime` is rung.
    fn park(&self, agent: WarmAgent, pool: &AgentPool, bedtime: &Arc<Notify>) {
        let mut parked = self.parked.lock();
        pool.is_spare(&agent.name, Arc::clone(bedtime));
        parked.agents.push_back(agent);
    }

    /// How many are ready to be taken, and how many are being started.
    pub fn count(&self) -> (usize, usize) {
        let parked = self.parked.lock();
        (parked.agents.len(), usize::from(parked.starting.is_some()))
    }

    fn len(&self) -> usize {
        self.parked.lock().agents.len()
    }

    fn is_starting(&self) -> bool {
        self.parked.lock().starting.is_some()
    }

    fn begin(&self, begun: Begun) {
        self.parked.lock().starting = Some(begun);
    }

    /// Gives up the one on its way.
    fn give_up(&self) {
        let begun = self.parked.lock().starting.take();
        drop(begun);
    }

    /// Brings the one on its way forward; gives it when it is ready. Waits for ever where none is.
    async fn started(&self) -> Result<WarmAgent, String> {
        std::future::poll_fn(|cx| {
            let mut parked = self.parked.lock();
            let Some(begun) = &mut parked.starting else { return Poll::Pending };
            let Poll::Ready(outcome) = begun.starting.as_mut().poll(cx) else { return Poll::Pending };
            parked.made_way = false;
            let begun = parked.starting.take();
            drop(parked);
            Poll::Ready(outcome.and_then(|(agent, output)| {
                let Begun { name, slot, plan, .. } = begun.ok_or("it was given up")?;
                Ok(WarmAgent { name, agent, output, slot, plan, since: Instant::now() })
            }))
        })
        .await
    }

    /// Takes out those that `unfit` tells.
    fn unfit(&self, mut unfit: impl FnMut(&WarmAgent) -> bool) -> VecDeque<WarmAgent> {
        let mut parked = self.parked.lock();
        let (unfit, fit) = std::mem::take(&mut parked.agents).into_iter().partition(|agent| unfit(agent));
        parked.agents = fit;
        unfit
    }

    /// Waits for news.
    async fn news(&self) -> News {
        self.news.notified().await;
        let mut parked = self.parked.lock();
        match (parked.closed, std::mem::take(&mut parked.taken)) {
            (true, _) => News::Closed,
            (false, true) => News::Taken,
            (false, false) => News::None,
        }
    }
}

enum News {
    Taken,
    Closed,
    None,
}

/// A started agent that belongs to no session.
#[derive(Debug)]
pub(super) struct WarmAgent {
    /// What the pool knows its slot by.
    name: Arc<str>,
    pub(super) agent: Agent,
    pub(super) output: AgentOutput,
    pub(super) slot: Slot,
    /// What it was started with, its conversation's id among it.
    pub(super) plan: LaunchPlan,
    /// When it was ready.
    since: Instant,
}

impl WarmAgent {
    /// Its process is there.
    fn is_alive(&self) -> bool {
        !self.output.has_exited()
    }
}
