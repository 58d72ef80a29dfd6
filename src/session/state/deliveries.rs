//! Which of the agent's turns is about which message: by the `uuid` that each delivery has and that the agent gives back.
//!
//! Claude Code begins turns by itself (news of a task, a schedule), also in the moment in which a message is written to it. From 2.1.330
//! on it says what becomes of each message (`command_lifecycle`: `queued`, `started`, `completed`, `cancelled`), and names in a `result`
//! those that it was about. 2.1.197 does not: there the order decides, and what was heard of tasks.
//!
//! A `uuid` is fresh for each delivery: one that the agent has seen before gets no turn and no `result`.

use uuid::Uuid;

use super::SessionState;
use super::turns::{Phase, blank_result};
use crate::agent::wire;
use crate::protocol::{InterruptOutcome, ResultSubtype, TurnErrorCode};

/// What a message became that the agent took and did nothing with.
const SWALLOWED: &str =
    "Claude Code took the message and did nothing with it; send it again under another id";

/// What the running agent was sent last, and what it has said of it.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Its `uuid`.
    current: Option<String>,
    /// The agent has taken it out of its queue.
    begun: bool,
    /// The agent was told to forget it, and did; a turn of its own is still to end.
    pub(super) cancelled: bool,
    /// The agent says what becomes of messages.
    names: bool,
}

/// What the agent says of the message that it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Queued,
    Begun,
    Over,
    Cancelled,
}

impl Deliveries {
    /// A new process.
    pub(super) fn restarted(&mut self) {
        *self = Self::default();
    }

    /// A message is sent; its `uuid`.
    pub(super) fn send(&mut self) -> Uuid {
        let uuid = Uuid::new_v4();
        *self = Self { current: Some(uuid.to_string()), names: self.names, ..Self::default() };
        uuid
    }

    /// Whether the agent says what becomes of messages.
    pub(super) fn names(&self) -> bool {
        self.names
    }

    /// Whether it has begun with the message; by what it says of messages.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// The message has its `result`.
    pub(super) fn are_over(&mut self) {
        self.begun = true;
    }

    /// Whether a `result` names the message.
    fn are_in(&self, line: &wire::ResultMessage<'_>) -> bool {
        self.current.as_deref().is_some_and(|current| line.answered().any(|uuid| uuid == current))
    }

    fn hears(&mut self, uuid: &str, state: &str) -> Option<News> {
        self.names = true;
        if self.current.as_deref() != Some(uuid) {
            return None;
        }
        let news = match state {
            "queued" => News::Queued,
            "started" => News::Begun,
            "completed" => News::Over,
            "cancelled" => News::Cancelled,
            _ => return None,
        };
        self.begun |= news == News::Begun;
        Some(news)
    }
}

impl SessionState {
    /// `command_lifecycle`.
    pub(super) fn message_news(&mut self, line: &wire::CommandLifecycle<'_>) {
        let uuid = line.command_uuid.text().unwrap_or_default();
        let news = self.deliveries.hears(&uuid, &line.state.text().unwrap_or_default());
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.id.is_some() && !turn.is_pending()) else {
            return;
        };
        let is_sent = turn.is_sent();
        match news {
            // A turn had begun before the agent read the message: it was its own.
            Some(News::Queued) if !is_sent => self.was_the_agents_own(),
            Some(News::Begun) if is_sent => {
                if turn.behind {
                    // It goes into the turn that runs, and there is one `result` for both.
                    turn.phase = Phase::Running;
                    self.agent.conversation.owes_no_more();
                }
                self.own_turn_over();
            }
            Some(News::Over) if is_sent && !turn.behind => {
                log::warn!("session {}: the agent did nothing with a message", self.id);
                turn.was_not_begun();
                self.fail_turn(TurnErrorCode::Execution, SWALLOWED);
            }
            Some(News::Cancelled) => self.message_is_cancelled(),
            _ => {}
        }
    }

    /// The answer to an interrupt: messages that were taken out of the agent's queue.
    pub(super) fn messages_cancelled(&mut self, cancelled: &[std::borrow::Cow<'_, str>]) {
        let is_ours =
            self.deliveries.current.as_deref().is_some_and(|ours| cancelled.iter().any(|one| one == ours));
        if is_ours {
            self.message_is_cancelled();
        }
    }

    fn message_is_cancelled(&mut self) {
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.is_sent()) else { return };
        if turn.behind {
            // First the end of the turn that runs.
            self.deliveries.cancelled = true;
        } else {
            self.cancelled_in_the_agent();
        }
    }

    /// The message's turn ends without ever having begun.
    pub(super) fn cancelled_in_the_agent(&mut self) {
        self.deliveries.cancelled = false;
        self.converter.close_open(Some("interrupted"), &mut self.journal);
        self.converter.forget_interrupt();
        if self.turn.as_mut().is_some_and(|turn| turn.was_not_begun()) {
            self.agent.conversation.started = false;
        }
        self.finish_turn(blank_result(ResultSubtype::Interrupted), Some(InterruptOutcome::Interrupted));
    }

    /// What was taken for the turn of the message was one of the agent's own.
    fn was_the_agents_own(&mut self) {
        let Some(turn) = self.turn.as_mut() else { return };
        let Some(sent) = turn.sent.take() else { return };
        turn.phase = sent;
        turn.behind = true;
        self.journal.set_turn(None);
        let origin = self.own_turn_begins(false);
        if let Some(turn) = &mut self.turn {
            turn.origin = Some(origin);
        }
    }

    /// Whether a `result` is that of a turn which the agent began before the message that it was sent.
    pub(super) fn is_of_own_turn(&self, line: &wire::ResultMessage<'_>) -> bool {
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.id.is_some()) else { return false };
        if self.deliveries.are_in(line) {
            return false;
        }
        let not_begun = turn.is_sent() && !self.deliveries.has_begun();
        line.is_of_a_task() || (self.deliveries.names() && (turn.behind || not_begun))
    }
}
