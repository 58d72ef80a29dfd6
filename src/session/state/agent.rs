//! The agent's life as the session sees it, once it is up: lines, rest, exit.

use std::time::Instant;

use super::conversation::Conversation;
use super::{Asked, Closing, Effect, Life, SessionState, Standing};
use crate::agent::{Exit, control, wire};
use crate::converter::Outcome;
use crate::protocol::{AgentState, ResolvedBy, WarningCode};
use crate::session::words;

/// What the session knows of its agent.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the process")]
#[derive(Debug)]
pub(super) struct AgentLife {
    pub(super) phase: AgentPhase,
    pub(super) conversation: Conversation,
    /// Starts that failed since the last that went well.
    pub(super) failures: u32,
    /// Starts since the last that went well that were tried again because of the conversation's id.
    pub(super) renamed: u32,
    /// No start before this.
    pub(super) not_before: Option<Instant>,
    /// Whether clients are owed a word about the agent's replacement.
    pub(super) crashed: bool,
    /// Why the gateway killed it before it was up.
    pub(super) killed_for: Option<&'static str>,
    /// Since when it has had nothing to do, but for what goes on beside turns.
    pub(super) idle_since: Option<Instant>,
    /// Whether others were told that it has nothing but that to do.
    pub(super) lingers: bool,
    /// When it has been waited for a slot for so long that others have to give theirs.
    pub(super) patient_until: Option<Instant>,
    /// Whether this process goes on with a conversation.
    pub(super) resumed: bool,
    /// Lines that this process was sent.
    pub(super) lines_sent: u64,
    /// A task in the background is done, and the model has not been asked anything since.
    pub(super) has_news: bool,
    /// What it repeats of tasks of the process before it.
    pub(super) echoes: Echoes,
    /// The agent's own id of the last `result` line.
    last_result: String,
}

/// Turns that say nothing but that tasks of the process before were stopped.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    /// The process has not asked the model anything yet.
    pub(super) is_fresh: bool,
    /// So many such turns may come.
    pub(super) expected: u32,
    /// The turn that has begun may be one.
    pub(super) is_in_one: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgentPhase {
    Stopped,
    /// A start is wanted, but held back.
    HeldBack,
    /// A slot was asked for. `early`: only if there is one at once.
    Waiting {
        early: bool,
    },
    Spawning,
    /// It has been greeted and has not answered.
    Initializing {
        deadline: Instant,
    },
    Ready,
    /// It was told to go. `restart`: another one is wanted then.
    Stopping {
        restart: bool,
    },
}

impl AgentLife {
    pub(super) fn new(conversation: Conversation) -> Self {
        Self {
            phase: AgentPhase::Stopped,
            conversation,
            failures: 0,
            renamed: 0,
            not_before: None,
            crashed: false,
            killed_for: None,
            idle_since: None,
            lingers: false,
            patient_until: None,
            resumed: false,
            lines_sent: 0,
            has_news: false,
            echoes: Echoes::default(),
            last_result: String::new(),
        }
    }

