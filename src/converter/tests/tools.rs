//! Rule 5 of the protocol, results of tools, and warnings.

use serde_json::{Value, json};

use super::lines::{assistant, block, delta, result, start};
use super::recorder::convert;
use crate::protocol::{Executor, ServerMessage, ToolResult, WarningCode};

fn events(lines: &[String]) -> Vec<ServerMessage<'static>> {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let recorder = convert(&lines, false);
    recorder.check();
    recorder.events.into_iter().map(|(_, event)| event).collect()
}

fn tool_result(content: &Value) -> ToolResult<'static> {
    match events(&[result(Some("toolu_1"), "t", content)]).pop() {
        Some(ServerMessage::ToolResult(result)) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_that_is_a_string_is_its_content() {
    let result = tool_result(&json!("a\n\"b\""));
    assert_eq!(result.content, "a\n\"b\"");
    assert_eq!((result.is_error, result.blocks), (false, None));
    assert_eq!(result.parent_tool_use_id.as_deref(), Some("toolu_1"));
}

#[test]
fn text_blocks_are_joined_by_newlines() {
    let result = tool_result(&json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]));
    assert_eq!(result.content, "a\nb");
    assert_eq!(result.blocks, None);
}

#[test]
fn other_blocks_are_kept_beside_the_text() {
    let blocks = json!([{"type": "text", "text": "see"}, {"type": "image", "source": {"data": "x"}}, 7]);
    let result = tool_result(&blocks);
    assert_eq!(result.content, "see");
    assert_eq!(result.blocks.expect("blocks").get(), blocks.to_string());
}

#[test]
fn odd_contents_are_no_reason_to_fail() {
    assert_eq!(tool_result(&json!(null)).content, "");
    assert_eq!(tool_result(&json!([])).blocks, None);
    assert_eq!(tool_result(&json!({"a": 1})).blocks.expect("the object").get(), r#"{"a":1}"#);
}

#[test]
fn notes_and_replays_are_not_results() {
    let note = json!({"type": "user", "message": {"role": "user", "content":
        [{"type": "text", "text": "[Request interrupted by user]"}]}});
    let mut replay: Value = serde_json::from_str(&result(None, "t", &json!("x"))).expect("JSON");
    replay["isReplay"] = json!(true);
    let image = json!({"type": "user", "message": {"role": "user", "content": "[Image: source: /a.png]"}});
    assert_eq!(events(&[note.to_string(), replay.to_string(), image.to_string()]), []);
}

#[test]
fn a_prompt_that_comes_before_its_call_is_preceded_by_it() {
    let ask = json!({"type": "control_request", "request_id": "r", "request": {"subtype": "can_use_tool",
        "tool_name": "Bash", "input": {"command": "ls"}, "tool_use_id": "t"}});
    let call = json!([{"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}]);
    let events = events(&[ask.to_string(), assistant(None, "m", &call)]);
    let calls = events.iter().filter(|event| matches!(event, ServerMessage::ToolUse(_))).count();
    assert_eq!(calls, 1);
    assert!(matches!(events[0], ServerMessage::ToolUse(_)));
}

#[test]
fn tools_of_the_front_end_are_told_apart() {
    let executor = |name: &str| {
        let call = json!([{"type": "tool_use", "id": "t", "name": name, "input": {}}]);
        match events(&[assistant(None, "m", &call)]).pop() {
            Some(ServerMessage::ToolUse(tool)) => tool.executor,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(executor("mcp__client__clock"), Executor::Client);
    assert_eq!(executor("mcp__other__clock"), Executor::Agent);
}

#[test]
fn input_arrives_in_pieces_and_then_whole() {
    let tool = json!({"type": "tool_use", "id": "t", "name": "Bash", "input": {}});
    let whole = json!([{"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}]);
    let piece = |json: &str| delta(None, 0, &json!({"type": "input_json_delta", "partial_json": json}));
    let events = events(&[
        start(None, "m"),
        block(None, 0, &tool),
        piece(""),
        piece("{\"comm"),
        piece("and\":\"ls\"}"),
        assistant(None, "m", &whole),
    ]);
    let kinds: Vec<Value> =
        events.iter().map(|event| serde_json::to_value(event).expect("serializes")).collect();
    let kinds: Vec<&str> = kinds
        .iter()
        .map(|event| event["delta"]["delta_type"].as_str().or(event["type"].as_str()).unwrap_or(""))
        .collect();
    assert_eq!(kinds, ["assistant_message_start", "tool_input", "tool_input", "tool_use", "tool_use"]);
}

#[test]
fn what_a_person_should_know_is_a_warning() {
    let code = |line: Value| match events(&[line.to_string()]).pop() {
        Some(ServerMessage::Warning(warning)) => Some((warning.code, warning.message.into_owned())),
        _ => None,
    };
    let limit = |status: &str| {
        json!({"type": "rate_limit_event", "rate_limit_info":
            {"status": status, "rateLimitType": "five_hour", "utilization": 0.91, "resetsAt": 1_800_000_000}})
    };
    assert_eq!(code(limit("allowed")), None);
    let (warned, text) = code(limit("allowed_warning")).expect("a warning");
    assert_eq!(warned, WarningCode::RateLimit);
    assert_eq!(text, "The rate limit is near (five hour), 91 % used, resets at Unix time 1800000000");
    assert_eq!(code(limit("rejected")).map(|(code, _)| code), Some(WarningCode::RateLimit));
    let system = |subtype: &str| code(json!({"type": "system", "subtype": subtype})).map(|(code, _)| code);
    assert_eq!(system("api_retry"), Some(WarningCode::ApiRetry));
    assert_eq!(system("compact_boundary"), Some(WarningCode::ContextCompacted));
    assert_eq!(system("permission_denied"), Some(WarningCode::PermissionDenied));
    assert_eq!(system("status"), None);
}
