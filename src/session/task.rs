//! The session's task: one select makes one event, the state machine takes it in, its effects are run.
//!
//! It owns everything of a session that does I/O: the agent's process, its slot, the log, the way back to clients.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::block_in_place;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use super::Shared;
use super::ears::{Ears, Heard};
use super::handle::{Answer, Client, Mail, Request, SessionHandle};
use super::pool::{Acquired, Slot};
use super::state::{
    Asker, ClientId, Closing, Effect, Input, LaunchPlan, Now, ReplayFrom, SessionState, SlotOutcome,
    Snapshot, Standing, error,
};
use super::warm::WarmAgent;
use crate::agent::{Agent, AgentOutput, Output, SpawnError, Stop};
use crate::log::{Doorbell, EventLog, From, Journal, Verdict};
use crate::protocol::encode::{Encoder, Header};
use crate::protocol::{ErrorCode, ServerMessage};
use crate::store::{Status, StoreHealth, StoredSession};

type Starting = Pin<Box<dyn Future<Output = Result<(Agent, AgentOutput), SpawnError>> + Send>>;

type Committing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a line waits for the store: one that takes longer does not hold up the agent.
const COMMIT: Duration = Duration::from_secs(1);
/// Lines that wait for it at most.
const MAX_HELD: usize = 256;

/// A warm agent, what it says, and its conversation.
type Adoptable = (Agent, AgentOutput, Uuid);

/// One session at work.
pub(super) struct SessionTask {
    shared: Arc<Shared>,
    handle: SessionHandle,
    state: SessionState,
    log: Arc<EventLog>,
    mailbox: mpsc::Receiver<Mail>,
    /// The pool's word that another session needs the slot.
    bedtime: Arc<Notify>,
    ears: Ears,
    agent: Option<Agent>,
    output: Option<AgentOutput>,
    starting: Option<Starting>,
    /// Ends when the store has what was written before the lines that are held back.
    committing: Option<Committing>,
    /// Lines for the agent that wait for that, in order.
    held: Vec<bytes::Bytes>,
    /// A warm agent that came with the slot, until the state machine asks for an agent.
    warm: Option<Adoptable>,
    slot: SlotState,
    clients: HashMap<ClientId, Known>,
    /// So many clients there may be before those that only asked something and left are looked for.
    look_for_gone_at: usize,
    replies: Encoder,
    /// The command that is being taken in, and what it is answered.
    current: Option<(ClientId, Answer)>,
    closing: Option<Closing>,
}

/// A connection that sent something.
struct Known {
    client: Client,
    /// It was given a cursor.
    attached: bool,
}

/// Connections that may be known before those that are gone are looked for.
const MANY_CLIENTS: usize = 32;

enum SlotState {
    None,
    InLine(oneshot::Receiver<Slot>),
    Held(#[expect(dead_code, reason = "held for its drop, which gives the slot back")] Slot),
}

/// Everything that can wake a session up.
enum Event {
    Mail(Option<Mail>),
    Output(Option<Output>),
    Started(Result<(Agent, AgentOutput), SpawnError>),
    Committed,
    Slot(Option<Slot>),
    Heard(Heard),
    Deadline,
}

impl SessionTask {
    pub(super) fn new(
        shared: Arc<Shared>,
        handle: SessionHandle,
        mailbox: mpsc::Receiver<Mail>,
        state: SessionState,
        log: Arc<EventLog>,
    ) -> Self {
        let bedtime = Arc::new(Notify::new());
        Self {
            replies: Encoder::new(&handle.id),
            ears: Ears::new(
                Arc::clone(&bedtime),
                log.changed(),
                shared.store.as_ref().map(|store| store.health()),
            ),
            bedtime,
            shared,
            handle,
            state,
            log,
            mailbox,
            agent: None,
            output: None,
            starting: None,
            committing: None,
            held: Vec::new(),
            warm: None,
            slot: SlotState::None,
            clients: HashMap::new(),
            look_for_gone_at: MANY_CLIENTS,
            current: None,
            closing: None,
        }
    }

