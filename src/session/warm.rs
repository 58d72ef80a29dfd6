//! Warm agents: started for the default options and workspace before anybody asks, so that a new session need not wait.
//!
//! The keeper starts them one at a time, only in slots that nobody wants, and parks them with the [`AgentPool`], which hands
//! one to the session that fits it, or gives it up when another session needs the slot. May assume that an agent that has
//! answered the greeting and was told nothing is as good as new. Must not know what sessions do with it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Shared;
use super::journal::Position;
use super::pool::Slot;
use super::record::{Record, Seen};
use super::state::{Birth, LaunchPlan, SessionState};
use super::task;
use crate::agent::{Agent, Output, Stop, control, wire};
use crate::protocol::SessionConfig;

/// How long the keeper leaves the machine to the session that took an agent, before it starts the next.
const BREATH: Duration = Duration::from_secs(2);
/// How long it waits after a start that failed; doubled each time.
const BACKOFF: Duration = Duration::from_secs(5);
/// The longest of these times.
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// How often it looks whether parked agents are still alive.
const LOOK: Duration = Duration::from_secs(5);
/// The `request_id` of the greeting; the session that takes the agent never sees the answer.
const GREETING: &str = "cws-warm";

/// How many agents are kept warm.
#[derive(Debug, Clone)]
pub struct Warm {
    /// `--warm-agents`; 0: none.
    pub agents: usize,
    /// `--warm-agent-age`: an agent that nobody took for so long is replaced.
    pub max_age: Duration,
    /// The working directory of sessions that name none.
    pub cwd: String,
}

/// A started agent that belongs to no session.
#[derive(Debug)]
pub(super) struct WarmAgent {
    pub(super) agent: Agent,
    pub(super) output: mpsc::Receiver<Output>,
    pub(super) slot: Slot,
    /// What it was started with, its conversation's id among it.
    pub(super) plan: LaunchPlan,
    /// When it was ready.
    since: Instant,
}

impl WarmAgent {
    /// Its process is there. (The output's other end is dropped with it.)
    pub(super) fn is_alive(&self) -> bool {
        !self.output.is_closed()
    }

    /// Has it end, and holds its slot until it has.
    pub(super) async fn see_off(mut self) {
        self.agent.stop(Stop::Orderly);
        while let Some(output) = self.output.recv().await {
            if matches!(output, Output::Exited(_)) {
                break;
            }
        }
    }
}

type Starting = Pin<Box<dyn Future<Output = Result<WarmAgent, String>> + Send>>;

/// Keeps agents warm until the pool is closed; then ends those that are left.
pub async fn keep(shared: Arc<Shared>, warm: Warm, tasks: TaskTracker) {
    let keeper = Keeper {
        plan: default_plan(&shared, &warm.cwd),
        shared,
        warm,
        tasks,
        starting: None,
        failures: 0,
        not_before: Instant::now(),
    };
    keeper.run().await;
}

/// What a session without options of its own starts its agent with.
fn default_plan(shared: &Shared, cwd: &str) -> LaunchPlan {
    let config = SessionConfig { cwd: Some(cwd.to_owned()), ..SessionConfig::default() };
    let record = Record { config, ..Record::default() };
    let birth = Birth { id: "".into(), record, position: Position::default(), seen: Seen::default() };
    SessionState::new(birth, Arc::clone(&shared.limits), task::now()).launch_plan()
}

struct Keeper {
    shared: Arc<Shared>,
    warm: Warm,
    plan: LaunchPlan,
    tasks: TaskTracker,
    starting: Option<Starting>,
    /// Starts that failed since the last that went well.
    failures: u32,
    /// No start before this.
    not_before: Instant,
}

