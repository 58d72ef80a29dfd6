//! The way over the SDK's types, as one writes it at first: the line as a `Value`, that as the SDK's `Message`, that as owned
//! protocol structs, and those as a string.

use claude_agent_sdk::Message;
use claude_agent_sdk::types::{ContentBlock, ContentValue, UserContent};
use serde::Serialize;
use serde_json::Value;

/// One frame.
#[derive(Serialize)]
struct Frame {
    #[serde(flatten)]
    body: Body,
    id: String,
    session_id: String,
    request_id: String,
    seq: u64,
    timestamp: u64,
}

/// Its message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body {
    AssistantMessageStart {
        model: String,
        parent_tool_use_id: Option<String>,
    },
    AssistantMessageDelta {
        delta: Delta,
        parent_tool_use_id: Option<String>,
    },
    AssistantMessageComplete {
        parent_tool_use_id: Option<String>,
    },
    ToolUse {
        tool_use_id: String,
        tool_name: String,
        tool_input: Value,
        parent_tool_use_id: Option<String>,
    },
    ToolResult {
        tool_use_id: String,
        content: String,
        is_error: bool,
        parent_tool_use_id: Option<String>,
    },
    Result {
        subtype: String,
        duration_ms: u64,
        duration_api_ms: u64,
        num_turns: u32,
        is_error: bool,
        result: Option<String>,
        total_cost_usd: Option<f64>,
        usage: Option<Value>,
    },
}

/// A piece.
#[derive(Serialize)]
#[serde(tag = "delta_type", rename_all = "snake_case")]
enum Delta {
    Text { text: String },
    Thinking { thinking: String },
    ToolUse { tool_use_id: String, tool_name: String, tool_input: Value },
    ToolInput { partial_json: String },
}

/// Converts one line; the frames' lengths, so that nothing is optimized away.
pub(crate) fn convert(line: &[u8]) -> usize {
    let value: Value = serde_json::from_slice(line).expect("a line of the corpus");
    let message: Message = serde_json::from_value(value).expect("a message of the SDK");
    bodies(message)
        .into_iter()
        .map(|body| {
            let frame = Frame {
                body,
                id: "msg-12".to_owned(),
                session_id: "0e0a9d60-5e0c-4b7d-9c61-7a3f5f8d2f11".to_owned(),
                request_id: "3f0c7d5e-user-message".to_owned(),
                seq: 12,
                timestamp: 1_767_225_600_000,
            };
            std::hint::black_box(serde_json::to_string(&frame).expect("serializes")).len()
        })
        .sum()
}

fn bodies(message: Message) -> Vec<Body> {
    match message {
        Message::StreamEvent { event, parent_tool_use_id, .. } => {
            let text = |key: &str| event["delta"][key].as_str().unwrap_or_default().to_owned();
            let delta = match event["delta"]["type"].as_str() {
                Some("text_delta") => Delta::Text { text: text("text") },
                Some("thinking_delta") => Delta::Thinking { thinking: text("thinking") },
                Some("input_json_delta") => Delta::ToolInput { partial_json: text("partial_json") },
                _ => return Vec::new(),
            };
            vec![Body::AssistantMessageDelta { delta, parent_tool_use_id }]
        }
        Message::Assistant { message, parent_tool_use_id, .. } => {
            let parent = || parent_tool_use_id.clone();
            let mut all =
                vec![Body::AssistantMessageStart { model: message.model, parent_tool_use_id: parent() }];
            for block in message.content {
                let delta = match block {
                    ContentBlock::Text { text } => Delta::Text { text },
                    ContentBlock::Thinking { thinking, .. } => Delta::Thinking { thinking },
                    ContentBlock::ToolUse { id, name, input } => {
                        let delta = Delta::ToolUse {
                            tool_use_id: id.clone(),
                            tool_name: name.clone(),
                            tool_input: input.clone(),
                        };
                        all.push(Body::AssistantMessageDelta { delta, parent_tool_use_id: parent() });
                        all.push(Body::ToolUse {
                            tool_use_id: id,
                            tool_name: name,
                            tool_input: input,
                            parent_tool_use_id: parent(),
                        });
                        continue;
                    }
                    ContentBlock::ToolResult { .. } => continue,
                };
                all.push(Body::AssistantMessageDelta { delta, parent_tool_use_id: parent() });
            }
            all.push(Body::AssistantMessageComplete { parent_tool_use_id: parent() });
            all
        }
        Message::User { message, parent_tool_use_id, .. } => match message.content {
            Some(UserContent::Blocks(blocks)) => blocks
                .into_iter()
                .filter_map(|block| match block {
                    ContentBlock::ToolResult { tool_use_id, content, is_error } => Some(Body::ToolResult {
                        tool_use_id,
                        content: match content {
                            Some(ContentValue::String(text)) => text,
                            Some(ContentValue::Blocks(blocks)) => Value::from(blocks).to_string(),
                            None => String::new(),
                        },
                        is_error: is_error.unwrap_or(false),
                        parent_tool_use_id: parent_tool_use_id.clone(),
                    }),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        },
        Message::Result {
            subtype,
            duration_ms,
            duration_api_ms,
            num_turns,
            is_error,
            result,
            total_cost_usd,
            usage,
            ..
        } => vec![Body::Result {
            subtype,
            duration_ms,
            duration_api_ms,
            num_turns,
            is_error,
            result,
            total_cost_usd,
            usage,
        }],
        Message::System { .. } => Vec::new(),
    }
}
