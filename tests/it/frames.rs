//! Bad frames of every kind: each gets its error, the connection and the sessions live.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Lab};

on_the_fake_cli![
    errors_name_what_is_wrong,
    references_to_nothing,
    a_hundred_bad_frames_in_a_row,
    frames_that_are_too_big,
    deep_and_huge_objects,
    unknown_fields_are_ignored,
];

/// Sends `frame`; gives the error.
async fn refused(client: &mut Client, frame: &str) -> Value {
    let before = client.got().len();
    client.send_text(frame).await;
    client.until("an error", |message| message["type"] == "error").await;
    let error = client.got()[before..].iter().find(|message| message["type"] == "error").unwrap().clone();
    assert!(error["seq"].is_null(), "a reply");
    error
}

#[expect(clippy::too_many_lines, reason = "a table")]
async fn errors_name_what_is_wrong(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    // frame, code, a word of the message, request_id, session_id
    let table = [
        ("", "invalid_json", "", Value::Null, ""),
        ("{", "invalid_json", "", Value::Null, ""),
        ("nonsense", "invalid_json", "", Value::Null, ""),
        ("[]", "invalid_json", "", Value::Null, ""),
        ("\"text\"", "invalid_json", "", Value::Null, ""),
        ("null", "invalid_json", "", Value::Null, ""),
        (r#"{"type":"heartbeat"} {"type":"heartbeat"}"#, "invalid_json", "", Value::Null, ""),
        (r#"{"type":"heartbeat","a":NaN}"#, "invalid_json", "", Value::Null, ""),
        (
            r#"{"type":"user_message","id":"x","session_id":"s","content":"\ud800"}"#,
            "invalid_message",
            "content",
            json!("x"),
            "s",
        ),
        ("{}", "invalid_message", "type", Value::Null, ""),
        (r#"{"type":7,"id":"x"}"#, "invalid_message", "type", json!("x"), ""),
        (r#"{"type":"no_such","id":"x","session_id":"s"}"#, "unknown_type", "no_such", json!("x"), "s"),
        (r#"{"type":"result","id":"x","session_id":"s"}"#, "unknown_type", "result", json!("x"), "s"),
        (
            r#"{"type":"user_message","session_id":"s","content":"a"}"#,
            "invalid_message",
            "id",
            Value::Null,
            "s",
        ),
        (
            r#"{"type":"user_message","id":"","session_id":"s","content":"a"}"#,
            "invalid_message",
            "id",
            Value::Null,
            "s",
        ),
        (
            r#"{"type":"user_message","id":5,"session_id":"s","content":"a"}"#,
            "invalid_message",
            "id",
            Value::Null,
            "s",
        ),
        (
            r#"{"type":"user_message","id":"x","content":"a"}"#,
            "invalid_message",
            "session_id",
            json!("x"),
            "",
        ),
        (
            r#"{"type":"user_message","id":"x","session_id":"a b","content":"a"}"#,
            "invalid_message",
            "session_id",
            json!("x"),
            "",
        ),
        (
            r#"{"type":"user_message","id":"x","session_id":"s"}"#,
            "invalid_message",
            "content",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"user_message","id":"x","session_id":"s","content":""}"#,
            "invalid_message",
            "content",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"user_message","id":"x","session_id":"s","content":[]}"#,
            "invalid_message",
            "content",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"user_message","id":"x","session_id":"s","content":7}"#,
            "invalid_message",
            "content",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"user_message","id":"x","session_id":"s","content":[{"text":"a"}]}"#,
            "invalid_message",
            "content[0]",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"user_message","id":"x","session_id":"s","content":"a","content":"b"}"#,
            "invalid_message",
            "content",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"permission_response","id":"x","session_id":"s","request_id":"r"}"#,
            "invalid_message",
            "decision",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"permission_response","id":"x","session_id":"s","request_id":"r","decision":"maybe"}"#,
            "invalid_message",
            "decision",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"permission_response","id":"x","session_id":"s","decision":"allow"}"#,
            "invalid_message",
            "request_id",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"permission_response","id":"x","session_id":"s","request_id":"r","decision":"allow","updated_input":[]}"#,
            "invalid_message",
            "updated_input",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"permission_update","id":"x","session_id":"s","updates":[]}"#,
            "invalid_message",
            "updates",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"permission_update","id":"x","session_id":"s","updates":[{"type":"addRule"}]}"#,
            "invalid_message",
            "updates[0]",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"tool_result","id":"x","session_id":"s","content":"a"}"#,
            "invalid_message",
            "tool_use_id",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"tool_result","id":"x","session_id":"s","tool_use_id":"t"}"#,
            "invalid_message",
            "content",
            json!("x"),
            "s",
        ),
        (r#"{"type":"cancel","id":"x","session_id":"s"}"#, "invalid_message", "target_id", json!("x"), "s"),
        (
            r#"{"type":"config_update","id":"x","session_id":"s"}"#,
            "invalid_message",
            "config",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"config_update","id":"x","session_id":"s","config":{"max_turns":0}}"#,
            "invalid_message",
            "config.max_turns",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"config_update","id":"x","session_id":"s","config":{"permission_mode":"yolo"}}"#,
            "invalid_message",
            "config.permission_mode",
            json!("x"),
            "s",
        ),
        (
            r#"{"type":"session_start","id":"x","config":{"metadata":[]}}"#,
            "invalid_message",
            "config.metadata",
            json!("x"),
            "",
        ),
        (
            r#"{"type":"session_start","id":"x","metadata":{"a":1}}"#,
            "invalid_message",
            "metadata",
            json!("x"),
            "",
        ),
        (
            r#"{"type":"session_start","id":"x","max_turns":1.5}"#,
            "invalid_message",
            "max_turns",
            json!("x"),
            "",
        ),
        (r#"{"type":"session_start","id":"x","last_seq":-1}"#, "invalid_message", "last_seq", json!("x"), ""),
        (
            r#"{"type":"session_start","id":"x","allowed_tools":["--dangerous"]}"#,
            "invalid_message",
            "allowed_tools[0]",
            json!("x"),
            "",
        ),
        (
            r#"{"type":"session_start","id":"x","client_tools":[{"name":"a b","description":"","input_schema":{"type":"object"}}]}"#,
            "invalid_message",
            "client_tools[0]",
            json!("x"),
            "",
        ),
        (r#"{"type":"session_start","id":"x","cwd":"/etc"}"#, "invalid_cwd", "cwd", json!("x"), ""),
    ];
    for (frame, code, word, request_id, session_id) in table {
        let error = refused(&mut client, frame).await;
        assert_eq!(error["code"], code, "{frame}: {error}");
        assert!(error["message"].as_str().unwrap().contains(word), "{frame}: {error}");
        assert_eq!(error["request_id"], request_id, "{frame}: {error}");
        assert_eq!(error["session_id"], session_id, "{frame}: {error}");
        let message = error["message"].as_str().unwrap();
        // Where sessions may work is what this one is about; every client learns it from its own `cwd`.
        assert!(
            code == "invalid_cwd" || !message.contains(server.workspace().to_str().unwrap()),
            "no paths of the server's: {message}"
        );
    }
    let long = format!(r#"{{"type":"config_query","id":"{}","session_id":"s"}}"#, "x".repeat(129));
    assert_eq!(refused(&mut client, &long).await["code"], "invalid_message");
    client.send_frame(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.expect("error").await["code"], "unsupported_frame");
    assert_eq!(client.turn("still here").await.succeeded().text(), "echo: still here");
}

async fn references_to_nothing(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for message in [
        json!({"type": "permission_response", "request_id": "msg-99", "decision": "allow"}),
        json!({"type": "tool_result", "tool_use_id": "toolu_nobody", "content": "x"}),
        json!({"type": "cancel", "target_id": "nothing"}),
    ] {
        assert_eq!(client.ask(message.clone(), "error").await["code"], "unknown_request", "{message}");
    }
    for kind in ["session_info", "session_end", "interrupt", "resume", "config_query"] {
        let message = json!({"type": kind, "session_id": "nobody"});
        assert_eq!(client.ask(message.clone(), "error").await["code"], "unknown_session", "{message}");
    }
    let message = json!({"type": "user_message", "session_id": "nobody", "content": "x"});
    assert_eq!(client.ask(message, "error").await["code"], "unknown_session");
}

async fn a_hundred_bad_frames_in_a_row(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for _ in 0..100 {
        assert_eq!(refused(&mut client, "{").await["code"], "invalid_json");
    }
    // A good one in between begins the count anew; one that is refused for what it asks is good.
    client.ask(json!({"type": "cancel", "target_id": "nothing"}), "error").await;
    for _ in 0..100 {
        refused(&mut client, r#"{"type":"nonsense","id":"x"}"#).await;
    }
    client.send_text("{").await;
    assert_eq!(client.closed().await, Some(1008));
    // Nobody else is touched.
    let mut other = server.session(json!({})).await;
    other.turn("hello").await.succeeded();
}

async fn frames_that_are_too_big(lab: &Lab) {
    let server = lab.server_with(|config| config.limits.max_message_bytes = 100_000).await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn(format!("!text {}", "x".repeat(90_000))).await.succeeded();
    assert_eq!(turn.text().len(), 90_000);
    client.say("x".repeat(100_000)).await;
    assert_eq!(client.closed().await, Some(1009));
    let mut other = server.connect().await;
    assert_eq!(other.start(json!({})).await["num_turns"], 1, "the session lives");
}

async fn deep_and_huge_objects(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [100, 2_000_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let frame =
                format!(r#"{{"type":"user_message","id":"deep","session_id":"s","content":{nested}}}"#);
            if frame.len() > 8 << 20 {
                continue;
            }
            let error = refused(&mut client, &frame).await;
            assert_eq!((&error["code"], &error["request_id"]), (&json!("invalid_message"), &json!("deep")));
        }
        assert_eq!(refused(&mut client, &open.repeat(1_000_000)).await["seq"], Value::Null);
    }
    let many: Vec<_> = (0..200_000).map(|n| format!(r#","field{n}":{n}"#)).collect();
    let many = many.concat();
    client.send_text(format!(r#"{{"type":"heartbeat","id":"many"{many}}}"#)).await;
    client.until("heartbeat", |message| message["request_id"] == "many").await;
    let metadata: serde_json::Map<String, Value> = (0..65).map(|n| (format!("k{n}"), "v".into())).collect();
    let start =
        json!({"type": "session_start", "id": "m", "session_id": "m", "metadata": metadata}).to_string();
    assert_eq!(refused(&mut client, &start).await["code"], "invalid_message");
    client.turn("hello").await.succeeded();
}

async fn unknown_fields_are_ignored(lab: &Lab) {
    let server = lab.server().await;
    let mut client =
        server.session(json!({"brand_new": {"a": [1]}, "timestamp": "whatever", "model": null})).await;
    let message =
        json!({"type": "user_message", "content": "hi", "brand_new": null, "seq": "x", "timestamp": 1});
    let id = client.send(message).await;
    client.finish(&id).await.succeeded();
}
