//! What metrics want to know of a session, gathered by the state machine and carried off by the task after each input.
//!
//! Times come from the events' own clock: a step of the system's clock falsifies one observation, and nothing depends on them.

use std::time::Duration;

use crate::metrics::Metrics;
use crate::protocol::{ErrorCode, ResultSubtype, ServerMessage, TurnErrorCode, TurnResult};

/// What happened since the last look.
#[derive(Debug, Default)]
pub struct Tally {
    /// When the running turn began; Unix milliseconds.
    turn_began: Option<u64>,
    /// The same, until the model's first message.
    awaited_since: Option<u64>,
    /// When the agent that comes up was launched.
    launched: Option<u64>,
    notes: Vec<Note>,
}

/// One thing that happened.
#[derive(Debug)]
enum Note {
    Turn { outcome: &'static str, took: Option<Duration> },
    FirstEvent(Duration),
    Error(ErrorCode),
    Unknown(String),
    Started(Duration),
    Adopted,
    StartFailed,
}

impl Tally {
    /// A turn begins.
    pub(super) fn turn_begins(&mut self, now: u64) {
        self.turn_began = Some(now);
        self.awaited_since = Some(now);
    }

    /// An agent is launched.
    pub(super) fn agent_launched(&mut self, now: u64) {
        self.launched = Some(now);
    }

    /// In its place a warm agent is taken, whose start was counted when it happened.
    pub(super) fn agent_adopted(&mut self) {
        self.launched = None;
    }

    /// It can be spoken to.
    pub(super) fn agent_started(&mut self, now: u64) {
        let launched = self.launched.take().map(|launched| between(launched, now));
        self.notes.push(launched.map_or(Note::Adopted, Note::Started));
    }

    /// It did not come up.
    pub(super) fn agent_failed(&mut self) {
        self.notes.push(Note::StartFailed);
    }

    /// The agent said something that nobody knows.
    pub(super) fn unknown(&mut self, kind: String) {
        self.notes.push(Note::Unknown(kind));
    }

    /// An event was written. Only looks at what comes a few times a turn.
    pub(super) fn note(&mut self, message: &ServerMessage<'_>, now: u64) {
        match message {
            ServerMessage::AssistantMessageStart(_) => {
                if let Some(since) = self.awaited_since.take() {
                    self.notes.push(Note::FirstEvent(between(since, now)));
                }
            }
            ServerMessage::Result(result) => self.result(result, now),
            ServerMessage::Error(error) => self.notes.push(Note::Error(error.code)),
            _ => {}
        }
    }

    fn result(&mut self, result: &TurnResult<'_>, now: u64) {
        // That of a message which was cancelled in the queue, while another one's turn may be running.
        let took = if result.subtype == ResultSubtype::Cancelled {
            None
        } else {
            self.awaited_since = None;
            self.turn_began.take().map(|began| between(began, now))
        };
        self.notes.push(Note::Turn { outcome: outcome(result), took });
    }

    /// Whether there is anything to give.
    pub(super) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Gives it all to `metrics`, and says what became of starts: whether the last one went well, if there was one.
    pub(super) fn report(&mut self, metrics: &Metrics) -> Option<bool> {
        let mut up = None;
        for note in self.notes.drain(..) {
            match note {
                Note::Turn { outcome, took } => metrics.turn(outcome, took),
                Note::FirstEvent(after) => metrics.first_event(after),
                Note::Error(code) => metrics.error(code.name()),
                Note::Unknown(kind) => metrics.unknown(&kind),
                Note::Started(took) => {
                    up = Some(true);
                    metrics.started(took);
                }
                Note::Adopted => {
                    up = Some(true);
                    metrics.adopted();
                }
                Note::StartFailed => {
                    up = Some(false);
                    metrics.start_failed();
                }
            }
        }
        up
    }
}

fn between(from: u64, to: u64) -> Duration {
    Duration::from_millis(to.saturating_sub(from))
}

/// The label of a turn's end: the subtype, or for errors their code.
fn outcome(result: &TurnResult<'_>) -> &'static str {
    match (result.subtype, result.error_code) {
        (ResultSubtype::Success, _) => "success",
        (ResultSubtype::Interrupted, _) => "interrupted",
        (ResultSubtype::Cancelled, _) => "cancelled",
        (ResultSubtype::Error, None) => "error",
        (ResultSubtype::Error, Some(code)) => match code {
            TurnErrorCode::MaxTurns => "max_turns",
            TurnErrorCode::MaxBudget => "max_budget",
            TurnErrorCode::ApiError => "api_error",
            TurnErrorCode::AgentExited => "agent_exited",
            TurnErrorCode::AgentUnavailable => "agent_unavailable",
            TurnErrorCode::CompactFailed => "compact_failed",
            TurnErrorCode::Execution => "execution",
        },
    }
}
