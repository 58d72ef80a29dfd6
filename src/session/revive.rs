//! Taking a session up again from the store: what a gateway that died left unfinished gets its end.

use serde::Deserialize;

use super::journal::Position;
use super::record::{Record, Seen};
use super::state::{Birth, OpenMessage};
use crate::protocol::MessageId;
use crate::store::{Chunk, Store, StoreError, StoredSession};

/// Events that are read from the store at once.
const READ_BYTES: usize = 1 << 20;
/// A gateway that died may have given out this many ids after its last record.
const ID_GAP: u64 = 1_000_000;

/// What the session is born with, and the messages that were open when the gateway died.
pub(super) async fn birth(
    stored: &StoredSession,
    store: &dyn Store,
) -> Result<(Birth, Vec<OpenMessage>), StoreError> {
    let record = stored.record.as_ref().and_then(|record| serde_json::from_str::<Record>(&record.state).ok());
    let record = record.unwrap_or_default();
    let seen: Seen = store.message_ids(&stored.key, &stored.epoch).await?.into_iter().collect();
    let open = match record.unfinished.turn {
        Some(_) => open_messages(stored, store, record.unfinished.since_seq).await?,
        None => Vec::new(),
    };
    let next_id = if record.clean { record.next_id } else { record.next_id + ID_GAP };
    let position = Position { next_id, next_seq: stored.next_seq };
    Ok((Birth { id: stored.key.as_str().into(), record, position, seen }, open))
}

/// The messages of the model that began after `after` and were not completed.
async fn open_messages(
    stored: &StoredSession,
    store: &dyn Store,
    mut after: u64,
) -> Result<Vec<OpenMessage>, StoreError> {
    let mut open: Vec<OpenMessage> = Vec::new();
    loop {
        match store.read(&stored.key, &stored.epoch, after, READ_BYTES).await? {
            Chunk::Entries(entries) => {
                for entry in entries {
                    after = entry.seq;
                    note(&mut open, &entry.frame);
                }
            }
            Chunk::Lost { through, .. } => after = through,
            Chunk::End => return Ok(open),
        }
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: String,
    parent_tool_use_id: Option<String>,
}

fn note(open: &mut Vec<OpenMessage>, frame: &str) {
    let Ok(head) = serde_json::from_str::<Head<'_>>(frame) else { return };
    let Some(id) = head.id.strip_prefix("msg-").and_then(|number| number.parse().ok()).map(MessageId) else {
        return;
    };
    match head.kind {
        "assistant_message_start" => {
            open.push(OpenMessage { id, parent_tool_use_id: head.parent_tool_use_id })
        }
        "assistant_message_complete" => open.retain(|message| message.id != id),
        _ => {}
    }
}
