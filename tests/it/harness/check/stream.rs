//! One session's events, as one connection sees them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Rules 2 to 5, `seq` and ids.
pub(super) struct Stream {
    pub(super) epoch: String,
    last_seq: u64,
    /// Whether it is seen from the session's very beginning. Otherwise what began earlier may end here.
    complete: bool,
    /// The type of the first event with an id.
    ids: HashMap<String, String>,
    /// Open messages of the model: parent → id.
    open: HashMap<String, String>,
    tools: HashMap<String, Tool>,
    /// Prompts: id → tool use; resolved ones are taken out.
    prompts: HashMap<String, String>,
    prompted: HashSet<String>,
    /// User messages without a result.
    waiting: Vec<String>,
    finished: HashSet<String>,
    /// The last thing said was a result, and `idle` is due.
    idle_is_due: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tool {
    Used,
    Asked,
    Resolved,
    Done,
}

struct Event<'a> {
    message: &'a Value,
    problems: &'a mut Vec<String>,
}

impl Event<'_> {
    fn text(&self, field: &str) -> String {
        self.message[field].as_str().unwrap_or_default().to_owned()
    }

    fn check(&mut self, fine: bool, problem: &str) {
        if !fine {
            self.problems.push(format!("{problem}: {}", self.message));
        }
    }
}

impl Stream {
    /// `begin`: the last event before the first that is to come; `None`: somewhere in the middle.
    pub(super) fn new(epoch: &str, begin: Option<u64>) -> Self {
        Self {
            epoch: epoch.to_owned(),
            last_seq: begin.unwrap_or(0),
            complete: begin == Some(0),
            ids: HashMap::new(),
            open: HashMap::new(),
            tools: HashMap::new(),
            prompts: HashMap::new(),
            prompted: HashSet::new(),
            waiting: Vec::new(),
            finished: HashSet::new(),
            idle_is_due: false,
            ended: false,
        }
    }

    pub(super) fn event(&mut self, message: &Value, problems: &mut Vec<String>) {
        let mut event = Event { message, problems };
        let seq = message["seq"].as_u64().unwrap_or(0);
        event.check(seq > self.last_seq, &format!("`seq` does not grow ({} before it)", self.last_seq));
        self.last_seq = seq;
        event.check(!self.ended, "an event after `session_ended`");
        self.id(&mut event);
        match message["type"].as_str().unwrap_or_default() {
            kind @ ("assistant_message_start" | "assistant_message_delta" | "assistant_message_complete") => {
                self.assistant(kind, &mut event);
            }
            "assistant_message_retracted" => self.retracted(&mut event),
            kind @ ("tool_use" | "permission_request" | "permission_resolved" | "tool_result") => {
                self.tool(kind, &mut event);
            }
            "user_message" => {
                self.waiting.push(event.text("request_id"));
                self.idle_is_due = false;
            }
            "result" => self.result(&mut event),
            "status_update" if message["status"] == "idle" => {
                event.check(self.waiting.is_empty(), "`idle` before the last result");
                event.check(self.open.is_empty(), "`idle` with an open message");
                event.check(self.prompts.is_empty(), "`idle` with an open prompt");
                self.idle_is_due = false;
            }
            "session_ended" => {
                event.check(
                    !self.complete || self.waiting.is_empty(),
                    "`session_ended` before the last result",
                );
                self.ended = true;
                self.idle_is_due = false;
            }
            _ => {}
        }
    }

    /// The connection fell out of what is kept, and was told so: it saw the end of nothing that was open.
    pub(super) fn gap(&mut self) {
        self.complete = false;
        self.open.clear();
        self.prompts.clear();
        self.waiting.clear();
    }

    fn id(&mut self, event: &mut Event<'_>) {
        let (id, kind) = (event.text("id"), event.text("type"));
        let shared = ["assistant_message_delta", "assistant_message_complete"].contains(&kind.as_str());
        match self.ids.get(&id) {
            None => drop(self.ids.insert(id, kind)),
            Some(first) => {
                let fine = shared && first.starts_with("assistant_message_");
                event.check(fine, "an id that an earlier event has");
            }
        }
    }

