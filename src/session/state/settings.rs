//! `config_update`: what the agent can change while it runs is asked of it; the rest waits for a restart between turns.

use std::collections::{HashMap, HashSet};

use super::rules::Entry;
use super::{Asked, Asker, SessionState, error};
use crate::agent::args::mode_name;
use crate::agent::control;
use crate::converter;
use crate::protocol::{
    ConfigMessage, ConfigUpdateFields, Effort, ErrorCode, PermissionMode, ServerMessage, SessionConfig,
    WarningCode,
};

/// Control requests that may wait for the agent's answer.
const MAX_ASKED: usize = 1024;

/// Changes that the agent has not confirmed yet, and what needs a restart.
#[derive(Debug, Default)]
pub(super) struct Settings {
    tickets: HashMap<u64, Ticket>,
    next_ticket: u64,
    restart: bool,
    /// What the running agent has by its run-time settings and by nothing else: only that can be taken from it.
    at_run_time: HashSet<Entry>,
    /// Clients were told that the restart waits for tasks.
    said_waits: bool,
    /// What changed after the agent that is being started was given it.
    stale: Stale,
}

/// What an agent is told as soon as it is ready, since it was started with something else.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is told by a request of its own")]
struct Stale {
    rules: bool,
    model: bool,
    mode: bool,
    thinking: bool,
    effort: bool,
}

/// One `config_update`.
#[derive(Debug)]
struct Ticket {
    asker: Asker,
    /// Without those that were refused.
    fields: ConfigUpdateFields,
    unanswered: u32,
    refused: Vec<String>,
}

/// A field that the agent can change while it runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Model,
    Mode,
    Thinking,
    Effort,
}

impl Settings {
    /// Whether the agent has to be replaced before the next turn.
    pub(super) fn restart_is_due(&self) -> bool {
        self.restart
    }

    /// A new process has everything.
    pub(super) fn restarted(&mut self) {
        self.restart = false;
        self.said_waits = false;
        self.stale = Stale::default();
        self.at_run_time.clear();
    }

    pub(super) fn needs_restart(&mut self) {
        self.restart = true;
    }

    /// The agent is told of these by settings that replace the earlier ones.
    pub(super) fn added_at_run_time(&mut self, entries: Vec<Entry>) {
        self.at_run_time.extend(entries);
    }

    /// The running agent has this for as long as it lives.
    pub(super) fn is_fixed(&mut self, entry: &Entry) {
        self.at_run_time.remove(entry);
    }

    /// `by_settings`: the agent is told of what is left by settings. What it has by other ways only a new process forgets.
    pub(super) fn taken_away(&mut self, entry: &Entry, by_settings: bool) {
        let goes = self.at_run_time.remove(entry) && by_settings;
        self.restart |= !goes;
    }

    /// Rules changed, and perhaps the mode with them.
    pub(super) fn rules_are_stale(&mut self) {
        self.stale.rules = true;
        self.stale.mode = true;
    }

    fn fields_are_stale(&mut self, fields: &ConfigUpdateFields) {
        self.stale.model |= fields.model.is_some();
        self.stale.mode |= fields.permission_mode.is_some();
        self.stale.thinking |= fields.max_thinking_tokens.is_some();
        self.stale.effort |= fields.effort.is_some();
        self.restart |= fields.max_turns.is_some();
    }
}

impl SessionState {
    /// `config_query`.
    pub(super) fn config_query(&mut self, asker: &Asker) {
        let config = self.shown_config(Some(asker.client));
        self.reply(asker, ServerMessage::ConfigResponse(ConfigMessage { config }));
    }

    /// `config_update`.
    pub(super) fn config_update(&mut self, asker: Asker, fields: ConfigUpdateFields) {
        if fields.permission_mode.is_some_and(|mode| !self.may_have(mode)) {
            self.reply(&asker, error(ErrorCode::Forbidden, super::rules::BYPASS_REFUSED));
            return;
        }
        if self.refused_as_too_many(&asker) {
            return;
        }
        if !self.agent.is_ready() {
            // The next process is started with it. One that is being started right now is told, or replaced, before its first turn.
            self.apply(&fields);
            if self.agent.is_coming_up() {
                self.settings.fields_are_stale(&fields);
            }
            self.config_changed(Some(&asker.id));
            return;
        }
        let ticket = self.settings.next_ticket;
        self.settings.next_ticket += 1;
        let unanswered = self.ask_for(&fields, ticket);
        self.settings.tickets.insert(ticket, Ticket { asker, fields, unanswered, refused: Vec::new() });
        if unanswered == 0 {
            self.settled(ticket);
        }
    }

