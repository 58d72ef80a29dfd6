//! The service behind connections: what comes in goes to the dispatch table, what it answers goes out.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::http::request::Parts;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use super::metrics::Exporter;
use super::routes;
use crate::agent;
use crate::connection::{Outbox, Peer, Refusal, Service, Verdict};
use crate::dispatch::{self, Dispatch};
use crate::protocol::{ServerHeartbeat, ServerMessage, Warning, WarningCode};
use crate::server::{Application, Reply};
use crate::session::{Answer, Client, ClientId};
use crate::store::StoreHealth;

/// The gateway as connections see it.
#[derive(Debug)]
pub struct GatewayService {
    dispatch: Arc<Dispatch>,
    exporter: Exporter,
    with_console: bool,
    /// Cancelled when the gateway drains.
    unready: CancellationToken,
}

/// One connection, as the gateway sees it.
#[derive(Debug)]
pub struct Connected {
    client: Client,
    owner: Arc<str>,
}

impl GatewayService {
    pub(super) fn new(dispatch: Arc<Dispatch>, exporter: Exporter, with_console: bool) -> Self {
        Self { dispatch, exporter, with_console, unready: CancellationToken::new() }
    }

    /// Cancel it when no new session can be served.
    pub(super) fn ready_flag(&self) -> CancellationToken {
        self.unready.clone()
    }

    /// The page at `/metrics`, `OpenMetrics`.
    pub(super) fn metrics(&self) -> String {
        self.exporter.text()
    }

    pub(super) fn with_console(&self) -> bool {
        self.with_console
    }

    async fn deliver(&self, answer: Answer, outbox: &Outbox) {
        if let Some(cursor) = &answer.cursor {
            // Who attaches again must not read of the former attachment behind the answer: the replay would say it twice.
            let _ = outbox.detach(cursor.session()).await;
        }
        for frame in answer.frames {
            // Gone: the connection is closing, and the answer with it.
            let _ = outbox.frame(frame).await;
        }
        if let Some(cursor) = answer.cursor {
            let _ = outbox.attach(cursor).await;
        }
    }
}

impl Service for GatewayService {
    type Client = Connected;

    fn connected(&self, peer: &Peer, outbox: &Outbox) -> Result<Connected, Refusal> {
        let client =
            Client { id: ClientId(peer.id), notices: outbox.notices(), doorbell: outbox.doorbell().clone() };
        Ok(Connected { client, owner: Arc::clone(&peer.owner) })
    }

    async fn text(&self, client: &mut Connected, frame: Utf8Bytes, outbox: &Outbox) -> Verdict {
        let handled = self.dispatch.text(&client.client, &client.owner, &frame).await;
        // A peer that does not take the answer must not make its question stay.
        drop(frame);
        self.deliver(handled.answer, outbox).await;
        match handled.bad {
            None => Verdict::Good,
            Some(_) => Verdict::Bad,
        }
    }

    async fn binary(&self, _: &mut Connected, _: Bytes, outbox: &Outbox) -> Verdict {
        let _ = outbox.frame(self.dispatch.unsupported_frame()).await;
        Verdict::Bad
    }

    async fn rate_limited(&self, _: &mut Connected, frame: Option<&Utf8Bytes>, outbox: &Outbox) {
        let _ = outbox.frame(self.dispatch.rate_limited(frame.map(Utf8Bytes::as_str))).await;
    }

    fn heartbeat(&self) -> Option<Utf8Bytes> {
        Some(self.dispatch.timed_frame("", None, &ServerMessage::Heartbeat(ServerHeartbeat::default())))
    }

    fn announce(&self, bytes: usize) -> Option<Utf8Bytes> {
        let heartbeat = ServerHeartbeat { incoming_bytes: Some(bytes as u64) };
        Some(self.dispatch.timed_frame("", None, &ServerMessage::Heartbeat(heartbeat)))
    }

    fn cut(&self, frame: &Utf8Bytes, max_bytes: usize) -> Option<Utf8Bytes> {
        dispatch::shortened(frame, max_bytes)
    }

    fn gap(&self, session: &str, first_seq: u64) -> Option<Utf8Bytes> {
        let text = format!("events before {first_seq} are no longer kept; the stream goes on there");
        let warning = Warning { code: WarningCode::Gap, message: text.into() };
        Some(self.dispatch.frame(Some(session), None, &ServerMessage::Warning(warning)))
    }
}

impl Application for GatewayService {
    fn http(&self, request: &Parts) -> Option<Reply> {
        routes::answer(request, self)
    }

    fn ready(&self) -> Result<Option<String>, String> {
        let shared = self.dispatch.registry.shared();
        let why = if self.unready.is_cancelled() {
            Some("the server is going down")
        } else if shared.store.as_ref().is_some_and(|store| *store.health().borrow() == StoreHealth::Failing)
        {
            Some("the store cannot be written; the gateway's log says why")
        } else if !agent::is_program(&shared.launcher.program) {
            Some("Claude Code is not there (--claude-bin)")
        } else {
            shared.starts.verdict(Instant::now())
        };
        match why {
            Some(why) => Err(why.to_owned()),
            None => Ok(self.dispatch.roots.silence()?),
        }
    }
}
