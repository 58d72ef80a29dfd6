//! Builders of the lines that are written to the agent's stdin: user messages and the control protocol.
//!
//! Each gives one line, its newline included, ready for [`super::Agent::send`]. May assume that raw JSON is valid (it is
//! a [`RawValue`]). Must not know why something is sent. The shapes are measured on CLI 2.1.197 and 2.1.330.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// `initialize`: the first line of a process. `sdk_mcp_servers` are names of MCP servers that the front end runs; they
/// must also have been declared at the start ([`super::Launch::sdk_mcp`]). `subagent_text`: what subagents that a turn waits for say is
/// told (of those in the background it always is). An interrupt leaves subagents in the background alone, where the CLI knows how
/// to stop each of them (2.1.330; 2.1.197 ends them all the same).
pub fn initialize(request_id: &str, sdk_mcp_servers: &[&str], subagent_text: bool) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialize<'a> {
        subtype: &'static str,
        hooks: (),
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        sdk_mcp_servers: &'a [&'a str],
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        forward_subagent_text: bool,
        per_task_stop_affordance: bool,
    }
    let greeting = Initialize {
        subtype: "initialize",
        hooks: (),
        sdk_mcp_servers,
        forward_subagent_text: subagent_text,
        per_task_stop_affordance: true,
    };
    request(request_id, &greeting)
}

/// Stops a task. Of one that the CLI does not know it says the same.
pub fn stop_task(request_id: &str, task_id: &str) -> Bytes {
    #[derive(Serialize)]
    struct StopTask<'a> {
        subtype: &'static str,
        task_id: &'a str,
    }
    request(request_id, &StopTask { subtype: "stop_task", task_id })
}

/// Asks for the last 8 KiB of what a shell or a monitor has written (2.1.330 and newer).
pub fn get_task_output(request_id: &str, task_id: &str) -> Bytes {
    #[derive(Serialize)]
    struct GetTaskOutput<'a> {
        subtype: &'static str,
        task_id: &'a str,
    }
    request(request_id, &GetTaskOutput { subtype: "get_task_output", task_id })
}

/// Has the turn go on without the tool that it waits for; `None`: without any.
pub fn background_tasks(request_id: &str, tool_use_id: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct BackgroundTasks<'a> {
        subtype: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_use_id: Option<&'a str>,
    }
    request(request_id, &BackgroundTasks { subtype: "background_tasks", tool_use_id })
}

/// `interrupt`: stops the running turn; idle it does nothing. `cancel_queued`: user messages that the CLI has not begun are taken
/// out of its queue too, and named in the answer (2.1.330 and later; older ones ignore it).
pub fn interrupt(request_id: &str, cancel_queued: bool) -> Bytes {
    #[derive(Serialize)]
    struct Interrupt {
        subtype: &'static str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        cancel_queued: bool,
    }
    request(request_id, &Interrupt { subtype: "interrupt", cancel_queued })
}

/// `get_settings`: what is in force, the model and the effort among it.
pub fn get_settings(request_id: &str) -> Bytes {
    bare(request_id, "get_settings")
}

/// `mcp_status`: the MCP servers and whether they are connected.
pub fn mcp_status(request_id: &str) -> Bytes {
    bare(request_id, "mcp_status")
}

/// A user message. `content` is a JSON string or an array of content blocks. `uuid` names the message in the transcript;
/// without it the CLI chooses.
pub fn user_message(content: &RawValue, parent_tool_use_id: Option<&str>, uuid: Option<Uuid>) -> Bytes {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        message: Body<'a>,
        parent_tool_use_id: Option<&'a str>,
        session_id: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<String>,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        role: &'static str,
        content: &'a RawValue,
    }
    line(&Line {
        kind: "user",
        message: Body { role: "user", content },
        parent_tool_use_id,
        session_id: "",
        uuid: uuid.map(|uuid| uuid.to_string()),
    })
}

