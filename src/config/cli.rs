//! Flags and environment. Each flag `--some-name` is also read from `CLAUDE_WS_SOME_NAME`.
#![expect(
    clippy::doc_markdown,
    reason = "the doc comments of flags are the text of --help, which is no Markdown"
)]

mod store;
mod values;
mod variables;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};

use self::store::StoreArgs;
use self::values::{at_least_one, log_filter, some_time, time};
use super::{Config, DataDir, Doors, Limits, Times};

/// What stands below the flags.
const EXAMPLES: &str = "\
Examples:
  claude-ws --demo                       try it: no account, nothing leaves this machine; then open http://127.0.0.1:3000/
  claude-ws --workspace-root ~/projects  for yourself
  claude-ws --check                      would it start with these flags?
  claude-ws --bind unix:/run/claude-ws/claude-ws.sock --trusted-proxy unix --auth-token-file tokens
                                         behind nginx (docs/behind-nginx.md)

Every flag --some-name is also read from CLAUDE_WS_SOME_NAME.";

/// A WebSocket gateway for Claude Code sessions.
///
/// A browser or any other front end opens a WebSocket at /ws and speaks a flat JSON protocol; the gateway runs Claude Code
/// for it and keeps sessions alive across dropped connections, crashes and restarts.
#[derive(Debug, Clone, Parser)]
#[command(name = "claude-ws", version, max_term_width = 120, next_line_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Where to listen: ADDR:PORT (IPv4, or IPv6 in brackets; port 0 takes a free one) or unix:/path
    ///
    /// Anything but loopback needs --auth-token-file.
    #[arg(long, env = "CLAUDE_WS_BIND", default_value = "127.0.0.1:3000", value_name = "ADDR:PORT")]
    pub bind: String,
    /// Look at flags, claude, workspace, store and tokens, say what was found, and end; exit code 1 if it would not start
    #[arg(long, env = "CLAUDE_WS_CHECK")]
    pub check: bool,
    /// Log level: error, warn, info, debug, trace, or env_logger's filters; logs go to stderr
    #[arg(long, env = "CLAUDE_WS_LOG", default_value = "info", value_parser = log_filter, value_name = "LEVEL")]
    log: String,
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    sessions: SessionArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    doors: DoorArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    times: TimeArgs,
}

/// The agent.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Claude Code")]
struct AgentArgs {
    /// The Claude Code binary: a path, or a name to look up in PATH
    #[arg(long, env = "CLAUDE_WS_CLAUDE_BIN", default_value = "claude", value_name = "PATH")]
    claude_bin: PathBuf,
    /// Model of sessions that name none
    #[arg(long, env = "CLAUDE_WS_MODEL", value_name = "MODEL")]
    model: Option<String>,
    /// Directory under which working directories must lie; the first one is where sessions work that name none
    /// [default: the current directory]
    #[arg(long, env = "CLAUDE_WS_WORKSPACE_ROOT", value_name = "DIR", value_delimiter = ':')]
    workspace_root: Vec<PathBuf>,
    /// Home of the agents (CLAUDE_CONFIG_DIR): their settings, credentials and transcripts. Gateways that share a store must share it
    /// [default: Claude Code's own]
    #[arg(long, env = "CLAUDE_WS_AGENT_HOME", value_name = "DIR")]
    agent_home: Option<PathBuf>,
    /// Let clients ask for permission mode "bypass"
    #[arg(long, env = "CLAUDE_WS_ALLOW_BYPASS")]
    allow_bypass: bool,
    /// Take no MCP servers from clients: a stdio server is a command that runs unasked
    #[arg(long, env = "CLAUDE_WS_NO_CLIENT_MCP", conflicts_with = "allow_client_mcp")]
    no_client_mcp: bool,
    /// Take only such MCP servers from clients: "[NAME=VALUE…] COMMAND [ARGUMENT…]" or an address; `*` at the end of a word for anything
    #[arg(long, env = "CLAUDE_WS_ALLOW_CLIENT_MCP", value_name = "PATTERN", value_delimiter = '\n')]
    allow_client_mcp: Vec<String>,
    /// Let sessions send each other messages (Claude Code's SendMessage), which start turns unasked; only where all clients are one
    /// person's
    #[arg(long, env = "CLAUDE_WS_ALLOW_CROSS_SESSION")]
    allow_cross_session: bool,
    /// Pass on content blocks of types that the gateway does not know, which the API refuses where it does not know them either
    #[arg(long, env = "CLAUDE_WS_ALLOW_UNKNOWN_BLOCKS")]
    allow_unknown_blocks: bool,
    /// Replace the model by a script, so that everything works without credentials and without the internet
    #[arg(long, env = "CLAUDE_WS_DEMO")]
    demo: bool,
    /// The script for --demo (see docs/demo-script.md); implies --demo
    #[arg(long, env = "CLAUDE_WS_DEMO_SCRIPT", value_name = "FILE")]
    demo_script: Option<PathBuf>,
}

