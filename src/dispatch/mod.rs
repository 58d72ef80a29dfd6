//! From a client's frame to a handler: one visible table, one small handler for each message.
//!
//! Parsing, unknown types and bad fields are dealt with here, once. Handlers return values ([`Answer`]); none of them writes
//! to a socket, and this room does not know that there is one.

mod elsewhere;
mod handlers;
mod paths;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_tungstenite::tungstenite::Utf8Bytes;

pub use elsewhere::{Elsewhere, Errand, Routed};
pub use paths::{BadRoot, WorkspaceRoots};

use crate::lengthy::at_length;
use crate::protocol::encode::{Encoder, Header as ReplyHeader};
use crate::protocol::parse::{FrameError, FrameLimits, Header, header};
use crate::protocol::{ErrorCode, ErrorMessage, ServerMessage, cut};
use crate::session::{Answer, Client, Registry};

/// A handler: reads the message's body, has it done, and gives the answers.
type Handler =
    for<'a> fn(&'a Context<'a>) -> Pin<Box<dyn Future<Output = Result<Answer, FrameError>> + Send + 'a>>;

/// Every message that a client may send, and who handles it.
const TABLE: &[(&str, Handler)] = &[
    ("session_start", |c| Box::pin(handlers::open::session_start(c))),
    ("new_session", |c| Box::pin(handlers::open::new_session(c))),
    ("session_info", |c| Box::pin(handlers::look::session_info(c))),
    ("session_list", |c| Box::pin(handlers::look::session_list(c))),
    ("session_end", |c| Box::pin(handlers::work::session_end(c))),
    ("user_message", |c| Box::pin(handlers::work::user_message(c))),
    ("permission_response", |c| Box::pin(handlers::work::permission_response(c))),
    ("elicitation_response", |c| Box::pin(handlers::work::elicitation_response(c))),
    ("permission_update", |c| Box::pin(handlers::work::permission_update(c))),
    ("tool_result", |c| Box::pin(handlers::work::tool_result(c))),
    ("interrupt", |c| Box::pin(handlers::work::interrupt(c))),
    ("task_stop", |c| Box::pin(handlers::work::task_stop(c))),
    ("task_output", |c| Box::pin(handlers::work::task_output(c))),
    ("result_read", |c| Box::pin(handlers::look::result_read(c))),
    ("background", |c| Box::pin(handlers::work::background(c))),
    ("resume", |c| Box::pin(handlers::work::resume(c))),
    ("cancel", |c| Box::pin(handlers::work::cancel(c))),
    ("config_update", |c| Box::pin(handlers::work::config_update(c))),
    ("config_query", |c| Box::pin(handlers::work::config_query(c))),
    ("heartbeat", |c| Box::pin(handlers::look::heartbeat(c))),
];

/// What handlers work with: one for the whole gateway.
#[derive(Debug)]
pub struct Dispatch {
    /// The sessions.
    pub registry: Arc<Registry>,
    /// Limits of client frames.
    pub limits: FrameLimits,
    /// Where sessions may work.
    pub roots: WorkspaceRoots,
    /// Where sessions are that are not here; none: all are.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// One message on its way to its handler.
struct Context<'a> {
    dispatch: &'a Dispatch,
    client: &'a Client,
    owner: &'a Arc<str>,
    header: Header<'a>,
    text: &'a str,
    /// The session is not here, as it turned out.
    moved: AtomicBool,
}

/// What came of a frame.
#[derive(Debug)]
pub struct Handled {
    /// For the connection that sent it.
    pub answer: Answer,
    /// Set where it was not a message at all: its error code.
    pub bad: Option<ErrorCode>,
}

impl Dispatch {
    /// Handles one text frame of `client`, who is `owner`.
    pub async fn text(&self, client: &Client, owner: &Arc<str>, text: &str) -> Handled {
        let handled = match self.context(client, owner, text) {
            Ok((context, handler)) => {
                let outcome = match &self.elsewhere {
                    None => handler(&context).await.map(Handled::of),
                    Some(elsewhere) => context.handle_where_it_is(*handler, &**elsewhere).await,
                };
                // Wherever the session is, the cursor is here.
                outcome.map(|outcome| context.with_wish(outcome))
            }
            Err(error) => Err(error),
        };
        handled.unwrap_or_else(|error| self.refused(&error))
    }

    /// As [`text`](Self::text), for a message that came by way of another gateway. `None`: its session is not here.
    pub async fn remote_text(&self, client: &Client, owner: &Arc<str>, text: &str) -> Option<Handled> {
        let handled = match self.context(client, owner, text) {
            Ok((context, handler)) => context.handle_if_here(*handler).await?,
            Err(error) => Err(error),
        };
        Some(handled.unwrap_or_else(|error| self.refused(&error)))
    }

