//! A turn that does not begin: MCP servers that are still being connected hold it up (measured: up to 28 s), and the agent says nothing
//! of it unless it is asked.

use std::time::{Duration, Instant};

use super::{Asked, SessionState};
use crate::agent::{control, wire};
use crate::protocol::SessionStatus;

/// How long a message may wait in the agent before that is asked, and how often it is asked again.
const ASK: Duration = Duration::from_secs(1);

/// What holds up the message that the agent was sent.
#[derive(Debug, Default)]
pub(super) struct Starting {
    /// When the agent is asked next; `None`: it has not answered, or cannot.
    ask: Option<Instant>,
    /// MCP servers that are not connected yet.
    servers: Vec<String>,
}

impl Starting {
    /// A message is sent.
    pub(super) fn sent(&mut self, now: Instant) {
        *self = Self { ask: Some(now + ASK), servers: Vec::new() };
    }
}

impl SessionState {
    fn is_held_up(&self) -> bool {
        self.agent.is_ready()
            && !self.deliveries.has_begun()
            && self.turn.as_ref().is_some_and(|turn| turn.is_sent() && !turn.behind && !turn.is_stopping())
    }

    /// Whether MCP servers hold up the turn.
    pub(super) fn is_starting(&self) -> bool {
        !self.starting.servers.is_empty() && self.is_held_up()
    }

    pub(super) fn starting_deadline(&self) -> Option<Instant> {
        self.starting.ask.filter(|_| self.is_held_up() && !self.compaction.is_running())
    }

    pub(super) fn starting_tick(&mut self) {
        if self.starting_deadline().is_some_and(|ask| ask <= self.now.instant) {
            self.starting.ask = None;
            let id = self.control_id(Asked::McpStatus);
            self.tell(control::mcp_status(&id));
        }
    }

    /// The answer to `mcp_status`.
    pub(super) fn mcp_status_told(&mut self, response: &wire::ControlResponse<'_>) {
        if response.outcome.is_err() || !self.is_held_up() {
            return;
        }
        self.starting.ask = Some(self.now.instant + ASK);
        let servers: Vec<_> =
            response.pending_mcp_servers().iter().map(std::string::ToString::to_string).collect();
        if servers != self.starting.servers {
            self.starting.servers = servers;
            if self.is_starting() && self.true_status() == SessionStatus::Starting {
                let text = format!("waiting for MCP servers: {}", self.starting.servers.join(", "));
                let turn = self.turn.as_ref().and_then(|turn| turn.id.clone());
                self.journal.set_turn(turn);
                self.set_status(SessionStatus::Starting, Some(text));
                self.own_turn_over();
            }
        }
    }
}