/// Sessions.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sessions")]
struct SessionArgs {
    /// Where sessions are kept [default: $XDG_STATE_HOME/claude-ws or ~/.local/state/claude-ws; with --demo: claude-ws-demo]
    #[arg(long, env = "CLAUDE_WS_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep sessions in memory only
    #[arg(long, env = "CLAUDE_WS_EPHEMERAL", conflicts_with_all = ["data_dir", "store"])]
    ephemeral: bool,
    /// Do not serve the web console
    #[arg(long, env = "CLAUDE_WS_NO_CONSOLE")]
    no_console: bool,
}

/// Who may connect.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who may connect")]
struct DoorArgs {
    /// File with a token a line, `name:token` or just a token; read again on SIGHUP
    #[arg(long, env = "CLAUDE_WS_AUTH_TOKEN_FILE", value_name = "FILE")]
    auth_token_file: Option<PathBuf>,
    /// Origin of pages that may connect besides the server's own, e.g. https://app.example.org
    #[arg(long, env = "CLAUDE_WS_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<String>,
    /// Proxy whose X-Forwarded-For is believed: an address, a network (10.0.0.0/8), or "unix"
    #[arg(long, env = "CLAUDE_WS_TRUSTED_PROXY", value_name = "ADDR", value_delimiter = ',')]
    trusted_proxy: Vec<String>,
}

