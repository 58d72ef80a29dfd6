//! What a client sent with `session_start`: each option either named or not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientTool, Effort, McpServer, PermissionMode, SessionConfig, mcp, read};

/// `session_start`. The options may stand in the message itself or nested in `config`; the nested ones win.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SessionStart {
    /// The options that were named; none of them in a plain attach.
    #[serde(flatten)]
    pub options: StartOptions,
    /// Where the client's view of the session ends.
    #[serde(flatten)]
    pub position: Position,
}

/// The last event that a client has seen, from which a replay goes on, and how much of large ones it wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Position {
    /// The last event that the client has seen; absent: live events only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// The epoch that `last_seq` came from; absent: taken to match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// Longest `content` of a `tool_result` event that this connection is sent of the session, bytes; a longer one is cut and the rest
    /// is there for `result_read`. Absent: none is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024))]
    pub max_content_bytes: Option<u64>,
}

impl Position {
    /// The least that `max_content_bytes` may be.
    pub const MIN_CONTENT_BYTES: u64 = 1024;

    /// `self`, with what `over` names taken from there.
    #[must_use]
    pub fn overlaid(self, over: Self) -> Self {
        Self {
            last_seq: over.last_seq.or(self.last_seq),
            epoch: over.epoch.or(self.epoch),
            max_content_bytes: over.max_content_bytes.or(self.max_content_bytes),
        }
    }
}

/// Options of a session as a client names them: `None` is "not named", which is not the same as the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StartOptions {
    /// Who is asked before a tool runs; default `manual`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// Most agent steps (API round trips) a turn may take; default: the agent's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_turns: Option<u32>,
    /// Most tokens of thinking; default: the agent's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_thinking_tokens: Option<u32>,
    /// Free key–value pairs of the front end; at most 64, kept and shown, never interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The agent's working directory; default: the first workspace root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cwd: Option<String>,
    /// The model; default: `--model`, else the agent's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// How much the model thinks; default: the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Replaces the agent's system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Is added to the agent's system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_system_prompt: Option<String>,
    /// Permission rules that allow, in the agent's own syntax (`Bash(git:*)`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Permission rules that deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disallowed_tools: Option<Vec<String>>,
    /// MCP servers: an array in ACP's form, or an object from name to server as in Claude's configuration.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "mcp::optional_servers")]
    #[schemars(with = "Option<mcp::Servers>")]
    pub mcp_servers: Option<Vec<McpServer>>,
    /// Further directories that the agent may work in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_dirs: Option<Vec<String>>,
    /// Tools that the front end runs.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "read::optional_objects")]
    pub client_tools: Option<Vec<ClientTool>>,
    /// Whether messages of the agent that have no form of their own here are handed on as `agent_event`; default no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_events: Option<bool>,
    /// Whether what a subagent says is told while the turn waits for it (of one in the background it always is); default yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subagent_text: Option<bool>,
}

impl StartOptions {
    /// Whether no option was named (a plain attach, or a session with every default).
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `self`, with what `over` names taken from there.
    #[must_use]
    pub fn overlaid(self, over: Self) -> Self {
        Self {
            permission_mode: over.permission_mode.or(self.permission_mode),
            max_turns: over.max_turns.or(self.max_turns),
            max_thinking_tokens: over.max_thinking_tokens.or(self.max_thinking_tokens),
            metadata: over.metadata.or(self.metadata),
            cwd: over.cwd.or(self.cwd),
            model: over.model.or(self.model),
            effort: over.effort.or(self.effort),
            system_prompt: over.system_prompt.or(self.system_prompt),
            append_system_prompt: over.append_system_prompt.or(self.append_system_prompt),
            allowed_tools: over.allowed_tools.or(self.allowed_tools),
            disallowed_tools: over.disallowed_tools.or(self.disallowed_tools),
            mcp_servers: over.mcp_servers.or(self.mcp_servers),
            add_dirs: over.add_dirs.or(self.add_dirs),
            client_tools: over.client_tools.or(self.client_tools),
            agent_events: over.agent_events.or(self.agent_events),
            subagent_text: over.subagent_text.or(self.subagent_text),
        }
    }

    /// The configuration of a new session: what was not named takes its default.
    pub fn into_config(self) -> SessionConfig {
        SessionConfig {
            permission_mode: self.permission_mode.unwrap_or_default(),
            max_turns: self.max_turns,
            max_thinking_tokens: self.max_thinking_tokens,
            metadata: self.metadata.unwrap_or_default(),
            cwd: self.cwd,
            model: self.model,
            effort: self.effort,
            system_prompt: self.system_prompt,
            append_system_prompt: self.append_system_prompt,
            allowed_tools: self.allowed_tools.unwrap_or_default(),
            disallowed_tools: self.disallowed_tools.unwrap_or_default(),
            ask_tools: Vec::new(),
            mcp_servers: self.mcp_servers.unwrap_or_default(),
            add_dirs: self.add_dirs.unwrap_or_default(),
            client_tools: self.client_tools.unwrap_or_default(),
            agent_events: self.agent_events.unwrap_or_default(),
            subagent_text: Some(self.subagent_text.unwrap_or(true)),
        }
    }

    /// Names of the options that were sent and are not what `config` says: what `config_ignored` is about.
    ///
    /// `cwd` is compared as text; who resolves paths resolves the option's before asking.
    pub fn differing_from(&self, config: &SessionConfig) -> Vec<&'static str> {
        fn differs<T: PartialEq>(sent: Option<&T>, is: &T) -> bool {
            sent.is_some_and(|sent| sent != is)
        }
        fn differs_optional<T: PartialEq>(sent: Option<&T>, is: Option<&T>) -> bool {
            sent.is_some() && sent != is
        }
        let mut names = Vec::new();
        let mut note = |differs: bool, name: &'static str| {
            if differs {
                names.push(name);
            }
        };
        note(differs(self.permission_mode.as_ref(), &config.permission_mode), "permission_mode");
        note(differs_optional(self.max_turns.as_ref(), config.max_turns.as_ref()), "max_turns");
        let (sent, is) = (self.max_thinking_tokens.as_ref(), config.max_thinking_tokens.as_ref());
        note(differs_optional(sent, is), "max_thinking_tokens");
        note(differs(self.metadata.as_ref(), &config.metadata), "metadata");
        note(differs_optional(self.cwd.as_ref(), config.cwd.as_ref()), "cwd");
        note(differs_optional(self.model.as_ref(), config.model.as_ref()), "model");
        note(differs_optional(self.effort.as_ref(), config.effort.as_ref()), "effort");
        note(differs_optional(self.system_prompt.as_ref(), config.system_prompt.as_ref()), "system_prompt");
        let (sent, is) = (self.append_system_prompt.as_ref(), config.append_system_prompt.as_ref());
        note(differs_optional(sent, is), "append_system_prompt");
        note(differs(self.allowed_tools.as_ref(), &config.allowed_tools), "allowed_tools");
        note(differs(self.disallowed_tools.as_ref(), &config.disallowed_tools), "disallowed_tools");
        note(differs(self.mcp_servers.as_ref(), &config.mcp_servers), "mcp_servers");
        note(differs(self.add_dirs.as_ref(), &config.add_dirs), "add_dirs");
        note(differs(self.client_tools.as_ref(), &config.client_tools), "client_tools");
        note(differs(self.agent_events.as_ref(), &config.agent_events), "agent_events");
        note(differs(self.subagent_text.as_ref(), &config.subagent_text()), "subagent_text");
        names
    }
}