    /// Runs until the session closes; [`farewell`](Self::farewell) is next.
    pub(super) async fn run(&mut self) -> Closing {
        let timer = tokio::time::sleep_until(tokio::time::Instant::now());
        tokio::pin!(timer);
        let mut had_agent = false;
        loop {
            self.flush();
            if let Some(closing) = self.closing {
                return closing;
            }
            if had_agent && self.agent.is_none() {
                self.slim();
            }
            had_agent = self.agent.is_some();
            let event = self.next_event(timer.as_mut()).await;
            self.handle_event(event);
        }
    }

    /// The next line comes from another process, if ever: a session at rest holds no more memory than it needs.
    fn slim(&mut self) {
        self.state.slim();
        self.replies.release();
        self.log.compact();
    }

    async fn next_event(&mut self, mut timer: Pin<&mut Sleep>) -> Event {
        let deadline = self.state.deadline().map(tokio::time::Instant::from_std);
        if let Some(deadline) = deadline
            && timer.deadline() != deadline
        {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            output = receive(&mut self.output) => Event::Output(output),
            // While the session leaves, commands wait: its end drops the mailbox, and they look for what is there then.
            mail = self.mailbox.recv(), if !self.state.is_leaving() => Event::Mail(mail),
            started = start(&mut self.starting) => Event::Started(started),
            () = committed(&mut self.committing) => Event::Committed,
            slot = wait_in_line(&mut self.slot) => Event::Slot(slot),
            heard = self.ears.hear() => Event::Heard(heard),
            () = timer, if deadline.is_some() => Event::Deadline,
        }
    }

    fn handle_event(&mut self, event: Event) {
        let now = now();
        match event {
            Event::Output(Some(Output::Lines(lines))) => at_length(lines.byte_len(), || {
                for line in &lines {
                    self.state.line(line, now);
                }
                // Here, because a large buffer takes its time to be given back, too.
                drop(lines);
            }),
            Event::Output(Some(Output::Skipped { bytes })) => {
                self.state.handle(Input::Skipped { bytes }, now);
            }
            Event::Output(Some(Output::Exited(mut exit))) => {
                exit.unread_lines += self.held.len() as u64;
                self.forget_agent();
                self.state.handle(Input::Exited(exit), now);
            }
            Event::Output(None) => {
                // The driver always says `Exited`; a closed channel without it is its bug, and must not hang the session.
                log::error!("session {}: the agent's output ended without its exit", self.handle.id);
                self.forget_agent();
                self.state.handle(Input::Exited(crate::agent::Exit::default()), now);
            }
            Event::Started(outcome) => self.started(outcome, now),
            Event::Committed => self.release_held(),
            Event::Slot(Some(slot)) => {
                self.slot = SlotState::Held(slot);
                self.state.handle(Input::Slot(SlotOutcome::Granted), now);
            }
            Event::Slot(None) => {
                self.slot = SlotState::None;
                self.state.handle(Input::Slot(SlotOutcome::Refused), now);
            }
            Event::Mail(Some(Mail::Command(request))) => self.command(*request, now),
            Event::Mail(Some(Mail::Drain(until))) => self.state.handle(Input::Drain { until }, now),
            // The registry dropped the session: the gateway is being torn down.
            Event::Mail(None) => self.state.handle(Input::Drain { until: now.instant }, now),
            Event::Heard(Heard::Bedtime) => self.state.handle(Input::Sleep, now),
            Event::Heard(Heard::Attached(count)) => self.attached_changed(count, now),
            Event::Heard(Heard::Store(health)) => {
                self.state.handle(Input::StoreHealth { ok: health == StoreHealth::Good }, now);
            }
            Event::Deadline => self.state.handle(Input::Tick, now),
        }
    }

    fn attached_changed(&mut self, count: usize, now: Now) {
        self.forget_gone_clients();
        self.state.handle(Input::Attached(count), now);
    }

    fn forget_gone_clients(&mut self) {
        self.clients.retain(|_, known| !known.client.notices.is_closed());
        self.look_for_gone_at = MANY_CLIENTS.max(2 * self.clients.len());
    }