    /// Whether this `result` line came before. (One without an id of its own never did.)
    pub(super) fn told_before(&mut self, line: &wire::ResultMessage<'_>) -> bool {
        let id = line.uuid.text().unwrap_or_default();
        if id.is_empty() {
            return false;
        }
        let again = id == self.last_result;
        self.last_result = id.into_owned();
        again
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, AgentPhase::Stopping { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == AgentPhase::Ready
    }

    /// Whether its process is there, or is about to be.
    pub(super) fn has_process(&self) -> bool {
        use AgentPhase::{Initializing, Ready, Spawning, Stopping};
        matches!(self.phase, Spawning | Initializing { .. } | Ready | Stopping { .. })
    }

    /// Whether it was given what it is to work with, and cannot be told anything else yet.
    pub(super) fn is_coming_up(&self) -> bool {
        matches!(self.phase, AgentPhase::Spawning | AgentPhase::Initializing { .. })
    }

    /// As `session_info` shows it.
    pub(super) fn state(&self) -> AgentState {
        match self.phase {
            AgentPhase::Stopped | AgentPhase::HeldBack | AgentPhase::Stopping { .. } => AgentState::Stopped,
            AgentPhase::Waiting { .. } => AgentState::Waiting,
            AgentPhase::Spawning | AgentPhase::Initializing { .. } => AgentState::Starting,
            AgentPhase::Ready => AgentState::Running,
        }
    }
}

impl SessionState {
    /// The hot path: one line of the agent's stdout. Whether it may have changed more than the journal's events.
    pub(super) fn agent_line(&mut self, line: &[u8]) -> bool {
        // Everything has had its end; nothing may come after it.
        if matches!(self.life, Life::Closing(_) | Life::Closed(_)) {
            self.learn_before_rest(line);
            return true;
        }
        let outcome = self.converter.line(line, &mut self.journal);
        if !matches!(outcome, Ok(Outcome::Streamed | Outcome::Tasks(_))) {
            self.flush_tasks();
        }
        if self.requests.is_waiting() {
            self.no_more_background();
        }
        match outcome {
            Ok(Outcome::Streamed) => {
                self.goes_on_though_stopped(false);
                return !self.effects.is_empty() || self.journal.has_notes();
            }
            Ok(Outcome::Converted) => self.goes_on_though_stopped(false),
            Ok(Outcome::Tasks(news)) => self.task_news(news),
            Ok(Outcome::Requesting { mode }) => {
                self.model_is_asked();
                self.goes_on_though_stopped(false);
                if let Some(mode) = mode {
                    self.sync_config(&mode);
                }
            }
            Ok(Outcome::Compacting) => self.compaction.begins(),
            Ok(Outcome::Compacted(what)) => self.compaction.ends(what),
            Ok(Outcome::Lifecycle(news)) => self.message_news(&news),
            Ok(Outcome::Init(init)) => self.turn_init(&init),
            Ok(Outcome::Mode(mode)) => self.sync_config(&mode),
            Ok(Outcome::Result(result)) => self.turn_over(&result),
            Ok(Outcome::ControlRequest(request)) => self.control_request(&request),
            Ok(Outcome::ControlResponse(response)) => self.control_response(&response),
            Ok(Outcome::ControlCancel(cancel)) => {
                self.prompt_withdrawn(&cancel.request_id.text().unwrap_or_default());
            }
            Err(bad) => {
                self.journal.tally().unknown("unreadable".to_owned());
                log::warn!("session {}: a line of the agent was skipped: {bad}", self.id);
            }
        }
        true
    }

    /// `system`/`init` comes at the start of every turn.
    fn turn_init(&mut self, init: &wire::Init<'_>) {
        let echoes = &mut self.agent.echoes;
        if echoes.expected > 0 {
            echoes.expected -= 1;
            echoes.is_in_one = true;
        } else {
            self.turn_began();
        }
        self.goes_on_though_stopped(true);
        let model = init.model.text().map(Into::into);
        let changed = self.info.update(init) || (model != self.model_in_use);
        self.model_in_use = model;
        self.conversation_is(init.session_id);
        self.sync_config(&init.permission_mode.text().unwrap_or_default());
        if changed {
            self.effects.push(Effect::Announce);
        }
    }

    /// The model hears now of everything that has happened.
    fn model_is_asked(&mut self) {
        let echoes = std::mem::take(&mut self.agent.echoes);
        if echoes.is_in_one {
            // It was a turn after all.
            self.turn_began();
        }
        self.agent.has_news = false;
        self.tasks.news_is_told();
        if let Some(turn) = &mut self.turn {
            turn.sent = None;
        }
    }

    fn control_request(&mut self, request: &wire::ControlRequest<'_>) {
        match request {
            wire::ControlRequest::CanUseTool { request_id, request } => self.prompted(request_id, request),
            wire::ControlRequest::Mcp { request_id, request } => self.mcp_message(request_id, request),
            wire::ControlRequest::Elicitation { request_id, request } => self.elicited(request_id, request),
            wire::ControlRequest::Other { request_id, request } => {
                self.journal.tally().unknown(format!("control_request/{}", request.subtype));
                // Unanswered, the turn would hang.
                let text = format!("the gateway does not know the control request {:?}", request.subtype);
                self.tell(control::error_response(request_id, &text));
            }
        }
    }

