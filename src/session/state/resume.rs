//! Going on: with a turn that was broken off (`resume`), and with what a gateway that died left behind.

use super::turns::{Phase, Queued, TurnInput};
use super::{Asker, Now, SessionState, warning};
use crate::protocol::{
    AssistantMessageComplete, ElicitationAction, EventSink, Json, Resolution, ResolvedBy, ServerMessage,
    SessionStatus, TaskStatus, TaskUpdate, TurnErrorCode, WarningCode,
};
use crate::session::record::{OpenMessage, RunningTurn};

/// What the agent is told by `resume`.
const GO_ON: &str = "Continue from where you left off.";
/// What became of a turn that was running when the gateway died.
const RESTARTED: &str = "the gateway was restarted while this turn was running";
/// What became of a queued message of which only the id is left.
const LOST: &str =
    "the gateway was restarted, and could not keep this message; send it again under another id";

/// What was unfinished when the gateway died, as the log tells it.
#[derive(Debug, Default, PartialEq)]
pub struct Leftover {
    /// The turn that was running.
    pub turn: Option<RunningTurn>,
    /// Queued messages, in order.
    pub queued: Vec<LeftMessage>,
    /// Open prompts: the ids of their `permission_request`.
    pub prompts: Vec<String>,
    /// What MCP servers have asked: the ids of their `elicitation_request`.
    pub elicitations: Vec<String>,
    /// Messages of the model that had begun and not ended.
    pub open: Vec<OpenMessage>,
    /// Tasks that were running.
    pub tasks: Vec<TaskUpdate>,
    /// What clients were told last that the session is doing.
    pub status: SessionStatus,
}

/// A message that was queued when the gateway died.
#[derive(Debug, PartialEq)]
pub struct LeftMessage {
    /// Its id.
    pub id: String,
    /// What the agent is to get; none, where the store lost it.
    pub input: Option<TurnInput>,
    /// Its `user_message` stands in the log after this event.
    pub after_seq: u64,
}

impl Leftover {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl SessionState {
    /// Ends what a gateway that died had left unfinished, and goes on with what was queued.
    pub fn take_up(&mut self, leftover: Leftover, now: Now) {
        self.set_time(now);
        if leftover.is_empty() {
            return;
        }
        self.status = leftover.status;
        if let Some(RunningTurn { id }) = &leftover.turn {
            // Its id may have been in a piece that was not committed any more.
            if let Some(id) = id.as_deref().filter(|id| !self.seen.contains(id)) {
                self.remember(id);
            }
            self.begin_turn(id.clone(), Phase::Running);
        }
        for message in leftover.open {
            let complete = AssistantMessageComplete {
                stop_reason: Some("interrupted".into()),
                usage: None,
                parent_tool_use_id: message.parent_tool_use_id.map(Into::into),
            };
            self.journal.emit(message.id, &ServerMessage::AssistantMessageComplete(complete));
        }
        for id in leftover.prompts {
            self.resolved(&id, Resolution::Cancelled, ResolvedBy::Agent, None);
        }
        for id in leftover.elicitations {
            self.elicitation_resolved(&id, ElicitationAction::Cancel, ResolvedBy::Agent, None);
        }
        self.tasks_lost(leftover.tasks);
        if self.turn.is_some() {
            self.fail_turn(TurnErrorCode::AgentExited, RESTARTED);
        }
        let (kept, lost): (Vec<_>, Vec<_>) =
            leftover.queued.into_iter().partition(|message| message.input.is_some());
        for message in lost {
            self.remember(&message.id);
            self.begin_turn(Some(message.id), Phase::Running);
            self.fail_turn(TurnErrorCode::AgentExited, LOST);
        }
        for LeftMessage { id, input, after_seq } in kept {
            self.remember(&id);
            self.queue.extend(input.map(|input| Queued { id, input, after_seq, recorded: true }));
        }
        self.next_turn();
        self.sync_status();
    }

    /// The agent is gone with the gateway that ran it, and what it did beside turns.
    fn tasks_lost(&mut self, tasks: Vec<TaskUpdate>) {
        if tasks.iter().any(|task| task.background) {
            let text = "the agent's background tasks were stopped: the gateway was restarted";
            self.journal.event_for(None, &warning(WarningCode::TasksStopped, text));
        }
        for task in tasks {
            let update = TaskUpdate { status: TaskStatus::Stopped, ..task };
            self.journal.event_for(None, &ServerMessage::TaskUpdate(update));
        }
    }

    /// `resume`.
    pub(super) fn resume(&mut self, asker: Asker) {
        if self.refused_as_duplicate(&asker) {
            return;
        }
        let broken = if self.turn.is_none() { self.broken.take() } else { None };
        let Some(broken) = broken else {
            let text = "the last turn came to its end, or another one is running";
            self.reply(&asker, warning(WarningCode::NothingToResume, text));
            return;
        };
        self.remember(&asker.id);
        let input = broken.undelivered.unwrap_or_else(|| TurnInput {
            content: Json::of(GO_ON).unwrap_or_else(|_| Json::empty_object()),
            parent_tool_use_id: None,
        });
        self.begin_turn(Some(asker.id), Phase::Pending(input));
        self.deliver();
    }
}
