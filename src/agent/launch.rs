//! What an agent is started with, what it gives and how it ended: plain data, no behaviour.
//!
//! May assume nothing about who starts agents. Must not know the wire protocol of clients or what a line means.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claude_agent_sdk::ClaudeAgentOptions;
use uuid::Uuid;

use super::args::ArgsError;
use super::framing::{Lines, LongLine};
use super::marker::Marker;

/// Everything that one Claude Code process is started with.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The `claude` binary: a path, or a bare name that is looked up in `PATH`.
    pub program: PathBuf,
    /// The options of the SDK. See [`super::args`] for the fields that become arguments and those that cannot.
    pub options: ClaudeAgentOptions,
    /// Which conversation the process carries on. It overrides `resume` and `continue_conversation` of the options.
    pub conversation: Conversation,
    /// Text behind the system prompt, whichever that is. (The options have room for it only with a preset.)
    pub append_system_prompt: Option<String>,
    /// Declares the SDK MCP server `client`, whose tools the front end runs. It must then also be named in `initialize`.
    pub sdk_mcp: bool,
    /// The thinking budget in tokens; `None` leaves it to the CLI.
    pub max_thinking_tokens: Option<u32>,
    /// Environment variables to set, after `env_remove` and after those of the options.
    pub env: Vec<(OsString, OsString)>,
    /// Environment variables that the agent must not inherit from this process.
    pub env_remove: Vec<OsString>,
    /// The environment marker by which the agent's descendants are found again.
    pub marker: Marker,
    /// A directory for this agent's private files (MCP configuration, settings and system prompts may hold secrets, so they are
    /// not on the command line). It is created with mode 0700 if it is missing, the files with 0600; they are removed
    /// when the agent ended, and by [`super::sweep`] after a crash of this process.
    pub scratch_dir: PathBuf,
    /// Resolved directories under which the agent's must lie when it is started, symbolic links resolved then; `None`: anywhere.
    pub roots: Option<Arc<[PathBuf]>>,
    /// Bounds of memory and time.
    pub limits: AgentLimits,
}

impl Launch {
    /// A launch with nothing but the necessary, and default limits.
    pub fn new(program: impl Into<PathBuf>, conversation: Conversation, marker: Marker) -> Self {
        Self {
            program: program.into(),
            options: ClaudeAgentOptions::default(),
            conversation,
            append_system_prompt: None,
            sdk_mcp: false,
            max_thinking_tokens: None,
            env: Vec::new(),
            env_remove: Vec::new(),
            scratch_dir: std::env::temp_dir().join(format!("claude-ws-{}", marker.instance())),
            marker,
            roots: None,
            limits: AgentLimits::default(),
        }
    }
}

/// The conversation that a process carries on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversation {
    /// A new one with this id (`--session-id`). A second start with the same id fails: resume it instead.
    New(Uuid),
    /// The one with this id (`--resume`). The CLI finds it only from the same working directory.
    Resume(Uuid),
    /// A copy of `from` under the new id `to` (`--resume --fork-session --session-id`).
    Fork {
        /// The conversation to copy.
        from: Uuid,
        /// The id of the copy.
        to: Uuid,
    },
}

/// Bounds of one agent's memory and of the time that its end may take.
#[derive(Debug, Clone)]
pub struct AgentLimits {
    /// Longest line of stdout in bytes, without its end; longer ones come as [`Output::Skipped`]. Default 64 MiB.
    pub max_line: usize,
    /// How much of the end of stderr is kept, in bytes. Default 8 KiB.
    pub stderr_tail: usize,
    /// How much may wait for the agent's stdin, in bytes. A single larger line is taken when nothing else waits.
    /// Default 16 MiB.
    pub stdin_queue_bytes: usize,
    /// Deadlines of the end.
    pub ladder: Ladder,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            max_line: 64 << 20,
            stderr_tail: 8 << 10,
            stdin_queue_bytes: 16 << 20,
            ladder: Ladder::default(),
        }
    }
}

