//! The committed schema is fresh, and says of good and bad frames what the parser says.

use jsonschema::Validator;
use serde_json::{Value, json};

use super::messages::definition_name;
use super::{PROTOCOL_SCHEMA, protocol_schema};
use crate::protocol::parse::{FrameLimits, client_frame};
use crate::protocol::{ClientMessage, ServerFrame, ServerMessage};

/// The validator of `$defs/ClientMessage` or `$defs/ServerMessage`.
pub(in crate::protocol) fn validator(definition: &str) -> Validator {
    let mut schema = protocol_schema();
    schema.as_object_mut().expect("an object").remove("anyOf");
    schema["$ref"] = json!(format!("#/$defs/{definition}"));
    jsonschema::draft202012::new(&schema).expect("a valid schema")
}

#[test]
fn the_committed_schema_is_fresh() {
    let fresh = serde_json::to_string_pretty(&protocol_schema()).expect("a schema serialises") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.schema.json");
        std::fs::write(path, fresh).expect("docs/ can be written");
        return;
    }
    assert!(
        fresh == PROTOCOL_SCHEMA,
        "docs/protocol.schema.json is stale; refresh it: UPDATE_SCHEMA=1 cargo test --lib protocol::schema",
    );
}

#[test]
fn it_is_a_valid_schema_with_a_definition_for_every_type() {
    let schema = protocol_schema();
    jsonschema::meta::validate(&schema).expect("a valid schema");
    let check = |side: &str, kinds: &[&str]| {
        for kind in kinds {
            let definition = &schema["$defs"][definition_name(side, kind)];
            assert_eq!(definition["properties"]["type"]["const"], *kind, "{side} {kind}");
        }
        let choices = schema["$defs"][format!("{side}Message")]["oneOf"].as_array().map(Vec::len);
        assert_eq!(choices, Some(kinds.len()));
    };
    check("Client", ClientMessage::TYPES);
    check("Server", ServerMessage::TYPES);
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, schema: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let path = reference.strip_prefix('#').expect("local references only");
                    assert!(schema.pointer(path).is_some(), "{reference}");
                }
                fields.values().for_each(|value| walk(value, schema));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, schema)),
            _ => {}
        }
    }
    let schema = protocol_schema();
    walk(&schema, &schema);
}

/// The schema and the parser must agree on these.
#[test]
fn good_and_bad_client_frames() {
    let validator = validator("ClientMessage");
    let check = |mut frame: Value, good: bool| {
        if frame.get("id").is_none() && frame["type"] != "heartbeat" {
            frame["id"] = json!("1");
        }
        let parsed = client_frame(&frame.to_string(), &FrameLimits::default());
        assert_eq!(parsed.is_ok(), good, "the parser on {frame}: {parsed:?}");
        let errors: Vec<_> = validator.iter_errors(&frame).map(|error| error.to_string()).collect();
        assert_eq!(errors.is_empty(), good, "the schema on {frame}: {errors:?}");
    };
    let tool = json!({"name": "t", "description": "d", "input_schema": {"type": "object", "properties": {}}});
    for frame in [
        json!({"type": "heartbeat"}),
        json!({"type": "heartbeat", "id": null, "session_id": "", "new": [1]}),
        json!({"type": "session_list"}),
        json!({"type": "session_start"}),
        json!({"type": "session_start", "permission_mode": "acceptEdits", "last_seq": 0, "epoch": null, "model": null}),
        json!({"type": "session_start", "config": {"metadata": {"a": "b"}, "client_tools": [tool], "last_seq": 3}}),
        json!({"type": "session_start", "mcp_servers": {"a": {"command": "x", "env": {"A": "1"}}}}),
        json!({"type": "session_start", "mcp_servers": [{"name": "a", "type": "sse", "url": "u", "headers": null}]}),
        json!({"type": "new_session", "cwd": "/x", "mcpServers": []}),
        json!({"type": "new_session", "cwd": "/x", "mcp_servers": [{"name": "a", "command": "c", "env": []}]}),
        json!({"type": "user_message", "session_id": "s", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]}),
        json!({"type": "permission_response", "session_id": "s", "request_id": "p", "decision": "allow_always", "updated_input": {}}),
        json!({"type": "permission_update", "session_id": "s", "updates": [{"type": "setMode", "mode": "default"}]}),
        json!({"type": "permission_update", "session_id": "s", "updates": [{"type": "addRules", "rules": [{"toolName": "Bash"}]}]}),
        json!({"type": "tool_result", "session_id": "s", "tool_use_id": "t", "content": {"q": "a"}, "is_error": null}),
        json!({"type": "config_update", "session_id": "s", "config": {"max_turns": 1000, "model": null}}),
    ] {
        check(frame, true);
    }
    for frame in [
        json!({"type": "dance"}),
        json!({"type": "heartbeat", "id": 5}),
        json!({"type": "heartbeat", "id": ""}),
        json!({"type": "session_info"}),
        json!({"type": "session_start", "session_id": ""}),
        json!({"type": "session_start", "session_id": "a/b"}),
        json!({"type": "session_start", "max_turns": 0}),
        json!({"type": "session_start", "last_seq": -1}),
        json!({"type": "session_start", "last_seq": 1.5}),
        json!({"type": "session_start", "config": []}),
        json!({"type": "session_start", "config": {"metadata": {"a": 1}}}),
        json!({"type": "session_start", "permission_mode": "yolo"}),
        json!({"type": "session_start", "mcp_servers": [{"command": "x"}]}),
        json!({"type": "session_start", "client_tools": [{"name": "a b", "description": "", "input_schema": {"type": "object"}}]}),
        json!({"type": "session_start", "client_tools": [{"name": "a", "description": "", "input_schema": {}}]}),
        json!({"type": "new_session", "cwd": "/x"}),
        json!({"type": "new_session", "cwd": "x", "mcp_servers": []}),
        json!({"type": "user_message", "session_id": "s"}),
        json!({"type": "user_message", "session_id": "s", "content": ""}),
        json!({"type": "user_message", "session_id": "s", "content": []}),
        json!({"type": "user_message", "session_id": "s", "content": [{}]}),
        json!({"type": "user_message", "session_id": "s", "content": 5}),
        json!({"type": "permission_response", "session_id": "s", "request_id": "p", "decision": "maybe"}),
        json!({"type": "permission_response", "session_id": "s", "request_id": "p", "decision": "allow", "updated_input": []}),
        json!({"type": "permission_update", "session_id": "s", "updates": [{"type": "addRules"}]}),
        json!({"type": "permission_update", "session_id": "s", "updates": []}),
        json!({"type": "tool_result", "session_id": "s", "tool_use_id": "t", "content": null}),
        json!({"type": "cancel", "session_id": "s", "target_id": ""}),
        json!({"type": "config_update", "session_id": "s"}),
        json!({"type": "config_update", "session_id": "s", "config": {"max_turns": 1001}}),
    ] {
        check(frame, false);
    }
}