/// How much of everything.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Largest client frame in bytes; larger: close 1009
    #[arg(long, env = "CLAUDE_WS_MAX_MESSAGE_BYTES", default_value = "8388608", value_parser = at_least_one::<usize>, value_name = "BYTES")]
    max_message_bytes: usize,
    /// Client frames that are still coming in, all connections together, in bytes; more: close 1013
    #[arg(long, env = "CLAUDE_WS_MAX_INBOUND_BYTES", default_value = "268435456", value_parser = at_least_one::<usize>, value_name = "BYTES")]
    max_inbound_bytes: usize,
    /// Longest line of an agent in bytes; longer: skipped with a warning
    #[arg(long, env = "CLAUDE_WS_MAX_AGENT_LINE", default_value = "67108864", value_parser = at_least_one::<usize>, value_name = "BYTES")]
    max_agent_line: usize,
    /// Bytes that may wait for an agent that does not read its input; more: it is killed
    #[arg(long, env = "CLAUDE_WS_MAX_AGENT_INPUT", default_value = "16777216", value_parser = at_least_one::<usize>, value_name = "BYTES")]
    max_agent_input: usize,
    /// Agent processes at once [default: one for each 400 MB of memory, at least 4]
    #[arg(long, env = "CLAUDE_WS_MAX_AGENTS", value_parser = at_least_one::<usize>, value_name = "N")]
    max_agents: Option<usize>,
    /// Agents that are started before anybody asks, for new sessions with default options; they count as agents and are the
    /// first to go when another session needs the slot
    #[arg(long, env = "CLAUDE_WS_WARM_AGENTS", default_value = "0", value_name = "N")]
    warm_agents: usize,
    /// Sessions that may wait for an agent slot; more: the message fails with agent_unavailable
    #[arg(long, env = "CLAUDE_WS_MAX_WAITING", default_value = "1000", value_name = "N")]
    max_waiting: usize,
    /// Messages that may wait in one session; more: error queue_full
    #[arg(long, env = "CLAUDE_WS_MAX_QUEUE", default_value = "64", value_name = "N")]
    max_queue: usize,
    /// Bytes of the messages that wait in one session; more: error queue_full
    #[arg(long, env = "CLAUDE_WS_MAX_QUEUE_BYTES", default_value = "33554432", value_name = "BYTES")]
    max_queue_bytes: usize,
    /// Permission prompts that may be open in one session; more are denied
    #[arg(long, env = "CLAUDE_WS_MAX_PROMPTS", default_value = "256", value_name = "N")]
    max_prompts: usize,
    /// Sessions of one owner that have not ended; more: error capacity
    #[arg(long, env = "CLAUDE_WS_MAX_SESSIONS_PER_OWNER", default_value = "10000", value_parser = at_least_one::<usize>, value_name = "N")]
    max_sessions_per_owner: usize,
    /// Ended sessions of one owner that are kept, 0 for no limit; more: the longest unused are deleted
    #[arg(long, env = "CLAUDE_WS_MAX_ENDED_PER_OWNER", default_value = "10000", value_name = "N")]
    max_ended_per_owner: usize,
    /// Connections attached to one session; more: error capacity
    #[arg(long, env = "CLAUDE_WS_MAX_ATTACHED", default_value = "1000", value_parser = at_least_one::<usize>, value_name = "N")]
    max_attached: usize,
    /// Connections at once; more: 503
    #[arg(long, env = "CLAUDE_WS_MAX_CONNECTIONS", default_value = "20000", value_parser = at_least_one::<usize>, value_name = "N")]
    max_connections: usize,
    /// Connections of one address at once; more: 503
    #[arg(long, env = "CLAUDE_WS_MAX_CONNECTIONS_PER_ADDRESS", default_value = "20000", value_parser = at_least_one::<usize>, value_name = "N")]
    max_connections_per_address: usize,
    /// Frames a second of one connection, 0 for no limit; more: error rate_limited, then close 1008
    #[arg(long, env = "CLAUDE_WS_MAX_FRAME_RATE", default_value = "500", value_name = "N")]
    max_frame_rate: u32,
    /// Frames that one message may be cut into; more: close 1009
    #[arg(long, env = "CLAUDE_WS_MAX_FRAGMENTS", default_value = "131072", value_parser = at_least_one::<u32>, value_name = "N")]
    max_fragments: u32,
    /// Bytes of a request head; more: 431
    #[arg(long, env = "CLAUDE_WS_MAX_HEADER_BYTES", default_value = "16384", value_parser = at_least_one::<usize>, value_name = "BYTES")]
    max_header_bytes: usize,
    /// Nesting of a client's JSON; deeper: error invalid_message
    #[arg(long, env = "CLAUDE_WS_MAX_JSON_DEPTH", default_value = "64", value_parser = at_least_one::<usize>, value_name = "N")]
    max_json_depth: usize,
    /// Bytes of events that each session keeps in memory; older ones are read from the store
    #[arg(long, env = "CLAUDE_WS_LOG_WINDOW", default_value = "4194304", value_name = "BYTES")]
    log_window: usize,
    /// Bytes of the store, 0 for no limit; more: the oldest ended and dormant sessions are deleted
    #[arg(long, env = "CLAUDE_WS_MAX_STORE_BYTES", default_value = "10737418240", value_name = "BYTES")]
    max_store_bytes: u64,
    /// Bytes of events that may wait for a store that cannot be written; more: the oldest are dropped unstored
    #[arg(long, env = "CLAUDE_WS_MAX_UNSTORED_BYTES", default_value = "268435456", value_parser = at_least_one::<usize>, value_name = "BYTES")]
    max_unstored_bytes: usize,
}

