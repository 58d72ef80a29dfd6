//! Lines as the agent writes them, for tests that make up their own streams.

use proptest::prelude::*;
use serde_json::{Value, json};

/// A stream event.
pub(super) fn stream(parent: Option<&str>, event: &Value) -> String {
    json!({"type": "stream_event", "event": event, "session_id": "s", "parent_tool_use_id": parent, "uuid": "u"})
        .to_string()
}

/// `message_start`.
pub(super) fn start(parent: Option<&str>, id: &str) -> String {
    stream(parent, &json!({"type": "message_start", "message": {"id": id, "model": "m", "content": []}}))
}

/// `content_block_start`.
pub(super) fn block(parent: Option<&str>, index: u64, block: &Value) -> String {
    stream(parent, &json!({"type": "content_block_start", "index": index, "content_block": block}))
}

/// `content_block_delta`.
pub(super) fn delta(parent: Option<&str>, index: u64, delta: &Value) -> String {
    stream(parent, &json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

/// A `text_delta`.
pub(super) fn text(parent: Option<&str>, index: u64, text: &str) -> String {
    delta(parent, index, &json!({"type": "text_delta", "text": text}))
}

/// `message_stop`, with the `message_delta` before it.
pub(super) fn stop(parent: Option<&str>, stop_reason: Option<&str>) -> [String; 2] {
    [
        stream(
            parent,
            &json!({"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": 1}}),
        ),
        stream(parent, &json!({"type": "message_stop"})),
    ]
}

/// `assistant` with finished blocks.
pub(super) fn assistant(parent: Option<&str>, id: &str, blocks: &Value) -> String {
    json!({"type": "assistant", "message": {"id": id, "model": "m", "content": blocks, "stop_reason": null},
        "parent_tool_use_id": parent})
    .to_string()
}

/// `user` with the result of a tool.
pub(super) fn result(parent: Option<&str>, tool_use_id: &str, content: &Value) -> String {
    json!({"type": "user", "parent_tool_use_id": parent, "message": {"role": "user", "content":
        [{"type": "tool_result", "tool_use_id": tool_use_id, "content": content}]}})
    .to_string()
}

/// The end of a turn.
pub(super) fn turn_end() -> String {
    json!({"type": "result", "subtype": "success", "is_error": false}).to_string()
}

/// Text of all kinds: plain, quotes, control characters, line separators, pairs.
pub(super) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ]{0,12}",
        "[\\PC\"\\\\/\n\r\t\u{0}\u{1f}\u{7f}\u{2028}\u{2029}\u{ffff}😀]{0,12}",
        any::<String>(),
    ]
}
