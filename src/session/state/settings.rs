//! `config_update`: what the agent can change while it runs is asked of it; the rest waits for a restart between turns.

use std::collections::HashMap;

use super::{Asked, Asker, SessionState, error};
use crate::agent::args::mode_name;
use crate::agent::{control, wire};
use crate::converter;
use crate::protocol::{
    ConfigMessage, ConfigUpdateFields, ErrorCode, PermissionMode, ServerMessage, SessionConfig,
};

/// Control requests that may wait for the agent's answer.
const MAX_ASKED: usize = 1024;

/// Changes that the agent has not confirmed yet, and what needs a restart.
#[derive(Debug, Default)]
pub(super) struct Settings {
    tickets: HashMap<u64, Ticket>,
    next_ticket: u64,
    restart: bool,
    /// Rules changed after the agent that is being started was given them.
    stale_rules: bool,
}

/// One `config_update`.
#[derive(Debug)]
struct Ticket {
    asker: Asker,
    fields: ConfigUpdateFields,
    unanswered: u32,
    refused: Option<String>,
}

impl Settings {
    /// Whether the agent has to be replaced before the next turn.
    pub(super) fn restart_is_due(&self) -> bool {
        self.restart
    }

    /// A new process has everything.
    pub(super) fn restarted(&mut self) {
        self.restart = false;
        self.stale_rules = false;
    }

    pub(super) fn rules_are_stale(&mut self) {
        self.stale_rules = true;
    }

    pub(super) fn take_stale_rules(&mut self) -> bool {
        std::mem::take(&mut self.stale_rules)
    }
}

impl SessionState {
    /// `config_query`.
    pub(super) fn config_query(&mut self, asker: &Asker) {
        let config = self.config.shown();
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
            // The next process is started with it. One that is being started right now is replaced before its first turn.
            apply(&mut self.config, &fields);
            self.settings.restart = true;
            self.config_changed(Some(&asker.id));
            return;
        }
        let ticket = self.settings.next_ticket;
        self.settings.next_ticket += 1;
        let unanswered = self.ask_for(&fields, ticket);
        self.settings.tickets.insert(ticket, Ticket { asker, fields, unanswered, refused: None });
        if unanswered == 0 {
            self.settled(ticket);
        }
    }

    /// Asks the running agent for each field that it can change; gives their number.
    fn ask_for(&mut self, fields: &ConfigUpdateFields, ticket: u64) -> u32 {
        let mut asked = 0;
        let mut ask = |state: &mut Self, line: &dyn Fn(&str) -> bytes::Bytes| {
            let id = state.control_id(Asked::Setting(ticket));
            state.tell(line(&id));
            asked += 1;
        };
        if let Some(model) = &fields.model {
            ask(self, &|id| control::set_model(id, Some(model)));
        }
        if let Some(mode) = fields.permission_mode {
            ask(self, &|id| control::set_permission_mode(id, agent_mode(mode)));
        }
        if let Some(tokens) = fields.max_thinking_tokens {
            ask(self, &|id| control::set_max_thinking_tokens(id, Some(tokens)));
        }
        asked
    }

    /// The agent has answered one of the questions of `ticket`.
    pub(super) fn setting_answered(&mut self, ticket: u64, failed: Option<&str>) {
        let Some(open) = self.settings.tickets.get_mut(&ticket) else { return };
        open.unanswered = open.unanswered.saturating_sub(1);
        if let Some(failed) = failed {
            open.refused = Some(failed.to_owned());
        }
        if open.unanswered == 0 {
            self.settled(ticket);
        }
    }

    fn settled(&mut self, ticket: u64) {
        let Some(ticket) = self.settings.tickets.remove(&ticket) else { return };
        if let Some(refused) = ticket.refused {
            let text = format!("the agent refused the change: {refused}");
            self.reply(&ticket.asker, error(ErrorCode::AgentFailed, text));
            return;
        }
        apply(&mut self.config, &ticket.fields);
        if ticket.fields.max_turns.is_some() {
            self.settings.restart = true;
        }
        self.config_changed(Some(&ticket.asker.id));
        self.settle();
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
            if let Some(refused) = ticket.refused {
                let text = format!("the agent refused the change: {refused}");
                self.reply(&ticket.asker, error(ErrorCode::AgentFailed, text));
                continue;
            }
            apply(&mut self.config, &ticket.fields);
            self.config_changed(Some(&ticket.asker.id));
        }
    }

    /// The agent's own view of the configuration, as it says at the start of a turn; leaving plan mode changes it.
    pub(super) fn sync_config(&mut self, init: &wire::Init<'_>) {
        let Some(mode) = init.permission_mode.text().as_deref().and_then(protocol_mode) else { return };
        // What was said before our own change does not count.
        let changing = self.asked.values().any(|asked| matches!(asked, Asked::Setting(_) | Asked::Rules));
        if mode == self.config.permission_mode || changing {
            return;
        }
        if self.may_have(mode) {
            self.config.permission_mode = mode;
            self.config_changed(None);
        } else {
            log::warn!("session {}: the agent says that it asks nobody; it is told to ask", self.id);
            self.tell_mode();
        }
    }

    /// Whether the operator permits that mode.
    pub(super) fn may_have(&self, mode: PermissionMode) -> bool {
        self.limits.allow_bypass || mode != PermissionMode::Bypass
    }
}

fn apply(config: &mut SessionConfig, fields: &ConfigUpdateFields) {
    if let Some(model) = &fields.model {
        config.model = Some(model.clone());
    }
    if let Some(mode) = fields.permission_mode {
        config.permission_mode = mode;
    }
    if let Some(turns) = fields.max_turns {
        config.max_turns = Some(turns);
    }
    if let Some(tokens) = fields.max_thinking_tokens {
        config.max_thinking_tokens = Some(tokens);
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
