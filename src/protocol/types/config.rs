//! What a session is started with, and what of it can be changed while it runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HIDDEN, Json, McpServer, read};

/// Who is asked before a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PermissionMode {
    /// Ask the client (also spelled `default`).
    #[default]
    #[serde(alias = "default")]
    Manual,
    /// Edits of files are not asked about (also spelled `acceptEdits`).
    #[serde(alias = "acceptEdits")]
    Auto,
    /// Plan only; nothing is changed.
    Plan,
    /// Nothing is asked (also spelled `bypassPermissions`); needs `--allow-bypass`.
    #[serde(alias = "bypassPermissions")]
    Bypass,
}

impl PermissionMode {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Manual, Self::Auto, Self::Plan, Self::Bypass];
}

/// How much the model thinks before and while it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// The least.
    Low,
    /// Between.
    Medium,
    /// Much.
    High,
    /// More than that.
    Xhigh,
    /// As much as there is.
    Max,
}

impl Effort {
    /// Every one, from the least to the most.
    pub const ALL: [Self; 5] = [Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// Its name, here and in the agent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.name() == name)
    }
}

/// Options of a session, as in `session_start` and `config_updated`.
///
/// Every field is optional on the wire; what is absent takes the default given here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionConfig {
    /// Who is asked before a tool runs.
    pub permission_mode: PermissionMode,
    /// Most agent steps (API round trips) a turn may take; none: the agent's own default. 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Most tokens of thinking; none: the agent's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_thinking_tokens: Option<u32>,
    /// Free key–value pairs of the front end; at most 64, kept and shown, never interpreted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The agent's working directory, absolute after the start; default: the first workspace root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The model; none: `--model`, else the agent's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How much the model thinks; none: the model's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Replaces the agent's system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Is added to the agent's system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_system_prompt: Option<String>,
    /// Permission rules that allow, in the agent's own syntax (`Bash(git:*)`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_tools: Vec<String>,
    /// Permission rules that deny.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disallowed_tools: Vec<String>,
    /// Permission rules that make the agent ask. Only shown: `permission_update` makes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ask_tools: Vec<String>,
    /// MCP servers, in ACP's form (array with `name`) or Claude's; see [`McpServer`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mcp_servers: Vec<McpServer>,
    /// Further directories that the agent may work in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_dirs: Vec<String>,
    /// Tools that the front end runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_tools: Vec<ClientTool>,
    /// Whether messages of the agent that have no form of their own here are handed on as `agent_event`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub agent_events: bool,
    /// Whether what a subagent says is told while the turn waits for it (of one in the background it always is); none: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subagent_text: Option<bool>,
}

impl SessionConfig {
    /// Whether what subagents say is told.
    pub fn subagent_text(&self) -> bool {
        self.subagent_text.unwrap_or(true)
    }

    /// The configuration as it is shown to whoever is attached: what may hold secrets is [`HIDDEN`]. These are the system prompts, and
    /// of MCP servers the arguments, the address, and the values of environment and headers.
    #[must_use]
    pub fn shown(&self) -> Self {
        let mut shown = self.shown_to_its_maker();
        let prompts = [&mut shown.system_prompt, &mut shown.append_system_prompt];
        let addresses = shown.mcp_servers.iter_mut().map(|server| &mut server.url);
        for text in prompts.into_iter().chain(addresses).flatten() {
            HIDDEN.clone_into(text);
        }
        for argument in shown.mcp_servers.iter_mut().flat_map(|server| &mut server.args) {
            HIDDEN.clone_into(argument);
        }
        shown
    }

    /// The same for the connection that made the session: only what comes from environments and headers is [`HIDDEN`].
    #[must_use]
    pub fn shown_to_its_maker(&self) -> Self {
        let mut shown = self.clone();
        for server in &mut shown.mcp_servers {
            server.env = server.env.hidden();
            server.headers = server.headers.hidden();
        }
        shown
    }
}

/// A tool that the front end runs: the model calls it, the client gets a `tool_use` with `executor: "client"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientTool {
    /// 1–64 of `A-Z a-z 0-9 _ -`; the model sees it as `mcp__client__NAME`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{1,64}$"))]
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its input; an object schema.
    #[schemars(extend("type" = "object", "properties" = {"type": {"const": "object"}}, "required" = ["type"]))]
    pub input_schema: Json<'static>,
}

/// What `config_update` may change. An absent field stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfigUpdateFields {
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// Who is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// Most agent steps a turn may take, 1 to 1000; needs a restart of the agent between turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_turns: Option<u32>,
    /// Most tokens of thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_thinking_tokens: Option<u32>,
    /// How much the model thinks; `null`: the model's own default.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "read::named")]
    #[schemars(with = "Option<Effort>")]
    pub effort: Option<Option<Effort>>,
}