/// How long everything may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Times (15s, 500ms, 10min)")]
struct TimeArgs {
    /// Time between heartbeats; a peer silent for two of them: close 4000
    #[arg(long, env = "CLAUDE_WS_HEARTBEAT", default_value = "15s", value_parser = some_time, value_name = "TIME")]
    heartbeat: Duration,
    /// How long a session without connections keeps its agent
    #[arg(long, env = "CLAUDE_WS_SESSION_GRACE", default_value = "10min", value_parser = time, value_name = "TIME")]
    session_grace: Duration,
    /// How long an agent without a turn stays up
    #[arg(long, env = "CLAUDE_WS_AGENT_IDLE", default_value = "10min", value_parser = time, value_name = "TIME")]
    agent_idle: Duration,
    /// How long a background task keeps its agent up without a sign of life
    #[arg(long, env = "CLAUDE_WS_TASK_LIMIT", default_value = "1h", value_parser = time, value_name = "TIME")]
    task_limit: Duration,
    /// The same for what the agent has scheduled
    #[arg(long, env = "CLAUDE_WS_SCHEDULE_LIMIT", default_value = "24h", value_parser = time, value_name = "TIME")]
    schedule_limit: Duration,
    /// How long a session waits for a slot before one whose agent has nothing but background tasks gives its own
    #[arg(long, env = "CLAUDE_WS_SLOT_PATIENCE", default_value = "30s", value_parser = time, value_name = "TIME")]
    slot_patience: Duration,
    /// How long a warm agent may wait to be taken; then a new one takes its place
    #[arg(long, env = "CLAUDE_WS_WARM_AGENT_AGE", default_value = "30min", value_parser = time, value_name = "TIME")]
    warm_agent_age: Duration,
    /// How long dormant and ended sessions are kept
    #[arg(long, env = "CLAUDE_WS_RETENTION", default_value = "7days", value_parser = time, value_name = "TIME")]
    retention: Duration,
    /// How long a permission prompt stays open before it is denied [default: for ever]
    #[arg(long, env = "CLAUDE_WS_PERMISSION_TIMEOUT", value_parser = time, value_name = "TIME")]
    permission_timeout: Option<Duration>,
    /// How long a client tool may take before it fails [default: for ever]
    #[arg(long, env = "CLAUDE_WS_CLIENT_TOOL_TIMEOUT", value_parser = time, value_name = "TIME")]
    client_tool_timeout: Option<Duration>,
    /// How long running turns get to finish when the server goes down
    #[arg(long, env = "CLAUDE_WS_DRAIN", default_value = "30s", value_parser = time, value_name = "TIME")]
    drain: Duration,
    /// How long an agent may take to start before it is killed
    #[arg(long, env = "CLAUDE_WS_AGENT_START_TIMEOUT", default_value = "60s", value_parser = some_time, value_name = "TIME")]
    agent_start_timeout: Duration,
    /// How long an agent may take to heed an interrupt before it is killed
    #[arg(long, env = "CLAUDE_WS_INTERRUPT_TIMEOUT", default_value = "10s", value_parser = some_time, value_name = "TIME")]
    interrupt_timeout: Duration,
    /// How long a socket may accept no byte while there is something to send
    #[arg(long, env = "CLAUDE_WS_SEND_TIMEOUT", default_value = "30s", value_parser = some_time, value_name = "TIME")]
    send_timeout: Duration,
    /// How long a request head may take
    #[arg(long, env = "CLAUDE_WS_HEADER_TIMEOUT", default_value = "10s", value_parser = some_time, value_name = "TIME")]
    header_timeout: Duration,
}

impl Cli {
    /// Whether the model is replaced by a script.
    pub fn is_demo(&self) -> bool {
        self.agent.demo || self.agent.demo_script.is_some()
    }

    /// The script's file; none: the built-in one.
    pub fn demo_script(&self) -> Option<&PathBuf> {
        self.agent.demo_script.as_ref()
    }

    /// `env_logger`'s filter.
    pub fn log_filter(&self) -> &str {
        &self.log
    }

    /// Those of the environment's variables that begin as this command's settings do and are none.
    pub fn unknown_variables() -> Vec<String> {
        variables::unknown(std::env::vars_os().map(|(name, _)| name))
    }

    /// The configuration that the flags say.
    pub fn into_config(self) -> Config {
        let is_demo = self.is_demo();
        let Self { agent, sessions, store, doors, limits, times, .. } = self;
        let roots = agent.workspace_root;
        Config {
            claude_bin: agent.claude_bin,
            model: agent.model,
            workspace_roots: if roots.is_empty() { vec![".".into()] } else { roots },
            data_dir: data_dir(sessions.data_dir, sessions.ephemeral, is_demo),
            shared: store.into_shared(),
            allow_bypass: agent.allow_bypass,
            client_mcp: (agent.no_client_mcp || !agent.allow_client_mcp.is_empty())
                .then_some(agent.allow_client_mcp),
            allow_cross_session: agent.allow_cross_session,
            allow_unknown_blocks: agent.allow_unknown_blocks,
            console: !sessions.no_console,
            agent_home: agent.agent_home,
            agent_env: Vec::new(),
            agent_env_remove: Vec::new(),
            doors: Doors {
                token_file: doors.auth_token_file,
                origins: doors.allow_origin,
                proxies: doors.trusted_proxy,
            },
            limits: limits.into_limits(),
            times: times.into_times(),
        }
    }
}

