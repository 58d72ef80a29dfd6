//! Warm agents: started for the default options and workspace before anybody asks, so that a new session need not wait.
//!
//! Its keeper starts them one at a time, only in slots that nobody wants, and parks them in [`WarmAgents`], where the session
//! that one fits takes it. To the [`AgentPool`] they are resting agents, and the first to go. May assume that an agent that
//! has answered the greeting and was told nothing is as good as new. Must not know what sessions do with it.

mod keeper;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pool::{AgentPool, Slot};
use super::state::LaunchPlan;
use crate::agent::{Agent, AgentOutput, Output, Stop};

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
    starting: bool,
    /// One was taken since the keeper last looked.
    taken: bool,
    closed: bool,
}

impl WarmAgents {
    /// An agent that was started with what `plan` says, and its slot, for `session`.
    pub(super) fn take(
        &self,
        pool: &AgentPool,
        session: &Arc<str>,
        plan: impl FnOnce() -> LaunchPlan,
    ) -> Option<WarmAgent> {
        let mut parked = self.parked.lock();
        if parked.agents.is_empty() {
            return None;
        }
        let plan = plan();
        // One whose slot was promised to another session goes.
        let is_free = |agent: &WarmAgent| agent.is_alive() && !pool.is_leaving(&agent.name);
        let at = parked.agents.iter().position(|agent| is_free(agent) && agent.plan.fits(&plan))?;
        let mut agent = parked.agents.remove(at)?;
        parked.taken = true;
        self.news.notify_one();
        pool.is_busy(&agent.name);
        agent.slot.pass_to(session);
        Some(agent)
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
        (parked.agents.len(), usize::from(parked.starting))
    }

    fn len(&self) -> usize {
        self.parked.lock().agents.len()
    }

    fn set_starting(&self, starting: bool) {
        self.parked.lock().starting = starting;
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

    /// Has it end, and holds its slot until it has.
    async fn see_off(mut self) {
        self.agent.stop(Stop::Orderly);
        while let Some(output) = self.output.recv().await {
            if matches!(output, Output::Exited(_)) {
                break;
            }
        }
    }
}
