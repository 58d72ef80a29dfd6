//! Lines of both versions, and lines that nobody should write.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BadLine, ControlRequest, Message, parse};

fn read(line: &str) -> Message<'_> {
    parse(line.as_bytes()).expect("a good line")
}

#[test]
fn the_type_may_come_late_and_after_nested_ones() {
    let line = r#"{"duration_api_ms":27,"usage":{"type":"x"},"modelUsage":{"type":"system"},"is_error":false,"subtype":"success",
        "result":"Hi","type":"result","duration_ms":88}"#;
    let Message::Result(result) = read(line) else { panic!("no result") };
    assert_eq!(result.duration_ms.count(), Some(88));
    assert_eq!(result.result.text().as_deref(), Some("Hi"));
}

#[test]
fn a_question_has_all_its_fields() {
    let line = json!({"type": "control_request", "request_id": "U", "request": {"subtype": "can_use_tool",
        "tool_name": "Read", "display_name": "Read", "input": {"file_path": "/etc/hosts"}, "description": "/etc/hosts",
        "permission_suggestions": [{"type": "setMode"}], "decision_reason": "outside", "blocked_path": "/etc",
        "tool_use_id": "toolu_1"}})
    .to_string();
    let Message::ControlRequest(request) = read(&line) else { panic!("no request") };
    assert_eq!(request.request_id(), "U");
    let ControlRequest::CanUseTool { request, .. } = *request else { panic!("no question") };
    assert_eq!(request.tool_name.text().as_deref(), Some("Read"));
    assert_eq!(request.input.get(), Some(r#"{"file_path":"/etc/hosts"}"#));
    assert_eq!(request.permission_suggestions.0.len(), 1);
    assert_eq!(request.blocked_path.text().as_deref(), Some("/etc"));
}

#[test]
fn answers_tell_success_from_error() {
    let answer = |response: Value| {
        let line = json!({"type": "control_response", "response": response}).to_string();
        let Message::ControlResponse(response) = read(&line) else { panic!("no response") };
        let queued = response.still_queued().and_then(|queued| queued.get().map(str::to_owned));
        (
            response.request_id.into_owned(),
            response.outcome.map_err(std::borrow::Cow::into_owned).err(),
            queued,
        )
    };
    let success = json!({"subtype": "success", "request_id": "1", "response": {"still_queued": ["a"]}});
    assert_eq!(answer(success), ("1".into(), None, Some(r#"["a"]"#.into())));
    assert_eq!(answer(json!({"subtype": "success", "request_id": "2"})), ("2".into(), None, None));
    let error = json!({"subtype": "error", "request_id": "3", "error": "Unsupported"});
    assert_eq!(answer(error), ("3".into(), Some("Unsupported".into()), None));
}

#[test]
fn unknown_and_odd_lines_are_unknown() {
    for (line, wanted) in [
        (r#"{"type":"keep_alive"}"#, "keep_alive"),
        (r#"{"type":7}"#, ""),
        ("{}", ""),
        (r#"{"type":"a","type":"b"}"#, "b"),
        (r#"{"\ud800":1,"type":"x"}"#, "x"),
    ] {
        let Message::Unknown { kind } = read(line) else { panic!("{line} is known") };
        assert_eq!(kind, wanted, "{line}");
    }
}

#[test]
fn known_kinds_of_odd_shapes_are_empty_or_unknown() {
    for kind in [
        "stream_event",
        "assistant",
        "user",
        "system",
        "result",
        "control_request",
        "control_response",
        "control_cancel_request",
        "rate_limit_event",
        "tool_progress",
    ] {
        for odd in [
            json!(null),
            json!(1e300),
            json!("\u{0}"),
            json!([[{}]]),
            json!({"content": 7, "type": []}),
            json!(true),
        ] {
            let line = json!({"type": kind, "event": odd, "message": odd, "parent_tool_use_id": odd, "subtype": odd,
                "request": odd, "response": odd, "request_id": odd, "errors": odd, "rate_limit_info": odd});
            parse(line.to_string().as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}

#[test]
fn a_result_is_found_whatever_its_fields_hold() {
    let line = r#"{"type":"result","subtype":"success","is_error":false,"duration_ms":1e999,"num_turns":-1,
        "result":"\ud83d cut","total_cost_usd":"free","usage":[],"errors":{"a":1},"terminal_reason":"\udfff"}"#;
    let Message::Result(result) = read(line) else { panic!("no result") };
    assert_eq!(result.result.text().as_deref(), Some("\u{fffd} cut"));
    assert_eq!(result.duration_ms.count(), Some(u64::MAX));
    assert_eq!((result.num_turns.count(), result.total_cost_usd.number()), (None, None));
}

#[test]
fn repeated_keys_do_not_harm() {
    let line = r#"{"type":"user","type":"assistant","message":{"id":"a"},"message":{"id":"b","id":"c"}}"#;
    let Message::Assistant(assistant) = read(line) else { panic!("no assistant") };
    assert_eq!(assistant.body.id.get(), "c");
}

#[test]
fn depth_does_not_overflow() {
    let depth = 50_000;
    let deep = "[".repeat(depth) + &"]".repeat(depth);
    let objects = r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth);
    for value in [&deep, &objects] {
        for key in ["new", "message", "event", "request", "response", "usage", "tools"] {
            for kind in ["stream_event", "assistant", "system", "result", "control_request"] {
                let line = format!(r#"{{"type":"{kind}","subtype":"init","{key}":{value}}}"#);
                parse(line.as_bytes()).expect("deep, but JSON");
            }
        }
        let input = format!(
            r#"{{"type":"assistant","message":{{"content":[{{"type":"tool_use","id":"t","name":"n","input":{value}}}]}}}}"#
        );
        let Message::Assistant(assistant) = read(&input) else { panic!("no assistant") };
        assert_eq!(assistant.body.content[0].input.0, Some(value.as_str()));
        assert_eq!(parse(deep.as_bytes()).unwrap_err(), BadLine::NotAnObject);
    }
}

#[test]
fn bad_lines_say_why() {
    assert_eq!(parse(b"{\"type\":\"\xff\"}").unwrap_err(), BadLine::Encoding);
    assert_eq!(parse(b"{\"type\":").unwrap_err(), BadLine::Json { column: 9 });
    assert!(matches!(parse(b"").unwrap_err(), BadLine::Json { .. }));
    assert!(matches!(parse(b"Debugger attached.").unwrap_err(), BadLine::Json { .. }));
    assert!(matches!(parse(br#"{"type":"x"} trailing"#).unwrap_err(), BadLine::Json { .. }));
    assert_eq!(parse(b"\"text\"").unwrap_err(), BadLine::NotAnObject);
}

proptest! {
    #[test]
    fn nothing_panics(line: Vec<u8>) {
        let _ = parse(&line);
    }

    #[test]
    fn a_cut_or_changed_line_does_not_panic(cut in 0..400_usize, byte: u8) {
        let line = r#"{"event":{"delta":{"text":"\ud83d\ude00 \"x\"","type":"text_delta"},"index":0,"type":"content_block_delta"},
            "message":{"content":[{"type":"tool_result","content":[1e5,{"a":null}]}]},"type":"user"}"#;
        let cut = cut.min(line.len());
        let _ = parse(&line.as_bytes()[..cut]);
        let mut changed = line.as_bytes().to_vec();
        if let Some(at) = changed.get_mut(cut) {
            *at = byte;
        }
        let _ = parse(&changed);
    }

    #[test]
    fn what_is_json_and_an_object_is_a_good_line(key: String, kind: String, value: String) {
        let line = json!({"type": kind, key: [value]}).to_string();
        prop_assert!(parse(line.as_bytes()).is_ok());
    }
}
