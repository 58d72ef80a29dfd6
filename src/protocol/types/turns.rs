//! Events about turns: what a user said, what the session does about it, and how it ended.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, Origin, Text, shape};

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
    /// The agent shortens its context.
    Compacting,
    /// The message has been sent to the agent, which cannot begin yet (MCP servers are being connected).
    Starting,
}

/// `status_update` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusUpdate<'a> {
    /// The status.
    pub status: SessionStatus,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'a, str>>,
    /// In a turn that the agent began itself: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What an interrupt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InterruptOutcome {
    /// The agent stopped the turn.
    Interrupted,
    /// The agent did not listen and was killed.
    AgentKilled,
    /// There was no turn; comes as a reply.
    #[default]
    NothingRunning,
}

/// `interrupted` event or reply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Interrupted {
    /// What it came to.
    pub outcome: InterruptOutcome,
    /// With `nothing_running`: the ids of background tasks that run all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `cancelled` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled<'a> {
    /// What was cancelled.
    pub target_id: Cow<'a, str>,
}

/// Why the model knows nothing earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The conversation was begun anew (`/clear`).
    Clear,
    /// It went back to an earlier message.
    Rewind,
}

/// `conversation_reset` event: from here on the model knows nothing of what it was told and said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationReset {
    /// Why.
    pub reason: ResetReason,
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
    /// `/compact` left the conversation as it was.
    CompactFailed,
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
    /// Of a turn that the agent began itself: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}
