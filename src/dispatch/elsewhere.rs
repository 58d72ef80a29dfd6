//! Messages for sessions that other gateways run.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handlers::Tries;
use super::{Context, Handled, Handler};
use crate::protocol::ErrorCode;
use crate::protocol::parse::FrameError;
use crate::session::{Client, Listed};

/// What is answered where it comes in, whatever session it names.
const HERE: &[&str] = &["new_session", "session_list", "heartbeat"];

/// A boxed future, so that [`Elsewhere`] can be a trait object.
type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Knows where sessions are, and reaches them.
pub trait Elsewhere: fmt::Debug + Send + Sync {
    /// Has a message handled where its session is, if that is not here.
    fn route<'a>(&'a self, errand: Errand<'a>) -> Pending<'a, Routed>;

    /// Replaces what is listed of sessions elsewhere by what is known of them there.
    fn complete<'a>(&'a self, owner: &'a str, listed: Listed) -> Pending<'a, Listed>;
}

/// A message on its way to where its session is.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// Who sent it.
    pub client: &'a Client,
    /// Name of the client's token.
    pub owner: &'a Arc<str>,
    /// The session.
    pub session: &'a str,
    /// The frame, as it came.
    pub text: &'a str,
}

/// What became of it.
#[derive(Debug)]
pub enum Routed {
    /// It is to be handled here.
    Here,
    /// It was handled elsewhere.
    Answered(Handled),
    /// It could not be brought there; why, for the client.
    Failed(ErrorCode, String),
}

impl Context<'_> {
    /// Handles the message here or elsewhere. The session may move on meanwhile: then it is looked for again.
    pub(super) async fn handle_where_it_is(
        &self,
        handler: Handler,
        elsewhere: &dyn Elsewhere,
    ) -> Result<Handled, FrameError> {
        let session = self.header.session_id.as_deref().unwrap_or_default();
        let goes_after = !session.is_empty() && !HERE.contains(&self.header.kind);
        let gone =
            || FrameError::of(&self.header, ErrorCode::Internal, "the session does not answer".to_owned());
        let mut outcome = Err(gone());
        let mut tries = Tries::default();
        while tries.next().await {
            if goes_after && !self.dispatch.registry.is_here(session, self.owner) {
                let errand = Errand { client: self.client, owner: self.owner, session, text: self.text };
                match elsewhere.route(errand).await {
                    Routed::Here => {}
                    Routed::Answered(answered) => return Ok(answered),
                    Routed::Failed(code, why) => return Err(FrameError::of(&self.header, code, why)),
                }
            }
            outcome = handler(self).await;
            if outcome.is_ok() || !self.moved.swap(false, Ordering::Relaxed) {
                break;
            }
        }
        outcome.map(Handled::of)
    }

    /// Handles the message if its session is here, and stays.
    pub(super) async fn handle_if_here(&self, handler: Handler) -> Option<Result<Handled, FrameError>> {
        let session = self.header.session_id.as_deref().unwrap_or_default();
        if !self.dispatch.registry.is_here(session, self.owner) {
            return None;
        }
        let outcome = handler(self).await;
        if outcome.is_err() && self.moved.load(Ordering::Relaxed) {
            None
        } else {
            Some(outcome.map(Handled::of))
        }
    }
}
