//! Tool calls and their results: each is told once, and in this order: use, prompt, result.

use std::borrow::Cow;
use std::collections::HashMap;

use super::tasks::{Launches, TaskNews};
use crate::agent::wire::{Block, ControlRequest, Span, SystemMessage, blocks};
use crate::protocol::{EventSink, Executor, Json, ServerMessage, Subagent, Text, ToolResult, ToolUse};

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
    launches: Launches,
}

impl Tools {
    /// Whether a call's `tool_use` may still be told; from now on it counts as told. Ids repeat (some proxies of the API count them
    /// anew in each round): the call of an id that has its result is another one.
    pub(super) fn first_use(&mut self, tool_use_id: &str) -> bool {
        if self.calls.get(tool_use_id) == Some(&Call::Used) {
            return false;
        }
        self.remember(tool_use_id, Call::Used);
        true
    }

    /// The agent has dropped a call; tells whether it was still open.
    pub(super) fn never_comes(&mut self, tool_use_id: &str) -> bool {
        let is_open = self.calls.get(tool_use_id) == Some(&Call::Used);
        if is_open {
            self.calls.remove(tool_use_id);
        }
        is_open
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

    /// What a `system` message tells of a task.
    pub(super) fn news(&mut self, message: &SystemMessage<'_>) -> Option<TaskNews> {
        self.launches.news(message)
    }

    /// The subagent of that id, and the call that began it.
    pub(super) fn agent(&self, agent_id: &str) -> Option<(&str, Option<Subagent<'_>>)> {
        let call = self.launches.call_of(agent_id)?;
        Some((call, self.launches.agent_of(call)))
    }

    /// Emits a `tool_use`.
    pub(super) fn tell_use(
        &mut self,
        tool_use_id: &str,
        tool_name: &str,
        input: Span<'_>,
        parent: Option<&str>,
        sink: &mut impl EventSink,
    ) {
        self.launches.called(tool_use_id, tool_name, input, parent);
        sink.event(&ServerMessage::ToolUse(ToolUse {
            tool_use_id: tool_use_id.into(),
            tool_name: tool_name.into(),
            tool_input: tool_input(input),
            parent_tool_use_id: parent.map(Cow::Borrowed),
            agent: parent.and_then(|parent| self.launches.agent_of(parent)),
            executor: if tool_name.starts_with(CLIENT_TOOL_PREFIX) {
                Executor::Client
            } else {
                Executor::Agent
            },
        }));
    }

    /// A prompt never comes before its `tool_use`, even if the agent asks first.
    pub(super) fn before_prompt(&mut self, request: &ControlRequest<'_>, sink: &mut impl EventSink) {
        let ControlRequest::CanUseTool { request, .. } = request else { return };
        let Some(tool_use_id) = request.tool_use_id.text() else { return };
        if self.first_use(&tool_use_id) {
            let subagent = request.agent_id.text();
            let parent = subagent.and_then(|subagent| self.launches.call_of(&subagent)).map(str::to_owned);
            let tool_name = request.tool_name.text().unwrap_or_default();
            self.tell_use(&tool_use_id, &tool_name, Span(request.input.get()), parent.as_deref(), sink);
        }
    }

    /// Emits a `tool_result`; gives what it tells of a task. `own`: what the tool gave, in a form of its own.
    pub(super) fn result(
        &mut self,
        block: &Block<'_>,
        own: Span<'_>,
        parent: Option<&str>,
        sink: &mut impl EventSink,
    ) -> Option<TaskNews> {
        let tool_use_id = block.tool_use_id.get();
        let is_error = block.is_error.flag().unwrap_or(false);
        let (news, goes_on) = self.launches.returned(tool_use_id, is_error, own);
        match self.calls.get_mut(tool_use_id) {
            Some(call) => *call = Call::Done,
            None => self.remember(tool_use_id, Call::Done),
        }
        let (content, blocks) = result_content(block.content);
        sink.event(&ServerMessage::ToolResult(ToolResult {
            tool_use_id: tool_use_id.into(),
            content,
            is_error,
            blocks,
            parent_tool_use_id: parent.map(Cow::Borrowed),
            task_id: goes_on.map(Cow::Owned),
            truncated: false,
            total_bytes: None,
        }));
        news
    }
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
