//! `stream_event`, `assistant` and `user`: the conversation itself.

use std::borrow::Cow;

use super::lenient::{List, Raw, Str, lenient};

/// `stream_event`: one event of the model's API, while the model writes.
#[derive(Debug, Clone, Default)]
pub struct StreamEvent<'a> {
    /// The API's event.
    pub event: Event<'a>,
    /// Set on messages of a subagent.
    pub parent_tool_use_id: Option<Cow<'a, str>>,
    /// The message that it belongs to (newer versions only).
    pub api_message_id: Option<Cow<'a, str>>,
}

lenient! {
    /// An event of the API's stream: the fields of all of them.
    pub Event {
        /// `message_start`, `content_block_delta`, …
        kind: Str<'a> = "type",
        /// The block, counted from 0.
        index: Raw<'a> = "index",
        /// `content_block_delta`: the piece; `message_delta`: what changed.
        delta: BlockDelta<'a> = "delta",
        /// `content_block_start`: the [`Block`].
        content_block: Raw<'a> = "content_block",
        /// `message_start`: the message, a [`Body`] still without content.
        message: Raw<'a> = "message",
        /// `message_delta`: the usage object.
        usage: Raw<'a> = "usage",
    }
}

lenient! {
    /// `delta` of a `content_block_delta` or `message_delta`.
    pub BlockDelta {
        /// `text_delta`, `thinking_delta`, `input_json_delta`, `signature_delta`, …; absent in `message_delta`.
        kind: Str<'a> = "type",
        /// `text_delta`.
        text: Raw<'a> = "text",
        /// `thinking_delta`.
        thinking: Raw<'a> = "thinking",
        /// `input_json_delta`.
        partial_json: Raw<'a> = "partial_json",
        /// `message_delta`.
        stop_reason: Raw<'a> = "stop_reason",
    }
}

/// What `message_delta` says.
pub type MessageDelta<'a> = BlockDelta<'a>;

/// `assistant`: finished blocks of a message, usually one a line.
#[derive(Debug, Clone, Default)]
pub struct AssistantMessage<'a> {
    /// The message, with the blocks that this line brings.
    pub body: Body<'a>,
    /// Set on messages of a subagent.
    pub parent_tool_use_id: Option<Cow<'a, str>>,
    /// The message was cut off by an interrupt (newer versions only).
    pub aborted: bool,
}

/// `user`: results of tools, or the agent's own notes.
#[derive(Debug, Clone, Default)]
pub struct UserMessage<'a> {
    /// The message.
    pub body: Body<'a>,
    /// Set on messages of a subagent.
    pub parent_tool_use_id: Option<Cow<'a, str>>,
    /// A copy of something said before, not news.
    pub is_replay: bool,
    /// Made by the agent itself.
    pub is_synthetic: bool,
}

lenient! {
    /// A message of the API.
    pub Body {
        /// The API's id of the message; the same in all lines that belong to it.
        id: Str<'a> = "id",
        /// The model; `<synthetic>` for the agent's own texts.
        model: Str<'a> = "model",
        /// The blocks; none where the content is a plain string.
        content: List<Block<'a>> = "content",
        /// Why the model stopped, where that is known.
        stop_reason: Raw<'a> = "stop_reason",
        /// The API's usage object.
        usage: Raw<'a> = "usage",
    }
}

lenient! {
    /// A content block: the fields of all kinds.
    pub Block {
        /// `text`, `thinking`, `tool_use`, `tool_result`, …
        kind: Str<'a> = "type",
        /// `text`.
        text: Raw<'a> = "text",
        /// `thinking`.
        thinking: Raw<'a> = "thinking",
        /// `tool_use`.
        id: Str<'a> = "id",
        /// `tool_use`.
        name: Str<'a> = "name",
        /// `tool_use`.
        input: Raw<'a> = "input",
        /// `tool_result`.
        tool_use_id: Str<'a> = "tool_use_id",
        /// `tool_result`: a string or an array of blocks.
        content: Raw<'a> = "content",
        /// `tool_result`.
        is_error: Raw<'a> = "is_error",
    }
}
