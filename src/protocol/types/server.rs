//! Server → client messages: session events (they carry `seq`) and replies.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AssistantMessageComplete, AssistantMessageDelta, AssistantMessageStart, Decision, Json, NewSessionReply,
    SessionConfig, SessionInfo, SessionList, Text, shape,
};
use crate::protocol::{ErrorCode, WarningCode};

/// The common fields around a server message.
///
/// `seq` and `timestamp` are set on session events; a heartbeat has `timestamp` only; replies have neither.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerFrame<'a> {
    /// The message, whose variant is `type` on the wire.
    #[serde(flatten)]
    pub message: ServerMessage<'a>,
    /// Opaque, unique within the session. `assistant_message_*` of one message share it.
    pub id: Cow<'a, str>,
    /// The session; empty where none applies.
    pub session_id: Cow<'a, str>,
    /// The client message that this answers or stems from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Cow<'a, str>>,
    /// Position in the session's log, strictly increasing within an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
}

/// A server's message without the common fields. `type` on the wire is the variant in snake case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// Event: a user message was accepted.
    UserMessage(UserMessageEvent<'a>),
    /// Event: a message of the model begins.
    AssistantMessageStart(AssistantMessageStart<'a>),
    /// Event: a piece of it.
    AssistantMessageDelta(AssistantMessageDelta<'a>),
    /// Event: it is finished.
    AssistantMessageComplete(AssistantMessageComplete<'a>),
    /// Event: a tool is called.
    ToolUse(ToolUse<'a>),
    /// Event: what a tool gave.
    ToolResult(ToolResult<'a>),
    /// Event: a person is asked.
    PermissionRequest(PermissionRequest<'a>),
    /// Event: the prompt is closed.
    PermissionResolved(PermissionResolved<'a>),
    /// Event: what the session is doing.
    StatusUpdate(StatusUpdate<'a>),
    /// Event (or reply, with outcome `nothing_running`).
    Interrupted(Interrupted),
    /// Event: a target was cancelled.
    Cancelled(Cancelled<'a>),
    /// Event: the configuration as it now is.
    ConfigUpdated(ConfigMessage),
    /// Event: a turn ended.
    Result(Box<TurnResult<'a>>),
    /// Event or reply: something to know.
    Warning(Warning<'a>),
    /// Event or reply: something went wrong.
    Error(ErrorMessage<'a>),
    /// Event: the session is over; nothing follows.
    SessionEnded(SessionEnded),
    /// Event: a message of the agent, untouched.
    AgentEvent(AgentEvent<'a>),
    /// Reply: what the session is.
    SessionInfo(Box<SessionInfo<'a>>),
    /// Reply: the caller's sessions.
    SessionList(SessionList),
    /// Reply to `new_session`.
    NewSession(NewSessionReply),
    /// Reply to `config_query`.
    ConfigResponse(ConfigMessage),
    /// Reply to `heartbeat`, and the server's own sign of life.
    Heartbeat(super::Empty),
}

impl ServerMessage<'_> {
    /// Every `type` that the server may send.
    pub const TYPES: &'static [&'static str] = &[
        "user_message",
        "assistant_message_start",
        "assistant_message_delta",
        "assistant_message_complete",
        "tool_use",
        "tool_result",
        "permission_request",
        "permission_resolved",
        "status_update",
        "interrupted",
        "cancelled",
        "config_updated",
        "result",
        "warning",
        "error",
        "session_ended",
        "agent_event",
        "session_info",
        "session_list",
        "new_session",
        "config_response",
        "heartbeat",
    ];

    /// The `type` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UserMessage(_) => "user_message",
            Self::AssistantMessageStart(_) => "assistant_message_start",
            Self::AssistantMessageDelta(_) => "assistant_message_delta",
            Self::AssistantMessageComplete(_) => "assistant_message_complete",
            Self::ToolUse(_) => "tool_use",
            Self::ToolResult(_) => "tool_result",
            Self::PermissionRequest(_) => "permission_request",
            Self::PermissionResolved(_) => "permission_resolved",
            Self::StatusUpdate(_) => "status_update",
            Self::Interrupted(_) => "interrupted",
            Self::Cancelled(_) => "cancelled",
            Self::ConfigUpdated(_) => "config_updated",
            Self::Result(_) => "result",
            Self::Warning(_) => "warning",
            Self::Error(_) => "error",
            Self::SessionEnded(_) => "session_ended",
            Self::AgentEvent(_) => "agent_event",
            Self::SessionInfo(_) => "session_info",
            Self::SessionList(_) => "session_list",
            Self::NewSession(_) => "new_session",
            Self::ConfigResponse(_) => "config_response",
            Self::Heartbeat(_) => "heartbeat",
        }
    }
}

/// `user_message` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserMessageEvent<'a> {
    /// As the client sent it: a string or an array of content blocks.
    #[schemars(with = "shape::Content")]
    pub content: Json<'a>,
    /// As the client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
}

/// Who runs a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Executor {
    /// The agent.
    Agent,
    /// The front end, which answers with `tool_result`.
    Client,
}

/// `tool_use` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolUse<'a> {
    /// The call's id.
    pub tool_use_id: Cow<'a, str>,
    /// The tool.
    pub tool_name: Cow<'a, str>,
    /// Its input, an object.
    #[schemars(with = "shape::AnyObject")]
    pub tool_input: Json<'a>,
    /// Set on calls of a subagent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
    /// Who runs it.
    pub executor: Executor,
}

/// `tool_result` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolResult<'a> {
    /// The call.
    pub tool_use_id: Cow<'a, str>,
    /// The text; several text blocks are joined by newlines.
    pub content: Text<'a>,
    /// Whether the tool failed or was denied.
    pub is_error: bool,
    /// The original blocks, where they are not only text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<shape::ContentBlock>>")]
    pub blocks: Option<Json<'a>>,
    /// Set on results of a subagent's calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
}

/// How dangerous a tool call is held to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Reads.
    Low,
    /// Anything else.
    #[default]
    Medium,
    /// The agent itself flagged it.
    High,
}

/// What a person needs to decide.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PermissionContext<'a> {
    /// What the call does, in words.
    pub description: Cow<'a, str>,
    /// How dangerous it is held to be.
    pub risk_level: RiskLevel,
    /// The agent's suggestions of rules, as it made them: a menu, not a bundle.
    #[schemars(with = "Vec<shape::AgentRuleUpdate>")]
    pub suggestions: Vec<Json<'a>>,
    /// Why the agent asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The path that made the agent ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_path: Option<Cow<'a, str>>,
}

/// `permission_request` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionRequest<'a> {
    /// The tool.
    pub tool_name: Cow<'a, str>,
    /// The input it would run with.
    #[schemars(with = "shape::AnyObject")]
    pub tool_input: Json<'a>,
    /// The call.
    pub tool_use_id: Cow<'a, str>,
    /// What a person needs to decide.
    pub context: PermissionContext<'a>,
}

/// How a prompt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Allowed this once.
    Allow,
    /// Denied.
    Deny,
    /// Allowed for the session.
    AllowAlways,
    /// Nobody decided; the question went away.
    Cancelled,
}

impl From<Decision> for Resolution {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow => Self::Allow,
            Decision::Deny => Self::Deny,
            Decision::AllowAlways => Self::AllowAlways,
        }
    }
}

