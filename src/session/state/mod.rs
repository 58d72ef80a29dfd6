//! The session as a state machine: an [`Input`] comes in, events go into the journal, [`Effect`]s go out.
//!
//! It does no I/O, reads no clock and starts nothing; the session task does what the effects say and feeds back what comes
//! of it. So every interleaving of clients, agent and time can be played through in a test.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `turns` | queue, start and end of turns |
//! | `deliver` | what of a turn an agent gets, and whether it got it |
//! | `deliveries` | which of the agent's turns is about which message |
//! | `stops` | interrupt and cancel |
//! | `resume` | going on after a broken turn, or after a gateway that died |
//! | `start` | the agent's start: slot, greeting, failures |
//! | `agent` | the agent's life once it is up: lines, rest, exit |
//! | `conversation` | which conversation the agent is in, and settings that it changed itself |
//! | `ending` | the end, or rest; what is refused then |
//! | `grace` | how long a session stays when nobody is there |
//! | `prompts` | permission prompts and questions, from asked to answered |
//! | `elicitations` | what MCP servers ask people, from asked to answered |
//! | `forms` | what of a filled-in form must fit |
//! | `rules` | permission rules of the session |
//! | `settings` | `config_update` |
//! | `client_tools` | tools that the front end runs |
//! | `tasks` | work beside turns: what runs, and how long it may keep the agent |
//! | `beside` | what of that is told, and whose prompts and calls are whose |
//! | `compaction` | what came of `/compact` |
//! | `starting` | MCP servers that hold up a turn |
//! | `requests` | what of that clients ask for, and what the agent answers |
//! | `cost` | what the session has cost |
//! | `info` | what `session_info` and `session_list` show |

mod agent;
mod beside;
mod client_tools;
mod compaction;
mod conversation;
mod cost;
mod deliver;
mod deliveries;
mod elicitations;
mod ending;
mod forms;
mod grace;
mod info;
mod model;
mod prompts;
mod requests;
mod resume;
mod rules;
mod settings;
mod start;
mod starting;
mod stops;
mod tasks;
mod turns;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::converter::{Converter, ConverterOptions};
use crate::log::Entry;
use crate::protocol::{
    AgentInfo, ErrorCode, ErrorMessage, EventSink, MessageId, PermissionMode, ServerMessage, SessionConfig,
    SessionStatus, StatusUpdate, Warning, WarningCode,
};

use super::journal::{Journal, Position, Stems};
use super::record::Seen;
use agent::AgentLife;
pub use agent::describe;
use client_tools::ClientTools;
use compaction::Compactions;
use conversation::{Changes, Conversation};
pub use cost::Books;
use cost::Cost;
use deliveries::Deliveries;
use elicitations::Elicitations;
pub use info::Snapshot;
pub use model::*;
use prompts::Prompts;
use requests::Requests;
pub use resume::{LeftMessage, Leftover};
pub use rules::{RuleBook, excess};
use settings::Settings;
use starting::Starting;
pub use tasks::Sleeper;
use tasks::Tasks;
pub use turns::{Broken, TurnInput};
use turns::{Queued, Turn};

/// One session. See the module's head.
#[derive(Debug)]
pub struct SessionState {
    id: Arc<str>,
    limits: Arc<SessionLimits>,
    config: SessionConfig,
    rules: RuleBook,
    journal: Journal,
    converter: Converter,
    now: Now,

    life: Life,
    status: SessionStatus,
    /// Boxed, as what only a session at work has.
    turn: Option<Box<Turn>>,
    queue: VecDeque<Queued>,
    /// The last turn, where it did not come to its end.
    broken: Option<Broken>,
    seen: Seen,

    agent: AgentLife,
    info: AgentInfo,
    /// What the agent says it works with, where the configuration names none.
    model_in_use: Option<String>,
    prompts: Prompts,
    elicitations: Elicitations,
    client_tools: ClientTools,
    tasks: Tasks,
    requests: Requests,
    settings: Settings,
    deliveries: Deliveries,
    starting: Starting,
    compaction: Compactions,
    /// What each control request of ours that is not answered yet was for.
    asked: HashMap<String, Asked>,
    next_control: u64,

