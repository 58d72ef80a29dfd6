//! What the agent says on its stdout: one line, one JSON object, read once into borrowed types.
//!
//! [`parse`] accepts the keys in any order and never fails over what it does not know: unknown kinds, subtypes, blocks and
//! fields, values of an unexpected shape. Only a line that is no JSON object is a [`BadLine`]. What is merely passed on stays
//! JSON text. This module must not know what becomes of the messages.
//!
//! Depth is no danger: what is stepped over or kept as text is scanned without recursion, and what is read goes as deep as the
//! types here, no deeper.

mod control;
mod conversation;
mod lenient;
mod outcome;
mod scan;
mod string;
mod system;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use control::{Applied, CanUseTool, Elicitation, McpMessage};
pub use control::{ControlCancel, ControlRequest, ControlResponse, OtherRequest};
pub use conversation::{
    AssistantMessage, Block, BlockDelta, Body, Event, StreamEvent, UserMessage, blocks, strings,
};
pub use lenient::{List, Raw, Str};
pub use outcome::ResultMessage;
pub use scan::Span;
pub use system::{
    CommandLifecycle, Init, RateLimit, RateLimitInfo, SystemMessage, TaskInput, TaskResult, TaskUsage,
    ToolProgress,
};

use scan::scanned;

/// One line of the agent's stdout.
#[derive(Debug, Clone)]
pub enum Message<'a> {
    /// A piece of a message while the model writes it.
    StreamEvent(StreamEvent<'a>),
    /// Finished blocks of a message of the model.
    Assistant(AssistantMessage<'a>),
    /// Results of tools; or the agent's own notes.
    User(UserMessage<'a>),
    /// `system/init`: a turn begins.
    Init(Box<Init<'a>>),
    /// Any other `system` message.
    System(Box<SystemMessage<'a>>),
    /// A turn is over.
    Result(Box<ResultMessage<'a>>),
    /// The agent wants something.
    ControlRequest(Box<ControlRequest<'a>>),
    /// The agent answers.
    ControlResponse(ControlResponse<'a>),
    /// The agent no longer wants something.
    ControlCancel(ControlCancel<'a>),
    /// What becomes of a user message.
    Lifecycle(CommandLifecycle<'a>),
    /// `conversation_reset`: another conversation begins. Its id is *not* in here; `init` and `result` of what follows tell it.
    ConversationReset,
    /// The account's rate limit, as the agent knows it.
    RateLimit(RateLimit<'a>),
    /// A tool is still running.
    ToolProgress(ToolProgress<'a>),
    /// Anything else.
    Unknown {
        /// Its `type`; empty where it has none.
        kind: String,
    },
}

/// A line that is no message at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadLine {
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    Encoding,
    /// Not JSON.
    #[error("the line is not JSON (column {column})")]
    Json {
        /// Where reading it stopped, in bytes from 1.
        column: usize,
    },
    /// JSON, but no object.
    #[error("the line is not a JSON object")]
    NotAnObject,
}

scanned! {
    /// The part of a line that is read at once: what the frequent kinds are made of.
    Line {
        kind: Str<'a> = "type",
        subtype: Str<'a> = "subtype",
        event: Event<'a> = "event",
        message: Body<'a> = "message",
        parent_tool_use_id: Str<'a> = "parent_tool_use_id",
        api_message_id: Str<'a> = "api_message_id",
        is_replay: Span<'a> = "isReplay",
        is_synthetic: Span<'a> = "isSynthetic",
        aborted: Span<'a> = "aborted",
        tool_use_result: Span<'a> = "tool_use_result",
        uuid: Str<'a> = "uuid",
        supersedes: Span<'a> = "supersedes",
        retracted: Span<'a> = "retracted_message_uuids",
        refused: Str<'a> = "refused_message_id",
        abandoned: Span<'a> = "abandoned_blocks",
    }
}

/// Reads one line, without its newline.
///
/// # Errors
/// A line that is not one JSON object in UTF-8.
///
/// ```
/// use claude_ws::agent::wire::{Message, parse};
///
/// let line = br#"{"uuid":"u","event":{"type":"message_stop"},"type":"stream_event"}"#;
/// assert!(matches!(parse(line), Ok(Message::StreamEvent(_))));
/// assert!(matches!(parse(br#"{"type":"tomorrow's"}"#), Ok(Message::Unknown { kind }) if kind == "tomorrow's"));
/// assert!(parse(b"not json").is_err());
/// ```
pub fn parse(line: &[u8]) -> Result<Message<'_>, BadLine> {
    let text = simdutf8::basic::from_utf8(line).map_err(|_| BadLine::Encoding)?;
    match scan::read::<Line<'_>>(text) {
        Ok(_) if !text.trim_start().starts_with('{') => Err(BadLine::NotAnObject),
        Ok(read) => Ok(read.into_message(text)),
        Err(column) => Err(BadLine::Json { column }),
    }
}

/// A JSON string token that `line` begins with, and what follows it; for the converter's short way for deltas.
pub(crate) fn token(line: &[u8]) -> Option<(&str, &[u8])> {
    if line.first() != Some(&b'"') {
        return None;
    }
    let (token, rest) = line.split_at_checked(string::end(line, 1)?.at + 1)?;
    Some((simdutf8::basic::from_utf8(token).ok()?, rest))
}

impl<'a> Line<'a> {
    fn into_message(self, text: &'a str) -> Message<'a> {
        let kind = self.kind.get();
        match kind {
            "stream_event" => Message::StreamEvent(StreamEvent {
                event: self.event,
                parent_tool_use_id: self.parent_tool_use_id.0,
                api_message_id: self.api_message_id.0,
                is_abandoned: self.abandoned.object().is_some(),
            }),
            "assistant" => Message::Assistant(AssistantMessage {
                body: self.message,
                parent_tool_use_id: self.parent_tool_use_id.0,
                aborted: self.aborted.flag().unwrap_or(false),
                uuid: self.uuid.0,
                supersedes: self.supersedes,
                refused_message_id: self.refused.0,
            }),
            "user" => Message::User(UserMessage {
                body: self.message,
                parent_tool_use_id: self.parent_tool_use_id.0,
                is_replay: self.is_replay.flag().unwrap_or(false),
                is_synthetic: self.is_synthetic.flag().unwrap_or(false),
                tool_use_result: self.tool_use_result,
                retracted: self.retracted,
                refused_message_id: self.refused.0,
            }),
            _ => rare(kind, self.subtype.get(), text)
                .unwrap_or_else(|| Message::Unknown { kind: kind.to_owned() }),
        }
    }
}

/// The kinds that come a few times a turn: their fields are read in a second look at the line.
fn rare<'a>(kind: &str, subtype: &str, text: &'a str) -> Option<Message<'a>> {
    fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Option<T> {
        serde_json::from_str(text).ok()
    }
    match kind {
        "system" if subtype == "init" => read(text).map(|init| Message::Init(Box::new(init))),
        "system" => read(text).map(|system| Message::System(Box::new(system))),
        "result" => read(text).map(|result| Message::Result(Box::new(result))),
        "control_request" => control::request(text).map(|request| Message::ControlRequest(Box::new(request))),
        "control_response" => control::response(text).map(Message::ControlResponse),
        "control_cancel_request" => read(text).map(Message::ControlCancel),
        "command_lifecycle" => read(text).map(Message::Lifecycle),
        "conversation_reset" => Some(Message::ConversationReset),
        "rate_limit_event" => read(text).map(Message::RateLimit),
        "tool_progress" => read(text).map(Message::ToolProgress),
        _ => None,
    }
}
