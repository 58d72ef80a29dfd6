//! Everything around a session's state machine: its agent, its slot, its clock, its clients. It runs the effects and checks
//! that each makes sense.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::agent::{Manners, ModelAgent};
use super::check::Checker;
use super::dice::Dice;
use super::store::MemoryStore;
use crate::agent::Exit;
use crate::log::{EventLog, Journal};
use crate::protocol::{Json, SessionConfig, UserMessage};
use crate::session::Position;
use crate::session::record::{Record, Seen};
use crate::session::state::{
    Attach, Birth, ClientId, Closing, Command, Effect, Input, LaunchPlan, Now, ReplayFrom, SessionLimits,
    SessionState, SlotOutcome, Standing,
};

/// What becomes of a wish for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slots {
    Free,
    Taken,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotState {
    None,
    InLine,
    Held,
}

pub(super) struct World {
    pub(super) state: SessionState,
    pub(super) dice: Dice,
    pub(super) instant: Instant,
    begun: Instant,
    pub(super) checker: Checker,
    pub(super) events: Vec<Value>,
    pub(super) replies: Vec<(String, Value)>,
    pub(super) announced: usize,
    pub(super) attaches: usize,
    pub(super) slots: Slots,
    slot: SlotState,
    pub(super) standing: Standing,
    /// How often it said that it has waited for a slot for long.
    pub(super) impatient: usize,
    /// A process that is being started.
    pub(super) spawning: Option<Box<LaunchPlan>>,
    pub(super) plans: Vec<LaunchPlan>,
    pub(super) agent: Option<ModelAgent>,
    pub(super) manners: Manners,
    pub(super) closed: Option<Closing>,
    pub(super) record: Option<Record>,
    /// The frames of events, for whoever takes them away.
    pub(super) said: Vec<(u64, Utf8Bytes)>,
    /// Where events go besides the checker.
    pub(super) log: Option<Arc<EventLog>>,
    /// What keeps the log, where something does.
    pub(super) store: Option<Arc<MemoryStore>>,
    /// Every text that an agent was told.
    pub(super) told: Vec<String>,
    remembered: Vec<String>,
    agents: u64,
    next_id: u64,
}

pub(super) const ME: ClientId = ClientId(1);

impl World {
    pub(super) fn new() -> Self {
        Self::with(SessionLimits::default(), 1)
    }

    pub(super) fn with(limits: SessionLimits, seed: u64) -> Self {
        let config = SessionConfig { client_tools: vec![look()], ..SessionConfig::default() };
        let record = Record { config, created_at: 1, ..Record::default() };
        let birth = Birth { id: "s".into(), record, position: Position::default(), seen: Seen::default() };
        Self::of(birth, limits, seed)
    }

    pub(super) fn of(birth: Birth, limits: SessionLimits, seed: u64) -> Self {
        let instant = Instant::now();
        let state = SessionState::new(birth, Arc::new(limits), Now { instant, unix_ms: 1_000 });
        Self {
            state,
            dice: Dice::new(seed),
            instant,
            begun: instant,
            checker: Checker::new(),
            events: Vec::new(),
            replies: Vec::new(),
            announced: 0,
            attaches: 0,
            slots: Slots::Free,
            slot: SlotState::None,
            standing: Standing::Busy,
            impatient: 0,
            spawning: None,
            plans: Vec::new(),
            agent: None,
            manners: Manners::default(),
            closed: None,
            record: None,
            said: Vec::new(),
            log: None,
            store: None,
            told: Vec::new(),
            remembered: Vec::new(),
            agents: 0,
            next_id: 0,
        }
    }

    pub(super) fn now(&self) -> Now {
        let since = self.instant.duration_since(self.begun);
        Now { instant: self.instant, unix_ms: 1_000 + u64::try_from(since.as_millis()).unwrap() }
    }

    pub(super) fn input(&mut self, input: Input) {
        assert!(self.closed.is_none());
        self.state.handle(input, self.now());
        self.run_effects();
    }

    /// A command of the client, under a fresh id, which is given back.
    pub(super) fn command(&mut self, command: Command) -> String {
        self.next_id += 1;
        let what = if matches!(command, Command::Resume) { "resume" } else { "c" };
        let id = format!("{what}{}", self.next_id);
        self.command_as(&id, command);
        id
    }

    pub(super) fn command_as(&mut self, id: &str, command: Command) {
        let is_resume = matches!(command, Command::Resume);
        let replies = self.replies.len();
        self.state.handle(Input::Command { client: ME, id: id.to_owned(), command }, self.now());
        if is_resume {
            // Without a reply it was accepted; its events are looked at after that.
            let refused = self.state.effects().iter().any(|effect| matches!(effect, Effect::Reply { .. }));
            if !refused {
                self.checker.accepted(id);
            }
        }
        self.run_effects();
        assert!(self.replies[replies..].iter().all(|(asker, _)| !asker.is_empty()));
    }

    /// The gateway was started again: ids of commands and agents go on somewhere else.
    pub(super) fn begin_generation(&mut self, generation: u64) {
        self.next_id = generation * 1_000_000;
        self.agents = generation * 1_000;
    }

