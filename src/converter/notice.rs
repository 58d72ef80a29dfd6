//! What the agent says beside the conversation that a person may want to know, as `warning`.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{Compaction, Outcome};
use crate::agent::wire::{RateLimit, Raw, SystemMessage};
use crate::protocol::{EventSink, ServerMessage, Warning, WarningCode};

/// Subtypes of `system` that have no form in the protocol and are passed over: their news comes in other messages too, or nobody
/// waits for it. Others that are not told here are counted as unknown.
const PASSED_OVER: [&str; 16] = [
    "background_tasks_changed",
    "commands_changed",
    "conversation_reset",
    "elicitation_complete",
    "files_persisted",
    "hook_progress",
    "hook_response",
    "hook_started",
    "informational",
    "local_command_output",
    "model_refusal_no_fallback",
    "notification",
    "session_state_changed",
    "session_title_changed",
    "status",
    "thinking_tokens",
];

/// Kinds of lines that are known and have no form in the protocol.
const KNOWN: [&str; 4] = ["command_lifecycle", "keep_alive", "prompt_suggestion", "tool_use_summary"];

/// Whether a kind of line is no surprise.
pub(super) fn is_known(kind: &str) -> bool {
    KNOWN.contains(&kind)
}

/// Whether a subtype that [`system`] did not tell is one of those that are passed over.
pub(super) fn is_passed_over(subtype: &str) -> bool {
    PASSED_OVER.contains(&subtype)
}

/// What the session wants to know of these messages.
pub(super) fn outcome<'a>(message: &SystemMessage<'a>) -> Option<Outcome<'a>> {
    let subtype = message.subtype.text().unwrap_or_default();
    let status = message.status.text().unwrap_or_default();
    match (&*subtype, &*status) {
        ("status", "compacting") => Some(Outcome::Compacting),
        ("status", _) if message.compact_result.0.is_some() => {
            let failed = message.compact_result.text().is_some_and(|result| result == "failed");
            let why = message.compact_error.text().unwrap_or_default();
            Some(Outcome::Compacted(if failed { Compaction::Failed(why) } else { Compaction::Done }))
        }
        ("compact_boundary", _) => Some(Outcome::Compacted(Compaction::Done)),
        ("status", "requesting") => Some(Outcome::Requesting { mode: message.permission_mode.text() }),
        ("status", _) => message.permission_mode.text().map(Outcome::Mode),
        _ => None,
    }
}

/// Emits a warning where the message has that form; tells whether it had.
pub(super) fn system(message: &SystemMessage<'_>, sink: &mut impl EventSink) -> bool {
    let subtype = message.subtype.text().unwrap_or_default();
    let (code, text) = match &*subtype {
        "api_retry" => (WarningCode::ApiRetry, api_retry(message)),
        "compact_boundary" => (WarningCode::ContextCompacted, "The conversation was compacted".to_owned()),
        "permission_denied" | "permission_denial" | "auto_mode_denied" => {
            (WarningCode::PermissionDenied, permission_denied(message))
        }
        "model_fallback" | "model_refusal_fallback" | "model_consent_fallback" => {
            (WarningCode::ModelFallback, model_fallback(message))
        }
        "informational" | "notification" | "model_refusal_no_fallback" => match words(message) {
            Some(text) => (WarningCode::AgentNotice, text.into_owned()),
            None => return false,
        },
        _ => return false,
    };
    warn(code, &text, sink);
    true
}

/// Emits a warning where the limit is near or reached; tells whether it did.
pub(super) fn rate_limit(limit: &RateLimit<'_>, sink: &mut impl EventSink) -> bool {
    let status = limit.info.status.text().unwrap_or_default();
    let mut text = String::from(match &*status {
        "" | "allowed" => return false,
        "rejected" => "The rate limit was reached",
        _ => "The rate limit is near",
    });
    if let Some(kind) = limit.info.kind.text() {
        append(&mut text, format_args!(" ({})", kind.replace('_', " ")));
    }
    if let Some(used) = limit.info.utilization.number() {
        append(&mut text, format_args!(", {:.0} % used", used * 100.0));
    }
    if let Some(seconds) = limit.info.resets_at.count() {
        append(&mut text, format_args!(", resets at Unix time {seconds}"));
    }
    warn(WarningCode::RateLimit, &text, sink);
    true
}

fn api_retry(message: &SystemMessage<'_>) -> String {
    let mut text = String::from("The model's API failed");
    let reason = message.error.text().or_else(|| words(message));
    match (reason, message.error_status.count()) {
        (Some(reason), Some(status)) => append(&mut text, format_args!(" ({status} {reason})")),
        (Some(reason), None) => append(&mut text, format_args!(" ({reason})")),
        (None, Some(status)) => append(&mut text, format_args!(" ({status})")),
        (None, None) => {}
    }
    text.push_str("; trying again");
    if let Some(delay) = message.retry_delay_ms.count() {
        append(&mut text, format_args!(" in {delay} ms"));
    }
    match (message.attempt.count(), message.max_retries.count()) {
        (Some(attempt), Some(most)) => append(&mut text, format_args!(", attempt {attempt} of {most}")),
        (Some(attempt), None) => append(&mut text, format_args!(", attempt {attempt}")),
        _ => {}
    }
    text
}

fn model_fallback(message: &SystemMessage<'_>) -> String {
    match (words(message), message.original_model.text(), message.fallback_model.text()) {
        (Some(words), ..) => words.into_owned(),
        (None, Some(asked), Some(answers)) => format!("{answers} answers instead of {asked}"),
        (None, _, Some(answers)) => format!("{answers} answers instead"),
        (None, ..) => "Another model answers".to_owned(),
    }
}

fn permission_denied(message: &SystemMessage<'_>) -> String {
    let mut text = match message.tool_name.text() {
        Some(tool) => format!("{tool} was denied"),
        None => "A tool was denied".to_owned(),
    };
    let reason = message.decision_reason.text().or_else(|| message.reason.text()).or_else(|| words(message));
    if let Some(reason) = reason {
        append(&mut text, format_args!(": {reason}"));
    }
    text
}

/// The message's own text for people.
fn words<'a>(message: &SystemMessage<'a>) -> Option<Cow<'a, str>> {
    let said = |raw: Raw<'a>| raw.text().filter(|text| !text.is_empty());
    said(message.message).or_else(|| said(message.content)).or_else(|| said(message.text))
}

fn append(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(more);
}

fn warn(code: WarningCode, message: &str, sink: &mut impl EventSink) {
    sink.event(&ServerMessage::Warning(Warning { code, message: message.into() }));
}
