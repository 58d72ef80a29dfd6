//! How the rest of the gateway reaches a session: its mailbox, and what can be seen of it without asking.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::state::{ClientId, Command};
use crate::log::{Cursor, Doorbell, EventLog, SessionKey};
use crate::protocol::{AgentState, Liveness, SessionStatus, SessionSummary};

/// What a session's task is sent, boxed: an empty mailbox has room for 32.
#[derive(Debug)]
pub(super) enum Mail {
    /// A client wants something.
    Command(Request),
    /// The server goes down; running turns have until then.
    Drain(Instant),
    /// The task is to panic.
    #[cfg(test)]
    BreakDown,
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
    pub(super) key: SessionKey,
    pub(super) owner: Arc<str>,
    /// From handlers to the session's task. Full: the handler waits, and with it that connection's reader. Closed: the
    /// session is over.
    pub(super) mailbox: mpsc::Sender<Box<Mail>>,
    pub(super) summary: Arc<Mutex<SessionSummary>>,
    pub(super) vitals: Arc<Mutex<(AgentState, Option<u64>)>>,
    pub(super) log: Arc<EventLog>,
}

/// What metrics show of a live session.
#[derive(Debug, Clone, Copy)]
pub struct Vitals {
    /// Whether it is at work, and on what.
    pub status: SessionStatus,
    /// Whether it has been left alone and rests.
    pub dormant: bool,
    /// Its agent.
    pub agent: AgentState,
    /// Open prompts.
    pub prompts: u64,
    /// When the oldest of them was asked, Unix milliseconds.
    pub oldest_prompt: Option<u64>,
    /// Events that its slowest reader has not read yet.
    pub lag: u64,
    /// Bytes of events in memory.
    pub memory: usize,
}

impl SessionHandle {
    /// The session's id.
    pub fn id(&self) -> &str {
        self.key.id()
    }

    /// Has the session take in a command. `None`: it is over.
    pub async fn command(&self, client: &Client, id: String, command: Command) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        let request = Request { client: client.clone(), id, command, answer };
        self.mailbox.send(Box::new(Mail::Command(request))).await.ok()?;
        answered.await.ok()
    }

    /// Whether the event `seq` of the session's `epoch` was lost: it is between those that the log holds, and none of them.
    pub async fn has_lost(&self, seq: u64, epoch: Option<&str>) -> bool {
        epoch.is_none_or(|epoch| epoch == self.log.epoch()) && self.log.has_lost(seq).await
    }

    /// The event `seq`, if it is kept.
    pub async fn event(&self, seq: u64) -> Option<Utf8Bytes> {
        self.log.event(seq).await
    }

    /// For metrics.
    pub fn vitals(&self) -> Vitals {
        let (agent, oldest_prompt) = *self.vitals.lock();
        let summary = self.summary.lock();
        let (status, dormant) = (summary.state, summary.status == Liveness::Dormant);
        let prompts = summary.pending_permissions;
        drop(summary);
        Vitals {
            status,
            dormant,
            agent,
            prompts,
            oldest_prompt,
            lag: self.log.lag(),
            memory: self.log.memory(),
        }
    }

    /// The session's entry in the list.
    pub fn summary(&self) -> SessionSummary {
        self.summary.lock().clone()
    }
}
