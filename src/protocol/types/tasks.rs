//! Work that the agent does beside turns: what clients learn of it, and what they can ask of it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A command in a shell.
    Shell,
    /// A subagent.
    Agent,
    /// A prompt that the agent gives itself at a set time.
    Schedule,
    /// A command whose output wakes the agent.
    Monitor,
    /// Anything else.
    Other,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// It runs; of a schedule: it waits for its time.
    Running,
    /// It came to its end.
    Completed,
    /// It failed.
    Failed,
    /// It was stopped, or its agent's process is gone.
    Stopped,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TaskProgress {
    /// Tools that it has called.
    pub tool_uses: u64,
    /// Tokens that it has used.
    pub total_tokens: u64,
    /// Time that it has run, milliseconds.
    pub duration_ms: u64,
    /// The tool that it called last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tool: Option<String>,
    /// What it is doing, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// `task_update` event, and an entry of `session_info.tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskUpdate {
    /// The task.
    #[schemars(length(min = 1))]
    pub task_id: String,
    /// What kind of work it is.
    pub kind: TaskKind,
    /// Where it stands.
    pub status: TaskStatus,
    /// Whether the turn goes on without it.
    pub background: bool,
    /// What it does, in words; cut at 1,000 characters.
    pub description: String,
    /// The call that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
    /// Of a subagent: its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    /// How far it has come, where that is known. At most once a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<TaskProgress>,
    /// At the end: what came of it; cut at 8,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// `task_output` reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskOutputReply<'a> {
    /// The task.
    pub task_id: Cow<'a, str>,
    /// The last 8 KiB of what it has written.
    pub output: Cow<'a, str>,
    /// All that it has written, bytes.
    pub total_bytes: u64,
    /// Whether `output` is not all of it.
    pub truncated: bool,
}

/// Why the agent began a turn by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    /// A task in the background came to its end.
    Task,
    /// A schedule's time had come.
    Schedule,
    /// A monitor saw something.
    Monitor,
    /// The agent does not say.
    Other,
}

/// `origin` of a `result` or `status_update`: what a turn comes from that no client's message began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// What it was.
    pub kind: OriginKind,
    /// The task, where it is known which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The call that began that task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
}

/// `agent` of a tool call or a prompt: the subagent that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Subagent<'a> {
    /// Its task, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Cow<'a, str>>,
    /// Its type (`general-purpose`, …).
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    /// What it was started for, in words.
    pub description: Cow<'a, str>,
}

impl Subagent<'_> {
    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Subagent<'static> {
        Subagent {
            task_id: self.task_id.map(|id| Cow::Owned(id.into_owned())),
            kind: Cow::Owned(self.kind.into_owned()),
            description: Cow::Owned(self.description.into_owned()),
        }
    }
}
