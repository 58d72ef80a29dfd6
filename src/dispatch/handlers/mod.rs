//! One small function for each message: read the body, say what is wanted, give the answer.

pub(super) mod look;
pub(super) mod open;
pub(super) mod work;

use std::borrow::Cow;
use std::future::ready;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::Context;
use crate::protocol::ErrorCode;
use crate::protocol::parse::{Body, FrameError, parse_body};
use crate::session::{Answer, Command, Found, OpenError, Resolved, SessionHandle};

/// A session that is just changing (going to rest, being removed, broken down) is looked for again: at once, and then after
/// longer and longer times.
const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// The looks at a session that is just changing.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Tries(usize);

impl Tries {
    /// Waits until it is time for the next one. False: there have been enough.
    pub(in crate::dispatch) async fn next(&mut self) -> bool {
        let Some(pause) = PAUSES.get(self.0) else { return false };
        self.0 += 1;
        if !pause.is_zero() {
            sleep(*pause).await;
        }
        true
    }
}

impl Context<'_> {
    /// The message's body.
    fn body<T: Body>(&self) -> Result<T, FrameError> {
        parse_body(&self.header, self.text, &self.dispatch.limits)
    }

    /// The message's `id`.
    fn id(&self) -> String {
        self.header.id.clone().map(Cow::into_owned).unwrap_or_default()
    }

    /// The message's `session_id`; empty where it is optional and absent.
    fn session_id(&self) -> &str {
        self.header.session_id.as_deref().unwrap_or_default()
    }

    fn error(&self, code: ErrorCode, message: impl Into<String>) -> FrameError {
        FrameError::of(&self.header, code, message.into())
    }

    /// Has the session take in a command.
    async fn command(&self, command: impl Fn() -> Command) -> Result<Answer, FrameError> {
        let mut tries = Tries::default();
        while tries.next().await {
            let handle = self.live_session().await?;
            if let Some(answer) = handle.command(self.client, self.id(), command()).await {
                return Ok(answer);
            }
            if self.may_have_moved() {
                break;
            }
        }
        Err(self.error(ErrorCode::Internal, "the session does not answer"))
    }

    /// What there is under the message's `session_id`.
    async fn find(&self) -> Result<Found, FrameError> {
        let found = self.dispatch.registry.find(self.session_id(), self.owner).await;
        found.map_err(|problem| self.not_opened(&problem))
    }

    /// A session that was here is not any more. Where others share the store they may have it, and the message is to go after it.
    fn may_have_moved(&self) -> bool {
        let shared = self.dispatch.registry.shared_store().is_some();
        self.moved.fetch_or(shared, Ordering::Relaxed);
        shared
    }

    async fn live_session(&self) -> Result<SessionHandle, FrameError> {
        match self.find().await? {
            Found::Live(handle) => Ok(handle),
            Found::Ended(_) => Err(self.error(ErrorCode::SessionEnded, "the session has ended")),
            Found::Dormant(_) => Err(self
                .error(ErrorCode::UnknownSession, "the session is dormant; wake it up with session_start")),
            Found::Unknown => Err(self.unknown_session()),
        }
    }

    /// Has a session that rests woken up.
    async fn wake_if_dormant(&self) -> Result<(), FrameError> {
        let Found::Dormant(_) = self.find().await? else { return Ok(()) };
        let none = ready(Err(OpenError::Unknown));
        // It is not to work: where it would is of no concern.
        let anywhere =
            |paths: Vec<String>| -> Resolved { Box::pin(ready(paths.into_iter().map(Ok).collect())) };
        let opened = self.dispatch.registry.open(self.session_id(), self.owner, &anywhere, none).await;
        opened.map(drop).map_err(|problem| self.not_opened(&problem))
    }

    fn not_opened(&self, problem: &OpenError) -> FrameError {
        let code = match problem {
            OpenError::Unknown => return self.unknown_session(),
            OpenError::Ended => ErrorCode::SessionEnded,
            OpenError::TooMany(_) => ErrorCode::Capacity,
            OpenError::Elsewhere => {
                self.moved.store(true, Ordering::Relaxed);
                ErrorCode::AgentUnavailable
            }
            OpenError::Draining => {
                // Others may have it in a moment.
                self.may_have_moved();
                ErrorCode::AgentUnavailable
            }
            OpenError::Silent => ErrorCode::InvalidCwd,
            OpenError::Directory => {
                let text = format!("{problem}: {}", self.dispatch.roots.names());
                return self.error(ErrorCode::InvalidCwd, text);
            }
            OpenError::Store | OpenError::Unreadable => ErrorCode::Internal,
        };
        self.error(code, problem.to_string())
    }

    fn unknown_session(&self) -> FrameError {
        self.error(ErrorCode::UnknownSession, format!("no session {:?}", self.session_id()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Tries};

    /// All five within a microsecond: a session that broke down was given up before it was laid down.
    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_changing_is_given_time() {
        let began = tokio::time::Instant::now();
        let mut tries = Tries::default();
        let mut count = 0;
        while tries.next().await {
            count += 1;
        }
        assert_eq!(count, 5);
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