    fn command(&mut self, request: Request, now: Now) {
        let Request { client, id, command, answer } = request;
        let client_id = client.id;
        self.clients.entry(client_id).or_insert(Known { client, attached: false });
        if self.clients.len() > self.look_for_gone_at {
            self.forget_gone_clients();
        }
        self.current = Some((client_id, Answer::default()));
        self.state.handle(Input::Command { client: client_id, id, command }, now);
        self.flush();
        if let Some((_, given)) = self.current.take() {
            // Nobody there any more: the cursor is dropped with the answer, and the log says so.
            let _ = answer.send(given);
        }
    }

    fn started(&mut self, outcome: Result<(Agent, AgentOutput), SpawnError>, now: Now) {
        self.starting = None;
        let outcome = match outcome {
            Ok((agent, output)) => {
                log::info!("session {}: agent started, pid {}", self.handle.id, agent.pid());
                self.agent = Some(agent);
                self.output = Some(output);
                Ok(())
            }
            Err(problem) => {
                log::error!("session {}: {problem}", self.handle.id);
                Err(problem.for_clients())
            }
        };
        self.state.handle(Input::Spawned(outcome), now);
    }

    fn forget_agent(&mut self) {
        self.agent = None;
        self.output = None;
        self.committing = None;
        self.held.clear();
    }

    /// Appends what the state machine has written, then does what it wants, until it wants nothing more.
    fn flush(&mut self) {
        loop {
            // Before the events: who has read of the session's end finds it ended.
            self.state.refresh(&mut self.handle.summary.lock());
            let effects = std::mem::take(self.state.effects());
            self.append(&effects);
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.run_effect(effect);
            }
        }
        *self.handle.vitals.lock() = self.state.vitals();
        self.report();
    }

    fn report(&mut self) {
        if let Some(up) = self.state.report(&self.shared.metrics) {
            self.shared.starts.note(&self.handle.id, up, Instant::now());
        }
    }