/// Who or what ended a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedBy {
    /// A client answered.
    Client,
    /// The turn was interrupted.
    Interrupt,
    /// The session ended.
    SessionEnded,
    /// `--permission-timeout` ran out.
    Timeout,
    /// The agent took it back, or died.
    Agent,
    /// An earlier `allow_always` covers it.
    Rule,
}

/// `permission_resolved` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionResolved<'a> {
    /// The `id` of the `permission_request`.
    pub permission_id: Cow<'a, str>,
    /// How it ended.
    pub decision: Resolution,
    /// Who ended it.
    pub reason: ResolvedBy,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Nothing is running or queued.
    #[default]
    Idle,
    /// The model is at work.
    Thinking,
    /// A tool is running.
    ExecutingTool,
    /// At least one prompt is open.
    WaitingPermission,
}

/// `status_update` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusUpdate<'a> {
    /// The status.
    pub status: SessionStatus,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'a, str>>,
}

/// What an interrupt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InterruptOutcome {
    /// The agent stopped the turn.
    Interrupted,
    /// The agent did not listen and was killed.
    AgentKilled,
    /// There was no turn; comes as a reply.
    NothingRunning,
}

/// `interrupted` event or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interrupted {
    /// What it came to.
    pub outcome: InterruptOutcome,
}

/// `cancelled` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled<'a> {
    /// What was cancelled.
    pub target_id: Cow<'a, str>,
}

/// `config_updated` event and `config_response` reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMessage {
    /// All of the configuration, as it now is.
    pub config: SessionConfig,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResultSubtype {
    /// It was done.
    Success,
    /// It failed; see `error_code`.
    Error,
    /// It was stopped.
    Interrupted,
    /// It was taken back before it began.
    Cancelled,
}

/// Why a turn failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnErrorCode {
    /// `max_turns` was reached.
    MaxTurns,
    /// The budget was used up.
    MaxBudget,
    /// The model's API refused or failed.
    ApiError,
    /// The agent's process ended in mid-turn.
    AgentExited,
    /// No agent could be started.
    AgentUnavailable,
    /// Anything else that the agent calls an error.
    Execution,
}

/// `result` event: the one end of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TurnResult<'a> {
    /// How it ended.
    pub subtype: ResultSubtype,
    /// Wall time of the turn, milliseconds.
    pub duration_ms: u64,
    /// Of that, in the model's API.
    pub duration_api_ms: u64,
    /// Steps the agent took.
    pub num_turns: u64,
    /// Whether it failed.
    pub is_error: bool,
    /// What went wrong, for people; only with `is_error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'a, str>>,
    /// What went wrong, for programs; only with `is_error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<TurnErrorCode>,
    /// The final text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Text<'a>>,
    /// Cost as the agent counts it, US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_cost_usd: Option<f64>,
    /// The API's usage object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::AnyObject>")]
    pub usage: Option<Json<'a>>,
    /// The API's last stop reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Cow<'a, str>>,
    /// Tool calls that were denied, as the agent lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<shape::AnyObject>>")]
    pub permission_denials: Option<Json<'a>>,
}

/// `warning` event or reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning<'a> {
    /// For programs.
    pub code: WarningCode,
    /// For people.
    pub message: Cow<'a, str>,
}

/// `error` event or reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorMessage<'a> {
    /// For programs.
    pub code: ErrorCode,
    /// For people; holds no secrets and no internal paths.
    pub message: Cow<'a, str>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// `session_end`.
    Client,
    /// The last connection left and nothing had ever run.
    Disconnected,
    /// Unused for too long.
    Idle,
    /// The server went down.
    Shutdown,
    /// It could not go on.
    Failed,
}

/// `session_ended` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// Why.
    pub reason: EndReason,
}

/// `agent_event` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentEvent<'a> {
    /// The agent's message, untouched.
    #[schemars(with = "shape::AnyObject")]
    pub event: Json<'a>,
}
