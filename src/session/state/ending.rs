//! How a session comes to its end, or to rest: by a client, by a drain, because nobody is there.
//!
//! The last words wait for the agent's end, so that nothing of it runs when they are seen.

use std::time::Instant;

use super::{Asker, Closing, Command, Effect, Life, SessionState, error};
use crate::protocol::{EndReason, ErrorCode, ServerMessage, SessionEnded};
use crate::session::words;

impl SessionState {
    /// Whether the session is about to be gone as if it had never been: who names its id means another one.
    pub fn is_being_removed(&self) -> bool {
        matches!(self.life, Life::Closing(Closing::Removed))
    }

    /// Whether the session is over for good, though its agent may still be on its way out.
    pub fn has_ended(&self) -> bool {
        matches!(self.life, Life::Closing(Closing::Ended(_)) | Life::Closed(Closing::Ended(_)))
    }

    /// Why a command cannot be taken now, if so.
    pub(super) fn refusal(&self, command: &Command) -> Option<ServerMessage<'static>> {
        let refused = match (self.life, command) {
            (Life::Closing(Closing::Removed), _) => {
                (ErrorCode::UnknownSession, "the session is being removed")
            }
            (Life::Active | Life::Dormant, _) | (_, Command::Info | Command::ConfigQuery) => return None,
            (Life::Closing(Closing::Ended(_)) | Life::Closed(_), _) => {
                (ErrorCode::SessionEnded, "the session has ended")
            }
            (Life::Draining { .. }, Command::UserMessage(_) | Command::Resume) | (Life::Closing(_), _) => {
                (ErrorCode::AgentUnavailable, "the server is going down; send it again after the reconnect")
            }
            (Life::Draining { .. }, _) => return None,
        };
        Some(error(refused.0, refused.1))
    }

    pub(super) fn end(&mut self, asker: Asker, reason: Option<&str>) {
        let reason = reason.map_or("no reason given".into(), words::quoted);
        log::info!("session {}: ended by a client ({reason})", self.id);
        self.close(Closing::Ended(EndReason::Client), Some(asker.id));
    }

    /// The last events of a session; they wait for the agent's end, so that nothing of it runs when they are seen.
    pub(super) fn close(&mut self, closing: Closing, request_id: Option<String>) {
        if matches!(self.life, Life::Closing(_) | Life::Closed(_)) {
            return;
        }
        self.life = Life::Closing(closing);
        self.end_all_turns();
        self.closed_by = request_id;
        // What is stored now is what a gateway finds that starts after this one was killed in the meantime.
        self.effects.push(Effect::Persist);
        self.stop_agent_then_close();
    }

    /// Called once the agent is gone.
    pub(super) fn closed(&mut self) {
        let Life::Closing(closing) = self.life else { return };
        self.sync_status();
        self.life = Life::Closed(closing);
        if let Closing::Ended(reason) = closing {
            let ended = ServerMessage::SessionEnded(SessionEnded { reason });
            let request_id = self.closed_by.take();
            self.journal.event_for(request_id.as_deref(), &ended);
        }
        self.effects.push(Effect::Persist);
        self.effects.push(Effect::Close(closing));
    }

    pub(super) fn drain(&mut self, until: Instant) {
        self.going_down = true;
        if !matches!(self.life, Life::Active | Life::Dormant) {
            return;
        }
        self.life = Life::Draining { until };
        self.drain_step();
    }

    /// A draining session closes as soon as nothing runs.
    pub(super) fn drain_step(&mut self) {
        let Life::Draining { until } = self.life else { return };
        if self.turn.is_none() {
            self.close(self.limits.closing_at_shutdown(), None);
        } else if self.now.instant >= until {
            self.interrupt_for_drain();
        }
    }

    /// Whether turns have had the time that a drain gives them.
    pub(super) fn drain_is_over(&self) -> bool {
        matches!(self.life, Life::Draining { until } if self.now.instant >= until)
    }
}