    /// The connection that made the session with its options, and so knows them.
    maker: Option<ClientId>,
    /// Attached connections.
    attached: usize,
    /// Since when nobody is attached.
    alone_since: Option<std::time::Instant>,
    /// The server goes down.
    going_down: bool,
    /// The message that ends the session.
    closed_by: Option<String>,

    created_at: u64,
    last_active_at: u64,
    num_turns: u64,
    cost: Cost,

    effects: Vec<Effect>,
    /// More than the journal's events may have changed since this was asked last.
    stirred: bool,
}

/// What a control request that we sent was for.
#[derive(Debug)]
enum Asked {
    Initialize,
    Interrupt,
    McpStatus,
    Setting(u64, settings::Field),
    /// What is in force, after a slash command that may have changed it.
    Applied(Changes),
    /// What is in the configuration already: rules, the mode, settings. And who wanted it.
    Rules(Option<Asker>),
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Active,
    /// Nobody has been there for long; wakes up when somebody is. (With a store, a dormant session has no state machine.)
    Dormant,
    /// Takes nothing new and lets its turn come to an end, until the instant given.
    Draining {
        until: std::time::Instant,
    },
    /// Waits for the agent's end, then closes.
    Closing(Closing),
    Closed(Closing),
}

impl SessionState {
    /// A session as `birth` describes it: new, or taken up again from its record.
    pub fn new(birth: Birth, limits: Arc<SessionLimits>, now: Now) -> Self {
        let mut record = birth.record;
        // The operator may have taken it back since the record was written.
        if record.config.permission_mode == PermissionMode::Bypass && !limits.allow_bypass {
            log::warn!(
                "session {}: its mode was \"bypass\", which needs --allow-bypass; now \"manual\"",
                birth.id
            );
            record.config.permission_mode = PermissionMode::Manual;
        }
        record.config.mcp_servers.retain(|server| {
            let is_allowed = limits.client_mcp.allows(server);
            if !is_allowed {
                let (id, name) = (&birth.id, &server.name);
                log::warn!("session {id}: its MCP server {name:?} is not allowed any more (--allow-client-mcp); dropped");
            }
            is_allowed
        });
        let directories = std::mem::take(&mut record.rules.directories);
        rules::add(&mut record.config.add_dirs, directories.into_iter());
        let mut journal = Journal::new(&birth.id, birth.position);
        journal.set_time(now.unix_ms);
        Self {
            id: birth.id,
            converter: Converter::new(converter_options(&record.config)),
            rules: record.rules,
            client_tools: ClientTools::new(&record.config.client_tools),
            config: record.config,
            journal,
            now,
            life: Life::Active,
            status: SessionStatus::Idle,
            turn: None,
            queue: VecDeque::new(),
            broken: record.broken,
            seen: birth.seen,
            agent: AgentLife::new(Conversation::new(
                record.conversation,
                record.conversation_started,
                record.note,
            )),
            info: record.agent,
            model_in_use: None,
            prompts: Prompts::new(record.always),
            tasks: Tasks::of(record.schedules),
            requests: Requests::default(),
            elicitations: Elicitations::default(),
            settings: Settings::default(),
            deliveries: Deliveries::default(),
            starting: Starting::default(),
            compaction: Compactions::default(),
            asked: HashMap::new(),
            next_control: 0,
            maker: None,
            attached: 0,
            alone_since: Some(now.instant),
            going_down: false,
            closed_by: None,
            created_at: record.created_at,
            last_active_at: record.last_active_at,
            num_turns: record.num_turns,
            cost: Cost::new(record.cost_usd, record.books),
            limits,
            effects: vec![Effect::Persist],
            stirred: true,
        }
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A fresh event id: `msg-0`, `msg-1`, …
    pub fn next_message_id(&mut self) -> MessageId {
        self.journal.next_id()
    }

    /// What the session is doing, as the last `status_update` said.
    pub fn status(&self) -> SessionStatus {
        self.status
    }

    /// The configuration as it now is.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// How many connections are attached, as it was told last.
    pub fn attached(&self) -> usize {
        self.attached
    }

    /// Takes one input in. Events and effects wait until they are taken.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.set_time(now);
        self.stirred = true;
        // Nothing follows the last words. (Commands still get their refusal.)
        if matches!(self.life, Life::Closed(_)) && !matches!(input, Input::Command { .. }) {
            return;
        }
        match input {
            Input::Command { client, id, command } => self.command(client, id, command),
            Input::Slot(outcome) => self.slot(outcome),
            Input::Waiting { ahead } => self.waiting(ahead),
            Input::Spawned(outcome) => self.spawned(outcome),
            Input::Adopted { conversation } => self.adopted(conversation),
            Input::Skipped { bytes } => self.line_skipped(bytes),
            Input::Exited(exit) => self.exited(&exit),
            Input::Unresponsive => self.unresponsive(),
            Input::Sleep { now } => self.sleep_for_another(now),
            Input::Attached(count) => self.attached_changed(count),
            Input::Drain { until } => self.drain(until),
            Input::StoreHealth { ok } => self.store_health(ok),
            Input::Tick => self.tick(),
        }
        self.sync_status();
    }

