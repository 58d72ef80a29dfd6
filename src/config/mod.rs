//! Everything that can be set about a gateway: plain data, one place, each with its default.
//!
//! `cli` makes a [`Config`] from flags and environment; embedders fill one by hand. What a limit is answered with when it is
//! hit stands at its field, and in the README's table.

pub mod cli;
#[cfg(test)]
mod documented;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A gateway's configuration.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Debug, Clone)]
pub struct Config {
    /// The `claude` binary: a path, or a name looked up in `PATH`.
    pub claude_bin: PathBuf,
    /// Model of sessions that name none.
    pub model: Option<String>,
    /// Directories under which every working directory must lie; a session that names none works in the first.
    pub workspace_roots: Vec<PathBuf>,
    /// Where sessions are kept; with a shared store, where this gateway keeps what is its own.
    pub data_dir: DataDir,
    /// A store that several gateways share, instead of a file in the data directory.
    pub shared: Option<SharedStore>,
    /// Whether `bypass` may be asked for; otherwise `error` `forbidden`.
    pub allow_bypass: bool,
    /// Patterns of the MCP servers that clients may name (`ClientMcp::only`); `None`: any, which is to run any command.
    pub client_mcp: Option<Vec<String>>,
    /// Whether sessions may send each other messages, which start turns without anybody's leave.
    pub allow_cross_session: bool,
    /// Whether content blocks of types that are not known here are passed on; otherwise `error` `invalid_message`.
    pub allow_unknown_blocks: bool,
    /// Whether the web console is served at `/`.
    pub console: bool,
    /// The agents' own home (`CLAUDE_CONFIG_DIR`): settings, credentials, and the transcripts that a conversation is resumed from. None:
    /// where Claude Code looks by itself.
    pub agent_home: Option<PathBuf>,
    /// Variables to set in the agents' environment.
    pub agent_env: Vec<(OsString, OsString)>,
    /// Variables that agents must not inherit.
    pub agent_env_remove: Vec<OsString>,
    /// Who may connect.
    pub doors: Doors,
    /// How much of everything.
    pub limits: Limits,
    /// How long everything may take.
    pub times: Times,
}

/// Where sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    /// Nowhere: they end with the process.
    Ephemeral,
    /// In this directory, which belongs to one gateway at a time.
    Path(PathBuf),
}

/// A Redis that several gateways share.
#[derive(Debug, Clone)]
pub struct SharedStore {
    /// `redis://…`; may hold a password.
    pub url: Secret,
    /// Who to be there; before the URL's.
    pub user: Option<String>,
    /// That user's password; before the URL's.
    pub password: Option<Secret>,
    /// A file that holds it; before `password`.
    pub password_file: Option<PathBuf>,
    /// Certificates that are trusted besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// How long this gateway may be silent before others take its sessions.
    pub lease: Duration,
    /// What people call this gateway. None: the machine's name.
    pub node_name: Option<String>,
}

/// Text that is not for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Who may connect.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// A file with a token a line; none: everybody who reaches the address may come in.
    pub token_file: Option<PathBuf>,
    /// Origins of pages that may connect, besides the server's own.
    pub origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses, networks, `unix`.
    pub proxies: Vec<String>,
}

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest client frame, bytes; larger: close 1009.
    pub max_message_bytes: usize,
    /// Client frames that are still coming in, bytes, all connections together; more: close 1013.
    pub max_inbound_bytes: usize,
    /// Longest line of an agent, bytes; longer: skipped with a `warning`.
    pub max_agent_line: usize,
    /// Bytes that may wait for an agent that does not read its input; more: it is killed.
    pub max_agent_input: usize,
    /// Live agent processes; more sessions wait for a slot.
    pub max_agents: usize,
    /// Agents that are kept started for new sessions with default options.
    pub warm_agents: usize,
    /// Sessions that may wait for a slot; more: `error_code` `agent_unavailable`.
    pub max_waiting: usize,
    /// User messages that may wait in a session; more: `error` `queue_full`.
    pub max_queue: usize,
    /// Bytes of the messages that wait in a session; more: `error` `queue_full`. One message always finds room.
    pub max_queue_bytes: usize,
    /// Permission prompts of a session that may be open at once; more are denied.
    pub max_prompts: usize,
    /// Sessions of one owner, ended ones not counted; more: `error` `capacity`.
    pub max_sessions_per_owner: usize,
    /// Ended sessions of one owner that are kept; more: the longest unused are deleted.
    pub max_ended_per_owner: Option<usize>,
    /// Connections that may be attached to one session; more: `error` `capacity`.
    pub max_attached: usize,
    /// Connections in all; more: 503.
    pub max_connections: usize,
    /// Connections of one address; more: 503.
    pub max_connections_per_address: usize,
    /// Frames a second of one connection; more: `error` `rate_limited`, then close 1008.
    pub max_frame_rate: u32,
    /// Frames that one message may be cut into; more: close 1009.
    pub max_fragments: u32,
    /// Bytes of a request's head; more: 431.
    pub max_header_bytes: usize,
    /// Nesting of a client's JSON; deeper: `error` `invalid_message`.
    pub max_json_depth: usize,
    /// Bytes of events that each session keeps in memory; older ones are read from the store.
    pub log_window: usize,
    /// Bytes of the store; more: the oldest ended and dormant sessions are deleted.
    pub max_store_bytes: Option<u64>,
    /// Bytes of events, of all sessions, that may wait for a store that cannot be written; then the oldest are lost to who lags.
    pub max_unstored_bytes: usize,
}

