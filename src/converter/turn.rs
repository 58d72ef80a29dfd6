//! The end of a turn: the agent's `result` as the protocol's.

use std::borrow::Cow;

use crate::agent::wire::ResultMessage;
use crate::protocol::{Json, ResultSubtype, Text, TurnErrorCode, TurnResult};

/// What the agent says about a turn that ended, honestly: `success` only where nothing failed.
///
/// The agent calls an API error `success` with `is_error`; here it is an `error`, `api_error`. Interrupts look like execution
/// errors to the agent: the session, which knows better, overrides `subtype`.
///
/// ```
/// use claude_ws::agent::wire::{Message, parse};
/// use claude_ws::converter::turn_result;
/// use claude_ws::protocol::{ResultSubtype, TurnErrorCode};
///
/// let line = br#"{"result":"API Error: 400","is_error":true,"subtype":"success","type":"result"}"#;
/// let Ok(Message::Result(message)) = parse(line) else { unreachable!() };
/// let result = turn_result(&message);
/// assert_eq!(result.subtype, ResultSubtype::Error);
/// assert_eq!(result.error_code, Some(TurnErrorCode::ApiError));
/// assert_eq!(result.error.as_deref(), Some("API Error: 400"));
/// ```
pub fn turn_result<'a>(line: &ResultMessage<'a>) -> TurnResult<'a> {
    let subtype = line.subtype.text().unwrap_or_default();
    // A result without `is_error` is judged by its subtype.
    let is_error = line.is_error.flag().unwrap_or_else(|| subtype.starts_with("error"));
    let code = is_error.then(|| error_code(&subtype, line));
    TurnResult {
        subtype: if is_error { ResultSubtype::Error } else { ResultSubtype::Success },
        duration_ms: line.duration_ms.count().unwrap_or(0),
        duration_api_ms: line.duration_api_ms.count().unwrap_or(0),
        num_turns: line.num_turns.count().unwrap_or(0),
        is_error,
        error: is_error.then(|| error_text(&subtype, line)),
        error_code: code,
        result: line.result.string().and_then(Text::token),
        total_cost_usd: line.total_cost_usd.number(),
        usage: line.usage.object().map(Json::borrowed),
        stop_reason: line.stop_reason.text(),
        permission_denials: line.permission_denials.array().map(Json::borrowed),
        // Only the session knows.
        origin: None,
    }
}

fn error_code(subtype: &str, line: &ResultMessage<'_>) -> TurnErrorCode {
    match subtype {
        "error_max_turns" => TurnErrorCode::MaxTurns,
        "error_max_budget_usd" => TurnErrorCode::MaxBudget,
        "success" => TurnErrorCode::ApiError,
        _ if line.api_error_status.0.is_some() => TurnErrorCode::ApiError,
        _ => TurnErrorCode::Execution,
    }
}

/// The agent's own words, or the plainest ones that are true.
fn error_text<'a>(subtype: &str, line: &ResultMessage<'a>) -> Cow<'a, str> {
    // `[ede_diagnostic] …` is a note of the agent to its makers.
    let for_people = |error: &Cow<'a, str>| !error.is_empty() && !error.starts_with("[ede_diagnostic]");
    let errors: Vec<_> = line.errors.0.iter().filter_map(|error| error.text()).filter(for_people).collect();
    if !errors.is_empty() {
        return Cow::Owned(errors.join("\n"));
    }
    if let Some(text) = line.result.text().filter(|text| !text.is_empty()) {
        return text;
    }
    Cow::Borrowed(match subtype {
        "error_max_turns" => "The maximum number of turns was reached",
        "error_max_budget_usd" => "The budget was used up",
        "success" => "The model's API failed",
        _ if line.was_aborted() => "The turn was interrupted",
        _ => "The agent failed",
    })
}