    /// Takes one line of the agent's stdout in: the hot path.
    pub fn line(&mut self, line: &[u8], now: Now) {
        self.set_time(now);
        if self.agent_line(line) {
            self.stirred = true;
            self.sync_status();
        }
    }

    /// Whether anything but the journal's events may have changed since the last call: effects, what others may see of the session,
    /// the deadline. While the model writes, nothing has.
    pub fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Events that wait for the log, in order.
    pub fn entries(&mut self) -> &mut Vec<Entry> {
        self.journal.entries()
    }

    /// Which client messages those stem from.
    pub fn stems(&mut self) -> &mut Stems {
        self.journal.stems()
    }

    /// Effects that wait to be run, in order.
    pub fn effects(&mut self) -> &mut Vec<Effect> {
        &mut self.effects
    }

    /// Gives back memory that only what an agent says needs; there is none now.
    pub fn slim(&mut self) {
        self.converter = Converter::new(converter_options(&self.config));
        self.journal.slim();
        self.asked.shrink_to_fit();
        self.queue.shrink_to_fit();
        self.effects.shrink_to_fit();
    }

    /// Where the journal stands.
    pub fn position(&self) -> Position {
        self.journal.position()
    }

    /// When [`Input::Tick`] is due; `None`: never.
    pub fn deadline(&self) -> Option<std::time::Instant> {
        [
            self.turn_deadline(),
            self.starting_deadline(),
            self.agent_deadline(),
            self.prompts.deadline(),
            self.elicitations.deadline(),
            self.client_tools.deadline(),
            self.tasks.deadline(),
            self.requests.deadline(),
            self.grace_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn tick(&mut self) {
        self.turn_tick();
        self.starting_tick();
        self.agent_tick();
        self.prompt_tick();
        self.elicitation_tick();
        self.client_tool_tick();
        self.task_tick();
        self.request_tick();
        self.grace_tick();
    }

    fn set_time(&mut self, now: Now) {
        self.now = now;
        self.journal.set_time(now.unix_ms);
    }

    fn command(&mut self, client: ClientId, id: String, command: Command) {
        let asker = Asker { client, id };
        if !matches!(command, Command::Info | Command::ConfigQuery) {
            self.wake();
        }
        if let Some(refusal) = self.refusal(&command) {
            self.reply(&asker, refusal);
            return;
        }
        self.last_active_at = self.now.unix_ms;
        match command {
            Command::Attach(attach) => self.attach(&asker, attach),
            Command::Info => self.effects.push(Effect::Info(asker)),
            Command::ConfigQuery => self.config_query(&asker),
            Command::End { reason } => self.end(asker, reason.as_deref()),
            Command::UserMessage(message) => self.user_message(asker, message),
            Command::PermissionResponse(answer) => self.permission_response(asker, answer),
            Command::ElicitationResponse(answer) => self.elicitation_response(&asker, &answer),
            Command::PermissionUpdate(update) => self.permission_update(&asker, &update),
            Command::ToolResult(result) => self.client_tool_result(&asker, result),
            Command::Interrupt { reason, tasks } => self.interrupt(asker, reason.as_deref(), tasks),
            Command::TaskStop { task_id } => self.task_stop(&asker, &task_id),
            Command::TaskOutput { task_id } => self.task_output(asker, &task_id),
            Command::Background { tool_use_id } => self.background(asker, tool_use_id),
            Command::Resume => self.resume(asker),
            Command::Cancel { target_id } => self.cancel(asker, &target_id),
            Command::ConfigUpdate(fields) => self.config_update(asker, fields),
        }
    }

    fn attach(&mut self, asker: &Asker, attach: Attach) {
        self.somebody_comes();
        // The agent starts with the session, not with its first message.
        if attach.created {
            self.maker = Some(asker.client);
            self.start_early();
        }
        let ignored = attach.options.map(|sent| sent.differing_from(&self.config)).unwrap_or_default();
        self.effects.push(Effect::Attach {
            asker: asker.clone(),
            from: attach.from,
            created: attach.created,
        });
        if !ignored.is_empty() {
            let names = ignored.join(", ");
            let text =
                format!("the session exists with other options; not applied: {names} (see config_update)");
            self.reply(asker, warning(WarningCode::ConfigIgnored, text));
        }
    }

    fn store_health(&mut self, ok: bool) {
        if !ok {
            self.warn(
                WarningCode::StoreUnavailable,
                "events are delivered, but cannot be stored at the moment",
            );
        }
    }

    fn true_status(&self) -> SessionStatus {
        if !self.prompts.is_empty() || !self.elicitations.is_empty() {
            SessionStatus::WaitingPermission
        } else if self.turn.is_none() && self.queue.is_empty() {
            SessionStatus::Idle
        } else if self.compaction.is_running() {
            SessionStatus::Compacting
        } else if self.is_starting() {
            SessionStatus::Starting
        } else if self.journal.tool_is_running() {
            SessionStatus::ExecutingTool
        } else {
            SessionStatus::Thinking
        }
    }

    /// Tells clients what the session is doing, if that has changed.
    fn sync_status(&mut self) {
        let status = self.true_status();
        if status != self.status && !matches!(self.life, Life::Closed(_)) {
            self.set_status(status, None);
        }
    }

    fn set_status(&mut self, status: SessionStatus, message: Option<String>) {
        self.status = status;
        let origin = self.turn.as_ref().and_then(|turn| turn.origin.clone());
        let update = StatusUpdate { status, message: message.map(Into::into), origin };
        self.journal.event(&ServerMessage::StatusUpdate(update));
    }

    fn reply(&mut self, asker: &Asker, message: ServerMessage<'static>) {
        self.effects.push(Effect::Reply { asker: asker.clone(), message: Box::new(message) });
    }

    fn warn(&mut self, code: WarningCode, text: impl Into<String>) {
        self.journal.event(&warning(code, text));
    }

    fn control_id(&mut self, asked: Asked) -> String {
        let id = self.fresh_control_id();
        self.asked.insert(id.clone(), asked);
        id
    }

    fn fresh_control_id(&mut self) -> String {
        self.next_control += 1;
        format!("cws-{}", self.next_control)
    }
}

fn converter_options(config: &SessionConfig) -> ConverterOptions {
    ConverterOptions { agent_events: config.agent_events }
}

/// An `error` message.
pub(super) fn error(code: ErrorCode, message: impl Into<String>) -> ServerMessage<'static> {
    ServerMessage::Error(ErrorMessage { code, message: message.into().into() })
}

/// A `warning` message.
pub(super) fn warning(code: WarningCode, message: impl Into<String>) -> ServerMessage<'static> {
    ServerMessage::Warning(Warning { code, message: message.into().into() })
}
