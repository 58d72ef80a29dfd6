//! `stream_event`, `assistant` and `user`: the conversation itself.

use std::borrow::Cow;

use super::lenient::Str;
use super::scan::{self, Span, scanned};

/// `stream_event`: one event of the model's API, while the model writes.
#[derive(Debug, Clone, Default)]
pub struct StreamEvent<'a> {
    /// The API's event.
    pub event: Event<'a>,
    /// Set on messages of a subagent.
    pub parent_tool_use_id: Option<Cow<'a, str>>,
    /// The message that it belongs to (newer versions only).
    pub api_message_id: Option<Cow<'a, str>>,
    /// `message_stop`: the stream broke. Blocks that no `assistant` line has brought by now will never come (newer versions
    /// only; the older one says nothing at all). Source: `abandoned_blocks` in the agent's own schema.
    pub is_abandoned: bool,
}

scanned! {
    /// An event of the API's stream: the fields of all of them.
    pub Event {
        /// `message_start`, `content_block_delta`, …
        kind: Str<'a> = "type",
        /// The block, counted from 0.
        index: Span<'a> = "index",
        /// `content_block_delta`: the piece; `message_delta`: what changed.
        delta: BlockDelta<'a> = "delta",
        /// `content_block_start`: the [`Block`].
        content_block: Span<'a> = "content_block",
        /// `message_start`: the message, a [`Body`] still without content.
        message: Span<'a> = "message",
        /// `message_delta`: the usage object.
        usage: Span<'a> = "usage",
    }
}

scanned! {
    /// `delta` of a `content_block_delta` or `message_delta`.
    pub BlockDelta {
        /// `text_delta`, `thinking_delta`, `input_json_delta`, `signature_delta`, …; absent in `message_delta`.
        kind: Str<'a> = "type",
        /// `text_delta`.
        text: Span<'a> = "text",
        /// `thinking_delta`.
        thinking: Span<'a> = "thinking",
        /// `input_json_delta`.
        partial_json: Span<'a> = "partial_json",
        /// `message_delta`.
        stop_reason: Span<'a> = "stop_reason",
    }
}

/// `assistant`: finished blocks of a message, usually one a line.
#[derive(Debug, Clone, Default)]
pub struct AssistantMessage<'a> {
    /// The message, with the blocks that this line brings.
    pub body: Body<'a>,
    /// Set on messages of a subagent.
    pub parent_tool_use_id: Option<Cow<'a, str>>,
    /// The message was cut off by an interrupt (newer versions only).
    pub aborted: bool,
    /// The line's own id; a line that comes again has the same.
    pub uuid: Option<Cow<'a, str>>,
    /// Ids of lines that this one replaces, an array of [`strings`]. Unknown ones mean nothing.
    pub supersedes: Span<'a>,
    /// On the agent's own report of a refusal: the API's id of the message that the model broke off.
    pub refused_message_id: Option<Cow<'a, str>>,
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
    /// What the tool gave, in a form of its own.
    pub tool_use_result: Span<'a>,
    /// Where the agent asks the model again: ids of lines that it has dropped, an array of [`strings`].
    pub retracted: Span<'a>,
    /// As that after a refusal: the API's id of the refused message.
    pub refused_message_id: Option<Cow<'a, str>>,
}

scanned! {
    /// A message of the API.
    pub Body {
        /// The API's id of the message; the same in all lines that belong to it.
        id: Str<'a> = "id",
        /// The model; `<synthetic>` for the agent's own texts.
        model: Str<'a> = "model",
        /// The blocks; none where the content is a plain string.
        content: Vec<Block<'a>> = "content",
        /// Why the model stopped, where that is known.
        stop_reason: Span<'a> = "stop_reason",
        /// The API's usage object.
        usage: Span<'a> = "usage",
    }
}

scanned! {
    /// A content block: the fields of all kinds.
    pub Block {
        /// `text`, `thinking`, `tool_use`, `tool_result`, …
        kind: Str<'a> = "type",
        /// `text`.
        text: Span<'a> = "text",
        /// `thinking`.
        thinking: Span<'a> = "thinking",
        /// `tool_use`.
        id: Str<'a> = "id",
        /// `tool_use`.
        name: Str<'a> = "name",
        /// `tool_use`.
        input: Span<'a> = "input",
        /// `tool_result`.
        tool_use_id: Str<'a> = "tool_use_id",
        /// `tool_result`: a string or an array of blocks.
        content: Span<'a> = "content",
        /// `tool_result`.
        is_error: Span<'a> = "is_error",
    }
}

/// The blocks that `text` holds, if it is a JSON array.
pub fn blocks(text: &str) -> Option<Vec<Block<'_>>> {
    let is_array = text.trim_start().starts_with('[');
    is_array.then(|| scan::read(text).ok()).flatten()
}

/// The strings of a JSON array; none where it is something else.
pub fn strings(span: Span<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    let all: Vec<Str<'_>> = span.array().and_then(|text| scan::read(text).ok()).unwrap_or_default();
    all.into_iter().filter_map(|one| one.0)
}

impl<'a> Event<'a> {
    /// `message_start`: the message.
    pub fn body(&self) -> Body<'a> {
        self.message.0.and_then(|text| scan::read(text).ok()).unwrap_or_default()
    }

    /// `content_block_start`: the block.
    pub fn block(&self) -> Block<'a> {
        self.content_block.0.and_then(|text| scan::read(text).ok()).unwrap_or_default()
    }
}