/// Allows the tool call of a `can_use_tool` request. `updated_input` is always needed (2.1.197 fails the call without
/// it): the input that was shown, or the client's edit of it. `updated_permissions` are permission updates to apply.
pub fn allow(request_id: &str, updated_input: &RawValue, updated_permissions: &[&RawValue]) -> Bytes {
    #[derive(Serialize)]
    struct Allow<'a> {
        behavior: &'static str,
        #[serde(rename = "updatedInput")]
        updated_input: &'a RawValue,
        #[serde(rename = "updatedPermissions", skip_serializing_if = "<[_]>::is_empty")]
        updated_permissions: &'a [&'a RawValue],
    }
    success(request_id, &Allow { behavior: "allow", updated_input, updated_permissions })
}

/// Denies the tool call of a `can_use_tool` request; the model reads `message`. `interrupt` also ends the turn.
pub fn deny(request_id: &str, message: &str, interrupt: bool) -> Bytes {
    #[derive(Serialize)]
    struct Deny<'a> {
        behavior: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        interrupt: bool,
    }
    success(request_id, &Deny { behavior: "deny", message, interrupt })
}

/// Changes the model; `None` is the CLI's default.
pub fn set_model(request_id: &str, model: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct SetModel<'a> {
        subtype: &'static str,
        model: Option<&'a str>,
    }
    request(request_id, &SetModel { subtype: "set_model", model })
}

/// Changes the permission mode (`default`, `acceptEdits`, `plan`, `bypassPermissions`).
pub fn set_permission_mode(request_id: &str, mode: &str) -> Bytes {
    #[derive(Serialize)]
    struct SetMode<'a> {
        subtype: &'static str,
        mode: &'a str,
    }
    request(request_id, &SetMode { subtype: "set_permission_mode", mode })
}

/// Changes the thinking budget; `None` takes the limit away.
pub fn set_max_thinking_tokens(request_id: &str, tokens: Option<u32>) -> Bytes {
    #[derive(Serialize)]
    struct SetTokens {
        subtype: &'static str,
        max_thinking_tokens: Option<u32>,
    }
    request(request_id, &SetTokens { subtype: "set_max_thinking_tokens", max_thinking_tokens: tokens })
}

/// Changes how much the model thinks; `None`: the model's own default. (A level that the CLI does not know is taken for none
/// without a word: `low`, `medium`, `high`, `xhigh` and `max` are known to all versions.)
pub fn set_effort(request_id: &str, level: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct Apply<'a> {
        subtype: &'static str,
        settings: Level<'a>,
    }
    #[derive(Serialize)]
    struct Level<'a> {
        #[serde(rename = "effortLevel")]
        level: Option<&'a str>,
    }
    request(request_id, &Apply { subtype: "apply_flag_settings", settings: Level { level } })
}

/// Replaces the settings of the flag layer, for example `{"permissions":{"allow":[…],"deny":[…]}}`.
pub fn apply_flag_settings(request_id: &str, settings: &RawValue) -> Bytes {
    #[derive(Serialize)]
    struct Apply<'a> {
        subtype: &'static str,
        settings: &'a RawValue,
    }
    request(request_id, &Apply { subtype: "apply_flag_settings", settings })
}

/// Answers an `mcp_message` request with a JSON-RPC message. Unanswered, the whole turn hangs.
pub fn mcp_response(request_id: &str, message: &RawValue) -> Bytes {
    #[derive(Serialize)]
    struct Response<'a> {
        mcp_response: &'a RawValue,
    }
    success(request_id, &Response { mcp_response: message })
}

/// Answers an `elicitation`: `action` is `accept`, `decline` or `cancel`. `content` reaches the MCP server as it is; the agent checks
/// nothing of it.
pub fn elicitation(request_id: &str, action: &str, content: Option<&RawValue>) -> Bytes {
    #[derive(Serialize)]
    struct Answer<'a> {
        action: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<&'a RawValue>,
    }
    success(request_id, &Answer { action, content })
}

/// Answers any request of the agent with a failure, for example one whose subtype is unknown.
pub fn error_response(request_id: &str, error: &str) -> Bytes {
    #[derive(Serialize)]
    struct Failure<'a> {
        subtype: &'static str,
        request_id: &'a str,
        error: &'a str,
    }
    response(&Failure { subtype: "error", request_id, error })
}

