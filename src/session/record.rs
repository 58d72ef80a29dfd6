//! What is kept of a session, so that it can be taken up again.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::{Broken, RuleBook};
use crate::protocol::{AgentInfo, Json, Liveness, SessionConfig, SessionStatus, SessionSummary};

/// A session's record: JSON in the store, written when something in it changes between turns or a turn begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The configuration as it now is.
    pub config: SessionConfig,
    /// Permission rules that were added while it ran.
    pub rules: RuleBook,
    /// Calls that were allowed always: tool, and its input in canonical JSON.
    pub always: Vec<(String, String)>,
    /// The agent's conversation.
    pub conversation: Uuid,
    /// Whether the agent has written anything of it.
    pub conversation_started: bool,
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
    /// The last turn, where it did not come to its end.
    pub broken: Option<Broken>,
    /// What was unfinished when the record was written: a gateway that died gives each its one end.
    pub unfinished: Unfinished,
    /// Number of the next event id.
    pub next_id: u64,
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
            agent: AgentInfo::default(),
            created_at: 0,
            last_active_at: 0,
            num_turns: 0,
            cost_usd: 0.0,
            broken: None,
            unfinished: Unfinished::default(),
            next_id: 0,
            clean: true,
        }
    }
}

impl Record {
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
        }
    }
}

/// Turns and prompts that had not ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Unfinished {
    /// The running turn: the id of its message, if a client began it.
    pub turn: Option<Option<String>>,
    /// The newest event when that turn began: what it left open in the log stands after it.
    pub since_seq: u64,
    /// Queued messages, in order.
    pub queued: Vec<QueuedRecord>,
    /// Open prompts: the ids of their `permission_request`.
    pub prompts: Vec<String>,
}

impl Unfinished {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.turn.is_none() && self.queued.is_empty() && self.prompts.is_empty()
    }
}

/// A queued message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedRecord {
    /// Its id.
    pub id: String,
    /// Its content.
    pub content: Json<'static>,
    /// As the client sent it.
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
}

/// Message ids that were seen in a session; the newest 65,536 are kept.
#[derive(Debug, Default)]
pub struct Seen {
    ids: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

impl Seen {
    /// How many ids are kept.
    pub const KEPT: usize = 65_536;

    /// Takes `id` in; false if it was there.
    pub fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.into()) {
            return false;
        }
        self.order.push_back(id.into());
        if self.order.len() > Self::KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// Whether `id` was seen.
    pub fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }
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

/// JSON text in one form, so that equal values have equal texts: keys sorted, no white space.
pub fn canonical(json: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) => json.to_owned(),
    }
}