    fn context<'a>(
        &'a self,
        client: &'a Client,
        owner: &'a Arc<str>,
        text: &'a str,
    ) -> Result<(Context<'a>, &'static Handler), FrameError> {
        let header = header(text, &self.limits)?;
        let handler = TABLE.iter().find(|(kind, _)| *kind == header.kind).map(|(_, handler)| handler);
        let Some(handler) = handler else { return Err(FrameError::unknown_type(header.kind)) };
        let moved = AtomicBool::new(false);
        Ok((Context { dispatch: self, client, owner, header, text, moved }, handler))
    }

    fn refused(&self, error: &FrameError) -> Handled {
        let bad = is_bad_frame(error.code).then_some(error.code);
        Handled { answer: self.error(error).into(), bad }
    }

    /// The `error` for a frame that is no text.
    pub fn unsupported_frame(&self) -> Utf8Bytes {
        self.refuse(
            ErrorCode::UnsupportedFrame,
            "binary frames have no meaning here; send JSON in text frames",
        )
    }

    /// The `error` for a frame that came over the rate limit; it names the message where its id can be read.
    pub fn rate_limited(&self, text: Option<&str>) -> Utf8Bytes {
        let (request_id, session_id) = match text.map(|text| header(text, &self.limits)) {
            Some(Ok(header)) => (header.id.map(Into::into), header.session_id.map(Into::into)),
            Some(Err(error)) => (error.request_id, error.session_id),
            None => (None, None),
        };
        let message = "too many frames a second (--max-frame-rate); this one was not taken in".to_owned();
        self.error(&FrameError { code: ErrorCode::RateLimited, message, request_id, session_id })
    }

    /// An `error` that no message of the client's stands behind.
    fn refuse(&self, code: ErrorCode, message: &str) -> Utf8Bytes {
        self.error(&FrameError { code, message: message.to_owned(), request_id: None, session_id: None })
    }

    fn error(&self, error: &FrameError) -> Utf8Bytes {
        self.registry.shared().metrics.error(error.code.name());
        let message = ErrorMessage { code: error.code, message: error.message.as_str().into() };
        self.frame(error.session_id.as_deref(), error.request_id.as_deref(), &ServerMessage::Error(message))
    }

    /// Encodes a reply that does not come from a session's task.
    pub fn frame(
        &self,
        session: Option<&str>,
        request_id: Option<&str>,
        message: &ServerMessage<'_>,
    ) -> Utf8Bytes {
        self.encode(session.unwrap_or_default(), request_id, None, message)
    }

    /// The same with the time of day, as heartbeats have it.
    pub fn timed_frame(
        &self,
        session: &str,
        request_id: Option<&str>,
        message: &ServerMessage<'_>,
    ) -> Utf8Bytes {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.encode(session, request_id, u64::try_from(since_epoch.as_millis()).ok(), message)
    }

    fn encode(
        &self,
        session: &str,
        request_id: Option<&str>,
        timestamp: Option<u64>,
        message: &ServerMessage<'_>,
    ) -> Utf8Bytes {
        let id = self.registry.shared().next_reply_id();
        let header = ReplyHeader { id: id.as_str().into(), request_id, seq: None, timestamp };
        Encoder::new(session).encode(&header, message)
    }
}

impl Handled {
    fn of(answer: Answer) -> Self {
        Self { answer, bad: None }
    }
}

/// An event with at most `max_bytes` of a tool's result, where it has more (`max_content_bytes`).
pub fn shortened(event: &str, max_bytes: usize) -> Option<Utf8Bytes> {
    at_length(event.len(), || cut::shortened(event, max_bytes).map(Utf8Bytes::from))
}

/// Whether the frame was not a message at all (and not just one that was refused).
fn is_bad_frame(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidJson
            | ErrorCode::InvalidMessage
            | ErrorCode::UnknownType
            | ErrorCode::UnsupportedFrame
    )
}

impl From<Utf8Bytes> for Answer {
    fn from(frame: Utf8Bytes) -> Self {
        Self { frames: vec![frame], cursor: None }
    }
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::protocol::ClientMessage;

    #[test]
    fn every_client_message_has_exactly_one_row() {
        let mut rows: Vec<_> = TABLE.iter().map(|(kind, _)| *kind).collect();
        let mut types = ClientMessage::TYPES.to_vec();
        rows.sort_unstable();
        types.sort_unstable();
        assert_eq!(rows, types);
    }
}
