//! What came of a compaction. The agent calls every turn of `/compact` a success; before its `result` it says what is true: `status`
//! with `compact_result`, and nothing at all where it did not even begin (nothing to compact).

use crate::agent::wire;
use crate::converter::Compaction;
use crate::protocol::{ResultSubtype, TurnErrorCode, TurnResult};

use super::turns::Turn;

/// What is said where the agent says nothing.
const REFUSED: &str = "Claude Code did not compact the conversation";

/// Compactions of the running turn.
#[derive(Debug, Default)]
pub(super) struct Compactions {
    running: bool,
    done: bool,
    failed: Option<String>,
}

impl Compactions {
    pub(super) fn begins(&mut self) {
        self.running = true;
    }

    pub(super) fn ends(&mut self, what: Compaction<'_>) {
        self.running = false;
        match what {
            Compaction::Done => self.done = true,
            Compaction::Failed(why) => self.failed = Some(why.into_owned()),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Forgets them, with their turn.
    pub(super) fn turn_over(&mut self) {
        *self = Self::default();
    }

    /// Whether the turn was `/compact`, and the conversation is as it was.
    pub(super) fn came_to_nothing(&self, turn: &Turn, line: &wire::ResultMessage<'_>) -> bool {
        let is_command = match line.local_command.text() {
            Some(command) => command == "compact",
            // 2.1.197 does not say so.
            None => turn.compacts && line.num_turns.count() == Some(0),
        };
        is_command && !self.done
    }

    /// Makes the result of such a turn what it is.
    pub(super) fn refuse(&self, result: &mut TurnResult<'_>) {
        let said =
            result.result.take().map(|text| text.decode().into_owned()).filter(|text| !text.is_empty());
        let why = self.failed.clone().filter(|why| !why.is_empty()).or(said);
        result.subtype = ResultSubtype::Error;
        result.is_error = true;
        result.error = Some(why.unwrap_or_else(|| REFUSED.to_owned()).into());
        result.error_code = Some(TurnErrorCode::CompactFailed);
    }
}
