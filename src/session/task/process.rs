//! The session's agent: its slot, its start, and what it is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Held, SessionTask, now};
use crate::agent::{Agent, AgentOutput, Output, SpawnError, Stop};
use crate::session::pool::{Acquired, Slot};
use crate::session::state::{Input, LaunchPlan, Now, SlotOutcome, Standing};
use crate::session::warm::{self, Begun, Taken, WarmAgent};
use crate::store::StoreHealth;

pub(super) type Starting = Pin<Box<dyn Future<Output = Result<(Agent, AgentOutput), SpawnError>> + Send>>;

/// An agent on its way to the session.
pub(super) struct Coming {
    pub(super) starting: Starting,
    /// It is a warm one: greeted when it comes, with this conversation.
    warm: Option<Uuid>,
}

pub(super) type Committing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a line waits for the store: one that takes longer does not hold up the agent.
const COMMIT: Duration = Duration::from_secs(1);
/// How long the agent waits for a store that is behind, between two pieces that it says.
const PRESSED: Duration = Duration::from_secs(1);
/// How long an agent that is killed may take to be gone, with its tools.
const ABANDON: Duration = Duration::from_secs(30);
/// Lines that wait for it at most.
const MAX_HELD: usize = 256;

/// A warm agent that the session took: there, or on its way; and its conversation.
pub(super) enum Adoptable {
    Ready(Agent, Box<AgentOutput>, Uuid),
    Soon(warm::Starting, Uuid),
}

pub(super) enum SlotState {
    None,
    InLine(oneshot::Receiver<Slot>),
    /// Its drop gives the slot back.
    Held(Slot),
}

impl SessionTask {
    pub(super) fn started(&mut self, outcome: Result<(Agent, AgentOutput), SpawnError>, now: Now) {
        let warm = self.starting.take().and_then(|coming| coming.warm);
        let outcome = match outcome {
            Ok((agent, output)) => {
                if let Some(conversation) = warm {
                    self.adopt(agent, Box::new(output), conversation, now);
                    return;
                }
                log::info!("session {}: agent started, pid {}", self.handle.key, agent.pid());
                self.agent = Some(agent);
                self.output = Some(Box::new(output));
                Ok(())
            }
            Err(problem) => {
                log::error!("session {}: {problem}", self.handle.key);
                Err(problem.for_clients())
            }
        };
        self.state.handle(Input::Spawned(outcome), now);
    }

    fn adopt(&mut self, agent: Agent, output: Box<AgentOutput>, conversation: Uuid, now: Now) {
        log::info!("session {}: took a warm agent, pid {}", self.handle.key, agent.pid());
        self.agent = Some(agent);
        self.output = Some(output);
        self.state.handle(Input::Adopted { conversation }, now);
    }

    /// Has the agent end. One that is only coming, and greeted before it is here, need not be waited for.
    pub(super) fn stop_agent(&mut self, stop: Stop) {
        if let Some(agent) = &self.agent {
            agent.stop(stop);
        } else if let Some(Coming { starting, warm: Some(_) }) = &mut self.starting {
            *starting = Box::pin(std::future::ready(Err(SpawnError::Closed)));
        }
    }

    pub(super) fn forget_agent(&mut self) {
        self.agent = None;
        self.output = None;
        self.committing = None;
        self.pressed = None;
        self.held = Held::default();
    }

    /// Holds back what the agent is told from now on, until the store has what the log has.
    pub(super) fn commit(&mut self) {
        if self.committing.is_some() {
            // What was told before waits for no more than it did.
            self.held.mark();
            return;
        }
        let Some(store) =
            self.shared.store.clone().filter(|store| *store.health().borrow() == StoreHealth::Good)
        else {
            return;
        };
        let log = Arc::clone(&self.log);
        self.committing = Some(Box::pin(async move {
            // Late or failing: the message is worth more than the certainty that it does not come twice after a kill.
            let _ = tokio::time::timeout(COMMIT, store.flush_of(log.key())).await;
        }));
    }

    /// Whether the store can be expected to take what it is given.
    pub(super) fn is_stored_in_time(&self) -> bool {
        self.shared.store.as_ref().is_some_and(|store| *store.health().borrow() == StoreHealth::Good)
    }

    /// A message was accepted: its event, and what follows, is withheld until the store has it; but not for ever.
    pub(super) fn accept(&mut self) {
        if self.accepting.is_some() {
            return;
        }
        let log = Arc::clone(&self.log);
        self.accepting = Some(Box::pin(async move {
            if tokio::time::timeout(COMMIT, log.shown()).await.is_err() {
                log::warn!(
                    "session {}: a message is told before the store has it, which takes long",
                    log.key()
                );
                log.show();
            }
        }));
        self.others.open();
    }

    /// Clients can read of the messages that were accepted: who is not attached is told, too.
    pub(super) fn confirm(&mut self) {
        self.accepting = None;
        // Another one came between the store's word and this.
        if self.closing.is_none() && self.log.withholds() {
            return self.accept();
        }
        for (client, id) in std::mem::take(&mut self.unconfirmed) {
            self.tell_outsider(client, &id);
        }
    }

