//! Taking a session up again from the store: what a gateway that died left unfinished gets its end.
//!
//! The record says what was unfinished when it was written. It is written together with events, but the store commits a long
//! batch in pieces, and a gateway can die between two of them. So what came after the record is read from the log: the two
//! together give every message its one result, wherever the cut is.

use std::borrow::Cow;

use serde::Deserialize;

use super::journal::Position;
use super::record::{OpenMessage, Record, RunningTurn, Seen, Unfinished};
use super::state::{Birth, LeftMessage, Leftover, TurnInput};
use crate::protocol::{Json, MessageId, SessionStatus, TaskStatus, TaskUpdate};
use crate::store::{Chunk, Entry, Store, StoreError, StoredSession};

/// Events that are read from the store at once.
const READ_BYTES: usize = 1 << 20;
/// A gateway that died may have given out this many ids after its last record.
const ID_GAP: u64 = 1_000_000;

/// A session as the store knows it.
pub(super) struct Revived {
    /// What it is born with.
    pub(super) birth: Birth,
    /// What was unfinished when the gateway died.
    pub(super) leftover: Leftover,
    /// Its last words are in the log: it is over, whatever the record says.
    pub(super) ended: bool,
}

/// Reads what the store knows of a session.
///
/// `depth`: [`SessionLimits::max_json_depth`](super::SessionLimits).
pub(super) async fn revive(
    stored: &StoredSession,
    store: &dyn Store,
    depth: usize,
) -> Result<Revived, StoreError> {
    // With a default in its place the session would go on with other rights, in another directory.
    let mut record = Record::of(stored)?;
    let seen: Seen = store.message_ids(&stored.key, &stored.epoch).await?.into_iter().collect();
    let unfinished = std::mem::take(&mut record.unfinished);
    let mut scan = Scan::new(unfinished, record.status, record.last_seq, depth);
    scan.read(stored, store).await?;
    let next_id = if record.clean && scan.next_id <= record.next_id {
        record.next_id
    } else {
        record.next_id.max(scan.next_id) + ID_GAP
    };
    let position = Position { next_id, next_seq: stored.next_seq };
    let birth = Birth { id: stored.key.id().into(), record, position, seen };
    Ok(Revived { birth, ended: scan.ended, leftover: scan.leftover() })
}

/// The log after the record.
struct Scan {
    leftover: Leftover,
    /// The message whose turn it was, and of which no agent was told: that would be on record.
    untold: Option<String>,
    /// The record knows everything up to here.
    record_seq: u64,
    /// Where reading begins.
    after: u64,
    /// How deep blocks in a message's text may nest.
    depth: usize,
    next_id: u64,
    ended: bool,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
    parent_tool_use_id: Option<String>,
    #[serde(borrow)]
    permission_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    elicitation_id: Option<Cow<'a, str>>,
    status: Option<Json<'static>>,
}

#[derive(Deserialize)]
struct Said {
    content: Json<'static>,
    parent_tool_use_id: Option<String>,
}

impl Scan {
    fn new(unfinished: Unfinished, status: SessionStatus, record_seq: u64, depth: usize) -> Self {
        let after_seq = unfinished.queued_after;
        let after = if unfinished.queued.is_empty() { record_seq } else { after_seq.min(record_seq) };
        let untold = unfinished.queued.first().filter(|_| unfinished.first_has_turn).cloned();
        let queued =
            unfinished.queued.into_iter().map(|id| LeftMessage { id, input: None, after_seq }).collect();
        let leftover = Leftover {
            turn: unfinished.turn,
            queued,
            prompts: unfinished.prompts,
            elicitations: unfinished.elicitations,
            open: unfinished.open,
            tasks: unfinished.tasks,
            status,
        };
        Self { leftover, untold, record_seq, depth, after, next_id: 0, ended: false }
    }

    async fn read(&mut self, stored: &StoredSession, store: &dyn Store) -> Result<(), StoreError> {
        while self.after < stored.last_seq {
            match store.read(&stored.key, &stored.epoch, self.after, READ_BYTES).await? {
                Chunk::Entries(entries) => {
                    for entry in entries {
                        self.note(&entry);
                        self.after = entry.seq;
                    }
                }
                Chunk::Lost { through, .. } => self.after = through,
                Chunk::End => break,
            }
        }
        Ok(())
    }

