//! PROTOCOL.md's invariants, held against whole transcripts. Every test runs this at its end.

mod stream;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

use super::transcript::Entry;
use super::{Transcript, schema};
use stream::Stream;

/// The close code of a server that goes down: by then everything has its end.
const GOING_AWAY: u16 = 1001;

/// Panics where a transcript breaks a rule.
pub(super) fn all(transcripts: &[Arc<Transcript>]) {
    let mut problems = String::new();
    let mut said = HashMap::new();
    for transcript in transcripts {
        for problem in one(transcript, &mut said) {
            let _ = writeln!(problems, "connection {}: {problem}", transcript.name());
        }
    }
    assert!(problems.is_empty(), "the protocol was broken:\n{problems}");
}

/// What all connections together know: the event behind (session, epoch, seq).
type Said = HashMap<(String, String, u64), Value>;

fn one(transcript: &Transcript, said: &mut Said) -> Vec<String> {
    let mut checker = Checker::default();
    let mut at_end = false;
    for entry in transcript.entries() {
        match entry {
            Entry::Sent(text) => checker.sent(&text),
            Entry::Got(message) => checker.got(&message, said),
            Entry::Closed(code) => at_end = code == Some(GOING_AWAY),
            Entry::Left => {}
        }
    }
    for stream in checker.streams.values_mut() {
        stream.end(at_end, &mut checker.problems);
    }
    checker.problems
}

#[derive(Default)]
struct Checker {
    streams: HashMap<String, Stream>,
    /// `last_seq` by the id of the `session_start` that named it.
    starts: HashMap<String, Option<u64>>,
    replies: HashSet<String>,
    problems: Vec<String>,
}

impl Checker {
    fn sent(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        if message["type"] == "session_start" {
            self.starts.insert(id, message["last_seq"].as_u64());
        }
    }

    fn got(&mut self, message: &Value, said: &mut Said) {
        if let Some(problem) = schema::problem(message) {
            self.problem(message, &format!("does not fit the schema: {problem}"));
        }
        let has = |field: &str| message[field].is_string();
        if !has("type") || !has("id") || !has("session_id") {
            self.problem(message, "lacks `type`, `id` or `session_id`");
            return;
        }
        let session = message["session_id"].as_str().unwrap_or_default();
        if message.get("seq").is_none() {
            self.reply(message, session);
            return;
        }
        if !message["timestamp"].is_u64() {
            self.problem(message, "is an event without a timestamp");
        }
        let Some(stream) = self.streams.get_mut(session) else {
            self.problem(message, "is an event of a session that this connection is not attached to");
            return;
        };
        stream.event(message, &mut self.problems);
        let key = (session.to_owned(), stream.epoch.clone(), message["seq"].as_u64().unwrap_or(0));
        let known = said.entry(key).or_insert_with(|| message.clone());
        if known != message {
            let text = format!("was told otherwise to somebody else: {known}");
            self.problem(message, &text);
        }
    }

    fn reply(&mut self, message: &Value, session: &str) {
        if !self.replies.insert(message["id"].to_string()) {
            self.problem(message, "has the id of another reply");
        }
        if message["code"] == "gap"
            && let Some(stream) = self.streams.get_mut(session)
        {
            stream.gap();
        }
        let is_new = message["type"] == "new_session";
        let asked = message["request_id"].as_str().and_then(|id| self.starts.remove(id));
        let asked = if is_new { Some(None) } else { asked.filter(|_| message["type"] == "session_info") };
        if let Some(last_seq) = asked {
            let created = message["created"] == true || is_new;
            let begin = match message["replay"].as_str() {
                Some("ok") => last_seq,
                Some("gap") => message["first_seq"].as_u64().map(|seq| seq - 1),
                // All that is kept: from the beginning only where the beginning is kept.
                Some("reset") => message["first_seq"].as_u64().map(|seq| seq - 1),
                _ => created.then_some(0),
            };
            let epoch = message["epoch"].as_str().unwrap_or_default();
            self.streams.insert(session.to_owned(), Stream::new(epoch, begin));
        }
    }

