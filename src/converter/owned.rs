//! Events without their borrows, for those who keep them.

use std::borrow::Cow;

use crate::protocol::{
    AgentEvent, AssistantMessageComplete, AssistantMessageDelta, AssistantMessageRetracted,
    AssistantMessageStart, Delta, Json, ServerMessage, Subagent, Text, ToolResult, ToolUse, TurnResult,
    Warning,
};

fn own(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn maybe(text: Option<&Cow<'_, str>>) -> Option<Cow<'static, str>> {
    text.map(|text| own(text))
}

/// A copy that borrows nothing; none for messages that no converter makes.
pub(super) fn into_owned(message: &ServerMessage<'_>) -> Option<ServerMessage<'static>> {
    use ServerMessage as M;
    Some(match message {
        M::AssistantMessageStart(start) => M::AssistantMessageStart(AssistantMessageStart {
            model: own(&start.model),
            parent_tool_use_id: maybe(start.parent_tool_use_id.as_ref()),
        }),
        M::AssistantMessageDelta(piece) => M::AssistantMessageDelta(AssistantMessageDelta {
            delta: delta(&piece.delta),
            parent_tool_use_id: maybe(piece.parent_tool_use_id.as_ref()),
        }),
        M::AssistantMessageComplete(complete) => M::AssistantMessageComplete(AssistantMessageComplete {
            stop_reason: maybe(complete.stop_reason.as_ref()),
            usage: complete.usage.clone().map(Json::into_owned),
            parent_tool_use_id: maybe(complete.parent_tool_use_id.as_ref()),
        }),
        M::AssistantMessageRetracted(message) => M::AssistantMessageRetracted(AssistantMessageRetracted {
            message_id: own(&message.message_id),
            kept: own(&message.kept),
            kept_thinking: maybe(message.kept_thinking.as_ref()),
            tool_use_ids: message.tool_use_ids.clone(),
            reason: message.reason,
            parent_tool_use_id: maybe(message.parent_tool_use_id.as_ref()),
        }),
        M::ToolUse(tool) => M::ToolUse(ToolUse {
            tool_use_id: own(&tool.tool_use_id),
            tool_name: own(&tool.tool_name),
            tool_input: tool.tool_input.clone().into_owned(),
            parent_tool_use_id: maybe(tool.parent_tool_use_id.as_ref()),
            agent: tool.agent.clone().map(Subagent::into_owned),
            executor: tool.executor,
        }),
        M::ToolResult(result) => M::ToolResult(ToolResult {
            tool_use_id: own(&result.tool_use_id),
            content: result.content.clone().into_owned(),
            is_error: result.is_error,
            blocks: result.blocks.clone().map(Json::into_owned),
            parent_tool_use_id: maybe(result.parent_tool_use_id.as_ref()),
            task_id: maybe(result.task_id.as_ref()),
            truncated: result.truncated,
            total_bytes: result.total_bytes,
        }),
        M::Result(result) => M::Result(Box::new(turn(result))),
        M::Warning(warning) => M::Warning(Warning { code: warning.code, message: own(&warning.message) }),
        M::AgentEvent(event) => M::AgentEvent(AgentEvent { event: event.event.clone().into_owned() }),
        _ => return None,
    })
}

fn delta(delta: &Delta<'_>) -> Delta<'static> {
    match delta {
        Delta::Text { text } => Delta::Text { text: text.clone().into_owned() },
        Delta::Thinking { thinking } => Delta::Thinking { thinking: thinking.clone().into_owned() },
        Delta::ToolUse { tool_use_id, tool_name, tool_input } => Delta::ToolUse {
            tool_use_id: own(tool_use_id),
            tool_name: own(tool_name),
            tool_input: tool_input.clone().into_owned(),
        },
        Delta::ToolInput { tool_use_id, tool_name, partial_json } => Delta::ToolInput {
            tool_use_id: own(tool_use_id),
            tool_name: own(tool_name),
            partial_json: partial_json.clone().into_owned(),
        },
    }
}

fn turn(result: &TurnResult<'_>) -> TurnResult<'static> {
    TurnResult {
        subtype: result.subtype,
        duration_ms: result.duration_ms,
        duration_api_ms: result.duration_api_ms,
        num_turns: result.num_turns,
        is_error: result.is_error,
        error: maybe(result.error.as_ref()),
        error_code: result.error_code,
        result: result.result.clone().map(Text::into_owned),
        total_cost_usd: result.total_cost_usd,
        usage: result.usage.clone().map(Json::into_owned),
        stop_reason: maybe(result.stop_reason.as_ref()),
        permission_denials: result.permission_denials.clone().map(Json::into_owned),
        origin: result.origin.clone(),
    }
}
