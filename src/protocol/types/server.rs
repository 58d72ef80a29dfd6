//! Server → client messages: session events (they carry `seq`) and replies; what they hold is in the modules beside this one.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    AgentEvent, AssistantMessageComplete, AssistantMessageDelta, AssistantMessageRetracted,
    AssistantMessageStart, Cancelled, ConfigMessage, ConversationReset, ElicitationRequest,
    ElicitationResolved, ErrorMessage, Interrupted, NewSessionReply, PermissionRequest, PermissionResolved,
    ResultReadReply, SessionEnded, SessionInfo, SessionList, StatusUpdate, TaskOutputReply, TaskUpdate,
    ToolResult, ToolUse, TurnResult, UserMessageEvent, Warning,
};

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
    /// Event: the agent takes it back, or a part of it.
    AssistantMessageRetracted(AssistantMessageRetracted<'a>),
    /// Event: a tool is called.
    ToolUse(ToolUse<'a>),
    /// Event: what a tool gave.
    ToolResult(ToolResult<'a>),
    /// Event: a person is asked.
    PermissionRequest(PermissionRequest<'a>),
    /// Event: the prompt is closed.
    PermissionResolved(PermissionResolved<'a>),
    /// Event: an MCP server asks a person.
    ElicitationRequest(ElicitationRequest<'a>),
    /// Event: what it asked is closed.
    ElicitationResolved(ElicitationResolved<'a>),
    /// Event: what the session is doing.
    StatusUpdate(StatusUpdate<'a>),
    /// Event (or reply, with outcome `nothing_running`).
    Interrupted(Interrupted),
    /// Event: a target was cancelled.
    Cancelled(Cancelled<'a>),
    /// Event: the configuration as it now is.
    ConfigUpdated(ConfigMessage),
    /// Event: work beside turns began, got on, or ended.
    TaskUpdate(TaskUpdate),
    /// Event: the model knows nothing earlier.
    ConversationReset(ConversationReset),
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
    /// Reply to `task_output`.
    TaskOutput(TaskOutputReply<'a>),
    /// Reply to `result_read`.
    ResultRead(ResultReadReply<'a>),
    /// Reply to `heartbeat`, and the server's own sign of life.
    Heartbeat(super::ServerHeartbeat),
}

impl ServerMessage<'_> {
    /// Every `type` that the server may send.
    pub const TYPES: &'static [&'static str] = &[
        "user_message",
        "assistant_message_start",
        "assistant_message_delta",
        "assistant_message_complete",
        "assistant_message_retracted",
        "tool_use",
        "tool_result",
        "permission_request",
        "permission_resolved",
        "elicitation_request",
        "elicitation_resolved",
        "status_update",
        "interrupted",
        "cancelled",
        "config_updated",
        "task_update",
        "conversation_reset",
        "result",
        "warning",
        "error",
        "session_ended",
        "agent_event",
        "session_info",
        "session_list",
        "new_session",
        "config_response",
        "task_output",
        "result_read",
        "heartbeat",
    ];

    /// The `type` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UserMessage(_) => "user_message",
            Self::AssistantMessageStart(_) => "assistant_message_start",
            Self::AssistantMessageDelta(_) => "assistant_message_delta",
            Self::AssistantMessageComplete(_) => "assistant_message_complete",
            Self::AssistantMessageRetracted(_) => "assistant_message_retracted",
            Self::ToolUse(_) => "tool_use",
            Self::ToolResult(_) => "tool_result",
            Self::PermissionRequest(_) => "permission_request",
            Self::PermissionResolved(_) => "permission_resolved",
            Self::ElicitationRequest(_) => "elicitation_request",
            Self::ElicitationResolved(_) => "elicitation_resolved",
            Self::StatusUpdate(_) => "status_update",
            Self::Interrupted(_) => "interrupted",
            Self::Cancelled(_) => "cancelled",
            Self::ConfigUpdated(_) => "config_updated",
            Self::TaskUpdate(_) => "task_update",
            Self::ConversationReset(_) => "conversation_reset",
            Self::Result(_) => "result",
            Self::Warning(_) => "warning",
            Self::Error(_) => "error",
            Self::SessionEnded(_) => "session_ended",
            Self::AgentEvent(_) => "agent_event",
            Self::SessionInfo(_) => "session_info",
            Self::SessionList(_) => "session_list",
            Self::NewSession(_) => "new_session",
            Self::ConfigResponse(_) => "config_response",
            Self::TaskOutput(_) => "task_output",
            Self::ResultRead(_) => "result_read",
            Self::Heartbeat(_) => "heartbeat",
        }
    }
}