    fn problem(&mut self, message: &Value, what: &str) {
        self.problems.push(format!("{what}: {message}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Entry, Said, Transcript, one};

    /// A turn as it should be, each event in a line.
    fn good() -> Vec<Value> {
        let events = [
            json!({"type": "user_message", "id": "msg-0", "request_id": "u", "content": "x"}),
            json!({"type": "status_update", "id": "msg-1", "status": "thinking"}),
            json!({"type": "assistant_message_start", "id": "msg-2", "model": "m"}),
            json!({"type": "assistant_message_delta", "id": "msg-2", "delta": {"delta_type": "text", "text": "a"}}),
            json!({"type": "tool_use", "id": "msg-3", "tool_use_id": "t", "tool_name": "B", "tool_input": {}, "executor": "agent"}),
            json!({"type": "permission_request", "id": "msg-4", "tool_use_id": "t", "tool_name": "B", "tool_input": {},
                "context": {"description": "d", "risk_level": "medium", "suggestions": []}}),
            json!({"type": "permission_resolved", "id": "msg-5", "permission_id": "msg-4", "decision": "allow", "reason": "client"}),
            json!({"type": "assistant_message_complete", "id": "msg-2"}),
            json!({"type": "tool_result", "id": "msg-6", "tool_use_id": "t", "content": "", "is_error": false}),
            json!({"type": "result", "id": "msg-7", "request_id": "u", "subtype": "success", "is_error": false,
                "duration_ms": 1, "duration_api_ms": 1, "num_turns": 1}),
            json!({"type": "status_update", "id": "msg-8", "status": "idle"}),
        ];
        let number = |(seq, mut event): (usize, Value)| {
            event["seq"] = (seq + 1).into();
            event["session_id"] = "s".into();
            event["timestamp"] = 1.into();
            event
        };
        events.into_iter().enumerate().map(number).collect()
    }

    fn problems(events: &[Value]) -> Vec<String> {
        let transcript = Transcript::new("c");
        let start = json!({"type": "new_session", "id": "r-0", "session_id": "s", "cwd": "/", "epoch": "e",
            "created_at": 1, "permission_mode": "manual"});
        transcript.add(Entry::Got(start));
        for event in events {
            transcript.add(Entry::Got(event.clone()));
        }
        transcript.add(Entry::Closed(Some(1001)));
        one(&transcript, &mut Said::new())
    }

    #[test]
    fn a_good_turn_passes() {
        assert_eq!(problems(&good()), [""; 0]);
    }

    #[test]
    fn an_event_that_is_missing_doubled_or_misplaced_is_found() {
        let good = good();
        let seq_in_order = |mut events: Vec<Value>| {
            for (seq, event) in events.iter_mut().enumerate() {
                event["seq"] = (seq + 1).into();
            }
            events
        };
        for at in 0..good.len() {
            let what = good[at]["type"].as_str().unwrap();
            let optional = what == "assistant_message_delta" || good[at]["status"] == "thinking";
            let mut missing = good.clone();
            missing.remove(at);
            // A result for a message nobody saw, and a tool that never reports (a turn may be interrupted), can be right.
            let can_be_right = optional || what == "user_message" || what == "tool_result";
            assert!(can_be_right || !problems(&seq_in_order(missing)).is_empty(), "missing {what}");
            let mut doubled = good.clone();
            doubled.insert(at, good[at].clone());
            assert!(!problems(&doubled).is_empty(), "doubled {what} with its seq");
            assert!(
                what == "assistant_message_delta" || !problems(&seq_in_order(doubled)).is_empty(),
                "doubled {what}"
            );
        }
        for (first, second) in [(2, 3), (3, 7), (4, 5), (5, 6), (6, 8), (9, 10)] {
            let mut swapped = good.clone();
            swapped.swap(first, second);
            assert!(!problems(&seq_in_order(swapped)).is_empty(), "{first} and {second} swapped");
        }
        let mut lacking = good.clone();
        lacking[9].as_object_mut().unwrap().remove("subtype");
        assert!(!problems(&lacking).is_empty(), "the schema");
    }
}
