//! The session's permission rules. The agent's own matcher applies them; they are kept here so that a new process gets
//! them too.

use serde::{Deserialize, Serialize};

use super::{Asked, Asker, ClientId, Effect, SessionState, error};
use crate::agent::control;
use crate::protocol::{
    ConfigMessage, ErrorCode, Json, PermissionMode, PermissionUpdate, RuleBehavior, RuleSet, RuleUpdate,
    ServerMessage, SessionConfig,
};

/// Rules that have no place in the configuration, in the agent's syntax (`Tool` or `Tool(content)`); what allows and denies
/// stands in `allowed_tools` and `disallowed_tools`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleBook {
    /// Rules that make the agent ask.
    pub ask: Vec<String>,
    /// Directories that were added, in records of earlier versions; they stand in `add_dirs` now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<String>,
}

/// Rules of one behavior, or directories, that a session may have.
const MAX_RULES: usize = 4096;
/// Bytes of the agent's settings. With a file of more than 2 MiB it does not start.
const MAX_SETTINGS: usize = (2 << 20) - (4 << 10);
/// Bytes of directories, which are arguments of the agent's command line: Linux takes 2 MiB of these, with the environment.
const MAX_DIRECTORIES: usize = 1 << 20;

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
    /// Messages of other sessions that share the agent's home: 2.1.224 and later run a turn for each unless this is `refuse`. (`hold`
    /// keeps them; a value that is not known counts as `hold`. Earlier versions have no such messages and ignore it.)
    #[serde(rename = "crossSessionInbound", skip_serializing_if = "Option::is_none")]
    cross_session: Option<&'static str>,
}

impl RuleBook {
    /// The session's rules as the agent's settings, JSON. `cross_session`: whether other sessions may send it messages.
    pub(super) fn settings(&self, config: &SessionConfig, cross_session: bool) -> Json<'static> {
        let permissions = Permissions {
            allow: &config.allowed_tools,
            deny: &config.disallowed_tools,
            ask: &self.ask,
            directories: &config.add_dirs,
        };
        let cross_session = (!cross_session).then_some("refuse");
        Json::of(&AgentSettings { permissions, cross_session }).unwrap_or_else(|_| Json::empty_object())
    }

    /// What of the rules and directories is more than an agent can be started with, for the client.
    fn excess(&self, config: &SessionConfig) -> Option<&'static str> {
        let directories: usize = config.add_dirs.iter().map(String::len).sum();
        if directories > MAX_DIRECTORIES {
            Some(
                "the session's directories would have more than 1 MiB together; name fewer, or one above them",
            )
        } else if self.settings(config, false).get().len() > MAX_SETTINGS {
            Some("the session's rules would have more than 2 MiB together; write fewer, or wider ones")
        } else {
            None
        }
    }

    fn list<'a>(&'a mut self, config: &'a mut SessionConfig, behavior: RuleBehavior) -> &'a mut Vec<String> {
        match behavior {
            RuleBehavior::Allow => &mut config.allowed_tools,
            RuleBehavior::Deny => &mut config.disallowed_tools,
            RuleBehavior::Ask => &mut self.ask,
        }
    }

    /// Makes one change; tells what it added and what it took away.
    fn apply(&mut self, config: &mut SessionConfig, update: &RuleUpdate) -> Difference {
        let (list, kind) = match update {
            RuleUpdate::AddRules(set) | RuleUpdate::ReplaceRules(set) | RuleUpdate::RemoveRules(set) => {
                (self.list(config, set.behavior), Kind::Rule(set.behavior))
            }
            RuleUpdate::AddDirectories { .. } | RuleUpdate::RemoveDirectories { .. } => {
                (&mut config.add_dirs, Kind::Directory)
            }
            RuleUpdate::SetMode { .. } => return Difference::default(),
        };
        let before = list.clone();
        match update {
            RuleUpdate::AddRules(set) => add(list, texts(set)),
            RuleUpdate::ReplaceRules(set) => {
                list.clear();
                add(list, texts(set));
            }
            RuleUpdate::RemoveRules(set) => {
                let gone: Vec<String> = texts(set).collect();
                list.retain(|rule| !gone.contains(rule));
            }
            RuleUpdate::AddDirectories { directories } => add(list, directories.iter().cloned()),
            RuleUpdate::RemoveDirectories { directories } => {
                list.retain(|directory| !directories.contains(directory));
            }
            RuleUpdate::SetMode { .. } => {}
        }
        let without = |list: &[String], other: &[String]| {
            let only_here = list.iter().filter(|entry| !other.contains(entry));
            only_here.map(|entry| (kind, entry.clone())).collect()
        };
        Difference { added: without(list, &before), removed: without(&before, list) }
    }
}

