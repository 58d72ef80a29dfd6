//! What is understood: spellings, forms, and what counts as absent.

use super::super::{FrameLimits, client_frame};
use super::{frame, good, parse};
use crate::protocol::{ClientMessage, PermissionMode, RuleBehavior, RuleUpdate, SessionStart};

fn start(fields: &str) -> SessionStart {
    match good("session_start", fields) {
        ClientMessage::SessionStart(start) => *start,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_type_has_a_parser_under_its_own_name() {
    let fields = |kind: &str| match kind {
        "new_session" => r#""cwd":"/x","mcp_servers":[]"#,
        "user_message" => r#""content":"hi""#,
        "permission_response" => r#""request_id":"p","decision":"deny""#,
        "elicitation_response" => r#""request_id":"e","action":"decline""#,
        "permission_update" => r#""updates":[{"type":"setMode","mode":"plan"}]"#,
        "tool_result" => r#""tool_use_id":"t","content":"""#,
        "cancel" => r#""target_id":"m0""#,
        "result_read" => r#""tool_use_id":"t","seq":1"#,
        "task_stop" | "task_output" => r#""task_id":"t""#,
        "config_update" => r#""config":{}"#,
        _ => "",
    };
    for kind in ClientMessage::TYPES {
        let message = good(kind, fields(kind));
        assert_eq!(message.kind(), *kind);
        let json = serde_json::to_value(&message).expect("messages serialise");
        assert_eq!(json["type"], *kind);
    }
}

#[test]
fn common_fields_come_in_any_order_escaped_or_not() {
    let frame =
        parse(r#" {"x":{"type":"no"},"session_id":"s","\u0069d":"a\u00e9\n","type":"heart\u0062eat"} "#);
    let frame = frame.expect("a good frame");
    assert_eq!((frame.id.as_str(), frame.session_id.as_deref()), ("aé\n", Some("s")));
    assert_eq!(frame.message.kind(), "heartbeat");
}

#[test]
fn ids_are_optional_where_the_protocol_says_so() {
    for text in [
        r#"{"type":"heartbeat"}"#,
        r#"{"type":"heartbeat","id":null,"session_id":""}"#,
        r#"{"type":"new_session","cwd":"/x","mcpServers":[]}"#,
        r#"{"type":"session_list","id":"1"}"#,
        r#"{"type":"session_list","id":"1","session_id":""}"#,
        r#"{"type":"session_start","id":"1"}"#,
        r#"{"type":"session_start","id":"1","session_id":null}"#,
    ] {
        let frame = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(frame.session_id, None);
    }
}

#[test]
fn options_are_flat_or_nested_and_the_nested_win() {
    let flat = start(r#""model":"a","max_turns":3,"last_seq":7,"epoch":"e""#);
    let nested = start(r#""config":{"model":"a","max_turns":3,"last_seq":7,"epoch":"e"}"#);
    assert_eq!(flat, nested);
    assert_eq!((flat.position.last_seq, flat.position.epoch.as_deref()), (Some(7), Some("e")));
    let both = start(r#""model":"a","max_turns":3,"config":{"model":"b","max_turns":null}"#);
    assert_eq!((both.options.model.as_deref(), both.options.max_turns), (Some("b"), Some(3)));
}

#[test]
fn null_is_absent_and_absent_is_not_the_default() {
    let names = [
        "permission_mode",
        "max_turns",
        "max_thinking_tokens",
        "effort",
        "metadata",
        "cwd",
        "model",
        "system_prompt",
        "append_system_prompt",
        "allowed_tools",
        "disallowed_tools",
        "mcp_servers",
        "add_dirs",
        "client_tools",
        "agent_events",
        "last_seq",
        "epoch",
        "config",
    ];
    let nulls: Vec<_> = names.iter().map(|name| format!("\"{name}\":null")).collect();
    assert_eq!(start(&nulls.join(",")), SessionStart::default());
    assert!(start("").options.is_empty());
    let spelled_out = start(r#""permission_mode":"manual""#).options;
    assert!(!spelled_out.is_empty());
    assert_eq!(spelled_out.into_config(), start("").options.into_config());
}

#[test]
fn what_differs_from_the_session_is_told_by_name() {
    let config = start(r#""model":"a","metadata":{"k":"v"},"allowed_tools":["Read"]"#).options.into_config();
    let differing = |fields: &str| start(fields).options.differing_from(&config);
    assert!(differing("").is_empty());
    assert!(differing(r#""model":"a","permission_mode":"manual","agent_events":false"#).is_empty());
    assert_eq!(
        differing(r#""model":"b","metadata":{},"max_turns":5,"permission_mode":"plan""#),
        ["permission_mode", "max_turns", "metadata", "model"],
    );
}

#[test]
fn permission_modes_have_two_spellings() {
    for (spelling, mode) in [
        ("default", PermissionMode::Manual),
        ("manual", PermissionMode::Manual),
        ("acceptEdits", PermissionMode::Auto),
        ("auto", PermissionMode::Auto),
        ("plan", PermissionMode::Plan),
        ("bypassPermissions", PermissionMode::Bypass),
        ("bypass", PermissionMode::Bypass),
    ] {
        let options = start(&format!(r#""permission_mode":"{spelling}""#)).options;
        assert_eq!(options.permission_mode, Some(mode), "{spelling}");
    }
}

#[test]
fn mcp_servers_come_in_both_forms() {
    let acp = start(
        r#""mcp_servers":[{"name":"f","command":"x","args":["-y"],"env":[{"name":"A","value":"1"}]},
           {"name":"h","type":"http","url":"http://h/","headers":[{"name":"X","value":"2"}]}]"#,
    );
    let claude = start(
        r#""mcp_servers":{"f":{"command":"x","args":["-y"],"env":{"A":"1"},"url":null,"headers":null},
           "h":{"type":"http","url":"http://h/","headers":{"X":"2"}}}"#,
    );
    let list = |start: &SessionStart| {
        let servers = start.options.mcp_servers.clone().unwrap_or_default();
        let pairs = |pairs: &crate::protocol::Pairs| {
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        let shown = servers.iter().map(|server| {
            let (env, headers) = (pairs(&server.env), pairs(&server.headers));
            (server.name.clone(), server.command.clone(), server.url.clone(), env, headers)
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(list(&acp), list(&claude));
    assert_eq!(list(&acp).len(), 2);
}

#[test]
fn new_session_in_both_spellings() {
    for fields in [
        r#""cwd":"/x","mcp_servers":[{"name":"a","command":"b"}]"#,
        r#""cwd":"/x","mcpServers":[{"name":"a","command":"b","args":[],"env":[]}]"#,
        r#""cwd":"/x","mcp_servers":[{"name":"a","command":"b"}],"mcpServers":[]"#,
    ] {
        match good("new_session", fields) {
            ClientMessage::NewSession(new) => {
                assert_eq!((new.cwd.as_str(), new.mcp_servers.len()), ("/x", 1));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn content_is_kept_to_the_letter() {
    for content in
        [r#""a\u00e9 \"q\" 1.50""#, r#"[{"type":"text","text":"x", "n":1.0e5}]"#, r#""[{\"type\":1}]""#]
    {
        match good("user_message", &format!(r#""content":{content}"#)) {
            ClientMessage::UserMessage(message) => assert_eq!(message.content.get(), content),
            other => panic!("{other:?}"),
        }
    }
    for content in [r#""""#, "[]", r#"{"q":"a"}"#] {
        good("tool_result", &format!(r#""tool_use_id":"t","content":{content},"is_error":null"#));
    }
}

#[test]
fn rules_come_in_the_agents_form() {
    let fields = r#""updates":[{"type":"addRules","rules":[{"toolName":"Bash","ruleContent":"git:*"}],"behavior":"deny",
        "destination":"session"},{"type":"removeRules","rules":[{"tool_name":"Read"}]},
        {"type":"setMode","mode":"acceptEdits"},{"type":"addDirectories","directories":["/x"]}]"#;
    let ClientMessage::PermissionUpdate(update) = good("permission_update", fields) else {
        panic!("another type")
    };
    let [RuleUpdate::AddRules(added), RuleUpdate::RemoveRules(removed), RuleUpdate::SetMode { mode }, _] =
        update.updates.as_slice()
    else {
        panic!("{update:?}")
    };
    assert_eq!(
        (added.behavior, removed.behavior, *mode),
        (RuleBehavior::Deny, RuleBehavior::Allow, PermissionMode::Auto)
    );
    assert_eq!(added.rules[0].rule_content.as_deref(), Some("git:*"));
}

#[test]
fn unknown_fields_are_ignored() {
    assert!(parse(&frame("interrupt", r#""reason":"x","new":{"a":[1,2]},"timestamp":"whatever""#)).is_ok());
}

#[test]
fn content_blocks_of_every_kind() {
    for block in [
        r#"{"type":"text","text":""}"#,
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}"#,
        r#"{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}"#,
        r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"},"title":"t"}"#,
        r#"{"type":"document","source":{"type":"content","content":[{"type":"text","text":"x"}]}}"#,
        r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#,
        r#"{"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"x"}]}"#,
        r#"{"type":"tool_result","tool_use_id":"t"}"#,
        r#"{"type":"tool_result","tool_use_id":"t","content":"x","is_error":true}"#,
        r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"x"}]}"#,
        r#"{"type":"container_upload","file_id":"f"}"#,
    ] {
        good("user_message", &format!(r#""content":[{block}]"#));
        good("tool_result", &format!(r#""tool_use_id":"t","content":[{block}]"#));
    }
    // Tools give MCP's kinds too, and what is wrong with them is over with the call.
    for block in
        [r#"{"type":"image","data":"AA==","mimeType":"image/png"}"#, r#"{"type":"resource_link","uri":"x"}"#]
    {
        good("tool_result", &format!(r#""tool_use_id":"t","content":[{block}]"#));
    }
}

/// The API refused every later turn of the session.
#[test]
fn content_blocks_that_the_api_does_not_take_from_a_user_are_refused_unless_the_operator_knows_better() {
    let passing = FrameLimits { unknown_blocks: true, ..FrameLimits::default() };
    for (block, path, kind) in [
        (r#"{"type":"video","source":{}}"#, "content[1].type", "video"),
        (r#"{"type":"thinking","thinking":"x","signature":"s"}"#, "content[1].type", "thinking"),
        (r#"{"type":"tool_reference","tool_name":"x"}"#, "content[1].type", "tool_reference"),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"audio"}]}"#,
            "content[1].content[0].type",
            "audio",
        ),
    ] {
        let text = frame("user_message", &format!(r#""content":[{{"type":"text","text":"x"}},{block}]"#));
        let refused = parse(&text).unwrap_err();
        assert_eq!(refused.code, crate::protocol::ErrorCode::InvalidMessage);
        for said in [&format!("`{path}` is \"{kind}\""), "text, tool_result", "--allow-unknown-blocks"] {
            assert!(refused.message.contains(said), "{}: not {said}", refused.message);
        }
        assert!(client_frame(&text, &passing).is_ok(), "{block}");
    }
    assert!(
        parse(&frame("user_message", r#""content":[{"type":"image","data":"AA==","mimeType":"image/png"}]"#))
            .is_err()
    );
}
