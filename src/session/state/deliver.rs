//! From a turn to the agent: told once, by an agent that was there to hear it.
//!
//! A message that waits (for its turn, for an agent) is run after a restart of the gateway, one that an agent may have begun is
//! not. So that no message is both, the record says "told" before the agent is.

use bytes::Bytes;

use super::turns::Phase;
use super::{Effect, SessionState};
use crate::agent::{Exit, control};
use crate::protocol::Json;

/// Whether a message is the slash command that compacts the conversation.
fn is_compact(content: &Json<'_>) -> bool {
    let command = |text: &str| text.split_whitespace().next() == Some("/compact");
    content.to::<String>().is_ok_and(|text| command(&text))
}

/// Agents that may die in a row without having read of a turn; then it has failed.
const MAX_RETURNED: u32 = 3;
/// Agents that may have read of it and die before they begin it. It may be the message that they die of.
const MAX_RETURNED_READ: u32 = 1;

impl SessionState {
    /// Writes one line to the agent's stdin.
    pub(super) fn tell(&mut self, line: Bytes) {
        self.agent.lines_sent += 1;
        self.effects.push(Effect::ToAgent(line));
    }

    /// Tells the agent what the pending turn is about, or gets the agent up first.
    pub(super) fn deliver(&mut self) {
        if !self.turn.as_ref().is_some_and(|turn| turn.is_pending()) {
            return;
        }
        if !self.agent.is_ready() {
            self.ensure_agent();
            return;
        }
        if self.settings.restart_is_due() && !self.restart_waits_for_tasks() {
            self.restart_agent();
            return;
        }
        let Some(turn) = &mut self.turn else { return };
        let Phase::Pending(input) = std::mem::replace(&mut turn.phase, Phase::Running) else { return };
        let uuid = self.deliveries.send();
        self.starting.sent(self.now.instant);
        turn.compacts = is_compact(&input.content);
        let noted = self.agent.conversation.send(&input.content);
        let content = noted.as_ref().unwrap_or(&input.content);
        let line = control::user_message(content.raw(), input.parent_tool_use_id.as_deref(), Some(uuid));
        let is_first = !self.agent.conversation.started;
        turn.phase = Phase::Sent { input, line: self.agent.lines_sent + 1, is_first };
        self.agent.conversation.started = true;
        self.effects.push(Effect::Persist);
        if turn.recorded && turn.stored_after.is_some() {
            self.effects.push(Effect::Commit);
        }
        self.tell(line);
        if self.deliveries.names() {
            // That the session is at work stems from the message; what the agent does before it begins with it does not.
            self.sync_status();
            self.journal.set_turn(None);
        }
    }

    /// The agent is gone. True: it had not begun the turn that it was sent (that is the first that it says of one, before it asks
    /// the model or runs anything), which waits for the next agent now.
    ///
    /// Where it had read the message and then begun a turn that was taken for its own ([`turn_began`](Self::turn_began)), that is a
    /// guess: the turn may have been this one, and its tools have run. It is not run twice on a guess; it fails, and `resume` goes on.
    pub(super) fn take_back(&mut self, exit: &Exit) -> bool {
        let read = self.agent.lines_sent.saturating_sub(exit.unread_lines);
        let Some(turn) = &mut self.turn else { return false };
        let Phase::Sent { line, .. } = turn.phase else { return false };
        let may_have_begun = turn.behind && line <= read && !self.deliveries.names();
        let most = if line > read { MAX_RETURNED } else { MAX_RETURNED_READ };
        if turn.is_stopping() || may_have_begun || turn.returned >= most {
            return false;
        }
        let Phase::Sent { input, is_first, .. } = std::mem::replace(&mut turn.phase, Phase::Running) else {
            return false;
        };
        turn.phase = Phase::Pending(input);
        turn.returned += 1;
        // One that it has read may stand in its transcript: the conversation exists then. (If it does not, that is found out.)
        if is_first && line > read {
            self.agent.conversation.started = false;
        }
        self.own_turn_over();
        log::info!("session {}: the agent had not begun the last message; the next one gets it", self.id);
        self.effects.push(Effect::Persist);
        true
    }
}