/// What an entry of the session's rules is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Rule(RuleBehavior),
    Directory,
}

/// A rule, or a directory, and which of the two it is.
pub(super) type Entry = (Kind, String);

/// What a change did.
#[derive(Debug, Default)]
struct Difference {
    added: Vec<Entry>,
    removed: Vec<Entry>,
}

/// The way by which a change reaches the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Settings that replace the earlier ones of that kind: what is taken out of them is out.
    Settings,
    /// With the answer to a prompt: the process keeps it for as long as it lives.
    Answer,
}

pub(super) fn add(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
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
        if let Some(excess) = self.excess_of(&update.updates) {
            self.reply(asker, error(ErrorCode::InvalidMessage, format!("updates: {excess}")));
            return;
        }
        let mode = self.config.permission_mode;
        for update in &update.updates {
            self.keep(update, Way::Settings);
        }
        if self.agent.is_ready() {
            self.tell_rules(Some(asker));
            if mode != self.config.permission_mode {
                self.tell_mode(Some(asker));
            }
        } else {
            self.settings.rules_are_stale();
        }
        self.config_changed(Some(&asker.id));
        self.settle();
    }

    fn keep(&mut self, update: &RuleUpdate, way: Way) {
        let Difference { added, removed } = self.rules.apply(&mut self.config, update);
        for entry in removed {
            self.settings.taken_away(&entry, way == Way::Settings);
        }
        match (way, update) {
            (Way::Settings, _) => self.settings.added_at_run_time(added),
            // It holds by two ways now.
            (Way::Answer, RuleUpdate::AddRules(set)) => {
                for rule in texts(set) {
                    self.settings.is_fixed(&(Kind::Rule(set.behavior), rule));
                }
            }
            (Way::Answer, RuleUpdate::AddDirectories { directories }) => {
                for directory in directories {
                    self.settings.is_fixed(&(Kind::Directory, directory.clone()));
                }
            }
            (Way::Answer, _) => {}
        }
        self.revoke_always(update);
        if let RuleUpdate::SetMode { mode } = update {
            self.set_mode(*mode);
        }
    }

    /// Calls that were allowed always are asked about again where a rule about their tool was taken back, or one was made.
    fn revoke_always(&mut self, update: &RuleUpdate) {
        match update {
            // Nothing but these rules is allowed.
            RuleUpdate::ReplaceRules(set) if set.behavior == RuleBehavior::Allow => self.prompts.revoke("*"),
            RuleUpdate::AddRules(set) if set.behavior == RuleBehavior::Allow => {}
            RuleUpdate::RemoveRules(set) if set.behavior != RuleBehavior::Allow => {}
            RuleUpdate::AddRules(set) | RuleUpdate::ReplaceRules(set) | RuleUpdate::RemoveRules(set) => {
                for rule in &set.rules {
                    self.prompts.revoke(&rule.tool_name);
                }
            }
            _ => {}
        }
    }

    /// Keeps what the running agent was told with an answer, for the agent after it.
    pub(super) fn remember_rules(&mut self, updates: &[RuleUpdate]) {
        for update in updates {
            self.keep(update, Way::Answer);
        }
    }

    /// Tells the agent the rules as they now are.
    pub(super) fn tell_rules(&mut self, asker: Option<&Asker>) {
        let id = self.control_id(Asked::Rules(asker.cloned()));
        let settings = self.rules.settings(&self.config, self.limits.allow_cross_session);
        self.tell(control::apply_flag_settings(&id, settings.raw()));
    }

    /// Tells the agent its mode, if it can change to that one while it runs.
    pub(super) fn tell_mode(&mut self, asker: Option<&Asker>) {
        if self.config.permission_mode != PermissionMode::Bypass {
            let id = self.control_id(Asked::Rules(asker.cloned()));
            let mode = super::settings::agent_mode(self.config.permission_mode);
            self.tell(control::set_permission_mode(&id, mode));
        }
    }

    /// The running agent does not take a change that is in the configuration already: the next one begins with it.
    pub(super) fn rules_refused(&mut self, asker: Option<&Asker>, failed: &str) {
        let text = format!(
            "the agent refused the change while it runs ({failed}); a new process has it from the next turn on"
        );
        log::warn!("session {}: {text}", self.id);
        if let Some(asker) = asker {
            self.reply(asker, error(ErrorCode::AgentFailed, text));
        }
        self.settings.needs_restart();
        self.settle();
    }

    /// The configuration as clients see it: everybody, or that one.
    pub(super) fn shown_config(&self, to: Option<ClientId>) -> SessionConfig {
        let is_maker = to.is_some() && to == self.maker;
        let shown = if is_maker { self.config.shown_to_its_maker() } else { self.config.shown() };
        SessionConfig { ask_tools: self.rules.ask.clone(), ..shown }
    }

    /// Event `config_updated`.
    pub(super) fn config_changed(&mut self, request_id: Option<&str>) {
        let event = ServerMessage::ConfigUpdated(ConfigMessage { config: self.shown_config(None) });
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
        let mut chosen: Vec<_> = suggestions.iter().filter_map(suggested).filter(is_chosen).collect();
        if self.excess_of(&chosen).is_some() {
            chosen.clear();
        }
        chosen
    }

    /// Whether a session would have more by these updates than it may, and more of what; for the client.
    pub(super) fn excess_of(&self, updates: &[RuleUpdate]) -> Option<String> {
        let more = |update: &RuleUpdate| match update {
            RuleUpdate::AddRules(set) | RuleUpdate::ReplaceRules(set) => set.rules.len(),
            RuleUpdate::AddDirectories { directories } => directories.len(),
            _ => 0,
        };
        let more: usize = updates.iter().map(more).sum();
        if more == 0 {
            return None;
        }
        let config = &self.config;
        let lists = [&config.allowed_tools, &config.disallowed_tools, &self.rules.ask, &config.add_dirs];
        if lists.iter().any(|list| list.len() + more > MAX_RULES) {
            return Some(format!("the session would have more than {MAX_RULES} rules or directories"));
        }
        let (mut rules, mut config) = (self.rules.clone(), self.config.clone());
        for update in updates {
            rules.apply(&mut config, update);
        }
        rules.excess(&config).map(str::to_owned)
    }

    /// Whether updates are not for a client to make.
    pub(super) fn is_forbidden(&self, updates: &[RuleUpdate]) -> bool {
        updates.iter().any(|update| matches!(update, RuleUpdate::SetMode { mode } if !self.may_have(*mode)))
    }
}

/// What of a new session's configuration is more than an agent can be started with, for the client.
pub fn excess(config: &SessionConfig) -> Option<&'static str> {
    RuleBook::default().excess(config)
}

/// Why `bypass` is refused.
pub(super) const BYPASS_REFUSED: &str =
    "permission mode \"bypass\" needs a server that runs with --allow-bypass";

/// What the agent suggests; none where it is not known here. Its modes have its own names: its `auto` is not the protocol's.
fn suggested(suggestion: &Json<'static>) -> Option<RuleUpdate> {
    #[derive(Deserialize)]
    struct Suggestion {
        #[serde(rename = "type")]
        kind: String,
        mode: Option<String>,
    }
    let Suggestion { kind, mode } = suggestion.to().ok()?;
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
