//! The agent's start: line for a slot, greeting, what can go wrong.

use std::time::Duration;

use uuid::Uuid;

use super::agent::{AgentPhase, Echoes, describe};
use super::{Asked, Effect, LaunchPlan, Life, SessionState, SlotOutcome, error};
use crate::agent::{Exit, control};
use crate::converter::Converter;
use crate::protocol::{ErrorCode, EventSink, PermissionMode, SessionStatus, TurnErrorCode, WarningCode};
use crate::session::words;

/// Starts that may fail in a row before the next one is held back.
const FREE_FAILURES: u32 = 3;
/// The longest time that a start is held back.
const MAX_BACKOFF: Duration = Duration::from_mins(1);
/// Times in a row that a start is tried again because of the conversation's id.
const MAX_RENAMED: u32 = 2;

impl SessionState {
    /// Sees to it that an agent comes up for a turn, unless one is there or coming.
    pub(super) fn ensure_agent(&mut self) {
        match self.agent.phase {
            AgentPhase::Stopped => match self.agent.not_before {
                Some(at) if at > self.now.instant => self.hold_back(),
                _ => self.line_up(false),
            },
            AgentPhase::Stopping { .. } => self.agent.phase = AgentPhase::Stopping { restart: true },
            AgentPhase::HeldBack
            | AgentPhase::Waiting { .. }
            | AgentPhase::Spawning
            | AgentPhase::Initializing { .. }
            | AgentPhase::Ready => {}
        }
    }

    /// Has the agent come up ahead of the first message. Only messages wait in line; where no slot is free, this does nothing.
    pub(super) fn start_early(&mut self) {
        if self.agent.phase == AgentPhase::Stopped && self.agent.not_before.is_none() {
            self.line_up(true);
        }
    }

    /// The process is gone, and not by accident: brings the next one up where it is wanted.
    pub(super) fn start_again(&mut self, wanted: bool) {
        if self.turn.is_some() {
            self.ensure_agent();
        } else if wanted {
            self.start_early();
        }
    }

    fn line_up(&mut self, early: bool) {
        self.agent.phase = AgentPhase::Waiting { early };
        self.agent.patient_until = (!early).then(|| self.now.instant + self.limits.slot_patience);
        self.effects.push(Effect::AcquireSlot { wait: !early });
    }

    /// No agent is needed any more.
    pub(super) fn leave_line(&mut self) {
        match self.agent.phase {
            AgentPhase::Waiting { .. } => self.effects.push(Effect::ReleaseSlot),
            AgentPhase::HeldBack => {}
            _ => return,
        }
        self.agent.phase = AgentPhase::Stopped;
    }

    fn hold_back(&mut self) {
        self.agent.phase = AgentPhase::HeldBack;
        if self.turn.is_some() {
            let text = "the agent failed to start several times; the next try is held back for a moment";
            self.set_status(SessionStatus::Thinking, Some(text.to_owned()));
        }
    }

    pub(super) fn slot(&mut self, outcome: SlotOutcome) {
        let AgentPhase::Waiting { early } = self.agent.phase else {
            self.effects.push(Effect::ReleaseSlot);
            return;
        };
        match outcome {
            SlotOutcome::Granted => self.spawn(),
            SlotOutcome::Refused => {
                self.agent.phase = AgentPhase::Stopped;
                if !early {
                    let text = "every agent slot is taken and too many sessions wait already (--max-agents, --max-waiting)";
                    self.no_agent(ErrorCode::Capacity, text);
                } else if self.turn.is_some() {
                    self.ensure_agent();
                }
            }
        }
    }

    /// No slot is free yet; a client whose message waits is told so.
    pub(super) fn waiting(&mut self, ahead: usize) {
        if self.turn.is_some() && matches!(self.agent.phase, AgentPhase::Waiting { .. }) {
            let text = format!("waiting for a free agent slot ({ahead} ahead)");
            self.set_status(SessionStatus::Thinking, Some(text));
        }
    }

    fn spawn(&mut self) {
        self.agent.phase = AgentPhase::Spawning;
        self.agent.lines_sent = 0;
        self.agent.resumed = self.agent.conversation.started;
        self.agent.echoes = Echoes { is_fresh: self.agent.conversation.started, ..Echoes::default() };
        self.tasks.another_process();
        self.journal.tally().agent_launched(self.now.unix_ms);
        self.cost.process_starts(self.agent.conversation.started);
        self.converter = Converter::new(super::converter_options(&self.config));
        self.settings.restarted();
        self.deliveries.restarted();
        self.effects.push(Effect::Spawn(Box::new(self.launch_plan())));
    }