/// How long everything may take.
#[derive(Debug, Clone)]
pub struct Times {
    /// Between heartbeats; a peer silent for two of them: close 4000.
    pub heartbeat: Duration,
    /// How long a session without connections keeps its agent.
    pub session_grace: Duration,
    /// How long a warm agent may wait to be taken; then it is replaced.
    pub warm_agent_age: Duration,
    /// How long an agent without a turn stays up.
    pub agent_idle: Duration,
    /// How long a background task keeps its agent up without a sign of life.
    pub task_limit: Duration,
    /// The same for what the agent has scheduled.
    pub schedule_limit: Duration,
    /// How long a session waits for a slot before one whose agent has nothing but background tasks gives its own.
    pub slot_patience: Duration,
    /// How long dormant and ended sessions are kept.
    pub retention: Duration,
    /// How long a prompt stays open; none: for ever. Then it is denied.
    pub permission_timeout: Option<Duration>,
    /// How long a client tool may take; none: for ever. Then the tool fails.
    pub client_tool_timeout: Option<Duration>,
    /// How long running turns get when the server goes down.
    pub drain: Duration,
    /// How long an agent may take to start; then it is killed.
    pub agent_start: Duration,
    /// How long an agent may take to heed an interrupt; then it is killed.
    pub interrupt: Duration,
    /// How long a socket may take no byte while there is something to send; then it is closed.
    pub send: Duration,
    /// How long a request's head may take; then the socket is closed.
    pub header: Duration,
}

impl Config {
    /// Whether such a gateway may listen there: anything that others can reach needs tokens. The error says the way out.
    pub fn allow_bind(&self, address: &str, is_local: bool) -> Result<(), String> {
        if self.doors.token_file.is_some() {
            return Ok(());
        }
        if self.doors.origins.iter().any(|origin| origin == "*") {
            return Err("with --allow-origin '*' every web page that somebody opens on this machine could run commands here. \
                        Name the pages' origins, or give --auth-token-file FILE (a token a line)."
                .to_owned());
        }
        if is_local {
            return Ok(());
        }
        Err(format!(
            "{address} can be reached from other machines, and whoever reaches it could run commands here. \
             Give --auth-token-file FILE (a token a line), or bind a loopback address or a unix socket."
        ))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            claude_bin: "claude".into(),
            model: None,
            workspace_roots: vec![".".into()],
            data_dir: DataDir::Ephemeral,
            shared: None,
            allow_bypass: false,
            client_mcp: None,
            allow_cross_session: false,
            allow_unknown_blocks: false,
            console: true,
            agent_home: None,
            agent_env: Vec::new(),
            agent_env_remove: Vec::new(),
            doors: Doors::default(),
            limits: Limits::default(),
            times: Times::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 8 << 20,
            max_inbound_bytes: 256 << 20,
            max_agent_line: 64 << 20,
            max_agent_input: 16 << 20,
            max_agents: agents_for(memory_bytes()),
            warm_agents: 0,
            max_waiting: 1_000,
            max_queue: 64,
            max_queue_bytes: 32 << 20,
            max_prompts: 256,
            max_sessions_per_owner: 10_000,
            max_ended_per_owner: Some(10_000),
            max_attached: 1_000,
            max_connections: 20_000,
            max_connections_per_address: 20_000,
            max_frame_rate: 500,
            max_fragments: 128 << 10,
            max_header_bytes: 16 << 10,
            max_json_depth: 64,
            log_window: 4 << 20,
            max_store_bytes: Some(10 << 30),
            max_unstored_bytes: 256 << 20,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            session_grace: Duration::from_mins(10),
            agent_idle: Duration::from_mins(10),
            task_limit: Duration::from_hours(1),
            schedule_limit: Duration::from_hours(24),
            slot_patience: Duration::from_secs(30),
            warm_agent_age: Duration::from_mins(30),
            retention: Duration::from_hours(7 * 24),
            permission_timeout: None,
            client_tool_timeout: None,
            drain: Duration::from_secs(30),
            agent_start: Duration::from_mins(1),
            interrupt: Duration::from_secs(10),
            send: Duration::from_secs(30),
            header: Duration::from_secs(10),
        }
    }
}

/// One agent for every 400 MB (measured: 200–310 MB each, and the rest of the machine lives too), at least 4.
fn agents_for(memory: Option<u64>) -> usize {
    let fitting = memory.unwrap_or(0) / 400_000_000;
    usize::try_from(fitting).unwrap_or(usize::MAX).max(4)
}

/// The machine's memory, or what a container may use of it.
fn memory_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let container = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<u64>().ok());
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    });
    container.into_iter().chain(machine).min()
}

#[cfg(test)]
mod tests {
    use super::{Config, Doors, agents_for};

    #[test]
    fn what_strangers_could_reach_needs_tokens() {
        let doors = |origin: &str, token_file: Option<&str>| Config {
            doors: Doors {
                token_file: token_file.map(Into::into),
                origins: vec![origin.to_owned()],
                proxies: Vec::new(),
            },
            ..Config::default()
        };
        let here = doors("https://app.example", None);
        assert!(here.allow_bind("127.0.0.1:1", true).is_ok());
        assert!(here.allow_bind("0.0.0.0:1", false).unwrap_err().contains("--auth-token-file"));
        assert!(doors("*", None).allow_bind("127.0.0.1:1", true).unwrap_err().contains("--allow-origin"));
        assert!(doors("*", Some("tokens")).allow_bind("0.0.0.0:1", false).is_ok());
    }

    #[test]
    fn agents_are_counted_from_memory() {
        assert_eq!(agents_for(None), 4);
        assert_eq!(agents_for(Some(1 << 30)), 4);
        assert_eq!(agents_for(Some(24_000_000_000)), 60);
    }
}
