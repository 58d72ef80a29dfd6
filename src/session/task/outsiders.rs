//! Connections that have a session do something without being attached to it.
//!
//! What comes of it are events, which go to those who are attached. Who is not is told by a `session_info` that it was done, at the
//! moment of the first event that stems from its message.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;

use crate::log::Entry;
use crate::session::state::{ClientId, Command};

/// Messages that may wait for their answer at once; of more, the oldest get none.
const MAX_WAITING: usize = 64;

/// What is owed to them: the client, and the id of its message.
#[derive(Debug, Default)]
pub(super) struct Outsiders(VecDeque<(ClientId, String)>);

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
}

impl Outsiders {
    /// A connection that is not attached sent this.
    pub(super) fn asked(&mut self, client: ClientId, id: &str, command: &Command) {
        // The first three are answered by replies of their own; the last by the agent, in the name of its turn, if at all.
        if matches!(
            command,
            Command::Attach(_) | Command::Info | Command::ConfigQuery | Command::ToolResult(_)
        ) {
            return;
        }
        if self.0.len() == MAX_WAITING {
            self.0.pop_front();
        }
        self.0.push_back((client, id.to_owned()));
    }

    /// It got another reply: a refusal, or that there was nothing to do.
    pub(super) fn answered(&mut self, client: ClientId, id: &str) {
        self.0.retain(|asked| asked.0 != client || asked.1 != id);
    }

    /// Forgets those whose client is not to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(ClientId) -> bool) {
        self.0.retain(|(client, _)| keep(*client));
    }

    /// Those whose message these events stem from.
    pub(super) fn answers(&mut self, entries: &[Entry]) -> Vec<(ClientId, String)> {
        let mut answers = Vec::new();
        for entry in entries {
            // Parsed only where it may be one: nearly all are not.
            if self.0.iter().any(|(_, id)| entry.frame.contains(id.as_str())) {
                answers.extend(self.answer(entry));
            }
        }
        answers
    }

    fn answer(&mut self, entry: &Entry) -> Option<(ClientId, String)> {
        let head: Head<'_> = serde_json::from_str(&entry.frame).ok()?;
        let request_id = head.request_id?;
        let at = self.0.iter().position(|(_, id)| *id == request_id)?;
        self.0.remove(at)
    }
}
