//! PROTOCOL.md's rules, held against a session's events one by one.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

/// What the events so far say. Panics at the first that breaks a rule.
#[derive(Debug, Default, Clone)]
pub(super) struct Checker {
    last_seq: u64,
    ids: HashSet<String>,
    /// Open messages by parent.
    open: HashMap<Option<String>, String>,
    tools: HashSet<String>,
    done: HashSet<String>,
    /// Open prompts: id, and the tool use it is about.
    pub(super) prompts: BTreeMap<String, String>,
    /// Open elicitations.
    pub(super) elicitations: HashSet<String>,
    resolved: HashSet<String>,
    /// Accepted messages, and how often each got its result.
    pub(super) results: BTreeMap<String, u32>,
    pub(super) status: String,
    pub(super) ended: bool,
    /// All text so far.
    text: String,
    /// The number of the last message that an agent was told.
    told: u64,
}

impl Checker {
    pub(super) fn new() -> Self {
        Self { status: "idle".to_owned(), ..Self::default() }
    }

    /// A message was accepted that no event announces (`resume`).
    pub(super) fn accepted(&mut self, id: &str) {
        self.results.entry(id.to_owned()).or_insert(0);
    }

    pub(super) fn note(&mut self, event: &Value) {
        let text = |field: &str| event[field].as_str().map(str::to_owned);
        assert!(!self.ended, "after session_ended: {event}");
        let seq = event["seq"].as_u64().expect("a seq");
        assert!(seq > self.last_seq, "seq {seq} after {}", self.last_seq);
        self.last_seq = seq;
        assert!(event["timestamp"].is_u64());
        let kind = text("type").unwrap();
        let id = text("id").unwrap();
        let parent = text("parent_tool_use_id");
        match kind.as_str() {
            "assistant_message_start" => {
                let before = self.open.insert(parent, id.clone());
                assert!(before.is_none(), "started within another: {event}");
            }
            "assistant_message_delta" => {
                assert_eq!(self.open.get(&parent), Some(&id), "not open: {event}");
                self.text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
                return;
            }
            "assistant_message_complete" => {
                assert_eq!(self.open.remove(&parent), Some(id), "not open: {event}");
                return;
            }
            "tool_use" => {
                // An id that has its result may name another call.
                let tool = text("tool_use_id").unwrap();
                let is_over = self.done.remove(&tool);
                assert!(self.tools.insert(tool) || is_over, "used twice: {event}");
            }
            "tool_result" => self.tool_result(event),
            "permission_request" => {
                let tool = text("tool_use_id").unwrap();
                assert!(self.tools.contains(&tool), "asked before the use: {event}");
                assert!(!self.done.contains(&tool), "asked after the result: {event}");
                self.prompts.insert(id.clone(), tool);
            }
            "permission_resolved" => self.permission_resolved(event),
            "elicitation_request" => assert!(self.elicitations.insert(id.clone())),
            "elicitation_resolved" => {
                let open = self.elicitations.remove(event["elicitation_id"].as_str().unwrap());
                assert!(open, "nobody asked: {event}");
            }
            "user_message" => {
                let message = text("request_id").unwrap();
                assert!(self.results.insert(message, 0).is_none(), "accepted twice: {event}");
            }
            "result" => self.result(event),
            "status_update" => self.status(event),
            "session_ended" => {
                self.ended = true;
                self.all_is_over();
            }
            _ => {}
        }
        assert!(self.ids.insert(id), "an id came twice: {event}");
    }

    /// An agent is told `do N`: messages run in the order in which they came.
    pub(super) fn told(&mut self, text: &str) {
        let Some(number) = text.strip_prefix("do ").and_then(|number| number.parse().ok()) else { return };
        assert!(number >= self.told, "{number} is run after {}", self.told);
        self.told = number;
    }

    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// What the agent said in this line was handed on, text and tools, whole; `text_before`: how much text there was.
    pub(super) fn handed_on(&self, line: &Value, text_before: usize) {
        if self.ended {
            return;
        }
        // Of a subagent only the finished blocks are said.
        let block = &line["message"]["content"][0];
        let whole = block["text"].as_str().filter(|_| line["parent_tool_use_id"].is_string());
        let text = line["event"]["delta"]["text"].as_str().or(whole).unwrap_or_default();
        assert_eq!(&self.text[text_before..], text, "text of {line}");
        for block in line["message"]["content"].as_array().into_iter().flatten() {
            match (block["type"].as_str(), block["id"].as_str(), block["tool_use_id"].as_str()) {
                (Some("tool_use"), Some(id), _) => assert!(self.tools.contains(id), "no tool_use: {line}"),
                (Some("tool_result"), _, Some(id)) => {
                    assert!(self.done.contains(id), "no tool_result: {line}");
                }
                _ => {}
            }
        }
    }

    fn tool_result(&mut self, event: &Value) {
        let tool = event["tool_use_id"].as_str().unwrap();
        assert!(self.tools.contains(tool), "a result before the use: {event}");
        let asked = self.prompts.values().any(|asked| asked == tool);
        assert!(!asked, "a result with an open prompt: {event}");
        self.done.insert(tool.to_owned());
    }

    fn permission_resolved(&mut self, event: &Value) {
        let id = event["permission_id"].as_str().unwrap();
        assert!(self.resolved.insert(id.to_owned()), "resolved twice: {event}");
        if event["reason"] == "rule" {
            assert!(!self.prompts.contains_key(id));
        } else {
            assert!(self.prompts.remove(id).is_some(), "nobody asked: {event}");
        }
    }

    fn result(&mut self, event: &Value) {
        if let Some(message) = event["request_id"].as_str() {
            let count = self.results.get_mut(message).unwrap_or_else(|| panic!("never accepted: {event}"));
            *count += 1;
            assert_eq!(*count, 1, "a second result: {event}");
        }
        let was_run = event["subtype"] != "cancelled";
        assert!(!was_run || !self.open.contains_key(&None), "a message is open at the result: {event}");
        assert_eq!(event["is_error"] == true, event["subtype"] == "error", "{event}");
        assert_eq!(event["is_error"] == true, event["error"].is_string(), "{event}");
        assert_eq!(event["is_error"] == true, event["error_code"].is_string(), "{event}");
    }

    fn status(&mut self, event: &Value) {
        event["status"].as_str().unwrap().clone_into(&mut self.status);
        if self.status == "idle" {
            assert!(self.prompts.is_empty(), "idle with an open prompt: {event}");
            assert!(self.elicitations.is_empty(), "idle with an open elicitation: {event}");
            let open: Vec<_> = self.unanswered();
            assert!(open.is_empty(), "idle without the results of {open:?}");
        }
        if self.status == "waiting_permission" {
            let waits = !self.prompts.is_empty() || !self.elicitations.is_empty();
            assert!(waits, "waits for nothing: {event}");
        }
    }

    pub(super) fn unanswered(&self) -> Vec<String> {
        self.results.iter().filter(|(_, count)| **count == 0).map(|(id, _)| id.clone()).collect()
    }

    /// Nothing runs and nothing waits: everything must have had its end.
    pub(super) fn all_is_over(&self) {
        assert_eq!(self.unanswered(), Vec::<String>::new(), "messages without a result");
        assert!(self.prompts.is_empty(), "open prompts: {:?}", self.prompts);
        assert!(self.elicitations.is_empty(), "open elicitations: {:?}", self.elicitations);
        assert!(self.open.is_empty(), "open messages: {:?}", self.open);
        assert_eq!(self.status, "idle");
    }
}
