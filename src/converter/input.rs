//! What a client says, as the agent's input.

use std::borrow::Cow;

use claude_agent_sdk::types::PermissionMode as AgentMode;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::agent::wire::Raw;
use crate::protocol::parse::{FrameLimits, is_users_block, within_depth};
use crate::protocol::{ClientMessage, Decision, Effort, Json, PermissionMode, RuleUpdate};

/// A client's message in the agent's terms. The agent room writes the lines; the session adds what only it knows.
#[derive(Debug, Clone, PartialEq)]
pub enum SdkInput {
    /// Something for the agent to do.
    Query {
        /// The API's `content`: a string or an array of blocks.
        content: Json<'static>,
        /// The tool use that it belongs to.
        parent_tool_use_id: Option<String>,
    },
    /// The answer to a question about a tool.
    PermissionDecision {
        /// The `id` of the `permission_request`; the session knows the agent's own id of it.
        request_id: String,
        /// The answer.
        decision: Decision,
        /// With a deny: why, for the model.
        message: Option<String>,
        /// With an allow: the input that the tool is to run with instead.
        updated_input: Option<Json<'static>>,
        /// With an allow: rules to apply.
        updated_permissions: Option<Vec<RuleUpdate>>,
        /// With a deny: also ends the turn.
        interrupt: bool,
    },
    /// What a tool that the front end runs gave, or the answers to a question.
    ToolResult {
        /// The call.
        tool_use_id: String,
        /// A string, an array of blocks, or an object of answers.
        content: Json<'static>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// Stop the running turn.
    Interrupt,
    /// Change the model.
    SetModel(String),
    /// Change who is asked.
    SetPermissionMode(AgentMode),
    /// Change how much the model may think.
    SetMaxThinkingTokens(u32),
    /// Change how much the model thinks; none: its own default.
    SetEffort(Option<Effort>),
    /// Several changes, in order.
    Several(Vec<SdkInput>),
    /// Change the permission rules.
    UpdatePermissions(Vec<RuleUpdate>),
}

/// The agent's input for a client's message; none for messages that are the gateway's own business, and for a
/// `user_message` whose content is neither text nor blocks.
///
/// ```
/// use claude_ws::converter::{SdkInput, protocol_to_sdk_input};
/// use claude_ws::protocol::{ClientMessage, Empty, Interrupt};
///
/// let interrupt = ClientMessage::Interrupt(Interrupt::default());
/// assert_eq!(protocol_to_sdk_input(&interrupt), Some(SdkInput::Interrupt));
/// assert_eq!(protocol_to_sdk_input(&ClientMessage::Heartbeat(Empty {})), None);
/// ```
pub fn protocol_to_sdk_input(message: &ClientMessage) -> Option<SdkInput> {
    Some(match message {
        ClientMessage::UserMessage(message) => SdkInput::Query {
            content: user_content(&message.content)?.into_owned(),
            parent_tool_use_id: message.parent_tool_use_id.clone(),
        },
        ClientMessage::PermissionResponse(response) => SdkInput::PermissionDecision {
            request_id: response.request_id.clone(),
            decision: response.decision,
            message: response.explanation.clone(),
            updated_input: response.updated_input.clone(),
            updated_permissions: response.updated_permissions.clone(),
            interrupt: response.interrupt.unwrap_or(false),
        },
        ClientMessage::ToolResult(result) => SdkInput::ToolResult {
            tool_use_id: result.tool_use_id.clone(),
            content: result.content.clone(),
            is_error: result.is_error,
        },
        ClientMessage::Interrupt(_) => SdkInput::Interrupt,
        ClientMessage::PermissionUpdate(update) => SdkInput::UpdatePermissions(update.updates.clone()),
        ClientMessage::ConfigUpdate(update) => {
            let config = &update.config;
            let changes = [
                config.model.clone().map(SdkInput::SetModel),
                config.permission_mode.map(|mode| SdkInput::SetPermissionMode(agent_mode(mode))),
                config.max_thinking_tokens.map(SdkInput::SetMaxThinkingTokens),
                config.effort.map(SdkInput::SetEffort),
            ];
            let mut changes: Vec<_> = changes.into_iter().flatten().collect();
            if changes.len() > 1 { SdkInput::Several(changes) } else { changes.pop()? }
        }
        _ => return None,
    })
}

/// The agent's name for a permission mode.
pub fn agent_mode(mode: PermissionMode) -> AgentMode {
    match mode {
        PermissionMode::Manual => AgentMode::Default,
        PermissionMode::Auto => AgentMode::AcceptEdits,
        PermissionMode::Plan => AgentMode::Plan,
        PermissionMode::Bypass => AgentMode::BypassPermissions,
    }
}

/// The agent's `content` for what a client sent: a string, an array of blocks, or a string that holds an array of blocks.
///
/// A string counts as blocks only if all of it is a JSON array of objects that are content blocks; one that merely looks like
/// JSON stays the text that it is. None where the content is neither a string nor an array.
///
/// ```
/// use claude_ws::converter::user_content;
/// use claude_ws::protocol::Json;
///
/// let text = Json::of("[1, 2]")?;
/// assert_eq!(user_content(&text).unwrap().get(), text.get());
///
/// let blocks = Json::of(r#"[{"type":"text","text":"Hello"}]"#)?;
/// assert_eq!(user_content(&blocks).unwrap().get(), r#"[{"type":"text","text":"Hello"}]"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn user_content<'a>(content: &'a Json<'_>) -> Option<Json<'a>> {
    user_content_within(content, FrameLimits::default().depth)
}