enum Event {
    Closed,
    /// Somebody took an agent, or needs a slot, or gave one back.
    News {
        taken: bool,
    },
    Started(Result<WarmAgent, String>),
    Look,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            self.refill();
            match self.next_event().await {
                Event::Closed => break,
                Event::News { taken } => {
                    if taken {
                        self.not_before = self.not_before.max(Instant::now() + BREATH);
                    }
                }
                Event::Started(outcome) => self.started(outcome),
                Event::Look => {}
            }
            self.retire();
        }
        drop(self.starting);
        for agent in self.shared.pool.unfit(|_| true) {
            self.tasks.spawn(agent.see_off());
        }
    }

    async fn next_event(&mut self) -> Event {
        let now = Instant::now();
        let mut look = now + LOOK.min(self.warm.max_age);
        if self.not_before > now {
            look = look.min(self.not_before);
        }
        tokio::select! {
            open = self.shared.pool.warm_news() => match open {
                Some(taken) => Event::News { taken },
                None => Event::Closed,
            },
            outcome = started(&mut self.starting) => Event::Started(outcome),
            () = sleep_until(look) => Event::Look,
        }
    }

    fn started(&mut self, outcome: Result<WarmAgent, String>) {
        self.starting = None;
        match outcome {
            Ok(agent) => {
                self.failures = 0;
                log::debug!("warm agent {} is ready", agent.agent.pid());
                self.shared.pool.park(agent);
            }
            Err(problem) => {
                let wait = (BACKOFF * 2_u32.pow(self.failures.min(8))).min(MAX_BACKOFF);
                self.failures += 1;
                self.not_before = Instant::now() + wait;
                log::warn!("a warm agent did not start ({problem}); next try in {wait:?}");
            }
        }
    }

    /// Ends what was given up, is too old, or died.
    fn retire(&mut self) {
        let max_age = self.warm.max_age;
        for agent in self.shared.pool.unfit(|agent| agent.since.elapsed() > max_age || !agent.is_alive()) {
            log::debug!("warm agent {} is given up", agent.agent.pid());
            self.tasks.spawn(agent.see_off());
        }
    }

    /// Starts the next one, if one is missing and there is a slot that nobody wants.
    fn refill(&mut self) {
        if self.starting.is_some() || Instant::now() < self.not_before {
            return;
        }
        if self.shared.pool.parked() >= self.warm.agents {
            return;
        }
        if let Some(slot) = self.shared.pool.spare_slot() {
            let plan = LaunchPlan { conversation: Uuid::new_v4(), ..self.plan.clone() };
            self.starting = Some(Box::pin(start(Arc::clone(&self.shared), plan, slot)));
        }
    }
}

async fn started(starting: &mut Option<Starting>) -> Result<WarmAgent, String> {
    match starting {
        Some(starting) => starting.await,
        None => std::future::pending().await,
    }
}

/// Starts an agent and greets it. Dropped in the middle: the process is killed.
async fn start(shared: Arc<Shared>, plan: LaunchPlan, slot: Slot) -> Result<WarmAgent, String> {
    let launch = shared.launcher.launch(&plan);
    let (agent, output) =
        shared.launcher.spawner.spawn(launch).await.map_err(|problem| problem.to_string())?;
    let mut warm = WarmAgent { agent, output, slot, plan, since: Instant::now() };
    let ready = match warm.agent.send(control::initialize(GREETING, &[])) {
        Ok(()) => timeout(shared.limits.start_timeout, greeted(&mut warm.output)).await,
        Err(problem) => Ok(Err(problem.to_string())),
    };
    match ready.unwrap_or_else(|_| Err("it did not answer in time".to_owned())) {
        Ok(()) => {
            warm.since = Instant::now();
            Ok(warm)
        }
        Err(problem) => {
            warm.see_off().await;
            Err(problem)
        }
    }
}

/// Waits for the answer to the greeting. What else the agent says before it was asked anything is of no interest.
async fn greeted(output: &mut mpsc::Receiver<Output>) -> Result<(), String> {
    loop {
        match output.recv().await {
            Some(Output::Lines(lines)) => {
                for line in &lines {
                    if let Ok(wire::Message::ControlResponse(answer)) = wire::parse(line)
                        && answer.request_id == GREETING
                    {
                        return answer.outcome.map(drop).map_err(std::borrow::Cow::into_owned);
                    }
                }
            }
            Some(Output::Skipped { .. }) => {}
            Some(Output::Exited(exit)) => {
                return Err(format!("it ended: code {:?}, {}", exit.code, exit.stderr.trim_end()));
            }
            None => return Err("it ended".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
