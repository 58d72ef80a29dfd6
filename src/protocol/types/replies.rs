//! Server → client: replies to one connection (no `seq`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Effort, Json, ListCursor, PermissionMode, SessionStatus, TaskUpdate};

/// Whether a session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// In use.
    Active,
    /// Kept; wakes up on the next `session_start`.
    Dormant,
    /// Over.
    Ended,
}

/// The verdict on a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// None was asked for: live events only.
    None,
    /// Every event after `last_seq` follows.
    Ok,
    /// The oldest are no longer kept; the replay starts at `first_seq`.
    Gap,
    /// Another epoch; all that is kept follows.
    Reset,
}

/// Whether a session's agent process is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// No process.
    #[default]
    Stopped,
    /// Waits for a free slot.
    Waiting,
    /// Is being started.
    Starting,
    /// Ready or at work.
    Running,
}

/// The agent, as far as it is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct AgentInfo {
    /// Whether its process is there.
    pub state: AgentState,
    /// Version of Claude Code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Names of its tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub tools: Option<Json<'static>>,
    /// Its MCP servers and their state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub mcp_servers: Option<Json<'static>>,
    /// Its slash commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub slash_commands: Option<Json<'static>>,
}

/// The server, as `session_info` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerInfo {
    /// `claude-ws`.
    pub name: String,
    /// Version of the gateway.
    pub version: String,
    /// Version of the protocol.
    pub protocol: u32,
    /// Time between heartbeats, milliseconds.
    pub heartbeat_ms: u64,
    /// Largest client frame, bytes.
    pub max_message_bytes: u64,
}

/// `session_info` reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionInfo<'a> {
    /// Whether the session lives.
    pub status: Liveness,
    /// What it is doing.
    pub state: SessionStatus,
    /// Whether this very `session_start` made it.
    pub created: bool,
    /// Working directory.
    pub cwd: Cow<'a, str>,
    /// Model, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Cow<'a, str>>,
    /// How much the model thinks, where the session says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Who is asked.
    pub permission_mode: PermissionMode,
    /// The front end's pairs.
    pub metadata: BTreeMap<String, String>,
    /// Turns that have ended.
    pub num_turns: u64,
    /// Cost of the session so far, US dollars.
    pub total_cost_usd: f64,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Names this run of sequence numbers.
    pub epoch: Cow<'a, str>,
    /// Oldest event that can be replayed; `last_seq + 1` where there is none.
    pub first_seq: u64,
    /// Newest event; 0 where there is none.
    pub last_seq: u64,
    /// The verdict on the replay that was asked for.
    pub replay: Replay,
    /// The open `permission_request` messages, whole.
    pub pending_permissions: Vec<Json<'a>>,
    /// The open `elicitation_request` messages, whole.
    pub pending_elicitations: Vec<Json<'a>>,
    /// Ids of queued user messages, in order.
    pub queued: Vec<Cow<'a, str>>,
    /// Tasks that are running, oldest first.
    #[serde(default)]
    pub tasks: Vec<TaskUpdate>,
    /// The agent.
    pub agent: AgentInfo,
    /// The server.
    pub server: ServerInfo,
}

/// `session_list` reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// The most recently active first.
    pub sessions: Vec<SessionSummary>,
    /// Names the next page, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub next_cursor: Option<ListCursor>,
    /// Sessions on all pages.
    #[serde(default)]
    pub total: u64,
}

/// One session of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionSummary {
    /// The session.
    pub session_id: String,
    /// Whether it lives.
    pub status: Liveness,
    /// What it is doing.
    pub state: SessionStatus,
    /// Working directory.
    pub cwd: String,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds of the last command or event.
    pub last_active_at: u64,
    /// Turns that have ended.
    pub num_turns: u64,
    /// Cost so far, US dollars.
    pub total_cost_usd: f64,
    /// The front end's pairs.
    pub metadata: BTreeMap<String, String>,
    /// Number of open prompts.
    pub pending_permissions: u64,
    /// Number of running tasks.
    #[serde(default)]
    pub tasks: u64,
}

/// `new_session` reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewSessionReply {
    /// Working directory, symlinks resolved.
    pub cwd: String,
    /// Names this run of sequence numbers.
    pub epoch: String,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Who is asked.
    pub permission_mode: PermissionMode,
}

/// `heartbeat` from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ServerHeartbeat {
    /// The next message of this connection has so many bytes: it takes its time, in which nothing else can come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming_bytes: Option<u64>,
}