/// How long each rung of the ladder may take before the next one.
///
/// The interrupt and the close of stdin are one rung: both CLI versions handle the interrupt first when the two come
/// back to back, end their tools themselves and exit (idle 15–70 ms, in a tool 0.04–1.5 s).
#[derive(Debug, Clone, Copy)]
pub struct Ladder {
    /// From interrupt and closed stdin to SIGTERM. Default 5 s.
    pub finish: Duration,
    /// From SIGTERM to SIGKILL. Default 3 s (2.1.330 takes 1.6 s to end its tools).
    pub terminate: Duration,
    /// How long the sweep may look for processes that do not go. Default 3 s.
    pub sweep: Duration,
    /// How long a process may live on after it closed its stdout, before SIGTERM. Default 2 s.
    pub silent: Duration,
    /// How long stdout and stderr are read after the process and all that carry its marker are gone, should someone
    /// else hold them open. Default 250 ms.
    pub drain: Duration,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            finish: Duration::from_secs(5),
            terminate: Duration::from_secs(3),
            sweep: Duration::from_secs(3),
            silent: Duration::from_secs(2),
            drain: Duration::from_millis(250),
        }
    }
}

/// What comes out of an agent, in the order of its stdout.
#[derive(Debug)]
pub enum Output {
    /// Whole lines.
    Lines(Lines),
    /// One of more than a megabyte.
    Long(LongLine),
    /// A line over [`AgentLimits::max_line`] was passed over here.
    Skipped {
        /// Its length.
        bytes: u64,
    },
    /// The process and what it left are gone. Comes exactly once, last.
    Exited(Exit),
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The end of what it wrote to stderr, with invalid UTF-8 replaced. May hold secrets: for logs and for errors that
    /// need the reason, not for everyone.
    pub stderr: String,
    /// A signal of the driver ended it, or tried to.
    pub killed: bool,
    /// It ended because a stop was asked for ([`super::Agent::stop`], or the agent was dropped).
    pub requested: bool,
    /// So many of the last lines that it was sent it has not read, as far as is known: the pipe still held them, or they were
    /// never written. 0 where the driver ended it.
    pub unread_lines: u64,
}

/// How an agent is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The whole ladder: interrupt and close stdin, SIGTERM, SIGKILL, sweep.
    Orderly,
    /// SIGKILL and sweep. Also escalates an orderly stop under way.
    Now,
}

/// Why a process could not be started. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The program is not there or may not be run.
    #[error("no executable program at {}", .0.display())]
    Program(PathBuf),
    /// The working directory is not there.
    #[error("no directory at {}", .0.display())]
    WorkingDirectory(PathBuf),
    /// The file system of the working directory does not answer.
    #[error("{}: its file system does not answer", .0.display())]
    Silent(PathBuf),
    /// What is there now lies elsewhere, where no agent may work: a symbolic link took its place, say.
    #[error("{} does not lie under a workspace root any more (--workspace-root)", .0.display())]
    Outside(PathBuf),
    /// The options cannot be put into arguments.
    #[error(transparent)]
    Arguments(#[from] ArgsError),
    /// A private file could not be written.
    #[error("cannot write the agent's private files: {0}")]
    Files(#[source] io::Error),
    /// The operating system refused (no memory, no processes, arguments too long).
    #[error("cannot start the agent: {0}")]
    Os(#[from] io::Error),
    /// It takes too long: the program may lie on a file system that does not answer.
    #[error("it could not be started in time (--agent-start-timeout)")]
    Late,
    /// The spawner is shutting down.
    #[error("the spawner has ended")]
    Closed,
}

impl SpawnError {
    /// The text for clients: without the paths of this machine.
    pub fn for_clients(&self) -> String {
        match self {
            Self::Program(_) => "its program is not there or may not be run".to_owned(),
            Self::WorkingDirectory(_) => "the working directory is gone".to_owned(),
            Self::Silent(_) => "the file system of its working directory does not answer".to_owned(),
            Self::Outside(_) => {
                "the working directory is not under the server's workspace roots any more (--workspace-root)"
                    .to_owned()
            }
            Self::Files(_) => "its private files cannot be written".to_owned(),
            Self::Arguments(_) | Self::Os(_) | Self::Late | Self::Closed => self.to_string(),
        }
    }
}

/// Why a line was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// [`AgentLimits::stdin_queue_bytes`] are waiting: the agent does not read. The line was not queued.
    #[error("the agent does not read its input")]
    Full,
    /// The agent is ending or has closed its input.
    #[error("the agent's input is closed")]
    Closed,
}
