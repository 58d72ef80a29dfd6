//! The session's permission rules. The agent's own matcher applies them; they are kept here so that a new process gets
//! them too.

use serde::{Deserialize, Serialize};

use super::{Asked, Asker, Effect, SessionState, error};
use crate::agent::control;
use crate::protocol::{
    ConfigMessage, ErrorCode, Json, PermissionUpdate, RuleBehavior, RuleSet, RuleUpdate, ServerMessage,
    SessionConfig,
};

/// Rules that have no place in the configuration, in the agent's syntax (`Tool` or `Tool(content)`); what allows and denies
/// stands in `allowed_tools` and `disallowed_tools`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleBook {
    /// Rules that make the agent ask.
    pub ask: Vec<String>,
    /// Directories that were added.
    pub directories: Vec<String>,
}

/// The agent's settings, as far as they are about rules.
#[derive(Serialize)]
struct Permissions<'a> {
    allow: &'a [String],
    deny: &'a [String],
    ask: &'a [String],
    #[serde(rename = "additionalDirectories")]
    directories: &'a [String],
}

#[derive(Serialize)]
struct AgentSettings<'a> {
    permissions: Permissions<'a>,
}

impl RuleBook {
    /// The session's rules as the agent's settings, JSON.
    pub(super) fn settings(&self, config: &SessionConfig) -> Json<'static> {
        let permissions = Permissions {
            allow: &config.allowed_tools,
            deny: &config.disallowed_tools,
            ask: &self.ask,
            directories: &self.directories,
        };
        Json::of(&AgentSettings { permissions }).unwrap_or_else(|_| Json::empty_object())
    }

    fn list<'a>(&'a mut self, config: &'a mut SessionConfig, behavior: RuleBehavior) -> &'a mut Vec<String> {
        match behavior {
            RuleBehavior::Allow => &mut config.allowed_tools,
            RuleBehavior::Deny => &mut config.disallowed_tools,
            RuleBehavior::Ask => &mut self.ask,
        }
    }

    fn apply(&mut self, config: &mut SessionConfig, update: &RuleUpdate) {
        match update {
            RuleUpdate::AddRules(set) => add(self.list(config, set.behavior), texts(set)),
            RuleUpdate::ReplaceRules(set) => *self.list(config, set.behavior) = texts(set).collect(),
            RuleUpdate::RemoveRules(set) => {
                let gone: Vec<String> = texts(set).collect();
                self.list(config, set.behavior).retain(|rule| !gone.contains(rule));
            }
            RuleUpdate::AddDirectories { directories } => {
                add(&mut self.directories, directories.iter().cloned());
            }
            RuleUpdate::RemoveDirectories { directories } => {
                self.directories.retain(|directory| !directories.contains(directory));
            }
            RuleUpdate::SetMode { .. } => {}
        }
    }
}

fn add(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn texts(set: &RuleSet) -> impl Iterator<Item = String> + '_ {
    set.rules.iter().map(|rule| match &rule.rule_content {
        Some(content) => format!("{}({content})", rule.tool_name),
        None => rule.tool_name.clone(),
    })
}

impl SessionState {
    /// `permission_update`.
    pub(super) fn permission_update(&mut self, asker: &Asker, update: &PermissionUpdate) {
        if self.refused_as_too_many(asker) {
            return;
        }
        if self.is_forbidden(&update.updates) {
            self.reply(asker, error(ErrorCode::Forbidden, BYPASS_REFUSED));
            return;
        }
        let mode = self.config.permission_mode;
        for update in &update.updates {
            self.keep(update);
        }
        if self.agent.is_ready() {
            self.tell_rules();
            if mode != self.config.permission_mode {
                self.tell_mode();
            }
        } else {
            self.settings.rules_are_stale();
        }
        self.config_changed(Some(&asker.id));
    }

    fn keep(&mut self, update: &RuleUpdate) {
        self.rules.apply(&mut self.config, update);
        if let RuleUpdate::SetMode { mode } = update {
            self.config.permission_mode = *mode;
        }
    }

    /// Keeps what the running agent was told with an answer, for the agent after it.
    pub(super) fn remember_rules(&mut self, updates: &[RuleUpdate]) {
        for update in updates {
            self.keep(update);
        }
    }

    /// Tells the agent what changed while it was being started.
    pub(super) fn tell_stale_rules(&mut self) {
        if self.settings.take_stale_rules() {
            self.tell_rules();
            self.tell_mode();
        }
    }

    /// Tells the agent the rules as they now are.
    fn tell_rules(&mut self) {
        let id = self.control_id(Asked::Rules);
        let settings = self.rules.settings(&self.config);
        self.tell(control::apply_flag_settings(&id, settings.raw()));
    }

    pub(super) fn tell_mode(&mut self) {
        let id = self.control_id(Asked::Rules);
        let mode = super::settings::agent_mode(self.config.permission_mode);
        self.tell(control::set_permission_mode(&id, mode));
    }

    /// Event `config_updated`.
    pub(super) fn config_changed(&mut self, request_id: Option<&str>) {
        let event = ServerMessage::ConfigUpdated(ConfigMessage { config: self.config.shown() });
        self.journal.event_for(request_id, &event);
        self.effects.push(Effect::Persist);
    }

    /// What `allow_always` applies of the agent's suggestions, which are a menu and not a bundle: rules and directories,
    /// for this session only; a mode only where nothing else is suggested.
    pub(super) fn updates_of_always(&self, suggestions: &[Json<'static>]) -> Vec<RuleUpdate> {
        let only_one = suggestions.len() == 1;
        let is_chosen = |update: &RuleUpdate| match update {
            RuleUpdate::AddRules(_) | RuleUpdate::AddDirectories { .. } => true,
            RuleUpdate::SetMode { mode } => only_one && self.may_have(*mode),
            _ => false,
        };
        suggestions.iter().filter_map(suggested).filter(is_chosen).collect()
    }

    /// Whether updates are not for a client to make.
    pub(super) fn is_forbidden(&self, updates: &[RuleUpdate]) -> bool {
        updates.iter().any(|update| matches!(update, RuleUpdate::SetMode { mode } if !self.may_have(*mode)))
    }
}

/// Why `bypass` is refused.
pub(super) const BYPASS_REFUSED: &str =
    "permission mode \"bypass\" needs a server that runs with --allow-bypass";

/// What the agent suggests; none where it is not known here. Its modes have its own names: its `auto` is not the protocol's.
fn suggested(suggestion: &Json<'static>) -> Option<RuleUpdate> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
        mode: Option<String>,
    }
    let Kind { kind, mode } = suggestion.to().ok()?;
    if kind == "setMode" {
        return Some(RuleUpdate::SetMode { mode: super::settings::protocol_mode(&mode?)? });
    }
    suggestion.to().ok()
}

/// An update in the agent's own form, valid for this session only: no settings file is written. Written anew as a whole, so that
/// the agent sees what was understood here and nothing else.
pub(super) fn for_agent(update: &RuleUpdate) -> Option<Json<'static>> {
    let serde_json::Value::Object(mut object) = serde_json::to_value(update).ok()? else { return None };
    object.insert("destination".to_owned(), "session".into());
    if let RuleUpdate::SetMode { mode } = update {
        object.insert("mode".to_owned(), super::settings::agent_mode(*mode).into());
    }
    Json::of(&object).ok()
}
