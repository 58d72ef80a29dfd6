//! Tests of the parser: what is refused and how it is said, what is understood, and properties of both directions.

mod properties;
mod refused;
mod understood;

use super::{FrameError, FrameLimits, client_frame};
use crate::protocol::{ClientFrame, ClientMessage};

fn parse(text: &str) -> Result<ClientFrame, FrameError> {
    client_frame(text, &FrameLimits::default())
}

/// The message of a good frame: `fields` of `kind`, with valid ids.
fn good(kind: &str, fields: &str) -> ClientMessage {
    parse(&frame(kind, fields)).unwrap_or_else(|error| panic!("{kind} {fields}: {error}")).message
}

/// What is said about a bad one.
fn bad(kind: &str, fields: &str) -> String {
    let error = parse(&frame(kind, fields)).expect_err(fields);
    assert_eq!(error.code, crate::protocol::ErrorCode::InvalidMessage, "{error}");
    assert_eq!(
        (error.request_id.as_deref(), error.session_id.as_deref()),
        (Some("m1"), Some("s1")),
        "{error}"
    );
    error.message
}

fn frame(kind: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"type":"{kind}","id":"m1","session_id":"s1"{comma}{fields}}}"#)
}