    fn leftover(mut self) -> Leftover {
        // While messages wait, a turn is running: the first had begun, though nothing was heard of it. It may have reached the
        // agent, so it is not run again, unless the record knows better.
        let first = self.leftover.queued.first();
        let may_be_told = first.is_some_and(|first| self.untold.as_ref() != Some(&first.id));
        if self.leftover.turn.is_none() && may_be_told {
            let first = self.leftover.queued.remove(0);
            self.leftover.turn = Some(RunningTurn { id: Some(first.id) });
        }
        self.leftover
    }

    fn note(&mut self, entry: &Entry) {
        let Ok(head) = serde_json::from_str::<Head<'_>>(&entry.frame) else { return };
        if head.kind == "user_message" {
            self.said(&head, entry);
        }
        if entry.seq <= self.record_seq {
            return;
        }
        let number = head.id.strip_prefix("msg-").and_then(|number| number.parse().ok());
        self.next_id = self.next_id.max(number.map_or(0, |number: u64| number + 1));
        let of_message = head.request_id.as_deref();
        match &*head.kind {
            "user_message"
            | "cancelled"
            | "interrupted"
            | "config_updated"
            | "permission_resolved"
            | "elicitation_request"
            | "elicitation_resolved"
            | "error"
            | "session_ended"
            | "task_update" => {}
            "result" => self.ended(of_message),
            // Anything else stems from a turn that has begun.
            _ => self.began(of_message),
        }
        match &*head.kind {
            "status_update" => {
                self.leftover.status = head.status.and_then(|status| status.to().ok()).unwrap_or_default();
            }
            "task_update" => self.task(entry),
            "session_ended" => self.ended = true,
            "permission_request" => self.leftover.prompts.push(head.id.into_owned()),
            "permission_resolved" => {
                self.leftover.prompts.retain(|id| Some(id.as_str()) != head.permission_id.as_deref());
            }
            "elicitation_request" => self.leftover.elicitations.push(head.id.into_owned()),
            "elicitation_resolved" => {
                let id = head.elicitation_id.as_deref();
                self.leftover.elicitations.retain(|open| Some(open.as_str()) != id);
            }
            "assistant_message_start" => self.leftover.open.extend(number.map(|number| OpenMessage {
                id: MessageId(number),
                parent_tool_use_id: head.parent_tool_use_id,
            })),
            "assistant_message_complete" => {
                self.leftover.open.retain(|open| Some(open.id.0) != number);
            }
            _ => {}
        }
    }

    fn task(&mut self, entry: &Entry) {
        let Ok(task) = serde_json::from_str::<TaskUpdate>(&entry.frame) else { return };
        self.leftover.tasks.retain(|known| known.task_id != task.task_id);
        if task.status == TaskStatus::Running {
            self.leftover.tasks.push(task);
        }
    }

    /// A `user_message`: one that waits, or one that the record does not know.
    fn said(&mut self, head: &Head<'_>, entry: &Entry) {
        let Some(id) = head.request_id.as_deref() else { return };
        let input = || {
            let said = serde_json::from_str::<Said>(&entry.frame).ok()?;
            Some(TurnInput::of(&said.content, said.parent_tool_use_id, self.depth))
        };
        if let Some(message) = self.leftover.queued.iter_mut().find(|message| message.id == id) {
            message.input = input();
        } else if entry.seq > self.record_seq {
            let message = LeftMessage { id: id.to_owned(), input: input(), after_seq: entry.seq - 1 };
            self.leftover.queued.push(message);
        }
    }

    fn began(&mut self, id: Option<&str>) {
        let Some(id) = id.filter(|id| self.untold.as_deref() != Some(id)) else { return };
        if let Some(at) = self.leftover.queued.iter().position(|message| message.id == id) {
            self.leftover.queued.remove(at);
            self.leftover.turn = Some(RunningTurn { id: Some(id.to_owned()) });
        } else if self.leftover.turn.is_none() {
            // A `resume`: no `user_message` announces it.
            self.leftover.turn = Some(RunningTurn { id: Some(id.to_owned()) });
        }
    }

    fn ended(&mut self, id: Option<&str>) {
        if self.leftover.turn.as_ref().is_some_and(|turn| turn.id.as_deref() == id) {
            self.leftover.turn = None;
        } else {
            self.leftover.queued.retain(|message| Some(message.id.as_str()) != id);
        }
    }
}
