//! `result`: how a turn ended.

use std::borrow::Cow;

use super::lenient::{List, Raw, lenient};

lenient! {
    /// `result`. All fields are kept as JSON text, so that no odd value in one of them can lose the end of a turn.
    pub ResultMessage {
        /// `success`, `error_during_execution`, `error_max_turns`, `error_max_budget_usd`, …
        subtype: Raw<'a> = "subtype",
        /// Whether it failed; `success` with `true` is an error of the API.
        is_error: Raw<'a> = "is_error",
        /// Wall time, milliseconds.
        duration_ms: Raw<'a> = "duration_ms",
        /// Of that, in the model's API.
        duration_api_ms: Raw<'a> = "duration_api_ms",
        /// Steps the agent took.
        num_turns: Raw<'a> = "num_turns",
        /// The final text.
        result: Raw<'a> = "result",
        /// What went wrong, in words.
        errors: List<Raw<'a>> = "errors",
        /// Cost of the process so far, US dollars.
        total_cost_usd: Raw<'a> = "total_cost_usd",
        /// The API's usage object.
        usage: Raw<'a> = "usage",
        /// Usage by model.
        model_usage: Raw<'a> = "modelUsage",
        /// The API's last stop reason.
        stop_reason: Raw<'a> = "stop_reason",
        /// Tool calls that were denied.
        permission_denials: Raw<'a> = "permission_denials",
        /// `completed`, `aborted_streaming`, `aborted_tools`, `max_turns`, `api_error`, …
        terminal_reason: Raw<'a> = "terminal_reason",
        /// HTTP status of the API's error.
        api_error_status: Raw<'a> = "api_error_status",
        /// Turns that still wait in the agent (newer versions only).
        queued_turn_count: Raw<'a> = "queued_turn_count",
        /// Ids of the user messages that were begun (newer versions only).
        begun_message_ids: Raw<'a> = "begun_message_ids",
        /// The agent's conversation.
        session_id: Raw<'a> = "session_id",
        /// The line's own id.
        uuid: Raw<'a> = "uuid",
        /// Who started the turn, where it was not a user message (a background task's news).
        origin: Raw<'a> = "origin",
        /// The `uuid`s of the user messages that the turn was about (newer versions only).
        user_message_uuids: List<Raw<'a>> = "user_message_uuids",
        /// The same, the first of them.
        user_message_uuid: Raw<'a> = "user_message_uuid",
        /// The slash command that was all of the turn, without its slash (newer versions only).
        local_command: Raw<'a> = "local_command",
    }
}

lenient! {
    /// `origin`.
    Origin {
        kind: Raw<'a> = "kind",
        run_id: Raw<'a> = "runId",
    }
}

impl ResultMessage<'_> {
    /// Whether the agent began the turn by itself, over a background task's news.
    pub fn is_of_a_task(&self) -> bool {
        self.origin
            .to::<Origin<'_>>()
            .is_some_and(|origin| origin.kind.text().is_some_and(|kind| kind == "task-notification"))
    }

    /// The run of a task that the turn is about, where the agent says it (newer versions only; not of a monitor's news).
    pub fn task_run(&self) -> Option<Cow<'_, str>> {
        self.origin.to::<Origin<'_>>()?.run_id.text()
    }

    /// The `uuid`s of the user messages that the turn was about; none for a turn of the agent's own, and in older versions.
    pub fn answered(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        let all = self.user_message_uuids.0.iter().chain(std::iter::once(&self.user_message_uuid));
        all.filter_map(|uuid| uuid.text())
    }

    /// Whether the turn was cut off from outside (interrupt, or a deny that interrupts).
    pub fn was_aborted(&self) -> bool {
        self.terminal_reason.text().is_some_and(|reason| reason.starts_with("aborted"))
    }
}