    fn assistant(&mut self, kind: &str, event: &mut Event<'_>) {
        let (id, parent) = (event.text("id"), event.text("parent_tool_use_id"));
        let open = self.open.get(&parent).cloned();
        match kind {
            "assistant_message_start" => {
                event.check(open.is_none(), "a message begins within another");
                self.open.insert(parent, id);
            }
            "assistant_message_delta" => {
                let fine = open.as_ref() == Some(&id) || (open.is_none() && !self.complete);
                event.check(fine, "a delta of a message that is not open");
            }
            _ => {
                let fine = open.as_ref() == Some(&id) || (open.is_none() && !self.complete);
                event.check(fine, "the end of a message that is not open");
                self.open.remove(&parent);
            }
        }
    }

    /// Rule 4: what is taken back was told, and is over. Its calls are as if they had never been.
    fn retracted(&mut self, event: &mut Event<'_>) {
        let id = event.text("message_id");
        let told = self.ids.get(&id).is_some_and(|kind| kind.starts_with("assistant_message_"));
        event.check(told || !self.complete, "takes a message back that was never told");
        event.check(!self.open.values().any(|open| *open == id), "takes a message back that is open");
        for call in event.message["tool_use_ids"].as_array().into_iter().flatten() {
            let call = call.as_str().unwrap_or_default();
            let stage = self.tools.get(call).copied();
            event.check(stage != Some(Tool::Asked), "takes a call back that a person is asked about");
            if stage != Some(Tool::Done) {
                self.tools.remove(call);
            }
        }
    }

    /// Rule 5.
    fn tool(&mut self, kind: &str, event: &mut Event<'_>) {
        let tool = match kind {
            "permission_resolved" => {
                let prompt = event.text("permission_id");
                let by_rule = event.message["reason"] == "rule";
                let Some(tool) = self.prompts.remove(&prompt) else {
                    let earlier = !self.complete && !self.prompted.contains(&prompt);
                    event.check(by_rule || earlier, "resolves a prompt that is not open");
                    return;
                };
                tool
            }
            _ => event.text("tool_use_id"),
        };
        let stage = match kind {
            "tool_use" => Tool::Used,
            "permission_request" => Tool::Asked,
            "permission_resolved" => Tool::Resolved,
            _ => Tool::Done,
        };
        let before = self.tools.insert(tool.clone(), stage);
        let fine = match (stage, before) {
            // An id that has its result may name another call.
            (Tool::Used, before) => before.is_none_or(|before| before == Tool::Done),
            (_, None) => !self.complete,
            (Tool::Resolved, Some(before)) => before == Tool::Asked,
            // The agent may ask again about the same call.
            (Tool::Asked | Tool::Done, Some(before)) => before == Tool::Used || before == Tool::Resolved,
        };
        event.check(fine, &format!("out of order (rule 5), after {before:?}"));
        if stage == Tool::Asked {
            self.prompted.insert(event.text("id"));
            self.prompts.insert(event.text("id"), tool);
        }
    }

    fn result(&mut self, event: &mut Event<'_>) {
        let id = event.text("request_id");
        self.waiting.retain(|waiting| *waiting != id);
        if !id.is_empty() {
            event.check(self.finished.insert(id), "a second result");
        }
        let message = event.message;
        let is_error = message["is_error"] == true;
        event.check(is_error == (message["subtype"] == "error"), "`is_error` and subtype disagree");
        event.check(is_error || message["error"].is_null(), "`error` without an error");
        event.check(is_error || message["error_code"].is_null(), "`error_code` without an error");
        self.idle_is_due = self.waiting.is_empty();
    }

    /// `at_end`: the server has gone down and has told everything.
    pub(super) fn end(&mut self, at_end: bool, problems: &mut Vec<String>) {
        if !(at_end || self.ended) || !self.complete {
            return;
        }
        let mut check = |fine: bool, problem: String| {
            if !fine {
                problems.push(problem);
            }
        };
        check(self.waiting.is_empty(), format!("no result for {:?}", self.waiting));
        check(self.open.is_empty(), format!("messages that were never completed: {:?}", self.open));
        check(self.prompts.is_empty(), format!("prompts that were never resolved: {:?}", self.prompts));
        check(!self.idle_is_due, "no `idle` after the last result".to_owned());
    }
}