    /// Tells the agent what changed while it was being started: that is in the configuration already.
    pub(super) fn tell_stale(&mut self) {
        let Stale { rules, model, mode, thinking, effort } = std::mem::take(&mut self.settings.stale);
        if self.settings.restart {
            // Another one takes its place before it is told anything, and has it all.
            return;
        }
        if rules {
            self.tell_rules(None);
        }
        if mode {
            self.tell_mode(None);
        }
        if let Some(wanted) = self.config.model.clone().filter(|_| model) {
            let id = self.control_id(Asked::Rules(None));
            self.tell(control::set_model(&id, Some(&wanted)));
        }
        if let Some(tokens) = self.config.max_thinking_tokens.filter(|_| thinking) {
            let id = self.control_id(Asked::Rules(None));
            self.tell(control::set_max_thinking_tokens(&id, Some(tokens)));
        }
        if effort {
            let id = self.control_id(Asked::Rules(None));
            self.tell(control::set_effort(&id, self.config.effort.map(Effort::name)));
        }
    }

    /// Asks the running agent for each field that it can change; gives their number.
    fn ask_for(&mut self, fields: &ConfigUpdateFields, ticket: u64) -> u32 {
        let mut asked = 0;
        let mut ask = |state: &mut Self, field: Field, line: &dyn Fn(&str) -> bytes::Bytes| {
            let id = state.control_id(Asked::Setting(ticket, field));
            state.tell(line(&id));
            asked += 1;
        };
        if let Some(model) = &fields.model {
            ask(self, Field::Model, &|id| control::set_model(id, Some(model)));
        }
        // Bypass it takes at its start only.
        if let Some(mode) = fields.permission_mode.filter(|mode| *mode != PermissionMode::Bypass) {
            ask(self, Field::Mode, &|id| control::set_permission_mode(id, agent_mode(mode)));
        }
        if let Some(tokens) = fields.max_thinking_tokens {
            ask(self, Field::Thinking, &|id| control::set_max_thinking_tokens(id, Some(tokens)));
        }
        if let Some(effort) = fields.effort {
            ask(self, Field::Effort, &|id| control::set_effort(id, effort.map(Effort::name)));
        }
        asked
    }

    /// The agent has answered one of the questions of `ticket`.
    pub(super) fn setting_answered(&mut self, ticket: u64, field: Field, failed: Option<&str>) {
        let Some(open) = self.settings.tickets.get_mut(&ticket) else { return };
        open.unanswered = open.unanswered.saturating_sub(1);
        if let Some(failed) = failed {
            open.refuse(field, failed);
        }
        if open.unanswered == 0 {
            self.settled(ticket);
        }
    }

    fn settled(&mut self, ticket: u64) {
        let Some(ticket) = self.settings.tickets.remove(&ticket) else { return };
        self.settings.restart |= ticket.fields.max_turns.is_some();
        self.conclude(&ticket);
        self.settle();
    }

    /// What the agent took is kept; of what it refused the client is told.
    fn conclude(&mut self, ticket: &Ticket) {
        if ticket.refused.is_empty() || ticket.fields != ConfigUpdateFields::default() {
            self.apply(&ticket.fields);
            self.config_changed(Some(&ticket.asker.id));
        }
        if !ticket.refused.is_empty() {
            let text = format!("the agent refused the change of {}", ticket.refused.join("; "));
            self.reply(&ticket.asker, error(ErrorCode::AgentFailed, text));
        }
    }

    fn apply(&mut self, fields: &ConfigUpdateFields) {
        if let Some(mode) = fields.permission_mode {
            self.set_mode(mode);
        }
        apply(&mut self.config, fields);
    }

    /// The mode of the configuration. The agent refuses to change to bypass while it runs.
    pub(super) fn set_mode(&mut self, mode: PermissionMode) {
        let was = std::mem::replace(&mut self.config.permission_mode, mode);
        self.settings.restart |= mode == PermissionMode::Bypass && was != mode;
    }

