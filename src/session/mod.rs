//! Sessions: who there is (`registry`), what each does (`state`), and the task that does it (`task`).
//!
//! A session outlives connections and agent processes. Its state machine is pure; its task runs the effects; the event log
//! is its only output. This room knows nothing of WebSocket and HTTP.

pub mod client_mcp;
mod ears;
mod found;
mod handle;
mod held;
mod journal;
mod launch;
mod list;
mod locks;
mod plans;
mod pool;
mod record;
pub mod registry;
mod revive;
mod roots;
mod shelf;
pub mod starts;
pub mod state;
mod tally;
mod task;
#[cfg(test)]
mod tests;
pub mod warm;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use client_mcp::ClientMcp;
pub use found::{AtRest, Found, OpenError};
pub use handle::Vitals;
pub use handle::{Answer, Client, SessionHandle};
pub use journal::{Journal, Position};
pub use list::{Listed, most_recent_first};
pub use pool::{Acquired, AgentPool, Slot};
pub use record::{OpenMessage, Record, RunningTurn, Seen, Unfinished};
pub use registry::Registry;
pub use roots::{Directories, NoDirectory, Resolved};
pub use starts::Starts;
pub use state::{ClientId, Command, SessionLimits, SessionState};
pub use tally::Tally;
pub use warm::WarmAgents;

use crate::agent::{AgentLimits, Conversation, Instance, Launch, Spawner};
use crate::metrics::Metrics;
use crate::protocol::ServerInfo;
use crate::store::Store;
use state::LaunchPlan;

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    /// Limits of each.
    pub limits: Arc<SessionLimits>,
    /// How the gateway introduces itself.
    pub server: ServerInfo,
    /// Slots for agents.
    pub pool: AgentPool,
    /// Agents that were started before anybody asked.
    pub warm: WarmAgents,
    /// How agents are started.
    pub launcher: Launcher,
    /// Where sessions are kept; none: in memory only.
    pub store: Option<Arc<dyn Store>>,
    /// `--log-window`: bytes of events that each session keeps in memory.
    pub log_window: usize,
    /// What is counted as it happens.
    pub metrics: Arc<Metrics>,
    /// Whether agents can be started.
    pub starts: Starts,
    /// Names this run of the gateway in the ids of replies.
    pub run: String,
    /// Numbers them.
    pub replies: AtomicU64,
}

impl Shared {
    /// A fresh id for a message without `seq`.
    pub fn next_reply_id(&self) -> String {
        format!("r-{}-{}", self.run, self.replies.fetch_add(1, Ordering::Relaxed))
    }
}

/// How agents are started: what is the same for every session.
#[derive(Debug)]
pub struct Launcher {
    /// Starts processes.
    pub spawner: Arc<Spawner>,
    /// The `claude` binary.
    pub program: PathBuf,
    /// Variables to set in the agent's environment.
    pub env: Vec<(OsString, OsString)>,
    /// Variables that it must not inherit: the gateway's own secrets.
    pub env_remove: Vec<OsString>,
    /// Marks the processes as this gateway's.
    pub instance: Instance,
    /// For private files of agents.
    pub scratch_dir: PathBuf,
    /// Where agents may work, resolved; `None`: anywhere.
    pub roots: Option<Arc<[PathBuf]>>,
    /// Limits of each process.
    pub limits: AgentLimits,
}

impl Launcher {
    fn launch(&self, plan: &LaunchPlan) -> Launch {
        let conversation = if plan.resume {
            Conversation::Resume(plan.conversation)
        } else {
            Conversation::New(plan.conversation)
        };
        Launch {
            options: launch::options(plan),
            append_system_prompt: plan.config.append_system_prompt.clone(),
            sdk_mcp: !plan.config.client_tools.is_empty(),
            max_thinking_tokens: plan.config.max_thinking_tokens,
            env: self.env.clone(),
            env_remove: self.env_remove.clone(),
            scratch_dir: self.scratch_dir.clone(),
            roots: self.roots.clone(),
            limits: self.limits.clone(),
            ..Launch::new(&self.program, conversation, self.instance.marker())
        }
    }
}
