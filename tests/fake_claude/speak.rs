//! What the fake CLI says: lines in the shapes of Claude Code 2.1.330.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::Cli;

const MODEL: &str = "claude-fake-1";

impl Cli {
    /// One line. A reader that is gone ends the process, as SIGPIPE would.
    pub(super) fn emit(&self, value: &Value) {
        self.emit_raw(&format!("{value}\n"));
    }

    pub(super) fn emit_raw(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err()
            && !self.ignored.contains("sigpipe")
        {
            std::process::exit(141);
        }
    }

    pub(super) fn next_id(&mut self, prefix: &str) -> String {
        self.counter += 1;
        format!("{prefix}_{}_{}", std::process::id(), self.counter)
    }

    pub(super) fn emit_init(&self) {
        self.emit(&json!({
            "type": "system", "subtype": "init", "cwd": std::env::current_dir().unwrap_or_default(),
            "session_id": self.session_id, "tools": ["Bash", "Edit", "Read", "Write"], "mcp_servers": [],
            "model": self.model(),
            "permissionMode": self.option("permission-mode").unwrap_or_else(|| "default".into()),
            "slash_commands": ["compact"], "claude_code_version": self.script["version"].as_str().unwrap_or("2.1.330"),
            "uuid": "00000000-0000-4000-8000-000000000001",
        }));
        let mut requesting =
            json!({"type":"system","subtype":"status","status":"requesting","session_id":self.session_id});
        if let Some(uuid) = self.message.as_deref().filter(|_| self.is_new()) {
            requesting["user_message_uuids"] = json!([uuid]);
        }
        self.emit(&requesting);
    }

    pub(super) fn model(&self) -> String {
        self.model.clone().unwrap_or_else(|| MODEL.into())
    }

    /// What becomes of a message that had a `uuid`.
    pub(super) fn lifecycle(&self, uuid: Option<&str>, state: &str) {
        if let Some(uuid) = uuid.filter(|_| self.is_new()) {
            self.emit(&json!({"type":"command_lifecycle","command_uuid":uuid,"state":state,"session_id":self.session_id}));
        }
    }

    /// A slash command that the CLI runs itself; false: it is none.
    pub(super) fn slash_command(&mut self, text: &str) -> bool {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = Some(rest.to_owned());
        let mut more = json!({"result": "", "num_turns": 0});
        match name {
            "/clear" => {
                if self.is_new() {
                    self.emit(&json!({"type":"conversation_reset","trigger":"clear",
                        "new_conversation_id":"00000000-0000-4000-8000-00000000dead","session_id":self.session_id}));
                    more["total_cost_usd"] = json!(0);
                }
                self.counter += 1;
                self.session_id =
                    format!("{:08x}-0000-4000-8000-c1ea00{:06x}", std::process::id(), self.counter);
                if let Some(file) = self.conversation_file() {
                    let _ = std::fs::write(file, "");
                }
            }
            "/model" if self.is_new() => self.model = rest,
            "/effort" if self.is_new() => self.effort = rest,
            _ => return false,
        }
        if self.is_new() {
            more["local_command"] = json!(&name[1..]);
        }
        self.emit_init();
        self.result("success", false, &more);
        true
    }

    /// A turn that nobody asked for.
    pub(super) fn own_turn(&mut self, words: &str, origin: &Value) {
        self.emit_init();
        self.text(words);
        self.result("success", false, &json!({"result": words, "origin": origin}));
    }

    /// A stream event, with the keys in the CLI's order: fast paths depend on it.
    pub(super) fn event_line(&self, event: &str) -> String {
        let mut line = String::with_capacity(event.len() + 200);
        let _ = writeln!(
            line,
            "{{\"type\":\"stream_event\",\"event\":{event},\"session_id\":\"{}\",\"parent_tool_use_id\":null,\
             \"uuid\":\"00000000-0000-4000-8000-000000000002\"}}",
            self.session_id
        );
        line
    }

    pub(super) fn event(&self, event: &str) {
        self.emit_raw(&self.event_line(event));
    }

    pub(super) fn text_delta_line(&self, text: &str) -> String {
        let text = Value::from(text);
        self.event_line(&format!(
            "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{text}}}}}"
        ))
    }

    pub(super) fn message_start(&mut self) -> String {
        let id = self.next_id("msg");
        self.event(&format!(
            "{{\"type\":\"message_start\",\"message\":{{\"id\":\"{id}\",\"type\":\"message\",\"role\":\"assistant\",\
             \"model\":\"{MODEL}\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\
             \"usage\":{{\"input_tokens\":1,\"output_tokens\":1}}}}}}"
        ));
        id
    }

    pub(super) fn block_start(&self, index: usize, block: &Value) {
        self.event(&format!(
            "{{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{block}}}"
        ));
    }