    fn append(&mut self, effects: &[Effect]) {
        let mut journal = Journal::default();
        if self.shared.store.is_some() {
            if effects.iter().any(|effect| matches!(effect, Effect::Persist)) {
                journal.record = Some(self.record());
            }
            journal.message_ids.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Remember(id) => Some(id.clone()),
                _ => None,
            }));
        }
        if self.state.entries().is_empty() && journal.record.is_none() && journal.message_ids.is_empty() {
            return;
        }
        self.shared.metrics.events(self.state.entries().len() as u64);
        self.log.append_with(self.state.entries(), journal);
    }

    fn record(&self) -> crate::store::Record {
        let record = self.state.record();
        crate::store::Record {
            owner: self.handle.owner.to_string(),
            created_at: record.created_at,
            last_active_at: record.last_active_at,
            status: match (self.state.has_ended(), self.closing) {
                (true, _) => Status::Ended,
                (false, Some(_)) => Status::Dormant,
                (false, None) => Status::Active,
            },
            state: serde_json::to_string(&record).unwrap_or_default(),
        }
    }

    fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { asker, message } => self.reply(&asker, &message),
            Effect::Info(asker) => self.info(&asker),
            Effect::Attach { asker, from, created } => self.attach(&asker, &from, created),
            Effect::Announce => self.announce(),
            Effect::AcquireSlot { wait } => self.acquire_slot(wait),
            Effect::ReleaseSlot => {
                self.warm = None;
                self.slot = SlotState::None;
            }
            Effect::Standing(standing) => self.standing(standing),
            Effect::Spawn(plan) => self.spawn(&plan),
            Effect::Commit => self.commit(),
            Effect::ToAgent(line) => self.tell_agent(line),
            Effect::StopAgent { now } => {
                if let Some(agent) = &self.agent {
                    agent.stop(if now { Stop::Now } else { Stop::Orderly });
                }
            }
            Effect::Close(closing) => self.closing = Some(closing),
            // Done by `append`.
            Effect::Persist | Effect::Remember(_) => {}
        }
    }

    /// Holds back what the agent is told from now on, until the store has what the log has.
    fn commit(&mut self) {
        let Some(store) =
            self.shared.store.clone().filter(|store| *store.health().borrow() == StoreHealth::Good)
        else {
            return;
        };
        self.committing = Some(Box::pin(async move {
            // Late or failing: the message is worth more than the certainty that it does not come twice after a kill.
            let _ = tokio::time::timeout(COMMIT, store.flush()).await;
        }));
    }

    fn release_held(&mut self) {
        self.committing = None;
        for line in std::mem::take(&mut self.held) {
            self.tell_agent(line);
        }
    }

    fn tell_agent(&mut self, line: bytes::Bytes) {
        if self.committing.is_some() {
            self.held.push(line);
            if self.held.len() > MAX_HELD {
                self.release_held();
            }
            return;
        }
        let Some(agent) = &self.agent else { return };
        // Closed: the exit is on its way and says more.
        if let Err(crate::agent::SendError::Full) = agent.send(line) {
            self.state.handle(Input::Unresponsive, now());
        }
    }

    fn standing(&self, standing: Standing) {
        let (pool, id) = (&self.shared.pool, &self.handle.id);
        match standing {
            Standing::Busy => pool.is_busy(id),
            Standing::Resting => pool.rests(id, Arc::clone(&self.bedtime)),
            Standing::Leaving => pool.leaves(id),
        }
    }

    fn spawn(&mut self, plan: &LaunchPlan) {
        if let Some((agent, output, conversation)) = self.warm.take() {
            log::info!("session {}: took a warm agent, pid {}", self.handle.id, agent.pid());
            self.agent = Some(agent);
            self.output = Some(output);
            self.state.handle(Input::Adopted { conversation }, now());
            return;
        }
        let launch = self.shared.launcher.launch(plan);
        let spawner = Arc::clone(&self.shared.launcher.spawner);
        self.starting = Some(Box::pin(async move { spawner.spawn(launch).await }));
    }

    fn acquire_slot(&mut self, wait: bool) {
        let warm = self.shared.warm.take(&self.shared.pool, &self.handle.id, || self.state.launch_plan());
        if let Some(WarmAgent { agent, output, slot, plan, .. }) = warm {
            self.warm = Some((agent, output, plan.conversation));
            self.slot = SlotState::Held(slot);
            self.state.handle(Input::Slot(SlotOutcome::Granted), now());
            return;
        }
        let pool = &self.shared.pool;
        let acquired = if wait {
            pool.acquire(&self.handle.id)
        } else {
            pool.try_acquire(&self.handle.id).map_or(Acquired::Refused, Acquired::Slot)
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

    fn reply(&mut self, asker: &Asker, message: &ServerMessage<'_>) {
        if let ServerMessage::Error(error) = message {
            self.shared.metrics.error(error.code.name());
        }
        let frame = self.encode(Some(&asker.id), message);
        self.send_reply(asker.client, frame);
    }

    fn encode(&mut self, request_id: Option<&str>, message: &ServerMessage<'_>) -> Utf8Bytes {
        let id = self.shared.next_reply_id();
        let header = Header { id: id.as_str().into(), request_id, seq: None, timestamp: None };
        self.replies.encode(&header, message)
    }

    fn send_reply(&mut self, client: ClientId, frame: Utf8Bytes) {
        match &mut self.current {
            Some((current, answer)) if *current == client => answer.frames.push(frame),
            _ => {
                if let Some(known) = self.clients.get(&client) {
                    // Full or gone: an answer that comes late is a notice, and the client's next question finds the truth.
                    let _ = known.client.notices.try_send(frame);
                }
            }
        }
    }

    fn info(&mut self, asker: &Asker) {
        let frame = self.session_info(Some(&asker.id), Verdict::None, false, None);
        self.send_reply(asker.client, frame);
    }

    fn attach(&mut self, asker: &Asker, from: &ReplayFrom, created: bool) {
        let from = match from.last_seq {
            Some(seq) => From::After { seq, epoch: from.epoch.as_deref() },
            None => From::Live,
        };
        let max = self.shared.limits.max_attached;
        let Some(known) = self.clients.get_mut(&asker.client) else { return };
        // A connection that attaches again gets another cursor for its old one.
        if !known.attached && self.log.cursors() >= max {
            let text = format!("{max} connections are attached to this session already (--max-attached)");
            self.reply(asker, &error(ErrorCode::Capacity, text));
            return;
        }
        known.attached = true;
        let doorbell: Doorbell = known.client.doorbell.clone();
        // What the state has written so far belongs before the snapshot.
        self.append(&[]);
        let attached = self.log.attach(from, &doorbell);
        let range = Some((attached.first_seq, attached.last_seq));
        let frame = self.session_info(Some(&asker.id), attached.verdict, created, range);
        if let Some((_, answer)) = &mut self.current {
            answer.frames.push(frame);
            answer.cursor = Some(attached.cursor);
        }
    }

    fn announce(&mut self) {
        if self.log.cursors() == 0 {
            return;
        }
        let frame = self.session_info(None, Verdict::None, false, None);
        for known in self.clients.values().filter(|known| known.attached) {
            let _ = known.client.notices.try_send(frame.clone());
        }
    }

    fn session_info(
        &mut self,
        request_id: Option<&str>,
        verdict: Verdict,
        created: bool,
        range: Option<(u64, u64)>,
    ) -> Utf8Bytes {
        let (first_seq, last_seq) = range.unwrap_or_else(|| (self.log.first_seq(), self.log.last_seq()));
        let epoch = self.log.epoch().to_owned();
        let snapshot = Snapshot { epoch: &epoch, first_seq, last_seq, verdict, created };
        let info = self.state.session_info(&snapshot, &self.shared.server);
        let message = ServerMessage::SessionInfo(Box::new(info));
        let id = self.shared.next_reply_id();
        let header = Header { id: id.as_str().into(), request_id, seq: None, timestamp: None };
        self.replies.encode(&header, &message)
    }

    /// The last words: the log takes nothing more, and what remains of the session is settled.
    pub(super) fn farewell(mut self, closing: Closing) -> Finished {
        self.shared.pool.is_busy(&self.handle.id);
        self.report();
        let mut stored = None;
        if closing == Closing::Removed {
            self.log.delete();
        } else {
            let record = self.record();
            self.log.append_with(
                self.state.entries(),
                Journal { record: Some(record.clone()), message_ids: Vec::new() },
            );
            self.log.close();
            stored = self.shared.store.is_some().then(|| StoredSession {
                key: self.log.key().clone(),
                epoch: self.log.epoch().to_owned(),
                first_seq: self.log.first_seq(),
                last_seq: self.log.last_seq(),
                next_seq: self.state.position().next_seq,
                record: Some(record),
            });
        }
        self.state.refresh(&mut self.handle.summary.lock());
        Finished { handle: self.handle, closing, stored, mailbox: self.mailbox }
    }
}

/// What is left of a session whose task is done.
pub(super) struct Finished {
    pub(super) handle: SessionHandle,
    pub(super) closing: Closing,
    /// Where it can be taken up from.
    pub(super) stored: Option<StoredSession>,
    /// Commands that came too late; dropping it tells their senders.
    pub(super) mailbox: mpsc::Receiver<Mail>,
}

/// The time by both clocks.
pub(super) fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX) }
}

/// Bytes of lines that take a worker of the runtime about a millisecond.
const LONG_LINES: usize = 1 << 20;

/// Does what takes as long as `bytes` say. While that is long, the tasks that wait for this worker go on at another.
fn at_length(bytes: usize, work: impl FnOnce()) {
    let workers =
        || Handle::try_current().is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LONG_LINES && workers() { block_in_place(work) } else { work() }
}

async fn receive(output: &mut Option<AgentOutput>) -> Option<Output> {
    match output {
        Some(output) => output.recv().await,
        None => std::future::pending().await,
    }
}

async fn start(starting: &mut Option<Starting>) -> Result<(Agent, AgentOutput), SpawnError> {
    match starting {
        Some(starting) => starting.await,
        None => std::future::pending().await,
    }
}

async fn committed(committing: &mut Option<Committing>) {
    match committing {
        Some(committing) => committing.await,
        None => std::future::pending().await,
    }
}

async fn wait_in_line(slot: &mut SlotState) -> Option<Slot> {
    match slot {
        SlotState::InLine(slot) => slot.await.ok(),
        SlotState::None | SlotState::Held(_) => std::future::pending().await,
    }
}
