//! Events about tool calls.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, Subagent, Text, shape};

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
    /// The subagent that calls, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Subagent<'a>>,
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
    /// The task that goes on in the background where the call left off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Cow<'a, str>>,
    /// Whether `content` is only the beginning, cut at the connection's `max_content_bytes`; `blocks` are left out then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// With `truncated`: bytes of the whole content, which `result_read` gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
}

/// `result_read` reply: a page of a tool's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResultReadReply<'a> {
    /// The call.
    pub tool_use_id: Cow<'a, str>,
    /// Where the page begins in the content, bytes: what was asked for, or less where that lies inside a character or behind the end.
    pub offset: u64,
    /// The page.
    pub content: Cow<'a, str>,
    /// Bytes of the whole content.
    pub total_bytes: u64,
    /// Where the next page begins; absent: this one was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
}