    fn control_response(&mut self, response: &wire::ControlResponse<'_>) {
        if self.request_answered(response) {
            return;
        }
        let failed = response.outcome.as_ref().err().map(|text| &**text);
        match self.asked.remove(&*response.request_id) {
            Some(Asked::Initialize) => match failed {
                None => self.initialized(),
                Some(failed) => {
                    let failed = words::quoted(failed);
                    log::warn!("session {}: the agent refused the greeting: {failed}", self.id);
                    self.agent.killed_for = Some("it refused the gateway's greeting");
                    self.kill_agent();
                }
            },
            Some(Asked::Setting(ticket, field)) => self.setting_answered(ticket, field, failed),
            Some(Asked::Rules(asker)) => {
                if let Some(failed) = failed {
                    self.rules_refused(asker.as_ref(), failed);
                }
            }
            Some(Asked::Interrupt) => {
                if let Some(failed) = failed.map(words::quoted) {
                    log::warn!("session {}: the agent refused a control request: {failed}", self.id);
                }
                self.messages_cancelled(&response.cancelled());
            }
            Some(Asked::McpStatus) => self.mcp_status_told(response),
            Some(Asked::Applied(changes)) => {
                if let Some(applied) = response.applied() {
                    self.adopt(changes, &applied);
                }
            }
            None => log::debug!("session {}: an answer to nothing that was asked", self.id),
        }
    }

    pub(super) fn line_skipped(&mut self, bytes: u64) {
        let text = format!(
            "the agent wrote a line of {bytes} bytes, over the limit (--max-agent-line) or what memory is left for; it was skipped"
        );
        self.warn(WarningCode::AgentLineSkipped, text);
    }

    /// The agent's input is full and stays full.
    pub(super) fn unresponsive(&mut self) {
        log::warn!("session {}: the agent no longer reads its input; killing it", self.id);
        self.kill_agent();
    }

    pub(super) fn kill_agent(&mut self) {
        if self.agent.has_process() {
            self.effects.push(Effect::StopAgent { now: true });
        }
    }

    pub(super) fn stop_agent(&mut self, restart: bool) {
        self.agent.phase = AgentPhase::Stopping { restart };
        self.agent.idle_since = None;
        self.agent.lingers = false;
        self.tasks_go(self.why_it_goes());
        self.effects.push(Effect::Standing(Standing::Leaving));
        self.effects.push(Effect::StopAgent { now: false });
    }

    /// Replaces the agent between turns, unseen by clients.
    pub(super) fn restart_agent(&mut self) {
        if self.agent.is_ready() {
            self.stop_agent(true);
        }
    }

    /// The agent's process is gone.
    pub(super) fn exited(&mut self, exit: &Exit) {
        let phase = std::mem::replace(&mut self.agent.phase, AgentPhase::Stopped);
        self.effects.push(Effect::ReleaseSlot);
        self.effects.push(Effect::Standing(Standing::Busy));
        self.forget_process(exit);
        if matches!(self.life, Life::Closing(_)) {
            self.closed();
            return;
        }
        match phase {
            AgentPhase::Spawning | AgentPhase::Initializing { .. } => self.exited_at_start(exit),
            AgentPhase::Stopping { restart } => {
                // One that it had just begun by itself; ours waits for the next agent.
                self.turn_lost_agent(exit, "Claude Code was stopped between turns");
                self.start_again(restart);
            }
            _ => {
                self.agent.crashed = true;
                let how = describe(exit);
                log::warn!("session {}: the agent {how}", self.id);
                if !self.take_back(exit) {
                    self.turn_lost_agent(exit, &format!("Claude Code {}", words::for_clients(&how)));
                    self.next_turn();
                }
                self.deliver();
            }
        }
    }

    /// What a process leaves behind: open messages, prompts, questions to it.
    fn forget_process(&mut self, exit: &Exit) {
        let stopping = self.turn.as_ref().is_some_and(|turn| turn.is_stopping());
        self.converter.close_open(Some("interrupted"), &mut self.journal);
        self.close_prompts(if stopping { ResolvedBy::Interrupt } else { ResolvedBy::Agent });
        self.tasks_go("the agent's process ended");
        self.requests_lost();
        self.client_tools.forget_calls();
        self.journal.forget_agent();
        self.agent.idle_since = None;
        self.cost.process_ended(exit.code.is_some());
        if exit.code.is_none() {
            // What it did not write down any more is on record before the next one counts.
            self.effects.push(Effect::Persist);
        }
        self.asked.clear();
        self.compaction.turn_over();
        self.agent.has_news = false;
        self.agent.echoes = Echoes::default();
        self.settings_lost();
    }

