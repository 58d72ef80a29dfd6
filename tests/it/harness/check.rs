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
        let is_new = message["type"] == "new_session";
        let asked = message["request_id"].as_str().and_then(|id| self.starts.remove(id));
        let asked = if is_new { Some(None) } else { asked.filter(|_| message["type"] == "session_info") };
        if let Some(last_seq) = asked {
            let created = message["created"] == true || is_new;
            let begin = match message["replay"].as_str() {
                Some("ok") => last_seq,
                Some("gap") => message["first_seq"].as_u64().map(|seq| seq - 1),
                Some("reset") => Some(0),
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