    /// A message like no other.
    pub(super) fn say_something(&mut self) {
        let text = format!("do {}", self.next_id + 1);
        self.say(&text);
    }

    pub(super) fn say(&mut self, text: &str) -> String {
        self.command(Command::UserMessage(message(text)))
    }

    pub(super) fn attach(&mut self, created: bool) {
        let attach = Attach { from: ReplayFrom::default(), options: None, created };
        self.command(Command::Attach(attach));
        self.input(Input::Attached(1));
    }

    pub(super) fn run_effects(&mut self) {
        loop {
            let mut entries: Vec<_> = self.state.entries().drain(..).collect();
            for entry in &entries {
                let event: Value = serde_json::from_str(&entry.frame).unwrap();
                assert_eq!(event["seq"], entry.seq);
                self.checker.note(&event);
                self.events.push(event);
                if self.log.is_some() {
                    self.said.push((entry.seq, entry.frame.clone()));
                }
            }
            let effects = std::mem::take(self.state.effects());
            if let Some(log) = &self.log {
                log.append_with(&mut entries, self.journal(&effects));
            }
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.run_effect(effect);
            }
        }
        if !self.checker.ended {
            assert_eq!(
                json!(self.state.status()),
                json!(self.checker.status),
                "the status is not what was said"
            );
        }
        let may_rest = self.checker.status == "idle" && self.agent.is_some();
        assert!(self.standing != Standing::Resting || may_rest, "rests while it is {}", self.checker.status);
        if self.closed.is_some() {
            assert!(self.agent.is_none() && self.spawning.is_none(), "closed with a process");
            assert_eq!(self.slot, SlotState::None, "closed with a slot");
            self.checker.all_is_over();
        }
    }

    /// What is stored with the events, as the session's task gives it.
    fn journal(&self, effects: &[Effect]) -> Journal {
        let persist = effects.iter().any(|effect| matches!(effect, Effect::Persist));
        let record = persist.then(|| crate::store::Record {
            state: serde_json::to_string(&self.state.record()).unwrap(),
            ..crate::store::Record::default()
        });
        let ids = effects.iter().filter_map(|effect| match effect {
            Effect::Remember(id) => Some(id.clone()),
            _ => None,
        });
        Journal { record, message_ids: ids.collect(), stored_first: false }
    }

    fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { asker, message } => {
                self.replies.push((asker.id, serde_json::to_value(&*message).unwrap()));
            }
            Effect::Info(_) | Effect::StoreFirst => {}
            Effect::Attach { .. } => self.attaches += 1,
            Effect::Announce => self.announced += 1,
            Effect::AcquireSlot { wait } => self.acquire(wait),
            Effect::ReleaseSlot => {
                assert!(
                    self.agent.is_none() && self.spawning.is_none(),
                    "the slot of a process was released"
                );
                self.slot = SlotState::None;
            }
            Effect::Impatient => self.impatient += 1,
            Effect::Standing(standing) => self.standing = standing,
            Effect::Spawn(plan) => {
                assert_eq!(self.slot, SlotState::Held, "spawned without a slot");
                assert!(self.agent.is_none() && self.spawning.is_none(), "a second process");
                self.plans.push((*plan).clone());
                self.spawning = Some(plan);
            }
            Effect::Commit => self.commit(),
            Effect::ToAgent(line) => {
                let line: Value = serde_json::from_slice(&line).unwrap();
                if line["type"] == "user" {
                    let text = line["message"]["content"].as_str();
                    if let Some(text) = text {
                        self.checker.told(text);
                    }
                    self.told.extend(text.map(str::to_owned));
                }
                self.agent.as_mut().unwrap_or_else(|| panic!("told to nobody: {line}")).hear(&line);
            }
            Effect::StopAgent { now } => {
                if let Some(exit) = self.agent.as_mut().and_then(|agent| agent.stop(now)) {
                    self.exit(exit);
                }
            }
            Effect::Persist => self.record = Some(self.state.record()),
            Effect::Remember(id) => {
                assert!(!self.remembered.contains(&id));
                self.remembered.push(id);
            }
            Effect::Close(closing) => {
                assert!(self.closed.is_none(), "closed twice");
                self.closed = Some(closing);
            }
        }
    }

    /// As the session's task does it, except that it takes no time.
    fn commit(&self) {
        if let (Some(log), Some(store)) = (&self.log, &self.store) {
            store.pull(usize::MAX);
            store.commit(&**log);
        }
    }

    fn acquire(&mut self, wait: bool) {
        assert_eq!(self.slot, SlotState::None, "a second slot");
        let now = self.now();
        match (self.slots, wait) {
            (Slots::Free, _) => {
                self.slot = SlotState::Held;
                self.state.handle(Input::Slot(SlotOutcome::Granted), now);
            }
            (Slots::Taken, true) => {
                self.slot = SlotState::InLine;
                self.state.handle(Input::Waiting { ahead: 1 }, now);
            }
            (Slots::Full, _) | (Slots::Taken, false) => {
                self.state.handle(Input::Slot(SlotOutcome::Refused), now);
            }
        }
    }

    /// The slot that is waited for comes.
    pub(super) fn grant(&mut self) -> bool {
        let waits = self.slot == SlotState::InLine;
        if waits {
            self.slot = SlotState::Held;
            self.input(Input::Slot(SlotOutcome::Granted));
        }
        waits
    }

    /// The process that is wanted comes up and is told what waits for it.
    pub(super) fn settle_start(&mut self) {
        if self.spawning.is_some() {
            self.spawned(Ok(()));
        }
        while self.told.is_empty()
            || self.state.deadline().is_some() && !self.agent.as_ref().unwrap().is_in_turn()
        {
            if self.agent.as_ref().unwrap().queue.is_empty() {
                assert!(self.step());
            } else {
                break;
            }
        }
    }

    /// The process that is being started is there, or is not.
    pub(super) fn spawned(&mut self, outcome: Result<(), String>) {
        self.spawning.take().expect("a process is being started");
        if outcome.is_ok() {
            self.agents += 1;
            self.agent = Some(ModelAgent::new(self.manners.clone(), self.agents));
        }
        self.input(Input::Spawned(outcome));
    }

    /// The process ends. (What it had not said yet is never said.)
    pub(super) fn ends(&mut self, exit: Exit) {
        self.exit(exit);
        self.run_effects();
    }

    fn exit(&mut self, exit: Exit) {
        assert!(self.agent.take().is_some());
        self.state.handle(Input::Exited(exit), self.now());
    }

    pub(super) fn crash(&mut self) {
        self.ends(Exit { code: Some(1), stderr: "boom".to_owned(), ..Exit::default() });
    }

    /// The agent says one line, or goes if it was told to. False: it has nothing to say.
    pub(super) fn step(&mut self) -> bool {
        let Some(agent) = &mut self.agent else { return false };
        if let Some(line) = agent.speak(&mut self.dice) {
            self.line(&line);
            return true;
        }
        let goes = agent.is_going();
        if goes {
            self.ends(Exit { code: Some(0), requested: true, ..Exit::default() });
        }
        goes
    }

    pub(super) fn line(&mut self, line: &Value) {
        let text = self.checker.text_len();
        // What an agent says that was told to go may be nobody's any more.
        let going = self.agent.as_ref().is_none_or(ModelAgent::is_going);
        self.state.line(line.to_string().as_bytes(), self.now());
        self.run_effects();
        if !going {
            self.checker.handed_on(line, text);
        }
    }

    /// Time passes; what is due happens.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.instant + time;
        while self.closed.is_none() {
            let Some(deadline) = self.state.deadline().filter(|deadline| *deadline <= until) else { break };
            self.instant = self.instant.max(deadline);
            self.input(Input::Tick);
            let stuck = self.state.deadline().is_some_and(|next| next <= self.instant);
            if stuck && self.closed.is_none() {
                // One more chance: a tick may do one thing at a time. But not for ever.
                for _ in 0..100 {
                    if self.closed.is_some() || self.state.deadline().is_none_or(|next| next > self.instant) {
                        break;
                    }
                    self.input(Input::Tick);
                }
                let over =
                    self.closed.is_some() || self.state.deadline().is_none_or(|next| next > self.instant);
                assert!(over, "a deadline stays in the past: {:?}", self.state);
            }
        }
        self.instant = self.instant.max(until);
    }

    /// Lets the agent come up and say all that it can.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.closed.is_some() {
                return;
            }
            if self.spawning.is_some() {
                self.spawned(Ok(()));
            } else if !self.step() {
                return;
            }
        }
        panic!("it never settles");
    }

    // What tests look at.

    pub(super) fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["type"].as_str().unwrap()).collect()
    }

    pub(super) fn all(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["type"] == kind).collect()
    }

    pub(super) fn result_of(&self, id: &str) -> &Value {
        let results = self.all("result");
        results
            .into_iter()
            .find(|event| event["request_id"] == id)
            .unwrap_or_else(|| panic!("no result of {id}"))
    }

    pub(super) fn reply_to(&self, id: &str) -> &Value {
        let reply = self.replies.iter().rev().find(|(asker, _)| asker == id);
        &reply.unwrap_or_else(|| panic!("no reply to {id}")).1
    }

    /// Subtypes of what the agent heard.
    pub(super) fn heard(&self) -> Vec<String> {
        let heard = self.agent.as_ref().map(|agent| agent.heard.as_slice()).unwrap_or_default();
        heard
            .iter()
            .map(|line| {
                let subtype = line["request"]["subtype"]
                    .as_str()
                    .or_else(|| line["response"]["response"]["behavior"].as_str());
                subtype.or_else(|| line["type"].as_str()).unwrap_or_default().to_owned()
            })
            .collect()
    }
}

pub(super) fn message(text: &str) -> UserMessage {
    UserMessage { content: Json::of(text).unwrap(), parent_tool_use_id: None }
}

fn look() -> crate::protocol::ClientTool {
    serde_json::from_value(json!({"name":"look","description":"d","input_schema":{"type":"object"}})).unwrap()
}
