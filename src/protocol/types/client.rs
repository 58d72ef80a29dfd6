//! Client → server messages.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    ConfigUpdateFields, ElicitationResponse, Json, Liveness, McpServer, RuleUpdate, SessionStart, read, shape,
};

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
    SessionList(ListSessions),
    /// Ends a session for good.
    SessionEnd(SessionEnd),
    /// Something for the agent to do; queued.
    UserMessage(UserMessage),
    /// Answers a `permission_request`.
    PermissionResponse(PermissionResponse),
    /// Answers an `elicitation_request`.
    ElicitationResponse(ElicitationResponse),
    /// Changes the session's permission rules.
    PermissionUpdate(PermissionUpdate),
    /// Result of a client tool, or answers to a question.
    ToolResult(ClientToolResult),
    /// Stops the running turn.
    Interrupt(Interrupt),
    /// Stops a task.
    TaskStop(TaskStop),
    /// Asks for what a task has written.
    TaskOutput(TaskOutput),
    /// Asks for a page of a tool's result.
    ResultRead(ResultRead),
    /// Sends a running tool to the background.
    Background(Background),
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

impl ClientMessage {
    /// Every `type` that a client may send.
    pub const TYPES: &'static [&'static str] = &[
        "session_start",
        "new_session",
        "session_info",
        "session_list",
        "session_end",
        "user_message",
        "permission_response",
        "elicitation_response",
        "permission_update",
        "tool_result",
        "interrupt",
        "task_stop",
        "task_output",
        "result_read",
        "background",
        "resume",
        "cancel",
        "config_update",
        "config_query",
        "heartbeat",
    ];

    /// The `type` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SessionStart(_) => "session_start",
            Self::NewSession(_) => "new_session",
            Self::SessionInfo(_) => "session_info",
            Self::SessionList(_) => "session_list",
            Self::SessionEnd(_) => "session_end",
            Self::UserMessage(_) => "user_message",
            Self::PermissionResponse(_) => "permission_response",
            Self::ElicitationResponse(_) => "elicitation_response",
            Self::PermissionUpdate(_) => "permission_update",
            Self::ToolResult(_) => "tool_result",
            Self::Interrupt(_) => "interrupt",
            Self::TaskStop(_) => "task_stop",
            Self::TaskOutput(_) => "task_output",
            Self::ResultRead(_) => "result_read",
            Self::Background(_) => "background",
            Self::Resume(_) => "resume",
            Self::Cancel(_) => "cancel",
            Self::ConfigUpdate(_) => "config_update",
            Self::ConfigQuery(_) => "config_query",
            Self::Heartbeat(_) => "heartbeat",
        }
    }
}

/// A message without fields of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// `new_session`, ACP's form.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NewSession {
    /// Absolute working directory.
    #[schemars(regex(pattern = "^/"))]
    pub cwd: String,
    /// MCP servers of the session; `mcpServers` is understood too.
    pub mcp_servers: Vec<McpServer>,
}

/// By hand, so that either spelling of `mcp_servers` will do (and both: the protocol's own then wins).
impl<'de> Deserialize<'de> for NewSession {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            cwd: String,
            mcp_servers: Option<Vec<McpServer>>,
            #[serde(rename = "mcpServers")]
            acp_spelling: Option<Vec<McpServer>>,
        }

        let fields = Fields::deserialize(deserializer)?;
        let servers = fields.mcp_servers.or(fields.acp_spelling);
        let mcp_servers = servers.ok_or_else(|| D::Error::missing_field("mcp_servers"))?;
        Ok(Self { cwd: fields.cwd, mcp_servers })
    }
}

/// `session_list`: which of the caller's sessions, and which page of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListSessions {
    /// Most sessions of the page, 1–1000; absent: 100.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ListCursor>,
    /// Text that must be in the working directory or in a value of `metadata`; case does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// One of these; empty: any.
    #[serde(deserialize_with = "read::or_default", skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<Liveness>,
    /// Pairs that the session's `metadata` must have.
    #[serde(deserialize_with = "read::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl ListSessions {
    /// Sessions of a page where the client names no number.
    pub const DEFAULT_LIMIT: usize = 100;
    /// Most sessions of a page.
    pub const MAX_LIMIT: u16 = 1000;
}

/// The place behind a page's last session; text on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCursor {
    /// When it was last active, Unix milliseconds.
    pub last_active_at: u64,
    /// Its id.
    pub session_id: String,
}

impl fmt::Display for ListCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.last_active_at, self.session_id)
    }
}

impl Serialize for ListCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once('.').and_then(|(time, id)| Some((time.parse().ok()?, id)));
        let (last_active_at, id) = parts
            .filter(|(_, id)| !id.is_empty())
            .ok_or_else(|| D::Error::custom("it is no `next_cursor` of a `session_list`"))?;
        Ok(Self { last_active_at, session_id: id.to_owned() })
    }
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
    #[schemars(with = "shape::Content")]
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
    #[schemars(length(min = 1))]
    pub request_id: String,
    /// The answer.
    pub decision: Decision,
    /// With `deny`: the reason, which the model reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// With `allow`: the input that the tool is to run with instead; an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::AnyObject>")]
    pub updated_input: Option<Json<'static>>,
    /// With `allow`: rules to apply, instead of those that `allow_always` would; an array of the agent's updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<shape::AgentRuleUpdate>>")]
    pub updated_permissions: Option<Vec<RuleUpdate>>,
    /// With `deny`: also ends the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupt: Option<bool>,
}

/// `permission_update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionUpdate {
    /// Changes, in order.
    #[schemars(length(min = 1))]
    pub updates: Vec<RuleUpdate>,
}

/// `tool_result` from a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientToolResult {
    /// The `tool_use` that this answers.
    #[schemars(length(min = 1))]
    pub tool_use_id: String,
    /// A string, or an array of content blocks; for an `AskUserQuestion`, a JSON object of answers.
    #[schemars(with = "shape::ToolContent")]
    pub content: Json<'static>,
    /// Whether the tool failed.
    #[serde(default, deserialize_with = "read::or_default")]
    pub is_error: bool,
}

/// `interrupt`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Interrupt {
    /// Why; for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether background tasks are stopped too.
    #[serde(deserialize_with = "read::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub tasks: bool,
}

/// `task_stop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskStop {
    /// The task.
    #[schemars(length(min = 1))]
    pub task_id: String,
}

/// `task_output` from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskOutput {
    /// The task.
    #[schemars(length(min = 1))]
    pub task_id: String,
}

/// `result_read` from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResultRead {
    /// The call.
    #[schemars(length(min = 1))]
    pub tool_use_id: String,
    /// `seq` of the `tool_result` event.
    #[schemars(range(min = 1))]
    pub seq: u64,
    /// Where the page begins in the whole content, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Longest page, bytes, 1–1,048,576; absent: 65,536. A page has at least one character, where any is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_bytes: Option<u32>,
}

impl ResultRead {
    /// Bytes of a page where the client names no number.
    pub const DEFAULT_BYTES: u32 = 64 << 10;
    /// Most bytes of a page.
    pub const MAX_BYTES: u32 = 1 << 20;
}

/// `background`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Background {
    /// The call that is to go on without the turn; none: all that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub tool_use_id: Option<String>,
}

/// `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancel {
    /// The `id` of a user message, a `permission_request` or an `elicitation_request`.
    #[schemars(length(min = 1))]
    pub target_id: String,
}

/// `config_update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigUpdate {
    /// What to change.
    #[serde(deserialize_with = "read::object")]
    pub config: ConfigUpdateFields,
}
