//! How the rest of the gateway reaches a session: its mailbox, and what can be seen of it without asking.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::state::{ClientId, Command};
use crate::log::{Cursor, Doorbell};
use crate::protocol::SessionSummary;

/// What a session's task is sent.
#[derive(Debug)]
pub(super) enum Mail {
    /// A client wants something.
    Command(Box<Request>),
    /// The server goes down; running turns have until then.
    Drain(Instant),
}

/// A client's command on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) client: Client,
    pub(super) id: String,
    pub(super) command: Command,
    /// Sent once, when the command was taken in. Closed: the connection is gone, the command is run all the same.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// One connection, as sessions see it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its number.
    pub id: ClientId,
    /// For messages that come later than the answer. Bounded; full: the message is dropped, it is only a notice.
    pub notices: mpsc::Sender<Utf8Bytes>,
    /// What the session's log rings.
    pub doorbell: Doorbell,
}

/// What a session answers to a command: messages for this one connection, and the cursor of an attach.
#[derive(Debug, Default)]
pub struct Answer {
    /// Replies, in order; they come before anything that the cursor gives.
    pub frames: Vec<Utf8Bytes>,
    /// The place in the log from which the connection reads on.
    pub cursor: Option<Cursor>,
}

/// A live session.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    pub(super) id: Arc<str>,
    pub(super) owner: Arc<str>,
    /// From handlers to the session's task. Full: the handler waits, and with it that connection's reader. Closed: the
    /// session is over.
    pub(super) mailbox: mpsc::Sender<Mail>,
    pub(super) summary: Arc<Mutex<SessionSummary>>,
}

impl SessionHandle {
    /// The session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Has the session take in a command. `None`: it is over.
    pub async fn command(&self, client: &Client, id: String, command: Command) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        let request = Request { client: client.clone(), id, command, answer };
        self.mailbox.send(Mail::Command(Box::new(request))).await.ok()?;
        answered.await.ok()
    }

    /// The session's entry in the list.
    pub fn summary(&self) -> SessionSummary {
        self.summary.lock().clone()
    }
}