/// A request without fields.
fn bare(request_id: &str, subtype: &'static str) -> Bytes {
    #[derive(Serialize)]
    struct Bare {
        subtype: &'static str,
    }
    request(request_id, &Bare { subtype })
}

fn request(request_id: &str, request: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Line<'a, T> {
        #[serde(rename = "type")]
        kind: &'static str,
        request_id: &'a str,
        request: &'a T,
    }
    line(&Line { kind: "control_request", request_id, request })
}

fn success(request_id: &str, body: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Success<'a, T> {
        subtype: &'static str,
        request_id: &'a str,
        response: &'a T,
    }
    response(&Success { subtype: "success", request_id, response: body })
}

fn response(body: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct Line<'a, T> {
        #[serde(rename = "type")]
        kind: &'static str,
        response: &'a T,
    }
    line(&Line { kind: "control_response", response: body })
}

/// One line, whatever white space and line separators the raw JSON in it holds.
fn line(value: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(value).expect("strings and raw JSON are always serializable");
    let mut line = one_line(json);
    line.push(b'\n');
    Bytes::from(line)
}

/// Outside of strings a line break is white space, inside it cannot stand in valid JSON: a space is as good. U+2028 and
/// U+2029 stand only inside strings; readers in JavaScript take them for line ends, so they are escaped.
fn one_line(json: Vec<u8>) -> Vec<u8> {
    let Some(first) = memchr::memchr3(b'\n', b'\r', 0xE2, &json) else {
        return json;
    };
    let mut out = Vec::with_capacity(json.len() + 16);
    let (clean, mut rest) = json.split_at(first);
    out.extend_from_slice(clean);
    while let Some(&byte) = rest.first() {
        let used = match (byte, rest.get(1..3)) {
            (b'\n' | b'\r', _) => {
                out.push(b' ');
                1
            }
            (_, Some([0x80, last @ (0xA8 | 0xA9)])) if byte == 0xE2 => {
                out.extend_from_slice(if *last == 0xA8 { b"\\u2028" } else { b"\\u2029" });
                3
            }
            _ => {
                out.push(byte);
                1
            }
        };
        rest = &rest[used..];
        let next = memchr::memchr3(b'\n', b'\r', 0xE2, rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..next]);
        rest = &rest[next..];
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[track_caller]
    fn is(line: &Bytes, expected: &Value) {
        let (last, body) = line.split_last().unwrap();
        assert_eq!(*last, b'\n');
        assert!(!body.contains(&b'\n') && !body.contains(&b'\r'));
        assert_eq!(&serde_json::from_slice::<Value>(body).unwrap(), expected);
    }

    #[test]
    fn every_line_has_the_shape_that_the_cli_takes() {
        let request =
            |id: &str, request: Value| json!({"type":"control_request","request_id":id,"request":request});
        let success = |response: Value| json!({"type":"control_response","response":{"subtype":"success","request_id":"u","response":response}});
        let greeting = json!({"subtype":"initialize","hooks":null,"perTaskStopAffordance":true});
        is(&initialize("1", &[], false), &request("1", greeting));
        is(
            &initialize("1", &["client"], true),
            &request(
                "1",
                json!({"subtype":"initialize","hooks":null,"sdkMcpServers":["client"],
                "forwardSubagentText":true,"perTaskStopAffordance":true}),
            ),
        );
        is(&stop_task("2", "t"), &request("2", json!({"subtype":"stop_task","task_id":"t"})));
        is(&get_task_output("2", "t"), &request("2", json!({"subtype":"get_task_output","task_id":"t"})));
        is(&background_tasks("2", None), &request("2", json!({"subtype":"background_tasks"})));
        is(
            &background_tasks("2", Some("u")),
            &request("2", json!({"subtype":"background_tasks","tool_use_id":"u"})),
        );
        is(&interrupt("2\"\n", false), &request("2\"\n", json!({"subtype":"interrupt"})));
        is(&interrupt("2", true), &request("2", json!({"subtype":"interrupt","cancel_queued":true})));
        is(&get_settings("2"), &request("2", json!({"subtype":"get_settings"})));
        is(&mcp_status("2"), &request("2", json!({"subtype":"mcp_status"})));
        is(&set_model("3", Some("m")), &request("3", json!({"subtype":"set_model","model":"m"})));
        is(
            &set_permission_mode("4", "plan"),
            &request("4", json!({"subtype":"set_permission_mode","mode":"plan"})),
        );
        is(
            &set_max_thinking_tokens("5", Some(7)),
            &request("5", json!({"subtype":"set_max_thinking_tokens","max_thinking_tokens":7})),
        );
        is(
            &apply_flag_settings("6", &raw("{\"permissions\":\n{}}")),
            &request("6", json!({"subtype":"apply_flag_settings","settings":{"permissions":{}}})),
        );
        is(
            &allow("u", &raw("{\"a\":1}"), &[&raw("{\"type\":\"setMode\"}")]),
            &success(
                json!({"behavior":"allow","updatedInput":{"a":1},"updatedPermissions":[{"type":"setMode"}]}),
            ),
        );
        is(
            &set_effort("6", Some("low")),
            &request("6", json!({"subtype":"apply_flag_settings","settings":{"effortLevel":"low"}})),
        );
        is(
            &set_effort("6", None),
            &request("6", json!({"subtype":"apply_flag_settings","settings":{"effortLevel":null}})),
        );
        is(&allow("u", &raw("{}"), &[]), &success(json!({"behavior":"allow","updatedInput":{}})));
        is(&deny("u", "no", false), &success(json!({"behavior":"deny","message":"no"})));
        is(&deny("u", "no", true), &success(json!({"behavior":"deny","message":"no","interrupt":true})));
        is(&mcp_response("u", &raw("{\"id\":1}")), &success(json!({"mcp_response":{"id":1}})));
        is(
            &elicitation("u", "accept", Some(&raw("{\"a\":1}"))),
            &success(json!({"action":"accept","content":{"a":1}})),
        );
        is(&elicitation("u", "cancel", None), &success(json!({"action":"cancel"})));
        is(
            &error_response("u", "what?"),
            &json!({"type":"control_response","response":{"subtype":"error","request_id":"u","error":"what?"}}),
        );
    }

    #[test]
    fn a_user_message_is_one_line_with_nothing_changed_in_it() {
        let content = raw("[\n\r {\"type\":\"text\",\"text\":\"a\u{2028}b\u{2029}\u{2026}\\n\u{20AC}\"} ]");
        let line = user_message(&content, None, None);
        is(
            &line,
            &json!({"type":"user","session_id":"","parent_tool_use_id":null,"message":{"role":"user",
                "content":[{"type":"text","text":"a\u{2028}b\u{2029}\u{2026}\n\u{20AC}"}]}}),
        );
        assert!(!String::from_utf8(line.to_vec()).unwrap().contains(['\u{2028}', '\u{2029}']));
        let line = user_message(&raw("\"x\""), Some("toolu_1"), Some(Uuid::nil()));
        is(
            &line,
            &json!({"type":"user","session_id":"","parent_tool_use_id":"toolu_1","uuid":Uuid::nil().to_string(),
                "message":{"role":"user","content":"x"}}),
        );
    }

    proptest! {
        #[test]
        fn any_text_arrives_exactly(text in any::<String>(), spice in "[\u{2028}\u{2029}\u{2026}\r\n\"\\\\\u{0}é]{0,20}") {
            let text = text + &spice;
            let line = user_message(&raw(&serde_json::to_string(&text).unwrap()), Some(&text), None);
            prop_assert_eq!(memchr::memchr_iter(b'\n', &line).count(), 1);
            let value: Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(value["message"]["content"].as_str(), Some(&*text));
            prop_assert_eq!(value["parent_tool_use_id"].as_str(), Some(&*text));
        }
    }
}