/// [`user_content`] with a bound of its own for how deep the JSON in a string may nest; what is deeper stays text.
pub fn user_content_within<'a>(content: &'a Json<'_>, depth: usize) -> Option<Json<'a>> {
    let raw: &'a RawValue = serde_json::from_str(content.get()).ok()?;
    match raw.get().as_bytes().first()? {
        b'"' => Some(blocks_in(raw, depth).unwrap_or_else(|| Json::borrowed(raw))),
        b'[' => Some(Json::borrowed(raw)),
        _ => None,
    }
}

/// The blocks that a string holds, if it holds nothing else.
fn blocks_in(token: &RawValue, depth: usize) -> Option<Json<'static>> {
    let text = Raw(Some(token)).text().filter(|text| text.trim_start().starts_with('['))?;
    if !within_depth(&text, depth) {
        return None;
    }
    let blocks: Vec<Value> = serde_json::from_str(&text).ok()?;
    let all = !blocks.is_empty() && blocks.iter().all(is_users_block);
    if all { Json::parse(Cow::into_owned(text)).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{user_content, user_content_within};
    use crate::protocol::Json;

    #[test]
    fn a_string_that_holds_what_is_no_content_stays_text() {
        for text in [
            r#"[{"type":"text"}]"#,
            r#"[{"type":"text","text":5}]"#,
            r#"[{"type":"text","text":"x"},{"type":"image","source":{}}]"#,
            r#"[{"type":"zzz"}]"#,
            "[]",
        ] {
            let content = Json::of(text).unwrap();
            assert_eq!(user_content(&content).unwrap().get(), content.get(), "{text}");
        }
    }

    /// What nests deeper than a frame may is no content in a string either.
    #[test]
    fn a_string_that_holds_deep_blocks_stays_text() {
        let deep = |levels: usize| {
            let text = format!(
                r#"[{{"type":"text","text":"x","citations":{}{}}}]"#,
                "[".repeat(levels),
                "]".repeat(levels)
            );
            Json::of(&text).unwrap()
        };
        assert!(user_content_within(&deep(6), 8).unwrap().get().starts_with('['));
        assert!(user_content_within(&deep(7), 8).unwrap().get().starts_with('"'));
        assert!(user_content(&deep(100_000)).unwrap().get().starts_with('"'));
    }
}
