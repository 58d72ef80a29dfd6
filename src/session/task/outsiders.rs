//! Connections that have a session do something without being attached to it.
//!
//! What comes of it are events, which go to those who are attached. Who is not gets, as its reply, a copy of the event that answers
//! its message (without `seq`: it is not in a stream); for what begins a turn, of the message's acceptance and of the turn's `result`.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::log::Entry;
use crate::session::state::{ClientId, Command};

/// Messages that may wait for their answer at once; of more, the oldest get none.
const MAX_WAITING: usize = 64;

/// What is owed to them.
#[derive(Debug, Default)]
pub(super) struct Outsiders(VecDeque<Asked>);

#[derive(Debug)]
struct Asked {
    client: ClientId,
    /// Of its message.
    id: String,
    /// It begins a turn.
    is_turn: bool,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
}

impl Outsiders {
    /// A connection that is not attached sent this.
    pub(super) fn asked(&mut self, client: ClientId, id: &str, command: &Command) {
        let is_turn = matches!(command, Command::UserMessage(_) | Command::Resume);
        // The first two are answered by replies, the last by the agent, if at all.
        if matches!(
            command,
            Command::Attach(_) | Command::Info | Command::ConfigQuery | Command::ToolResult(_)
        ) {
            return;
        }
        if self.0.len() == MAX_WAITING {
            self.0.pop_front();
        }
        self.0.push_back(Asked { client, id: id.to_owned(), is_turn });
    }

    /// It was refused: nothing follows.
    pub(super) fn refused(&mut self, client: ClientId, id: &str) {
        let is_it = |asked: &Asked| asked.client == client && asked.id == id;
        if let Some(at) = self.0.iter().rposition(is_it) {
            self.0.remove(at);
        }
    }

    /// Forgets those whose client is not to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(ClientId) -> bool) {
        self.0.retain(|asked| keep(asked.client));
    }

    /// The copies of those of these events that are answers.
    pub(super) fn answers(&mut self, entries: &[Entry]) -> Vec<(ClientId, Utf8Bytes)> {
        let mut answers = Vec::new();
        if self.0.is_empty() {
            return answers;
        }
        for entry in entries {
            // Parsed only where it may be one: nearly all are not.
            if self.0.iter().any(|asked| entry.frame.contains(&asked.id)) {
                answers.extend(self.answer(entry));
            }
        }
        answers
    }

    fn answer(&mut self, entry: &Entry) -> Option<(ClientId, Utf8Bytes)> {
        let head: Head<'_> = serde_json::from_str(&entry.frame).ok()?;
        let id = head.request_id?;
        let at = self.0.iter().position(|asked| asked.id == id)?;
        let (client, is_turn) = (self.0[at].client, self.0[at].is_turn);
        if is_turn && !matches!(&*head.kind, "user_message" | "result") {
            return None;
        }
        if !is_turn || head.kind == "result" {
            self.0.remove(at);
        }
        Some((client, without_seq(&entry.frame)?))
    }
}

/// The event as a reply.
fn without_seq(frame: &str) -> Option<Utf8Bytes> {
    let mut fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(frame).ok()?;
    fields.remove("seq");
    fields.remove("timestamp");
    serde_json::to_string(&fields).ok().map(Utf8Bytes::from)
}
