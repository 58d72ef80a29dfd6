//! What is refused, with which code, and that the field is named.

use super::{bad, frame, parse};
use crate::protocol::ErrorCode::{self, InvalidJson, InvalidMessage, UnknownType};

fn refused(text: &str) -> (ErrorCode, String) {
    let error = parse(text).expect_err(text);
    (error.code, error.message)
}

#[test]
fn what_is_not_a_json_object() {
    for text in [
        "",
        " ",
        "{",
        "nope",
        r#"{"type":"heartbeat""#,
        r#"{"type":"heartbeat"} x"#,
        "{'type':1}",
        "{\"a\":1,}",
    ] {
        let (code, message) = refused(text);
        assert_eq!(code, InvalidJson, "{text}");
        assert!(message.starts_with("the frame is not JSON: "), "{message}");
    }
    for text in ["[]", "1", "\"heartbeat\"", "null", "[[[]]]"] {
        assert_eq!(refused(text), (InvalidJson, "the frame is not a JSON object".to_owned()), "{text}");
    }
}

#[test]
fn common_fields() {
    for (text, code, message) in [
        ("{}", InvalidMessage, "`type` is missing"),
        (r#"{"type":null}"#, InvalidMessage, "`type` is missing"),
        (r#"{"type":""}"#, InvalidMessage, "`type` is empty"),
        (r#"{"type":5}"#, InvalidMessage, "`type` is not a string"),
        (r#"{"type":"dance"}"#, UnknownType, "unknown type \"dance\""),
        (r#"{"type":"da\"n\u0000ce\u202e"}"#, UnknownType, r#"unknown type "da\"n\u{0}ce\u{202e}""#),
        (r#"{"type":"\ud800"}"#, InvalidMessage, "`type` holds an escape that is no character"),
        (r#"{"type":"heartbeat","type":"heartbeat"}"#, InvalidMessage, "`type` is given twice"),
        (r#"{"type":"config_query","session_id":"s"}"#, InvalidMessage, "`id` is missing"),
        (r#"{"type":"config_query","id":"","session_id":"s"}"#, InvalidMessage, "`id` is empty"),
        (r#"{"type":"config_query","id":7,"session_id":"s"}"#, InvalidMessage, "`id` is not a string"),
        (r#"{"type":"config_query","id":"1"}"#, InvalidMessage, "`session_id` is missing"),
        (r#"{"type":"config_query","id":"1","session_id":null}"#, InvalidMessage, "`session_id` is missing"),
        (r#"{"type":"config_query","id":"1","session_id":""}"#, InvalidMessage, "`session_id` is empty"),
        (r#"{"type":"session_start","id":"1","session_id":""}"#, InvalidMessage, "`session_id` is empty"),
        (
            r#"{"type":"config_query","id":"1","session_id":"a/b"}"#,
            InvalidMessage,
            "`session_id` may hold only A-Z a-z 0-9 . _ : -",
        ),
        (r#"{"type":"session_list"}"#, InvalidMessage, "`id` is missing"),
        (r#"{"type":"heartbeat","id":[]}"#, InvalidMessage, "`id` is not a string"),
    ] {
        assert_eq!(refused(text), (code, message.to_owned()), "{text}");
    }
}

#[test]
fn ids_have_128_characters_at_most_counted_in_characters() {
    let with = |id: &str| parse(&format!(r#"{{"type":"heartbeat","id":"{id}"}}"#));
    assert_eq!(with(&"ä".repeat(128)).expect("128 characters").id.chars().count(), 128);
    assert_eq!(with(&"ä".repeat(129)).expect_err("129").message, "`id` is longer than 128 characters");
    let session = |id: &str| parse(&format!(r#"{{"type":"session_info","id":"1","session_id":"{id}"}}"#));
    assert!(session(&"a".repeat(128)).is_ok());
    assert!(session(&"a".repeat(129)).is_err());
    assert!(session("A-z_0:9.").is_ok());
}

#[test]
fn a_long_unknown_type_is_cut() {
    let (code, message) = refused(&format!(r#"{{"type":"{}"}}"#, "x".repeat(1_000_000)));
    assert_eq!(code, UnknownType);
    assert!(message.len() < 120, "{} bytes", message.len());
}

#[test]
fn the_error_is_addressed_as_far_as_the_frame_can_be_read() {
    let ids = |text: &str| {
        let error = parse(text).expect_err(text);
        (error.request_id.unwrap_or_default(), error.session_id.unwrap_or_default())
    };
    let owned = |id: &str, session: &str| (id.to_owned(), session.to_owned());
    assert_eq!(ids(r#"{"id":"a","session_id":"s","type":"dance"}"#), owned("a", "s"));
    assert_eq!(ids(r#"{"type":7,"id":"a","session_id":"s"}"#), owned("a", "s"));
    assert_eq!(ids(r#"{"type":"cancel","session_id":"b/d","id":"a"}"#), owned("a", ""));
    assert_eq!(ids(r#"{"type":"cancel","session_id":"s","id":""}"#), owned("", "s"));
    assert_eq!(ids(r#"{"id":"a","session_id":"s","type":"cancel""#), owned("a", "s"));
    let deep = format!(r#"{{"id":"a","x":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(ids(&deep), owned("a", ""));
}

#[test]
fn deep_nesting_is_refused_also_in_what_is_only_passed_on() {
    for (depth, fits) in [(61, true), (62, false), (10_000, false), (1_000_000, false)] {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let content = format!(r#""content":[{{"type":"text","text":"","y":{value}}}]"#);
        assert_eq!(parse(&frame("user_message", &content)).is_ok(), fits, "{depth}");
    }
    let open = "{\"a\":".repeat(1_000_000);
    assert_eq!(refused(&open).0, InvalidJson);
    assert_eq!(refused(&"[".repeat(1_000_000)).0, InvalidJson);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn fields_are_named_by_their_path() {
    for (kind, fields, message) in [
        ("user_message", "", "`content` is missing"),
        ("user_message", r#""content":null"#, "`content` is neither a string nor an array of content blocks"),
        ("user_message", r#""content":"""#, "`content` is empty"),
        ("user_message", r#""content":[]"#, "`content` is empty"),
        ("user_message", r#""content":[{"type":"text","text":""},"x"]"#, "`content[1]` is not an object"),
        ("user_message", r#""content":[{"text":"x"}]"#, "`content[0].type` is missing"),
        ("user_message", r#""content":"\ud800""#, "`content` holds an escape that is no character"),
        ("user_message", r#""content":"a","content":"b""#, "`content` is given twice"),
        (
            "user_message",
            r#""content":"a","parent_tool_use_id":5"#,
            "`parent_tool_use_id` is not valid: invalid type: integer `5`, expected a string",
        ),
        ("session_start", r#""max_turns":0"#, "`max_turns` is not between 1 and 1000"),
        ("session_start", r#""config":{"max_turns":1001}"#, "`config.max_turns` is not between 1 and 1000"),
        (
            "session_start",
            r#""max_turns":1.0"#,
            "`max_turns` is not valid: invalid type: floating point `1.0`, expected a whole number, 0 or more",
        ),
        (
            "session_start",
            r#""last_seq":-1"#,
            "`last_seq` is not valid: invalid value: integer `-1`, expected a whole number, 0 or more",
        ),
        (
            "session_start",
            r#""config":{"metadata":{"a":1}}"#,
            "`config.metadata.a` is not valid: invalid type: integer `1`, expected a string",
        ),
        (
            "session_start",
            r#""config":{"metadata":[]}"#,
            "`config.metadata` is not valid: invalid type: sequence, expected an object",
        ),
        (
            "session_start",
            r#""config":[]"#,
            "`config` is not valid: invalid type: sequence, expected an object",
        ),
        ("session_start", r#""cwd":"""#, "`cwd` is empty"),
        ("session_start", r#""model":"--x""#, "`model` begins with `-`"),
        ("session_start", r#""allowed_tools":["Read","-x"]"#, "`allowed_tools[1]` begins with `-`"),
        ("session_start", r#""add_dirs":["/a\u0000"]"#, "`add_dirs[0]` holds a NUL character"),
        (
            "session_start",
            r#""mcp_servers":[{"name":"a","command":"x"},{"command":"y"}]"#,
            "`mcp_servers[1].name` is missing",
        ),
        (
            "session_start",
            r#""mcp_servers":[{"name":"a"}]"#,
            "`mcp_servers[0].command` is missing; a server without `type` (stdio) needs it",
        ),
        (
            "session_start",
            r#""mcp_servers":{"a":{"type":"http"}}"#,
            "`mcp_servers[0].url` is missing; http needs it",
        ),
        (
            "session_start",
            r#""mcp_servers":[{"name":"a","command":"x"},{"name":"a","command":"y"}]"#,
            "`mcp_servers[1].name` is the name of an earlier server too",
        ),
        (
            "session_start",
            r#""mcp_servers":[{"name":"a","command":"x","env":[{"name":"A"}]}]"#,
            "`mcp_servers[0].env[0].value` is missing",
        ),
        (
            "session_start",
            r#""client_tools":[{"name":"a b","description":"","input_schema":{"type":"object"}}]"#,
            "`client_tools[0].name` is not 1 to 64 of A-Z a-z 0-9 _ -",
        ),
        (
            "session_start",
            r#""config":{"client_tools":[{"name":"a","description":"","input_schema":{"type":"object","required":1}}]}"#,
            "`config.client_tools[0].input_schema.required` is not an array of names",
        ),
        (
            "session_start",
            r#""mcp_servers":[{"name":"client","command":"x"}],"client_tools":[{"name":"a","description":"","input_schema":{"type":"object"}}]"#,
            "`mcp_servers[0].name` is the name under which `client_tools` go",
        ),
        ("new_session", r#""mcp_servers":[]"#, "`cwd` is missing"),
        ("new_session", r#""cwd":"/x""#, "`mcp_servers` is missing"),
        ("new_session", r#""cwd":"x","mcp_servers":[]"#, "`cwd` is not an absolute path"),
        (
            "new_session",
            r#""cwd":"/x","mcp_servers":{}"#,
            "`mcp_servers` is not valid: invalid type: map, expected an array",
        ),
        ("permission_response", r#""decision":"allow""#, "`request_id` is missing"),
        ("permission_response", r#""request_id":"","decision":"allow""#, "`request_id` is empty"),
        ("permission_response", r#""request_id":"p""#, "`decision` is missing"),
        ("elicitation_response", r#""action":"accept""#, "`request_id` is missing"),
        ("elicitation_response", r#""request_id":"e""#, "`action` is missing"),
        (
            "elicitation_response",
            r#""request_id":"e","action":"accept","content":[]"#,
            "`content` is not an object",
        ),
        (
            "elicitation_response",
            r#""request_id":"e","action":"accept","content":{"a":{"b":1}}"#,
            "`content.a` is no string, number, boolean or array of strings; leave out what was not filled in",
        ),
        (
            "elicitation_response",
            r#""request_id":"e","action":"accept","content":{"a":["x",1]}"#,
            "`content.a` is no string, number, boolean or array of strings; leave out what was not filled in",
        ),
        (
            "elicitation_response",
            r#""request_id":"e","action":"accept","content":{"a":null}"#,
            "`content.a` is no string, number, boolean or array of strings; leave out what was not filled in",
        ),
        (
            "elicitation_response",
            r#""request_id":"e","action":"accept","content":{"a":"\ud800"}"#,
            "`content` holds an escape that is no character, or a number that is too large",
        ),
        (
            "permission_response",
            r#""request_id":"p","decision":"allow","updated_input":[]"#,
            "`updated_input` is not an object",
        ),
        (
            "permission_response",
            r#""request_id":"p","decision":"allow","updated_permissions":[{"type":"addRules","rules":[]},{}]"#,
            "`updated_permissions[1].type` is missing",
        ),
        ("permission_update", r#""updates":[]"#, "`updates` is empty"),
        ("permission_update", r#""updates":[{"type":"addRules"}]"#, "`updates[0].rules` is missing"),
        (
            "permission_update",
            r#""updates":[{"type":"addRules","rules":[{"toolName":""}]}]"#,
            "`updates[0].rules[0].toolName` is empty",
        ),
        (
            "permission_update",
            r#""updates":[{"type":"setMode","mode":"dontAsk"}]"#,
            "`updates[0].mode` is not valid: unknown variant `dontAsk`, expected one of `default`, `manual`, `acceptEdits`, `auto`, `plan`, `bypass`, `bypassPermissions`",
        ),
        (
            "permission_update",
            r#""updates":[{"type":"addDirectories","directories":["a"]}]"#,
            "`updates[0].directories[0]` is not an absolute path",
        ),
        ("tool_result", r#""content":"x""#, "`tool_use_id` is missing"),
        (
            "tool_result",
            r#""tool_use_id":"t","content":1"#,
            "`content` is neither a string nor an array of content blocks nor an object",
        ),
        ("cancel", "", "`target_id` is missing"),
        ("config_update", "", "`config` is missing"),
        ("config_update", r#""config":{"max_turns":0}"#, "`config.max_turns` is not between 1 and 1000"),
        ("interrupt", r#""reason":{}"#, "`reason` is not valid: invalid type: map, expected a string"),
    ] {
        assert_eq!(bad(kind, fields), message, "{kind} {fields}");
    }
}

#[test]
fn unknown_values_are_answered_with_the_known_ones() {
    let message = bad("permission_response", r#""request_id":"p","decision":"maybe""#);
    assert!(
        message.starts_with("`decision` is not valid: unknown variant `maybe`, expected one of `allow`"),
        "{message}"
    );
    let message = bad("permission_update", r#""updates":[{"type":"dance"}]"#);
    assert!(message.starts_with("`updates[0].type` is not valid: unknown variant `dance`"), "{message}");
}

#[test]
fn metadata_is_bounded() {
    let entries = |count: usize| {
        let entries: Vec<_> = (0..count).map(|at| format!(r#""k{at}":"v""#)).collect();
        format!(r#""metadata":{{{}}}"#, entries.join(","))
    };
    assert!(parse(&frame("session_start", &entries(64))).is_ok());
    assert_eq!(bad("session_start", &entries(65)), "`metadata` has more than 64 entries");
    let long = "x".repeat(129);
    assert_eq!(
        bad("session_start", &format!(r#""metadata":{{"{long}":""}}"#)),
        "`metadata` has a key that is longer than 128 characters",
    );
    let long = "x".repeat(4097);
    assert_eq!(
        bad("session_start", &format!(r#""metadata":{{"k":"{long}"}}"#)),
        "`metadata` has under \"k\" a value that is longer than 4096 characters",
    );
}

#[test]
fn errors_are_bounded_whatever_the_frame_held() {
    let long = "y".repeat(1_000_000);
    for fields in [
        format!(r#""request_id":"p","decision":"{long}""#),
        format!(r#""request_id":"p","decision":"deny","interrupt":"{long}""#),
    ] {
        assert!(bad("permission_response", &fields).len() < 500);
    }
    assert!(bad("session_start", &format!(r#""metadata":{{"{long}":5}}"#)).len() < 1500);
}

/// 2.1.330 waited for ever over such a block, 2.1.197 died of it.
#[test]
fn a_content_block_without_what_its_type_needs() {
    for (block, problem) in [
        (r#"{"type":"text"}"#, "`content[0].text` is missing"),
        (r#"{"type":"text","text":5}"#, "`content[0].text` is not a string"),
        (r#"{"type":"text","text":null}"#, "`content[0].text` is missing"),
        (r#"{"type":"image"}"#, "`content[0].source` is missing"),
        (r#"{"type":"image","source":5}"#, "`content[0].source` is not an object"),
        (r#"{"type":"image","source":{}}"#, "`content[0].source.type` is missing"),
        (
            r#"{"type":"image","source":{"type":"x"}}"#,
            "`content[0].source.type` is not one of base64, content, file, text, url",
        ),
        (r#"{"type":"image","source":{"type":"url"}}"#, "`content[0].source.url` is missing"),
        (
            r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf"}}"#,
            "`content[0].source.data` is missing",
        ),
        (r#"{"type":"tool_result"}"#, "`content[0].tool_use_id` is missing"),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"text"}]}"#,
            "`content[0].content[0].text` is missing",
        ),
        (
            r#"{"type":"tool_result","tool_use_id":"t","content":[5]}"#,
            "`content[0].content[0]` is not an object",
        ),
        (r#"{"type":"search_result","source":"s","title":"t"}"#, "`content[0].content` is not an array"),
    ] {
        assert_eq!(bad("user_message", &format!(r#""content":[{block}]"#)), problem, "{block}");
        let result = format!(r#""tool_use_id":"t","content":[{block}]"#);
        assert_eq!(bad("tool_result", &result), problem, "{block}");
    }
}