    /// Every change waits for the agent's answer; one that gives none must not make the gateway hold ever more of them.
    pub(super) fn refused_as_too_many(&mut self, asker: &Asker) -> bool {
        let too_many = self.asked.len() >= MAX_ASKED;
        if too_many {
            self.reply(
                asker,
                error(ErrorCode::AgentFailed, "the agent has not answered many earlier changes"),
            );
        }
        too_many
    }

    /// Whether the agent is not to be replaced, since its tasks would end. Clients are told once that something is not in force yet.
    pub(super) fn restart_waits_for_tasks(&mut self) -> bool {
        let waits = self.held_until().is_some_and(|until| until > self.now.instant);
        if waits && !std::mem::replace(&mut self.settings.said_waits, true) {
            let text = "a change of the configuration needs another agent process, and waits until the background tasks have ended; \
                `interrupt` with `tasks` stops them";
            self.warn(WarningCode::AgentNotice, text);
        }
        waits
    }

    /// Between turns: replaces the agent where a setting needs it.
    pub(super) fn restart_if_due(&mut self) {
        if self.settings.restart {
            self.restart_agent();
        }
    }

    /// The process is gone with its questions unanswered: the next one starts with what was wanted.
    pub(super) fn settings_lost(&mut self) {
        let mut open: Vec<_> = std::mem::take(&mut self.settings.tickets).into_iter().collect();
        open.sort_by_key(|(number, _)| *number);
        for (_, ticket) in open {
            self.conclude(&ticket);
        }
    }

    /// The agent's own view of its mode, as it says at the start of a turn and when it changes (a plan was approved).
    pub(super) fn sync_config(&mut self, mode: &str) {
        let Some(mode) = protocol_mode(mode) else { return };
        // What was said before our own change does not count, nor what a process says that is to be replaced by one in bypass.
        let is_of_mode = |asked: &Asked| matches!(asked, Asked::Setting(..) | Asked::Rules(_));
        let waits = self.settings.restart && self.config.permission_mode == PermissionMode::Bypass;
        let changing = waits || self.asked.values().any(is_of_mode);
        if mode == self.config.permission_mode || changing {
            return;
        }
        if self.may_have(mode) {
            self.config.permission_mode = mode;
            self.config_changed(None);
        } else {
            log::warn!("session {}: the agent says that it asks nobody; it is told to ask", self.id);
            self.tell_mode(None);
        }
    }

    /// Whether the operator permits that mode.
    pub(super) fn may_have(&self, mode: PermissionMode) -> bool {
        self.limits.allow_bypass || mode != PermissionMode::Bypass
    }
}

impl Ticket {
    fn refuse(&mut self, field: Field, why: &str) {
        let name = match field {
            Field::Model => {
                self.fields.model = None;
                "model"
            }
            Field::Mode => {
                self.fields.permission_mode = None;
                "permission_mode"
            }
            Field::Thinking => {
                self.fields.max_thinking_tokens = None;
                "max_thinking_tokens"
            }
            Field::Effort => {
                self.fields.effort = None;
                "effort"
            }
        };
        self.refused.push(format!("`{name}`: {why}"));
    }
}

/// All but the mode.
fn apply(config: &mut SessionConfig, fields: &ConfigUpdateFields) {
    if let Some(model) = &fields.model {
        config.model = Some(model.clone());
    }
    if let Some(turns) = fields.max_turns {
        config.max_turns = Some(turns);
    }
    if let Some(tokens) = fields.max_thinking_tokens {
        config.max_thinking_tokens = Some(tokens);
    }
    if let Some(effort) = fields.effort {
        config.effort = effort;
    }
}

/// The agent's word for a permission mode.
pub(super) fn agent_mode(mode: PermissionMode) -> &'static str {
    mode_name(converter::agent_mode(mode))
}

/// The mode that the agent calls so; none for those that have no name here (newer ones: `auto`, `dontAsk`).
pub(super) fn protocol_mode(agent: &str) -> Option<PermissionMode> {
    PermissionMode::ALL.into_iter().find(|mode| agent_mode(*mode) == agent)
}
