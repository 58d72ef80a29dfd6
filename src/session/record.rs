//! What is kept of a session, so that it can be taken up again.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::state::{Books, Broken, RuleBook, Sleeper};
use crate::protocol::{
    AgentInfo, Liveness, MessageId, SessionConfig, SessionStatus, SessionSummary, TaskUpdate,
};
use crate::store::{StoreError, StoredSession};

/// A session's record: JSON in the store, written when something in it changes between turns or a turn begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The configuration as it now is.
    pub config: SessionConfig,
    /// Permission rules that were added while it ran.
    pub rules: RuleBook,
    /// Calls that were allowed always: tool, and the `fingerprint` of its input.
    pub always: Vec<(String, String)>,
    /// The agent's conversation.
    pub conversation: Uuid,
    /// Whether the agent has written anything of it.
    pub conversation_started: bool,
    /// What the model is still to be told with the next message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is known of the agent.
    pub agent: AgentInfo,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds.
    pub last_active_at: u64,
    /// Turns that have ended.
    pub num_turns: u64,
    /// US dollars.
    pub cost_usd: f64,
    /// The agent's own count.
    pub books: Books,
    /// The last turn, where it did not come to its end.
    pub broken: Option<Broken>,
    /// What was unfinished when the record was written: a gateway that died gives each its one end.
    pub unfinished: Unfinished,
    /// What the agent has scheduled: another one that goes on with the conversation has it again.
    pub schedules: Vec<Sleeper>,
    /// What the last `status_update` said.
    pub status: SessionStatus,
    /// Number of the next event id.
    pub next_id: u64,
    /// The newest event when this was written: what is true after it, only the log tells.
    pub last_seq: u64,
    /// Whether nothing was running and all events were stored when the record was written.
    pub clean: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            config: SessionConfig::default(),
            rules: RuleBook::default(),
            always: Vec::new(),
            conversation: Uuid::new_v4(),
            conversation_started: false,
            note: None,
            agent: AgentInfo::default(),
            created_at: 0,
            last_active_at: 0,
            num_turns: 0,
            cost_usd: 0.0,
            books: Books::default(),
            broken: None,
            unfinished: Unfinished::default(),
            schedules: Vec::new(),
            status: SessionStatus::Idle,
            next_id: 0,
            last_seq: 0,
            clean: true,
        }
    }
}

impl Record {
    /// What the store has of a session; the default, where it has nothing yet.
    ///
    /// # Errors
    /// It cannot be understood: the file is damaged, or a newer version wrote it.
    pub fn of(stored: &StoredSession) -> Result<Self, StoreError> {
        let Some(record) = &stored.record else { return Ok(Self::default()) };
        Self::read(&stored.key, &record.state)
    }

    /// The same of a record's text.
    pub(super) fn read(id: &str, state: &str) -> Result<Self, StoreError> {
        serde_json::from_str(state).map_err(|problem| {
            StoreError::Unreadable(format!("the record of session {id} is unreadable: {problem}"))
        })
    }

    /// The entry of a session at rest in `session_list`.
    pub fn summary(&self, id: &str, status: Liveness) -> SessionSummary {
        SessionSummary {
            session_id: id.to_owned(),
            status,
            state: SessionStatus::Idle,
            cwd: self.config.cwd.clone().unwrap_or_default(),
            created_at: self.created_at,
            last_active_at: self.last_active_at,
            num_turns: self.num_turns,
            total_cost_usd: self.cost_usd,
            metadata: self.config.metadata.clone(),
            pending_permissions: 0,
            tasks: 0,
        }
    }
}

/// Turns, prompts and messages that had not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unfinished {
    /// The running turn.
    pub turn: Option<RunningTurn>,
    /// Ids of the queued messages, in order. Their contents stand in the log.
    pub queued: Vec<String>,
    /// The first of `queued` has its turn, and no agent was told of it yet.
    pub first_has_turn: bool,
    /// The `user_message` of each queued message stands in the log after this event.
    pub queued_after: u64,
    /// Open prompts: the ids of their `permission_request`.
    pub prompts: Vec<String>,
    /// What MCP servers have asked people: the ids of their `elicitation_request`.
    pub elicitations: Vec<String>,
    /// Messages of the model that have begun and not ended.
    pub open: Vec<OpenMessage>,
    /// Running tasks.
    pub tasks: Vec<TaskUpdate>,
}

impl Unfinished {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.turn.is_none()
            && self.queued.is_empty()
            && self.prompts.is_empty()
            && self.elicitations.is_empty()
            && self.open.is_empty()
            && self.tasks.is_empty()
    }
}

/// A turn under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTurn {
    /// The client message that began it; `None`: the agent itself did.
    #[serde(default)]
    pub id: Option<String>,
}

/// A message of the model whose start is in the log and whose complete is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMessage {
    /// The number in the id that its start and deltas have.
    #[serde(with = "number")]
    pub id: MessageId,
    /// As in its start.
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
}

mod number {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::protocol::MessageId;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(id: &MessageId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(id.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MessageId, D::Error> {
        u64::deserialize(deserializer).map(MessageId)
    }
}

/// Message ids that were seen in a session; the newest 65,536 are kept, as hashes: so their memory does not depend on what
/// clients choose.
#[derive(Debug, Default)]
pub struct Seen {
    hashes: HashSet<u128>,
    order: VecDeque<u128>,
}

impl Seen {
    /// How many ids are kept.
    pub const KEPT: usize = crate::store::KEPT_MESSAGE_IDS;

    /// Takes `id` in; false if it was there.
    pub fn insert(&mut self, id: &str) -> bool {
        let hash = hash(id);
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > Self::KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }

    /// Whether `id` was seen.
    pub fn contains(&self, id: &str) -> bool {
        self.hashes.contains(&hash(id))
    }
}

/// Half of a SHA-256: nobody finds two ids with the same one.
fn hash(id: &str) -> u128 {
    let digest = Sha256::digest(id.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

impl FromIterator<String> for Seen {
    fn from_iter<I: IntoIterator<Item = String>>(ids: I) -> Self {
        let mut seen = Self::default();
        for id in ids {
            seen.insert(&id);
        }
        seen
    }
}

/// A name for a JSON value, the same for equal values and of the same length for all.
pub(super) fn fingerprint(json: &str) -> String {
    let digest = Sha256::digest(canonical(json).as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

/// JSON text in one form, so that equal values have equal texts: keys sorted, no white space.
fn canonical(json: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) => json.to_owned(),
    }
}