    pub(super) fn block_stop(&self, index: usize) {
        self.event(&format!("{{\"type\":\"content_block_stop\",\"index\":{index}}}"));
    }

    pub(super) fn message_stop(&self, stop_reason: &str) {
        self.event(&format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{stop_reason}\",\"stop_sequence\":null}},\
             \"usage\":{{\"output_tokens\":5}}}}"
        ));
        self.event("{\"type\":\"message_stop\"}");
    }

    /// A finished block of a message.
    pub(super) fn assistant(&self, id: &str, block: &Value) {
        self.emit(&json!({
            "type": "assistant",
            "message": {"id": id, "type": "message", "role": "assistant", "model": MODEL, "content": [block],
                "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}},
            "parent_tool_use_id": null, "session_id": self.session_id,
            // A line that comes again has the same, so no two of these have.
            "uuid": uuid::Uuid::new_v4().to_string(),
        }));
    }

    pub(super) fn tool_result(&self, tool_use_id: &str, content: &str, is_error: bool) {
        self.emit(&json!({
            "type": "user",
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": tool_use_id,
                "content": content, "is_error": is_error}]},
            "parent_tool_use_id": null, "session_id": self.session_id, "uuid": "00000000-0000-4000-8000-000000000004",
        }));
    }

    pub(super) fn can_use_tool(&self, request_id: &str, tool_use_id: &str, name: &str, input: &Value) {
        self.emit(&json!({
            "type": "control_request", "request_id": request_id,
            "request": {"subtype": "can_use_tool", "tool_name": name, "display_name": name, "input": input,
                "description": format!("Use {name}"), "tool_use_id": tool_use_id,
                "permission_suggestions": [{"type": "addRules", "rules": [{"toolName": name}], "behavior": "allow",
                    "destination": "localSettings"}]},
        }));
    }

    fn result(&mut self, subtype: &str, is_error: bool, more: &Value) {
        self.last_was_error = is_error;
        let milliseconds = self.began.elapsed().as_millis();
        self.counter += 1;
        // No two results have the same, whichever process gave them.
        let uuid = format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), self.counter);
        let mut line = json!({
            "duration_api_ms": 1, "usage": {"input_tokens": 1, "output_tokens": 5},
            "modelUsage": {MODEL: {"inputTokens": 1, "type": "nested"}}, "type": "result", "subtype": subtype,
            "is_error": is_error, "duration_ms": u64::try_from(milliseconds).unwrap_or(0), "num_turns": 1,
            "total_cost_usd": 0.0001, "permission_denials": [], "session_id": self.session_id,
            "uuid": uuid,
        });
        if let Some(uuid) = self.message.as_deref().filter(|_| self.is_new()) {
            line["user_message_uuid"] = json!(uuid);
            line["user_message_uuids"] = json!([uuid]);
        }
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
            line.extend(more.clone());
        }
        self.emit(&line);
    }

    pub(super) fn result_success(&mut self) {
        self.result("success", false, &json!({"result": "done", "stop_reason": "end_turn"}));
    }

    pub(super) fn result_error(&mut self, error: &str) {
        self.result("error_during_execution", true, &json!({"errors": [error]}));
    }

    pub(super) fn result_of(&mut self, subtype: &str) {
        self.result(subtype, subtype != "success", &json!({"result": "done", "errors": [subtype]}));
    }

    /// As the CLI reports a failed API call: a synthetic message, and a success that is none.
    pub(super) fn api_error(&mut self, text: &str) {
        self.emit(&json!({
            "type": "assistant",
            "message": {"id": "0fa0e5ad-3b2f-4a60-9a3f-000000000001", "type": "message", "role": "assistant",
                "model": "<synthetic>", "content": [{"type": "text", "text": text}], "stop_reason": "stop_sequence",
                "usage": {"input_tokens": 0, "output_tokens": 0}},
            "error": "invalid_request", "parent_tool_use_id": null, "session_id": self.session_id,
        }));
        self.result("success", true, &json!({"result": text, "api_error_status": 400}));
    }

    /// What follows an interrupt: the partial message, its end, the note, the result.
    pub(super) fn emit_interrupted(&mut self) {
        self.interrupted = false;
        if let Some(text) = self.partial.take() {
            let id = format!("msg_{}_{}", std::process::id(), self.counter);
            self.assistant(&id, &json!({"type": "text", "text": text}));
            self.block_stop(0);
            self.event("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":{\"output_tokens\":1}}");
            self.event("{\"type\":\"message_stop\",\"abandoned_blocks\":1}");
        }
        self.emit(&json!({
            "type": "user",
            "message": {"role": "user", "content": [{"type": "text", "text": "[Request interrupted by user]"}]},
            "parent_tool_use_id": null, "session_id": self.session_id, "isReplay": true,
        }));
        let more = json!({"errors": ["aborted"], "terminal_reason": "aborted_streaming"});
        self.result("error_during_execution", true, &more);
    }
}
