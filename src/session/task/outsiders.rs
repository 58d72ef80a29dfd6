//! Connections that have a session do something without being attached to it.
//!
//! What comes of it are events, which go to those who are attached. Who is not is told by a `session_info` that it was done, at the
//! moment of the first event that stems from its message.

use std::collections::VecDeque;

use crate::session::state::{ClientId, Command};

/// Messages that may wait for their answer at once; of more, the oldest get none.
const MAX_WAITING: usize = 64;

/// What is owed to them: the client, and the id of its message.
#[derive(Debug, Default)]
pub(super) struct Outsiders(VecDeque<(ClientId, String)>);

impl Outsiders {
    /// A connection that is not attached sent this.
    pub(super) fn asked(&mut self, client: ClientId, id: &str, command: &Command) {
        // All but the last are answered by replies of their own; that one by the agent, in the name of its turn, if at all.
        if matches!(
            command,
            Command::Attach(_)
                | Command::Info
                | Command::ConfigQuery
                | Command::TaskOutput { .. }
                | Command::ToolResult(_)
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

    /// Nothing is owed to anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those from whose messages events stem now: `ids`.
    pub(super) fn answers(&mut self, ids: &[String]) -> Vec<(ClientId, String)> {
        ids.iter().filter_map(|id| self.answer(id)).collect()
    }

    fn answer(&mut self, id: &str) -> Option<(ClientId, String)> {
        let at = self.0.iter().position(|asked| asked.1 == *id)?;
        self.0.remove(at)
    }
}
