//! Tool calls and their results: each is told once, and in this order: use, prompt, result.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::agent::wire::{Block, ControlRequest, Span, SystemMessage, blocks};
use crate::protocol::{EventSink, Executor, Json, ServerMessage, Text, ToolResult, ToolUse};

/// The agent's names of tools that the front end runs begin with this.
pub const CLIENT_TOOL_PREFIX: &str = "mcp__client__";

/// So many calls are remembered, those first that are still open. A turn has a few dozens.
const MOST_REMEMBERED: usize = 1024;

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Its `tool_use` is out.
    Used,
    /// Its `tool_result` is out.
    Done,
}

/// The calls of the running turn, and those of earlier ones that are still open.
#[derive(Debug, Default)]
pub(super) struct Tools {
    calls: HashMap<Box<str>, Call>,
    /// The tool call that started each subagent, by the subagent's id; at most [`MOST_REMEMBERED`].
    subagents: HashMap<Box<str>, Box<str>>,
}

impl Tools {
    /// Whether a call's `tool_use` may still be told; from now on it counts as told.
    pub(super) fn first_use(&mut self, tool_use_id: &str) -> bool {
        if self.calls.contains_key(tool_use_id) {
            return false;
        }
        self.remember(tool_use_id, Call::Used);
        true
    }

    fn remember(&mut self, tool_use_id: &str, call: Call) {
        if self.calls.len() >= MOST_REMEMBERED {
            self.calls.retain(|_, call| *call == Call::Used);
            if self.calls.len() >= MOST_REMEMBERED {
                self.calls.clear();
            }
        }
        self.calls.insert(tool_use_id.into(), call);
    }

    /// Calls that have their result can be forgotten.
    pub(super) fn turn_over(&mut self) {
        self.calls.retain(|_, call| *call == Call::Used);
        self.calls.shrink_to(16);
    }

    /// A subagent's own messages name the call that started it (`parent_tool_use_id`); its questions only name itself.
    pub(super) fn system(&mut self, message: &SystemMessage<'_>) {
        if message.subtype.text().is_none_or(|subtype| subtype != "task_started") {
            return;
        }
        if let (Some(task), Some(call)) = (message.task_id.text(), message.tool_use_id.text()) {
            if self.subagents.len() >= MOST_REMEMBERED {
                self.subagents.clear();
            }
            self.subagents.insert(task.into(), call.into());
        }
    }

    /// A prompt never comes before its `tool_use`, even if the agent asks first.
    pub(super) fn before_prompt(&mut self, request: &ControlRequest<'_>, sink: &mut impl EventSink) {
        let ControlRequest::CanUseTool { request, .. } = request else { return };
        let Some(tool_use_id) = request.tool_use_id.text() else { return };
        if self.first_use(&tool_use_id) {
            let subagent = request.agent_id.text();
            let parent = subagent.and_then(|subagent| self.subagents.get(&*subagent)).map(|call| &**call);
            let tool_name = request.tool_name.text().unwrap_or_default();
            tool_use(&tool_use_id, &tool_name, Span(request.input.get()), parent, sink);
        }
    }

    /// Emits a `tool_result`.
    pub(super) fn result(&mut self, block: &Block<'_>, parent: Option<&str>, sink: &mut impl EventSink) {
        let tool_use_id = block.tool_use_id.get();
        match self.calls.get_mut(tool_use_id) {
            Some(call) => *call = Call::Done,
            None => self.remember(tool_use_id, Call::Done),
        }
        let (content, blocks) = result_content(block.content);
        sink.event(&ServerMessage::ToolResult(ToolResult {
            tool_use_id: tool_use_id.into(),
            content,
            is_error: block.is_error.flag().unwrap_or(false),
            blocks,
            parent_tool_use_id: parent.map(Cow::Borrowed),
        }));
    }
}

/// Emits a `tool_use`.
pub(super) fn tool_use(
    tool_use_id: &str,
    tool_name: &str,
    input: Span<'_>,
    parent: Option<&str>,
    sink: &mut impl EventSink,
) {
    sink.event(&ServerMessage::ToolUse(ToolUse {
        tool_use_id: tool_use_id.into(),
        tool_name: tool_name.into(),
        tool_input: tool_input(input),
        parent_tool_use_id: parent.map(Cow::Borrowed),
        executor: if tool_name.starts_with(CLIENT_TOOL_PREFIX) { Executor::Client } else { Executor::Agent },
    }));
}

/// A call's input; always an object.
pub(super) fn tool_input(input: Span<'_>) -> Json<'_> {
    match input.object() {
        Some(input) => Json::checked(input),
        None => Json::empty_object(),
    }
}

/// A result's content as the protocol has it: the text, and the blocks where they are not only text.
fn result_content(content: Span<'_>) -> (Text<'_>, Option<Json<'_>>) {
    if let Some(token) = content.string() {
        return (Text::Token(token), None);
    }
    let blocks = content.0.and_then(blocks).unwrap_or_default();
    let texts: Vec<Span<'_>> = blocks
        .iter()
        .filter(|block| block.kind.get() == "text" && block.text.string().is_some())
        .map(|block| block.text)
        .collect();
    let only_text = content.array().is_some() && texts.len() == blocks.len() || content.0.is_none();
    let text = match texts.as_slice() {
        [one] => one.string().map_or_else(|| Text::from(""), Text::Token),
        [] => Text::from(""),
        many => many.iter().filter_map(|text| text.text()).collect::<Vec<_>>().join("\n").into(),
    };
    (text, if only_text { None } else { content.0.map(Json::checked) })
}