#[test]
fn good_and_bad_server_frames() {
    let validator = validator("ServerMessage");
    let event = |fields: Value| {
        let mut frame = json!({"id": "msg-0", "session_id": "s", "seq": 1, "timestamp": 1});
        frame.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        frame
    };
    let result = |fields: Value| {
        let mut frame =
            event(json!({"type": "result", "subtype": "success", "duration_ms": 1, "duration_api_ms": 1,
            "num_turns": 1, "is_error": false}));
        frame.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        frame
    };
    for frame in [
        event(json!({"type": "status_update", "status": "idle", "new": 1})),
        event(json!({"type": "assistant_message_delta", "delta": {"delta_type": "text", "text": "a"}})),
        result(json!({})),
        result(json!({"is_error": true, "subtype": "error", "error": "x", "error_code": "api_error"})),
        json!({"type": "interrupted", "id": "r", "session_id": "s", "outcome": "nothing_running"}),
        json!({"type": "error", "id": "r", "session_id": "", "code": "invalid_json", "message": "m"}),
        json!({"type": "heartbeat", "id": "r", "session_id": "", "timestamp": 5}),
    ] {
        let errors: Vec<_> = validator.iter_errors(&frame).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{frame}: {errors:?}");
        ServerFrame::parse(&frame.to_string()).unwrap_or_else(|error| panic!("{frame}: {error}"));
    }
    for frame in [
        json!({"type": "status_update", "status": "idle", "id": "m", "session_id": "s"}),
        event(json!({"type": "status_update", "status": "dancing"})),
        event(json!({"type": "status_update", "status": "idle", "message": null})),
        event(json!({"type": "status_update", "status": "idle", "seq": 0})),
        event(json!({"type": "assistant_message_delta", "delta": {"delta_type": "text"}})),
        result(json!({"error": "but no error"})),
        json!({"type": "interrupted", "id": "r", "session_id": "s", "outcome": "interrupted"}),
        json!({"type": "warning", "id": "r", "session_id": "s", "seq": 4, "code": "gap", "message": "m"}),
        json!({"type": "heartbeat", "id": "r", "session_id": ""}),
        json!({"type": "error", "id": "r", "code": "invalid_json", "message": "m"}),
    ] {
        assert!(!validator.is_valid(&frame), "{frame}");
    }
}
