//! What belongs to one user message, from its event to its result.

use serde_json::Value;

/// A finished turn.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Every message from the `user_message` event to the `result`.
    pub(crate) events: Vec<Value>,
    /// The `result`.
    pub(crate) result: Value,
}

impl Turn {
    pub(super) fn of(id: &str, got: &[Value]) -> Self {
        let of_turn = |kind: &str, message: &Value| message["type"] == kind && message["request_id"] == id;
        // A turn of `resume` has no `user_message`.
        let first = got.iter().position(|message| message["seq"].is_u64() && message["request_id"] == id);
        let first = first.expect("the turn has begun");
        let last = got.iter().position(|message| of_turn("result", message)).expect("the turn has ended");
        let events = got[first..=last].to_vec();
        Self { result: got[last].clone(), events }
    }

    /// Messages of this type, in order.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|message| message["type"] == kind).collect()
    }

    /// The only message of this type.
    #[track_caller]
    pub(crate) fn one(&self, kind: &str) -> &Value {
        let all = self.of_type(kind);
        assert_eq!(all.len(), 1, "exactly one {kind}: {all:#?}");
        all[0]
    }

    /// What stands of this turn's own messages: text or thinking.
    fn standing(&self, kind: &str) -> String {
        let id = &self.result["request_id"];
        let own = self.events.iter().filter(|message| message["request_id"] == *id);
        standing(own, kind).into_iter().map(|(_, said)| said).collect()
    }

    /// The text of the messages: each one's text deltas joined, or what was kept of it.
    pub(crate) fn text(&self) -> String {
        self.standing("text")
    }

    /// The same, of their thinking.
    pub(crate) fn thinking(&self) -> String {
        self.standing("thinking")
    }

    /// The only `tool_result`'s content.
    #[track_caller]
    pub(crate) fn tool_result(&self) -> &str {
        self.one("tool_result")["content"].as_str().unwrap()
    }

    /// Asserts that it went well.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.result["subtype"], "success", "{}", self.result);
        assert_eq!(self.result["is_error"], false, "{}", self.result);
        self
    }

    /// Asserts its result's subtype; and that it has no error, if it is not one.
    #[track_caller]
    pub(crate) fn ended(self, subtype: &str) -> Self {
        assert_eq!(self.result["subtype"], subtype, "{}", self.result);
        assert_eq!(self.result["is_error"], subtype == "error", "{}", self.result);
        assert_eq!(self.result["error"].is_null(), subtype != "error", "{}", self.result);
        assert_eq!(self.result["error_code"].is_null(), subtype != "error", "{}", self.result);
        self
    }

    /// Asserts that it failed with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: &str) -> Self {
        let turn = self.ended("error");
        assert_eq!(turn.result["error_code"], code, "{}", turn.result);
        turn
    }
}

/// Rule 4: what stands of each message of the model that these events tell, `kind` being `text` or `thinking`.
pub(crate) fn standing<'a>(events: impl IntoIterator<Item = &'a Value>, kind: &str) -> Vec<(String, String)> {
    let mut messages: Vec<(String, String)> = Vec::new();
    for event in events {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, said) = match event["type"].as_str() {
            Some("assistant_message_delta") if event["delta"]["delta_type"] == kind => {
                (text(&event["id"]), Some(text(&event["delta"][kind])))
            }
            Some("assistant_message_retracted") => (text(&event["message_id"]), None),
            _ => continue,
        };
        let at = messages.iter().position(|(message, _)| *message == id).unwrap_or_else(|| {
            messages.push((id, String::new()));
            messages.len() - 1
        });
        match said {
            Some(said) => messages[at].1 += &said,
            None => messages[at].1 = text(&event[if kind == "text" { "kept" } else { "kept_thinking" }]),
        }
    }
    messages.retain(|(_, said)| !said.is_empty());
    messages
}