    /// Nothing may be under way any more: settings that wait for that are applied, else the agent may sleep.
    pub(super) fn settle(&mut self) {
        if !self.has_no_turn() {
            return;
        }
        self.leave_line();
        if matches!(self.life, Life::Closing(_) | Life::Closed(_)) {
            return;
        }
        if self.is_at_rest() {
            self.restart_if_due();
        }
        if !self.agent.is_ready() {
            return;
        }
        let is_new = self.agent.idle_since.is_none();
        if !self.is_at_rest() {
            self.agent.idle_since.get_or_insert(self.now.instant);
            if is_new || !self.agent.lingers {
                self.agent.lingers = true;
                self.effects.push(Effect::Standing(Standing::Lingering));
            }
        } else if self.life == Life::Dormant {
            self.stop_agent(false);
        } else if is_new || self.agent.lingers {
            self.agent.lingers = false;
            self.agent.idle_since.get_or_insert(self.now.instant);
            self.effects.push(Effect::Standing(Standing::Resting));
        }
    }

    /// The agent has been idle for long, or nobody is there.
    pub(super) fn sleep_if_idle(&mut self) {
        if self.agent.is_ready() && self.is_at_rest() {
            log::info!("session {}: the agent goes to sleep", self.id);
            self.stop_agent(false);
        }
    }

    /// Another session needs the slot. `now`: even if it costs the agent's tasks.
    pub(super) fn sleep_for_another(&mut self, now: bool) {
        if now && self.agent.is_ready() && self.has_no_turn() && !self.is_at_rest() {
            log::info!("session {}: the agent gives its slot, and its tasks end", self.id);
            self.tasks_go("another session needed the agent's slot");
            self.stop_agent(false);
        } else {
            self.sleep_if_idle();
        }
    }

    fn why_it_goes(&self) -> &'static str {
        match self.life {
            Life::Closing(Closing::Ended(crate::protocol::EndReason::Client)) => "the session was ended",
            _ if self.going_down => "the server is going down",
            Life::Closing(_) | Life::Dormant => "nobody was there",
            _ => "they have shown no sign of life for long (--task-limit)",
        }
    }

    /// Ends the agent for good; the session closes when it is gone. One that nobody has spoken to, of a session that is over, has
    /// nothing to finish.
    pub(super) fn stop_agent_then_close(&mut self) {
        use AgentPhase::{Initializing, Spawning};
        let is_new = matches!(self.agent.phase, Spawning | Initializing { .. });
        let comes_back = matches!(self.life, Life::Closing(Closing::Dormant));
        if self.agent.has_process() {
            self.stop_agent(false);
            if is_new && !comes_back {
                self.kill_agent();
            }
        } else {
            self.leave_line();
            self.closed();
        }
    }

    pub(super) fn agent_deadline(&self) -> Option<Instant> {
        match self.agent.phase {
            AgentPhase::Initializing { deadline } => Some(deadline),
            AgentPhase::HeldBack => self.agent.not_before,
            AgentPhase::Waiting { .. } => self.agent.patient_until,
            // While something is open its end decides, and not the time.
            AgentPhase::Ready if self.agent.lingers => self.held_until().filter(|_| self.has_nothing_open()),
            AgentPhase::Ready => self.agent.idle_since.map(|since| since + self.limits.agent_idle),
            _ => None,
        }
    }

    pub(super) fn agent_tick(&mut self) {
        if self.agent_deadline().is_none_or(|deadline| deadline > self.now.instant) {
            return;
        }
        match self.agent.phase {
            AgentPhase::Initializing { .. } => {
                log::warn!("session {}: the agent did not answer the greeting in time; killing it", self.id);
                // So that the exit is waited for without another tick.
                self.agent.phase = AgentPhase::Spawning;
                self.agent.killed_for = Some("it did not answer in time (--agent-start-timeout)");
                self.kill_agent();
            }
            AgentPhase::HeldBack => {
                self.agent.phase = AgentPhase::Stopped;
                self.agent.not_before = None;
                self.ensure_agent();
            }
            AgentPhase::Waiting { .. } => {
                self.agent.patient_until = None;
                self.effects.push(Effect::Impatient);
            }
            AgentPhase::Ready if self.agent.lingers => self.settle(),
            AgentPhase::Ready => self.sleep_if_idle(),
            _ => {}
        }
    }
}

/// How an agent ended, for the log: how, and its last words on stderr. (What of it clients are told: `words::for_clients`.)
pub fn describe(exit: &Exit) -> String {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let lines = exit.stderr.lines().rev().map(words::plain);
    match lines.map(|line| words::cut(line.trim(), 300)).find(|line| !line.is_empty()) {
        Some(last) => format!("{how}: {last}"),
        None => how,
    }
}
