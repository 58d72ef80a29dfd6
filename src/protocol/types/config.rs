//! What a session is started with, and what of it can be changed while it runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Json;

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
}

/// One MCP server. `type` absent means stdio, as in ACP and in Claude's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct McpServer {
    /// The server's name, unique within the session.
    pub name: String,
    /// `stdio` (default), `http` or `sse`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<McpTransport>,
    /// stdio: the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// stdio: its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// stdio: its environment, as ACP's array of `{name, value}` or as an object.
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub env: Pairs,
    /// http, sse: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// http, sse: headers, as ACP's array of `{name, value}` or as an object.
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub headers: Pairs,
}

/// How an MCP server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum McpTransport {
    /// A child process of the agent.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// Server-sent events.
    Sse,
}

/// Names with values: an object, or ACP's array of `{name, value}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Pairs {
    /// `{"NAME": "value"}`
    Object(BTreeMap<String, String>),
    /// `[{"name": "NAME", "value": "value"}]`
    Array(Vec<Pair>),
}

/// One entry of [`Pairs::Array`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// The name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Default for Pairs {
    fn default() -> Self {
        Self::Object(BTreeMap::new())
    }
}

impl Pairs {
    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Object(map) => map.is_empty(),
            Self::Array(pairs) => pairs.is_empty(),
        }
    }

    /// The pairs, whichever form they came in.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&str, &str)> + '_> {
        match self {
            Self::Object(map) => Box::new(map.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            Self::Array(pairs) => {
                Box::new(pairs.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())))
            }
        }
    }
}

/// A tool that the front end runs: the model calls it, the client gets a `tool_use` with `executor: "client"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientTool {
    /// 1–64 of `A-Z a-z 0-9 _ -`; the model sees it as `mcp__client__NAME`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its input; an object schema.
    pub input_schema: Json<'static>,
}

/// What `config_update` may change. An absent field stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfigUpdateFields {
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Who is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// Most agent steps a turn may take, 1 to 1000; needs a restart of the agent between turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Most tokens of thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_thinking_tokens: Option<u32>,
}
