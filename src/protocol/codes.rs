//! Codes of errors, warnings and WebSocket closes. Clients match on them; the text beside them is for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `error.code`: what was wrong with a request, or what went wrong in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame is not one JSON object.
    InvalidJson,
    /// A field is missing, has the wrong type, or is out of range; the message names it.
    InvalidMessage,
    /// The `type` is not one of the protocol's; the message names it.
    UnknownType,
    /// A binary frame.
    UnsupportedFrame,
    /// No such session, or it belongs to somebody else.
    UnknownSession,
    /// The session has ended for good.
    SessionEnded,
    /// Nothing open answers to that id.
    UnknownRequest,
    /// The server's settings do not allow it.
    Forbidden,
    /// The working directory does not exist or lies outside every workspace root.
    InvalidCwd,
    /// The session's queue of user messages is full.
    QueueFull,
    /// No place for another session, attachment or agent.
    Capacity,
    /// Too many frames a second.
    RateLimited,
    /// No agent can be started at the moment.
    AgentUnavailable,
    /// The agent broke, or refused what was asked.
    AgentFailed,
    /// This version of the agent cannot do it; the message names one that can.
    Unsupported,
    /// A fault of the gateway.
    Internal,
}

impl ErrorCode {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidMessage => "invalid_message",
            Self::UnknownType => "unknown_type",
            Self::UnsupportedFrame => "unsupported_frame",
            Self::UnknownSession => "unknown_session",
            Self::SessionEnded => "session_ended",
            Self::UnknownRequest => "unknown_request",
            Self::Forbidden => "forbidden",
            Self::InvalidCwd => "invalid_cwd",
            Self::QueueFull => "queue_full",
            Self::Capacity => "capacity",
            Self::RateLimited => "rate_limited",
            Self::AgentUnavailable => "agent_unavailable",
            Self::AgentFailed => "agent_failed",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// `warning.code`: something a person may want to know; nothing was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// The agent is trying an API request again.
    ApiRetry,
    /// The account's rate limit was reached or is near.
    RateLimit,
    /// The agent shortened its context.
    ContextCompacted,
    /// The agent's own rules denied a tool.
    PermissionDenied,
    /// The agent's process was replaced.
    AgentRestarted,
    /// `resume` without a broken turn.
    NothingToResume,
    /// A `user_message` whose `id` was seen before in the session.
    DuplicateMessage,
    /// Start options differ from those of the session that exists.
    ConfigIgnored,
    /// A line of the agent was longer than `--max-agent-line` and was skipped.
    AgentLineSkipped,
    /// The reader fell out of the kept events; it goes on at the first one kept.
    Gap,
    /// Events are delivered but cannot be stored.
    StoreUnavailable,
    /// Tasks ended because their agent's process had to.
    TasksStopped,
    /// Another model answers than the one that was asked.
    ModelFallback,
    /// Anything else that the agent says to people.
    AgentNotice,
}

/// Codes of WebSocket close frames that the gateway sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// 1000: asked for.
    Normal,
    /// 1001: the server is going away (drain).
    GoingAway,
    /// 1002: the peer broke the WebSocket protocol.
    Protocol,
    /// 1007: a text frame was not UTF-8.
    InvalidPayload,
    /// 1008: too many bad frames, or too many frames a second.
    Policy,
    /// 1009: a frame over `--max-message-bytes`.
    TooBig,
    /// 1011: a bug of the server.
    Internal,
    /// 1012: a session of the connection is run by another gateway now; reconnect.
    ServiceRestart,
    /// 1013: no place; too much is coming in from all connections together.
    TryAgainLater,
    /// 4000: no sign of life for two heartbeats.
    HeartbeatTimeout,
}

impl CloseCode {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::InvalidPayload => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::ServiceRestart => 1012,
            Self::TryAgainLater => 1013,
            Self::HeartbeatTimeout => 4000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn names_are_those_of_the_wire() {
        for name in ["invalid_json", "unsupported_frame", "invalid_cwd", "agent_unavailable", "internal"] {
            let code: ErrorCode = serde_json::from_value(name.into()).expect("a code");
            assert_eq!(code.name(), name);
        }
    }
}
