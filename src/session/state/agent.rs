//! The agent's life as the session sees it: line for a slot, start, lines, rest, exit.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Asked, Closing, Effect, LaunchPlan, Life, SessionState, SlotOutcome, error};
use crate::agent::{Exit, control, wire};
use crate::converter::{Converter, Outcome};
use crate::protocol::{
    AgentState, ErrorCode, EventSink, ResolvedBy, SessionStatus, TurnErrorCode, WarningCode,
};

/// Starts that may fail in a row before the next one is held back.
const FREE_FAILURES: u32 = 3;
/// The longest time that a start is held back.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// What the session knows of its agent.
#[derive(Debug)]
pub(super) struct AgentLife {
    phase: AgentPhase,
    /// The conversation's id, as the agent knows it.
    pub(super) conversation: Uuid,
    /// Whether the agent has been told anything in it.
    pub(super) conversation_started: bool,
    /// Starts that failed since the last that went well.
    failures: u32,
    /// No start before this.
    not_before: Option<Instant>,
    /// Whether clients are owed a word about the agent's replacement.
    crashed: bool,
    /// Why the gateway killed it before it was up.
    killed_for: Option<&'static str>,
    /// Since when it has had nothing to do.
    idle_since: Option<Instant>,
    /// The message that ends the session.
    pub(super) closed_by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AgentPhase {
    Stopped,
    /// A start is wanted, but held back.
    HeldBack,
    /// In line for a slot.
    Waiting,
    Spawning,
    /// It has been greeted and has not answered.
    Initializing {
        deadline: Instant,
    },
    Ready,
    Stopping {
        restart: bool,
    },
}

impl AgentLife {
    pub(super) fn new(conversation: Uuid, conversation_started: bool) -> Self {
        Self {
            phase: AgentPhase::Stopped,
            conversation,
            conversation_started,
            failures: 0,
            not_before: None,
            crashed: false,
            killed_for: None,
            idle_since: None,
            closed_by: None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == AgentPhase::Ready
    }

    /// Whether its process is there, or is about to be.
    fn has_process(&self) -> bool {
        use AgentPhase::{Initializing, Ready, Spawning, Stopping};
        matches!(self.phase, Spawning | Initializing { .. } | Ready | Stopping { .. })
    }

    /// As `session_info` shows it.
    pub(super) fn state(&self) -> AgentState {
        match self.phase {
            AgentPhase::Stopped | AgentPhase::HeldBack | AgentPhase::Stopping { .. } => AgentState::Stopped,
            AgentPhase::Waiting => AgentState::Waiting,
            AgentPhase::Spawning | AgentPhase::Initializing { .. } => AgentState::Starting,
            AgentPhase::Ready => AgentState::Running,
        }
    }
}

impl SessionState {
    /// Sees to it that an agent comes up, unless one is there or coming.
    pub(super) fn ensure_agent(&mut self) {
        match self.agent.phase {
            AgentPhase::Stopped => match self.agent.not_before {
                Some(at) if at > self.now.instant => self.hold_back(),
                _ => {
                    self.agent.phase = AgentPhase::Waiting;
                    self.effects.push(Effect::AcquireSlot);
                }
            },
            AgentPhase::Stopping { .. } => self.agent.phase = AgentPhase::Stopping { restart: true },
            AgentPhase::HeldBack
            | AgentPhase::Waiting
            | AgentPhase::Spawning
            | AgentPhase::Initializing { .. }
            | AgentPhase::Ready => {}
        }
    }

    fn hold_back(&mut self) {
        self.agent.phase = AgentPhase::HeldBack;
        if self.turn.is_some() {
            let text = "the agent failed to start several times; the next try is held back for a moment";
            self.set_status(SessionStatus::Thinking, Some(text.to_owned()));
        }
    }

