//! Events and replies beside the conversation: configuration, warnings, errors, the end, and what the agent says otherwise.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, SessionConfig, shape};
use crate::protocol::{ErrorCode, WarningCode};

/// `config_updated` event and `config_response` reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMessage {
    /// All of the configuration, as it now is.
    pub config: SessionConfig,
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