    /// Has the agent wait while more waits for the store than is good, and of this session's too, as long as the store is merely
    /// slow: read on, it would end in lost events. A store that fails is not waited for.
    pub(super) fn press(&mut self) {
        let Some(store) = &self.shared.store else { return };
        if !self.log.outruns_the_store() || *store.health().borrow() != StoreHealth::Good {
            return;
        }
        let store = Arc::clone(store);
        self.pressed = Some(Box::pin(async move {
            // So that the end of the process, or a failing store, is heard of.
            let _ = tokio::time::timeout(PRESSED, store.backlog().fallen()).await;
        }));
        self.others.open();
    }

    /// The store has what came before the first lines that are held back.
    pub(super) fn release_held(&mut self) {
        self.committing = None;
        while self.committing.is_none() {
            let (lines, more) = self.held.release();
            for line in lines {
                self.tell_agent(line);
            }
            if !more {
                return;
            }
            // None is begun where the store fails: then these do not wait either.
            self.commit();
        }
    }

    pub(super) fn tell_agent(&mut self, line: bytes::Bytes) {
        if self.committing.is_some() {
            self.held.hold(line);
            // Too many: they are not worth waiting for any more.
            while self.held.len() > MAX_HELD {
                self.release_held();
            }
            return;
        }
        let Some(agent) = self.agent.as_ref().filter(|_| self.log.is_held()) else { return };
        // Closed: the exit is on its way and says more.
        if let Err(crate::agent::SendError::Full) = agent.send(line) {
            self.state.handle(Input::Unresponsive, now());
        }
    }

    pub(super) fn standing(&self, standing: Standing) {
        let (pool, id) = (&self.shared.pool, &self.slot_name);
        match standing {
            Standing::Busy => pool.is_busy(id),
            Standing::Resting => pool.rests(id, Arc::clone(&self.bedtime)),
            Standing::Lingering => pool.lingers(id, Arc::clone(&self.bedtime)),
            Standing::Leaving => pool.leaves(id),
        }
    }

    /// Somebody else may run the session by now: its agent is killed, with all that it started, and not heard any more.
    pub(super) async fn abandon(&mut self) {
        log::warn!("session {}: its tenure has ended; its agent is stopped", self.handle.key);
        self.log.close_moved();
        self.warm = None;
        if let Some(starting) = self.starting.take()
            && let Ok(Ok((agent, output))) = tokio::time::timeout(ABANDON, starting.starting).await
        {
            self.agent = Some(agent);
            self.output = Some(Box::new(output));
        }
        if let Some(agent) = &self.agent {
            agent.stop(Stop::Now);
        }
        let gone = async {
            while let Some(output) = &mut self.output {
                if let Some(Output::Exited(_)) | None = output.recv().await {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(ABANDON, gone).await;
        self.forget_agent();
        self.slot = SlotState::None;
    }

    pub(super) fn spawn(&mut self, plan: &LaunchPlan) {
        if !self.log.is_held() {
            return;
        }
        match self.warm.take() {
            Some(Adoptable::Ready(agent, output, conversation)) => {
                self.adopt(agent, output, conversation, now());
                return;
            }
            Some(Adoptable::Soon(starting, conversation)) => {
                let starting = async move {
                    starting.await.map_err(|problem| SpawnError::Os(std::io::Error::other(problem)))
                };
                self.starting = Some(Coming { starting: Box::pin(starting), warm: Some(conversation) });
                return;
            }
            None => self.shared.warm.make_way(),
        }
        let launch = self.shared.launcher.launch(plan);
        let (spawner, limit) = (Arc::clone(&self.shared.launcher.spawner), self.shared.limits.start_timeout);
        let starting = Box::pin(async move { spawner.spawn_within(limit, launch).await });
        self.starting = Some(Coming { starting, warm: None });
    }

    pub(super) fn acquire_slot(&mut self, wait: bool) {
        let warm =
            self.shared.warm.take(&self.shared.pool, self.handle.key.name(), || self.state.launch_plan());
        if let Some(taken) = warm {
            let (warm, slot) = match taken {
                Taken::Ready(warm) => {
                    let WarmAgent { agent, output, slot, plan, .. } = *warm;
                    (Adoptable::Ready(agent, Box::new(output), plan.conversation), slot)
                }
                Taken::Soon(begun) => {
                    let Begun { starting, slot, plan, .. } = *begun;
                    (Adoptable::Soon(starting, plan.conversation), slot)
                }
            };
            self.warm = Some(warm);
            self.slot = SlotState::Held(slot);
            self.state.handle(Input::Slot(SlotOutcome::Granted), now());
            return;
        }
        let pool = &self.shared.pool;
        let acquired = if wait {
            pool.acquire(self.handle.key.name())
        } else {
            pool.try_acquire(self.handle.key.name()).map_or(Acquired::Refused, Acquired::Slot)
        };
        match acquired {
            Acquired::Slot(slot) => {
                self.slot = SlotState::Held(slot);
                self.state.handle(Input::Slot(SlotOutcome::Granted), now());
            }
            Acquired::InLine { ahead, slot } => {
                self.slot = SlotState::InLine(slot);
                self.state.handle(Input::Waiting { ahead }, now());
            }
            Acquired::Refused => self.state.handle(Input::Slot(SlotOutcome::Refused), now()),
        }
    }
}