    pub(super) fn slot(&mut self, outcome: SlotOutcome) {
        if self.agent.phase != AgentPhase::Waiting {
            self.effects.push(Effect::ReleaseSlot);
            return;
        }
        match outcome {
            SlotOutcome::Granted => self.spawn(),
            SlotOutcome::Refused => {
                self.agent.phase = AgentPhase::Stopped;
                let text = "every agent slot is taken and too many sessions wait already (--max-agents, --max-waiting)";
                self.no_agent(ErrorCode::Capacity, text);
            }
        }
    }

    /// No slot is free yet; a client whose message waits is told so.
    pub(super) fn waiting(&mut self, ahead: usize) {
        if self.turn.is_some() && self.agent.phase == AgentPhase::Waiting {
            let text = format!("waiting for a free agent slot ({ahead} ahead)");
            self.set_status(SessionStatus::Thinking, Some(text));
        }
    }

    fn spawn(&mut self) {
        self.agent.phase = AgentPhase::Spawning;
        self.journal.tally().agent_launched(self.now.unix_ms);
        self.converter = Converter::new(super::converter_options(&self.config));
        self.settings.restarted();
        self.effects.push(Effect::Spawn(Box::new(self.launch_plan())));
    }

    /// What the agent would be started with now.
    pub fn launch_plan(&self) -> LaunchPlan {
        let mut config = self.config.clone();
        if config.model.is_none() {
            config.model.clone_from(&self.limits.default_model);
        }
        LaunchPlan {
            settings: self.rules.settings(&self.config).get().to_owned(),
            config,
            conversation: self.agent.conversation,
            resume: self.agent.conversation_started,
        }
    }

    /// A warm agent takes the place of the one that was to be started. The conversation is the one that it began with.
    pub(super) fn adopted(&mut self, conversation: Uuid) {
        if self.agent.phase != AgentPhase::Spawning {
            return;
        }
        self.agent.conversation = conversation;
        self.effects.push(Effect::Persist);
        self.agent.phase =
            AgentPhase::Initializing { deadline: self.now.instant + self.limits.start_timeout };
        self.initialized();
    }

    pub(super) fn spawned(&mut self, outcome: Result<(), String>) {
        if self.agent.phase != AgentPhase::Spawning {
            return;
        }
        match outcome {
            Ok(()) => {
                let deadline = self.now.instant + self.limits.start_timeout;
                self.agent.phase = AgentPhase::Initializing { deadline };
                let id = self.control_id(Asked::Initialize);
                let line = control::initialize(&id, self.client_tools.servers());
                self.effects.push(Effect::ToAgent(line));
            }
            Err(reason) => {
                self.agent.phase = AgentPhase::Stopped;
                self.effects.push(Effect::ReleaseSlot);
                self.start_failed(&reason);
            }
        }
    }

    /// The agent has answered the greeting.
    fn initialized(&mut self) {
        let AgentPhase::Initializing { .. } = self.agent.phase else { return };
        self.agent.phase = AgentPhase::Ready;
        self.journal.tally().agent_started(self.now.unix_ms);
        self.agent.failures = 0;
        self.agent.not_before = None;
        if std::mem::take(&mut self.agent.crashed) {
            self.warn(
                WarningCode::AgentRestarted,
                "the agent had ended unexpectedly; a new one took over the conversation",
            );
        }
        self.effects.push(Effect::Announce);
        if self.turn.is_some() {
            self.deliver();
        } else {
            self.next_turn();
        }
        if self.turn.is_none() {
            self.rest();
        }
    }

    fn start_failed(&mut self, reason: &str) {
        self.agent.failures += 1;
        self.journal.tally().agent_failed();
        if self.agent.failures >= FREE_FAILURES {
            let doublings = (self.agent.failures - FREE_FAILURES).min(6);
            let wait = (Duration::from_secs(1) * 2_u32.pow(doublings)).min(MAX_BACKOFF);
            self.agent.not_before = Some(self.now.instant + wait);
        }
        log::warn!("session {}: the agent did not start: {reason}", self.id);
        self.no_agent(ErrorCode::AgentUnavailable, &format!("Claude Code did not start: {reason}"));
    }

