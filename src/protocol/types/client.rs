//! Client → server messages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigUpdateFields, Json, McpServer, SessionConfig};

/// Everything a client can say: the common fields and the message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientFrame {
    /// The client's id of this message, 1–128 characters; empty where it is optional and absent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The session that is meant, where the message needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The message.
    #[serde(flatten)]
    pub message: ClientMessage,
}

/// A client's message without the common fields. `type` on the wire is the variant in snake case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Creates a session, or attaches to one.
    SessionStart(Box<SessionStart>),
    /// Creates a session, in ACP's form.
    NewSession(NewSession),
    /// Asks for `session_info`; does not attach.
    SessionInfo(Empty),
    /// Asks for the caller's sessions.
    SessionList(Empty),
    /// Ends a session for good.
    SessionEnd(SessionEnd),
    /// Something for the agent to do; queued.
    UserMessage(UserMessage),
    /// Answers a `permission_request`.
    PermissionResponse(PermissionResponse),
    /// Changes the session's permission rules.
    PermissionUpdate(PermissionUpdate),
    /// Result of a client tool, or answers to a question.
    ToolResult(ClientToolResult),
    /// Stops the running turn.
    Interrupt(Interrupt),
    /// Goes on after an interrupted or broken turn.
    Resume(Empty),
    /// Takes back a queued message, the running turn, or an open prompt.
    Cancel(Cancel),
    /// Changes the configuration of a running session.
    ConfigUpdate(ConfigUpdate),
    /// Asks for `config_response`.
    ConfigQuery(Empty),
    /// Sign of life.
    Heartbeat(Empty),
}

/// A message without fields of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// `session_start`. The options may stand in the message itself or nested in `config`; the nested ones win.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SessionStart {
    /// Options; `None` where the client sent none at all (plain attach).
    #[serde(flatten)]
    pub config: Option<SessionConfig>,
    /// The last event that the client has seen; absent: live events only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// The epoch that `last_seq` came from; absent: taken to match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}

/// `new_session`, ACP's form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewSession {
    /// Absolute working directory.
    pub cwd: String,
    /// MCP servers of the session.
    #[serde(alias = "mcpServers")]
    pub mcp_servers: Vec<McpServer>,
}

/// `session_end`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionEnd {
    /// Why; for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `user_message`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserMessage {
    /// A string, an array of content blocks, or a string that holds a JSON array of blocks.
    pub content: Json<'static>,
    /// The tool use that this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<String>,
}

/// An answer to a permission prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// This once.
    Allow,
    /// Not.
    Deny,
    /// Now and for the rest of the session.
    AllowAlways,
}

/// `permission_response`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionResponse {
    /// The `id` of the `permission_request`.
    pub request_id: String,
    /// The answer.
    pub decision: Decision,
    /// With `deny`: the reason, which the model reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// With `allow`: the input that the tool is to run with instead; an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_input: Option<Json<'static>>,
    /// With `allow`: rules to apply, instead of those that `allow_always` would; an array of the agent's updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_permissions: Option<Vec<Json<'static>>>,
    /// With `deny`: also ends the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupt: Option<bool>,
}

/// `permission_update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionUpdate {
    /// Changes, in order.
    pub updates: Vec<RuleUpdate>,
}

/// One change of a session's permission rules, in the agent's own form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum RuleUpdate {
    /// Adds rules.
    AddRules(RuleSet),
    /// Replaces all rules of that behavior.
    ReplaceRules(RuleSet),
    /// Removes rules.
    RemoveRules(RuleSet),
    /// Sets the permission mode.
    SetMode {
        /// The mode.
        mode: super::PermissionMode,
    },
    /// Adds working directories.
    AddDirectories {
        /// Absolute paths.
        directories: Vec<String>,
    },
    /// Removes working directories that were added.
    RemoveDirectories {
        /// Absolute paths.
        directories: Vec<String>,
    },
}

/// Rules of one behavior.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSet {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What they say.
    #[serde(default)]
    pub behavior: RuleBehavior,
}

/// One permission rule: a tool, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `Bash`, `Read`, `mcp__server__tool` …
    #[serde(alias = "tool_name")]
    pub tool_name: String,
    /// `git:*`, a path pattern …; absent: the whole tool.
    #[serde(default, alias = "rule_content", skip_serializing_if = "Option::is_none")]
    pub rule_content: Option<String>,
}

/// What a rule says.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RuleBehavior {
    /// Without asking.
    #[default]
    Allow,
    /// Never.
    Deny,
    /// Always ask.
    Ask,
}

/// `tool_result` from a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientToolResult {
    /// The `tool_use` that this answers.
    pub tool_use_id: String,
    /// A string, or an array of content blocks; for an `AskUserQuestion`, a JSON object of answers.
    pub content: Json<'static>,
    /// Whether the tool failed.
    #[serde(default)]
    pub is_error: bool,
}

/// `interrupt`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Interrupt {
    /// Why; for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancel {
    /// The `id` of a user message or of a `permission_request`.
    pub target_id: String,
}

/// `config_update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigUpdate {
    /// What to change.
    pub config: ConfigUpdateFields,
}