impl LimitArgs {
    fn into_limits(self) -> Limits {
        Limits {
            max_message_bytes: self.max_message_bytes,
            max_inbound_bytes: self.max_inbound_bytes,
            max_agent_line: self.max_agent_line,
            max_agent_input: self.max_agent_input,
            max_agents: self.max_agents.unwrap_or_else(|| Limits::default().max_agents),
            warm_agents: self.warm_agents,
            max_waiting: self.max_waiting,
            max_queue: self.max_queue,
            max_queue_bytes: self.max_queue_bytes,
            max_prompts: self.max_prompts,
            max_sessions_per_owner: self.max_sessions_per_owner,
            max_ended_per_owner: (self.max_ended_per_owner > 0).then_some(self.max_ended_per_owner),
            max_attached: self.max_attached,
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            max_frame_rate: self.max_frame_rate,
            max_fragments: self.max_fragments,
            max_header_bytes: self.max_header_bytes,
            max_json_depth: self.max_json_depth,
            log_window: self.log_window,
            max_store_bytes: (self.max_store_bytes > 0).then_some(self.max_store_bytes),
            max_unstored_bytes: self.max_unstored_bytes,
        }
    }
}

impl TimeArgs {
    fn into_times(self) -> Times {
        Times {
            heartbeat: self.heartbeat,
            session_grace: self.session_grace,
            agent_idle: self.agent_idle,
            task_limit: self.task_limit,
            schedule_limit: self.schedule_limit,
            slot_patience: self.slot_patience,
            warm_agent_age: self.warm_agent_age,
            retention: self.retention,
            permission_timeout: self.permission_timeout,
            client_tool_timeout: self.client_tool_timeout,
            drain: self.drain,
            agent_start: self.agent_start_timeout,
            interrupt: self.interrupt_timeout,
            send: self.send_timeout,
            header: self.header_timeout,
        }
    }
}

/// The directory given, else one in the user's state directory; without a home there is nowhere to keep anything.
///
/// A demo has its own: its conversations are not known to the user's own Claude Code, so its sessions could not go on there.
fn data_dir(given: Option<PathBuf>, ephemeral: bool, is_demo: bool) -> DataDir {
    if ephemeral {
        return DataDir::Ephemeral;
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let name = if is_demo { "claude-ws-demo" } else { "claude-ws" };
    match given.or_else(|| state.map(|state| state.join(name))) {
        Some(path) => DataDir::Path(path),
        None => DataDir::Ephemeral,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_environment_variable() {
        for arg in
            Cli::command().get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
        {
            let long = arg.get_long().expect("every flag has a long name");
            let variable = format!("CLAUDE_WS_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(variable.as_str()), "--{long}");
        }
    }

    /// A deadline beyond what the clock can hold was a panic in every session.
    #[test]
    fn a_time_that_no_clock_can_hold_is_refused() {
        let read = |time: &str| Cli::try_parse_from(["claude-ws", "--session-grace", time]);
        for time in ["500000000000years", "36501days"] {
            let problem = read(time).expect_err("too long").to_string();
            assert!(problem.contains("100 years"), "{problem}");
        }
        let times = read("36500days").unwrap().into_config().times;
        assert!(std::time::Instant::now().checked_add(times.session_grace * 2).is_some());
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let cli = Cli::parse_from([
            "claude-ws",
            "--heartbeat",
            "500ms",
            "--session-grace",
            "10min",
            "--drain",
            "15s",
        ]);
        let times = cli.into_config().times;
        assert_eq!(times.heartbeat.as_millis(), 500);
        assert_eq!(times.session_grace.as_secs(), 600);
        assert_eq!(times.drain.as_secs(), 15);
    }
}
