//! Reads client frames: from text to a [`ClientFrame`], or to the `error` that the client gets for it.
//!
//! Two steps, so that a caller can keep one table from type string to handler: [`header`] reads the common fields and
//! checks that the whole text is JSON, [`parse_body`] reads the fields of one type and checks their values.
//!
//! It may assume nothing about the text. It must not know what messages do: whether a session exists, whether a
//! directory may be used, whether a mode is allowed is for others to say.

mod blocks;
mod body;
mod check;
mod depth;
mod header;
mod path;
mod server;
mod tool_schema;

#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use blocks::is_users_block;
pub use body::Body;
pub use depth::within_depth;
pub use header::{Header, header};
pub use path::Invalid;

use super::{ClientFrame, ClientMessage, Empty, ErrorCode};

/// Bounds of client frames besides their size. What goes over one is answered with `invalid_message`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// How deep arrays and objects may nest, the frame itself included; also inside parts that are only passed on.
    pub depth: usize,
    /// Most entries of `metadata`.
    pub metadata_entries: usize,
    /// Longest key of `metadata`, characters.
    pub metadata_key: usize,
    /// Longest value of `metadata`, characters.
    pub metadata_value: usize,
    /// Most entries of any list of options (`allowed_tools`, `mcp_servers`, `client_tools`, `updates` …).
    pub list_entries: usize,
    /// Longest name, model or path, characters.
    pub name: usize,
    /// Whether content blocks of types that are not known here are passed on (`--allow-unknown-blocks`).
    pub unknown_blocks: bool,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            depth: 64,
            metadata_entries: 64,
            metadata_key: 128,
            metadata_value: 4096,
            list_entries: 1024,
            name: 4096,
            unknown_blocks: false,
        }
    }
}

/// Why a frame was refused: the `error` reply, but for the ids that only the server can give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameError {
    /// `invalid_json`, `invalid_message` or `unknown_type`.
    pub code: ErrorCode,
    /// For people; names the field. Bounded, whatever the frame held.
    pub message: String,
    /// The frame's `id`, where it could be read and is a valid one.
    pub request_id: Option<String>,
    /// The frame's `session_id`, where it could be read and is a valid one.
    pub session_id: Option<String>,
}

impl FrameError {
    /// An error of a frame whose common fields are known.
    pub fn of(header: &Header<'_>, code: ErrorCode, message: String) -> Self {
        Self {
            code,
            message,
            request_id: header.id.as_deref().map(str::to_owned),
            session_id: header.session_id.as_deref().map(str::to_owned),
        }
    }

    /// `unknown_type`, naming the type (cut and escaped: it is whatever a client sent).
    pub fn unknown_type(kind: &str) -> Self {
        let message = format!("unknown type {}", path::quoted(kind));
        Self { code: ErrorCode::UnknownType, message, request_id: None, session_id: None }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FrameError {}

/// Reads one client frame whole.
pub fn client_frame(text: &str, limits: &FrameLimits) -> Result<ClientFrame, FrameError> {
    let header = header(text, limits)?;
    let message = client_message(&header, text, limits)?;
    Ok(ClientFrame {
        id: header.id.map(Into::into).unwrap_or_default(),
        session_id: header.session_id.map(Into::into),
        message,
    })
}

/// Reads the fields of one message type, and checks them. `text` is the frame that `header` came from.
pub fn parse_body<T: Body>(header: &Header<'_>, text: &str, limits: &FrameLimits) -> Result<T, FrameError> {
    T::read(text, limits)
        .map_err(|invalid| FrameError::of(header, ErrorCode::InvalidMessage, invalid.to_string()))
}

fn client_message(
    header: &Header<'_>,
    text: &str,
    limits: &FrameLimits,
) -> Result<ClientMessage, FrameError> {
    fn boxed<T: Body>(header: &Header<'_>, text: &str, limits: &FrameLimits) -> Result<Box<T>, FrameError> {
        parse_body(header, text, limits).map(Box::new)
    }

    Ok(match header.kind {
        "session_start" => ClientMessage::SessionStart(boxed(header, text, limits)?),
        "new_session" => ClientMessage::NewSession(parse_body(header, text, limits)?),
        "session_info" => ClientMessage::SessionInfo(Empty {}),
        "session_list" => ClientMessage::SessionList(parse_body(header, text, limits)?),
        "session_end" => ClientMessage::SessionEnd(parse_body(header, text, limits)?),
        "user_message" => ClientMessage::UserMessage(parse_body(header, text, limits)?),
        "permission_response" => ClientMessage::PermissionResponse(parse_body(header, text, limits)?),
        "elicitation_response" => ClientMessage::ElicitationResponse(parse_body(header, text, limits)?),
        "permission_update" => ClientMessage::PermissionUpdate(parse_body(header, text, limits)?),
        "tool_result" => ClientMessage::ToolResult(parse_body(header, text, limits)?),
        "interrupt" => ClientMessage::Interrupt(parse_body(header, text, limits)?),
        "task_stop" => ClientMessage::TaskStop(parse_body(header, text, limits)?),
        "task_output" => ClientMessage::TaskOutput(parse_body(header, text, limits)?),
        "result_read" => ClientMessage::ResultRead(parse_body(header, text, limits)?),
        "background" => ClientMessage::Background(parse_body(header, text, limits)?),
        "resume" => ClientMessage::Resume(Empty {}),
        "cancel" => ClientMessage::Cancel(parse_body(header, text, limits)?),
        "config_update" => ClientMessage::ConfigUpdate(parse_body(header, text, limits)?),
        "config_query" => ClientMessage::ConfigQuery(Empty {}),
        "heartbeat" => ClientMessage::Heartbeat(Empty {}),
        other => {
            return Err(FrameError::of(
                header,
                ErrorCode::UnknownType,
                FrameError::unknown_type(other).message,
            ));
        }
    })
}