    /// What the agent would be started with now.
    pub fn launch_plan(&self) -> LaunchPlan {
        let mut config = self.config.clone();
        if config.model.is_none() {
            config.model.clone_from(&self.limits.default_model);
        }
        // The doors refuse it; this is behind all of them.
        if !self.may_have(config.permission_mode) {
            config.permission_mode = PermissionMode::Manual;
        }
        LaunchPlan {
            settings: self.rules.settings(&self.config, self.limits.allow_cross_session).get().to_owned(),
            config,
            conversation: self.agent.conversation.id,
            resume: self.agent.conversation.started,
        }
    }

    /// A warm agent takes the place of the one that was to be started. The conversation is the one that it began with.
    pub(super) fn adopted(&mut self, conversation: Uuid) {
        if self.agent.phase == AgentPhase::Spawning {
            self.agent.conversation.id = conversation;
            self.agent.resumed = false;
            self.effects.push(Effect::Persist);
            self.agent.phase =
                AgentPhase::Initializing { deadline: self.now.instant + self.limits.start_timeout };
            self.journal.tally().agent_adopted();
            self.initialized();
        } else {
            self.spawned(Ok(()));
        }
    }

    pub(super) fn spawned(&mut self, outcome: Result<(), String>) {
        match (self.agent.phase, outcome) {
            (AgentPhase::Spawning, Ok(())) => {
                let deadline = self.now.instant + self.limits.start_timeout;
                self.agent.phase = AgentPhase::Initializing { deadline };
                let id = self.control_id(Asked::Initialize);
                let line = control::initialize(&id, self.client_tools.servers(), self.config.subagent_text());
                self.tell(line);
            }
            (AgentPhase::Spawning, Err(reason)) => {
                self.agent.phase = AgentPhase::Stopped;
                self.effects.push(Effect::ReleaseSlot);
                self.start_failed(&reason);
            }
            // It was told to stop when there was nobody yet to be told; nor has it been told anything else.
            (_, Ok(())) => self.effects.push(Effect::StopAgent { now: true }),
            (_, Err(_)) => self.exited(&Exit::default()),
        }
    }

    /// The agent has answered the greeting.
    pub(super) fn initialized(&mut self) {
        let AgentPhase::Initializing { .. } = self.agent.phase else { return };
        self.agent.phase = AgentPhase::Ready;
        self.journal.tally().agent_started(self.now.unix_ms);
        self.agent.failures = 0;
        self.agent.renamed = 0;
        self.agent.not_before = None;
        if std::mem::take(&mut self.agent.crashed) {
            self.warn(
                WarningCode::AgentRestarted,
                "the agent had ended unexpectedly; a new one took over the conversation",
            );
        }
        let told = if self.agent.resumed { self.tasks.resumed(self.now) } else { Vec::new() };
        self.tell_tasks(told);
        self.effects.push(Effect::Announce);
        self.tell_stale();
        self.deliver();
        self.settle();
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
        let reason = words::for_clients(reason);
        self.no_agent(ErrorCode::AgentUnavailable, &format!("Claude Code did not start: {reason}"));
    }

    /// There will be no agent for now: the turn that needs one fails; without a turn, clients are told of what is broken.
    fn no_agent(&mut self, code: ErrorCode, reason: &str) {
        if matches!(self.life, Life::Closing(_)) {
            self.closed();
        } else if self.turn.is_some() {
            self.fail_turn(TurnErrorCode::AgentUnavailable, reason);
        } else if code != ErrorCode::Capacity {
            self.journal.event(&error(code, reason));
        }
    }

    /// Two refusals are about the conversation's id only: the other way of starting is the right one then.
    pub(super) fn exited_at_start(&mut self, exit: &Exit) {
        let may_rename = self.agent.renamed < MAX_RENAMED;
        if may_rename && exit.stderr.contains("is already in use") && !self.agent.conversation.started {
            self.agent.conversation.started = true;
        } else if may_rename
            && exit.stderr.contains("No conversation found")
            && self.agent.conversation.started
        {
            let text = "the agent's transcript of this session is gone; a new conversation was begun";
            self.warn(WarningCode::AgentRestarted, text);
            self.agent.conversation.id = Uuid::new_v4();
            self.agent.conversation.started = false;
            self.tasks.forget_asleep();
        } else if may_rename
            && exit.stderr.contains("cannot be used with root")
            && self.config.permission_mode == PermissionMode::Bypass
        {
            let text = "Claude Code refuses permission mode \"bypass\" where it runs as root (but in a sandbox, IS_SANDBOX=1); \
                the mode is \"manual\" again";
            self.warn(WarningCode::AgentNotice, text);
            self.config.permission_mode = PermissionMode::Manual;
            self.config_changed(None);
        } else {
            let killed_for = self.agent.killed_for.take().map(str::to_owned);
            self.start_failed(&killed_for.unwrap_or_else(|| describe(exit)));
            return;
        }
        self.agent.renamed += 1;
        self.effects.push(Effect::Persist);
        self.start_again(true);
    }
}
