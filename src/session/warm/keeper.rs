//! Starts warm agents, and ends those that nobody took: one loop, one event at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Begun, News, Warm, WarmAgent};
use crate::agent::{Agent, AgentOutput, Output, Stop, control, wire};
use crate::protocol::SessionConfig;
use crate::session::journal::Position;
use crate::session::record::{Record, Seen};
use crate::session::state::{Birth, LaunchPlan, SessionState, describe};
use crate::session::{Shared, task, words};

/// How long the keeper leaves the machine to the session that took an agent, before it starts the next.
const BREATH: Duration = Duration::from_secs(2);
/// How long it waits after a start that failed; doubled each time, up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(5);
/// The longest of these times.
const MAX_BACKOFF: Duration = Duration::from_mins(5);
/// How often it looks whether parked agents still live, and whether there is a slot again.
const LOOK: Duration = Duration::from_secs(5);
/// The `request_id` of the greeting; the session that takes the agent never sees the answer.
const GREETING: &str = "cws-warm";

/// Keeps agents warm until the registry drains; then ends those that are left.
pub async fn keep(shared: Arc<Shared>, warm: Warm, tasks: TaskTracker) {
    let keeper = Keeper {
        plan: default_plan(&shared, &warm.cwd),
        shared,
        warm,
        tasks,
        bedtime: Arc::default(),
        failures: 0,
        not_before: Instant::now(),
    };
    keeper.run().await;
}

/// What a session without options of its own starts its agent with.
pub(super) fn default_plan(shared: &Shared, cwd: &str) -> LaunchPlan {
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
    /// The pool rings it when it wants a slot back.
    bedtime: Arc<Notify>,
    /// Starts that failed since the last that went well.
    failures: u32,
    /// No start before this.
    not_before: Instant,
}

enum Event {
    News(News),
    Started(Result<Box<WarmAgent>, String>),
    /// A slot is wanted, or it is time to look.
    Look,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            self.refill();
            match self.next_event().await {
                Event::News(News::Closed) => break,
                Event::News(News::Taken) => {
                    self.not_before = self.not_before.max(Instant::now() + BREATH);
                }
                Event::Started(outcome) => self.started(outcome),
                Event::News(News::None) | Event::Look => {}
            }
            self.retire();
        }
        self.shared.warm.give_up();
        for agent in self.shared.warm.unfit(|_| true) {
            self.tasks.spawn(gone(agent));
        }
    }

    async fn next_event(&mut self) -> Event {
        let now = Instant::now();
        let mut look = now + LOOK.min(self.warm.max_age);
        if self.not_before > now {
            look = look.min(self.not_before);
        }
        tokio::select! {
            news = self.shared.warm.news() => Event::News(news),
            () = self.bedtime.notified() => Event::Look,
            outcome = self.shared.warm.started() => Event::Started(outcome.map(Box::new)),
            () = sleep_until(look) => Event::Look,
        }
    }

    fn started(&mut self, outcome: Result<Box<WarmAgent>, String>) {
        match outcome {
            Ok(agent) => {
                self.failures = 0;
                log::debug!("warm agent {} is ready", agent.agent.pid());
                self.shared.warm.park(*agent, &self.shared.pool, &self.bedtime);
            }
            Err(problem) => {
                self.shared.metrics.start_failed();
                let wait = (BACKOFF * 2_u32.pow(self.failures.min(8))).min(MAX_BACKOFF);
                self.failures += 1;
                self.not_before = Instant::now() + wait;
                log::warn!("a warm agent did not start ({problem}); next try in {wait:?}");
            }
        }
    }

    /// Ends those whose slot is wanted, and those that are too old or died.
    fn retire(&mut self) {
        let pool = &self.shared.pool;
        let given_up = self.shared.warm.unfit(|agent| {
            pool.is_leaving(&agent.name) || !agent.is_alive() || agent.since.elapsed() > self.warm.max_age
        });
        for agent in given_up {
            log::debug!("warm agent {} is given up", agent.agent.pid());
            pool.leaves(&agent.name);
            self.tasks.spawn(gone(agent));
        }
    }

    /// Starts the next one, if one is missing and there is a slot that nobody wants.
    fn refill(&mut self) {
        let is_full = self.shared.warm.len() >= self.warm.agents;
        if is_full || self.shared.warm.is_starting() || Instant::now() < self.not_before {
            return;
        }
        let plan = LaunchPlan { conversation: Uuid::new_v4(), ..self.plan.clone() };
        let name: Arc<str> = format!("warm {}", plan.conversation).into();
        if let Some(slot) = self.shared.pool.try_acquire(&name) {
            let starting = Box::pin(start(Arc::clone(&self.shared), plan.clone()));
            self.shared.warm.begin(Begun { name, starting, slot, plan });
        }
    }
}

/// Has an agent end, and holds its slot until it has.
async fn gone(WarmAgent { agent, output, slot, .. }: WarmAgent) {
    see_off(agent, output).await;
    drop(slot);
}

async fn see_off(agent: Agent, mut output: AgentOutput) {
    agent.stop(Stop::Orderly);
    while let Some(output) = output.recv().await {
        if matches!(output, Output::Exited(_)) {
            break;
        }
    }
}

/// Starts an agent and greets it. Dropped in the middle: the process is killed.
pub(super) async fn start(shared: Arc<Shared>, plan: LaunchPlan) -> Result<(Agent, AgentOutput), String> {
    let launched = Instant::now();
    let launch = shared.launcher.launch(&plan);
    let spawned = shared.launcher.spawner.spawn_within(shared.limits.start_timeout, launch).await;
    let (agent, mut output) = spawned.map_err(|problem| problem.to_string())?;
    let ready = match agent.send(control::initialize(GREETING, &[], plan.config.subagent_text())) {
        Ok(()) => timeout(shared.limits.start_timeout, greeted(&mut output)).await,
        Err(problem) => Ok(Err(problem.to_string())),
    };
    match ready.unwrap_or_else(|_| Err("it did not answer in time".to_owned())) {
        Ok(()) => {
            shared.metrics.started(launched.elapsed());
            Ok((agent, output))
        }
        Err(problem) => {
            see_off(agent, output).await;
            Err(problem)
        }
    }
}

/// Waits for the answer to the greeting. What else the agent says before it was asked anything is of no interest.
async fn greeted(output: &mut AgentOutput) -> Result<(), String> {
    loop {
        match output.recv().await {
            Some(Output::Lines(lines)) => {
                if let Some(answer) = lines.iter().find_map(greeting_answer) {
                    return answer;
                }
            }
            Some(Output::Long(line)) => {
                if let Some(answer) = line.into_line().as_deref().and_then(greeting_answer) {
                    return answer;
                }
            }
            Some(Output::Skipped { .. }) => {}
            Some(Output::Exited(exit)) => {
                return Err(format!("it {}", describe(&exit)));
            }
            None => return Err("it ended".to_owned()),
        }
    }
}

/// What the line says to the greeting, if it is the answer to it.
fn greeting_answer(line: &[u8]) -> Option<Result<(), String>> {
    match wire::parse(line) {
        Ok(wire::Message::ControlResponse(answer)) if answer.request_id == GREETING => {
            Some(answer.outcome.map(drop).map_err(|said| words::quoted(&said)))
        }
        _ => None,
    }
}