    /// There will be no agent for now: the turn that needs one fails; without a turn, clients are told.
    fn no_agent(&mut self, code: ErrorCode, reason: &str) {
        if matches!(self.life, Life::Closing(_)) {
            self.closed();
        } else if self.turn.is_some() {
            self.fail_turn(TurnErrorCode::AgentUnavailable, reason);
        } else {
            self.journal.event(&error(code, reason));
        }
    }

    /// The hot path: one line of the agent's stdout.
    pub(super) fn agent_line(&mut self, line: &[u8]) {
        match self.converter.line(line, &mut self.journal) {
            Ok(Outcome::Converted) => {}
            Ok(Outcome::Init(init)) => self.turn_init(&init),
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
    }

    /// `system`/`init` comes at the start of every turn.
    fn turn_init(&mut self, init: &wire::Init<'_>) {
        self.turn_began();
        let changed = self.info.update(init);
        self.sync_config(init);
        if changed {
            self.effects.push(Effect::Announce);
        }
    }

    fn control_request(&mut self, request: &wire::ControlRequest<'_>) {
        match request {
            wire::ControlRequest::CanUseTool { request_id, request } => self.prompted(request_id, request),
            wire::ControlRequest::Mcp { request_id, request } => self.mcp_message(request_id, request),
            wire::ControlRequest::Other { request_id, request } => {
                self.journal.tally().unknown(format!("control_request/{}", request.subtype));
                // Unanswered, the turn would hang.
                let text = format!("the gateway does not know the control request {:?}", request.subtype);
                self.effects.push(Effect::ToAgent(control::error_response(request_id, &text)));
            }
        }
    }

    fn control_response(&mut self, response: &wire::ControlResponse<'_>) {
        let failed = response.outcome.as_ref().err().map(|text| &**text);
        match self.asked.remove(&*response.request_id) {
            Some(Asked::Initialize) => match failed {
                None => self.initialized(),
                Some(failed) => {
                    log::warn!("session {}: the agent refused the greeting: {failed}", self.id);
                    self.agent.killed_for = Some("it refused the gateway's greeting");
                    self.kill_agent();
                }
            },
            Some(Asked::Setting(ticket)) => self.setting_answered(ticket, failed),
            Some(Asked::Rules | Asked::Interrupt) => {
                if let Some(failed) = failed {
                    log::warn!("session {}: the agent refused a control request: {failed}", self.id);
                }
            }
            None => log::debug!("session {}: an answer to nothing that was asked", self.id),
        }
    }

    pub(super) fn line_skipped(&mut self, bytes: u64) {
        let text = format!(
            "the agent wrote a line of {bytes} bytes, over the limit (--max-agent-line); it was skipped"
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

    fn stop_agent(&mut self, restart: bool) {
        self.agent.phase = AgentPhase::Stopping { restart };
        self.agent.idle_since = None;
        self.effects.push(Effect::Idle(false));
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
        self.effects.push(Effect::Idle(false));
        self.effects.push(Effect::ReleaseSlot);
        self.forget_process();
        if matches!(self.life, Life::Closing(_)) {
            self.closed();
            return;
        }
        match phase {
            AgentPhase::Spawning | AgentPhase::Initializing { .. } => self.exited_at_start(exit),
            AgentPhase::Stopping { restart } => {
                if restart || self.turn.is_some() {
                    self.ensure_agent();
                }
            }
            _ => {
                self.agent.crashed = true;
                log::warn!("session {}: the agent {}", self.id, describe(exit));
                self.turn_lost_agent(&format!("Claude Code {}", describe(exit)));
                self.next_turn();
                self.deliver();
            }
        }
    }

    /// What a process leaves behind: open messages, prompts, questions to it.
    fn forget_process(&mut self) {
        let stopping = self.turn.as_ref().is_some_and(super::Turn::is_stopping);
        self.converter.close_open(Some("interrupted"), &mut self.journal);
        self.close_prompts(if stopping { ResolvedBy::Interrupt } else { ResolvedBy::Agent });
        self.client_tools.forget_calls();
        self.journal.forget_tools();
        self.agent.idle_since = None;
        self.cost.earlier += std::mem::take(&mut self.cost.current);
        self.asked.clear();
        self.settings_lost();
    }

    /// Two refusals are about the conversation's id only: the other way of starting is the right one then.
    fn exited_at_start(&mut self, exit: &Exit) {
        if exit.stderr.contains("is already in use") && !self.agent.conversation_started {
            self.agent.conversation_started = true;
            self.ensure_agent();
        } else if exit.stderr.contains("No conversation found") && self.agent.conversation_started {
            let text = "the agent's transcript of this session is gone; a new conversation was begun";
            self.warn(WarningCode::AgentRestarted, text);
            self.agent.conversation = Uuid::new_v4();
            self.agent.conversation_started = false;
            self.effects.push(Effect::Persist);
            self.ensure_agent();
        } else {
            let killed_for = self.agent.killed_for.take().map(str::to_owned);
            self.start_failed(&killed_for.unwrap_or_else(|| describe(exit)));
        }
    }

    /// Nothing is running: the agent may sleep.
    pub(super) fn rest(&mut self) {
        if self.agent.is_ready() && self.prompts.is_empty() {
            self.agent.idle_since = Some(self.now.instant);
            self.effects.push(Effect::Idle(true));
        }
    }

    /// Another session needs the slot, or the agent has been idle for long.
    pub(super) fn sleep_if_idle(&mut self) {
        if self.agent.is_ready() && self.turn.is_none() && self.prompts.is_empty() {
            log::info!("session {}: the agent goes to sleep", self.id);
            self.stop_agent(false);
        }
    }

    /// Ends the agent for good; the session closes when it is gone.
    pub(super) fn stop_agent_then_close(&mut self) {
        if self.agent.has_process() {
            self.stop_agent(false);
        } else {
            if self.agent.phase == AgentPhase::Waiting {
                self.effects.push(Effect::ReleaseSlot);
            }
            self.agent.phase = AgentPhase::Stopped;
            self.closed();
        }
    }

    pub(super) fn agent_deadline(&self) -> Option<Instant> {
        match self.agent.phase {
            AgentPhase::Initializing { deadline } => Some(deadline),
            AgentPhase::HeldBack => self.agent.not_before,
            AgentPhase::Ready if self.turn.is_none() => {
                self.agent.idle_since.map(|since| since + self.limits.agent_idle)
            }
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
            AgentPhase::Ready => self.sleep_if_idle(),
            _ => {}
        }
    }

    /// Somebody came or left.
    pub(super) fn attached_changed(&mut self, count: usize) {
        self.attached = count;
        self.alone_since = (count == 0).then_some(self.now.instant);
        if count == 0 && self.never_ran() {
            log::info!("Session {} cleaned up", self.id);
            self.close(Closing::Removed, None);
        }
    }

    fn never_ran(&self) -> bool {
        self.num_turns == 0 && self.turn.is_none() && self.queue.is_empty()
    }

    /// When a session without connections goes to rest; work is waited for.
    pub(super) fn grace_deadline(&self) -> Option<Instant> {
        let resting = self.turn.is_none() && self.prompts.is_empty();
        let patience = match self.life {
            Life::Active => self.limits.session_grace,
            Life::Dormant => self.limits.retention,
            _ => return None,
        };
        self.alone_since.filter(|_| resting).map(|since| since + patience)
    }

    pub(super) fn grace_tick(&mut self) {
        if self.grace_deadline().is_none_or(|deadline| deadline > self.now.instant) {
            return;
        }
        if self.life == Life::Dormant {
            log::info!("Session {} cleaned up", self.id);
            self.close(Closing::Removed, None);
        } else if self.limits.stored {
            self.close(Closing::Dormant, None);
        } else {
            self.life = Life::Dormant;
            self.alone_since = Some(self.now.instant);
            self.sleep_if_idle();
        }
    }
}

/// How an agent ended, for people: how, and its last word on stderr.
fn describe(exit: &Exit) -> String {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    match exit.stderr.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(last) => format!("{how}: {}", shortened(last.trim())),
        None => how,
    }
}

/// The first 300 characters.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
