//! From a configuration to a gateway.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::metrics::{Exporter, Sampler};
use super::{Gateway, GatewayService};
use crate::agent::{self, AgentLimits, BadInstance, Instance, Spawner};
use crate::config::{Config, DataDir};
use crate::connection;
use crate::dispatch::{BadRoot, Dispatch, Elsewhere, WorkspaceRoots};
use crate::lookup::Lookup;
use crate::nodes::Nodes;
use crate::protocol::parse::FrameLimits;
use crate::protocol::{self, ServerInfo};
use crate::server::{
    self, AllowedOrigins, BadOrigin, BadProxy, BadTokens, TokenStore, Tokens, TrustedProxies,
};
use crate::session::client_mcp::{BadPattern, ClientMcp};
use crate::session::warm::{self, Warm};
use crate::session::{AgentPool, Launcher, Registry, SessionLimits, Shared, Starts, WarmAgents};
use crate::store::{
    self, DataDirError, OpenError, RedisError, RedisStore, SqliteStore, Store, StoreError, StoredSession,
};

/// How long the sweep of an earlier run's processes may take.
const SWEEP: Duration = Duration::from_secs(10);

/// Why a gateway cannot be put together. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A workspace root is unusable.
    #[error(transparent)]
    Root(#[from] BadRoot),
    /// The data directory is unusable.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The shared store cannot be used.
    #[error("--store: {0}")]
    Redis(#[from] RedisError),
    /// The shared store's flags are wrong, or a file that they name cannot be read.
    #[error("{0}")]
    SharedStore(String),
    /// The store cannot be read.
    #[error("cannot read the stored sessions: {0}")]
    Read(#[from] StoreError),
    /// The tokens file is unusable.
    #[error("--auth-token-file: {0}")]
    Tokens(#[from] BadTokens),
    /// An origin that is none.
    #[error("--allow-origin: {0}")]
    Origin(#[from] BadOrigin),
    /// A proxy that is none.
    #[error("--trusted-proxy: {0}")]
    Proxy(#[from] BadProxy),
    /// No pattern of MCP servers.
    #[error("--allow-client-mcp: {0}")]
    ClientMcp(#[from] BadPattern),
    /// The data directory's id is no id.
    #[error(transparent)]
    Instance(#[from] BadInstance),
    /// The agents' home cannot be made.
    #[error("--agent-home {0}: {1}")]
    AgentHome(PathBuf, io::Error),
    /// The system refuses a thread or a directory.
    #[error("{0}")]
    Io(#[from] io::Error),
}

pub(super) async fn gateway(config: Config) -> Result<Gateway, BuildError> {
    let tasks = TaskTracker::new();
    let lookup = Lookup::new();
    let roots = WorkspaceRoots::new(&config.workspace_roots, lookup.clone())?;
    let tokens = match &config.doors.token_file {
        Some(path) => Some(Tokens::load(path).await?),
        None => None,
    };
    let home = Home::open(&config).await?;
    let shared = Arc::new(shared(&config, &home, &roots, &tasks, lookup)?);
    let limits = &config.limits;
    let warm = Warm {
        agents: limits.warm_agents,
        max_age: config.times.warm_agent_age,
        cwd: roots.first().to_owned(),
    };
    let registry =
        Registry::new(Arc::clone(&shared), home.sessions, limits.max_sessions_per_owner, tasks.clone());
    let done = CancellationToken::new();
    let nodes = Nodes::new(&registry, done.child_token());
    let dispatch = Arc::new(Dispatch {
        registry: Arc::clone(&registry),
        limits: FrameLimits {
            depth: limits.max_json_depth,
            unknown_blocks: config.allow_unknown_blocks,
            ..FrameLimits::default()
        },
        roots,
        elsewhere: nodes.clone().map(|nodes| nodes as Arc<dyn Elsewhere>),
    });
    let settings = server_settings(&config, tokens)?;
    let exporter = Exporter::new(Sampler {
        registry: Arc::clone(&registry),
        stats: Arc::clone(&settings.stats),
        store: home.store.clone(),
        max_agents: limits.max_agents.max(1),
    });
    // Last: a gateway that cannot be put together leaves nothing running.
    if let Some(nodes) = &nodes {
        nodes.serve(&dispatch);
    }
    if warm.agents > 0 {
        let (keeping, gone) = (warm::keep(Arc::clone(&shared), warm, tasks.clone()), done.clone());
        tasks.spawn(async move {
            let mut keeping = std::pin::pin!(keeping);
            tokio::select! {
                // Drained, which waits for this task.
                () = &mut keeping => return,
                // Dropped without having served anybody: there was no drain.
                () = gone.cancelled() => shared.warm.close(),
            }
            keeping.await;
        });
    }
    Ok(Gateway {
        service: Arc::new(GatewayService::new(dispatch, exporter, config.console)),
        registry,
        store: home.store,
        nodes,
        settings,
        drain: config.times.drain,
        sweeper: Sweeper { instance: home.instance, scratch_dir: home.scratch_dir },
        retention: super::retention(limits, config.times.retention),
        tasks,
        done: done.drop_guard(),
    })
}

/// What outlives the process: the store, and the name by which leftover processes are known.
struct Home {
    instance: Instance,
    scratch_dir: PathBuf,
    store: Option<Arc<dyn Store>>,
    sessions: Vec<StoredSession>,
}

impl Home {
    async fn open(config: &Config) -> Result<Self, BuildError> {
        let max_unstored = config.limits.max_unstored_bytes;
        let DataDir::Path(path) = &config.data_dir else {
            if config.shared.is_some() {
                let text = "--store: this gateway needs a --data-dir too, for what is its own";
                return Err(BuildError::SharedStore(text.to_owned()));
            }
            let id = Uuid::new_v4().to_string();
            let scratch_dir = std::env::temp_dir().join(format!("claude-ws-{id}"));
            return Ok(Self {
                instance: Instance::new(&id)?,
                scratch_dir,
                store: None,
                sessions: Vec::new(),
            });
        };
        let dir = store::DataDir::open(path)?;
        let instance = Instance::new(&dir.instance_id().to_string())?;
        let scratch_dir = path.join("agents");
        // Before anything is resumed: an agent of a gateway that was killed may still be writing its transcript.
        sweep(instance.clone(), scratch_dir.clone()).await;
        if let Some(shared) = &config.shared {
            let options = super::shared_store::options(shared).map_err(BuildError::SharedStore)?;
            log::info!("store: {}", options.address);
            // Its tasks are its own: it is closed after everybody else's have ended.
            let store = RedisStore::open(dir, options, max_unstored, TaskTracker::new()).await?;
            // The sessions are everybody's: each is looked for when somebody asks for it.
            return Ok(Self { instance, scratch_dir, store: Some(Arc::new(store)), sessions: Vec::new() });
        }
        let store = SqliteStore::open(dir, max_unstored)?;
        let sessions = store.sessions().await?;
        log::info!("store: {}, {}", path.display(), super::check::counted_sessions(&sessions.len()));
        Ok(Self { instance, scratch_dir, store: Some(Arc::new(store)), sessions })
    }
}

/// Ends every process that carries the gateway's marker.
#[derive(Debug, Clone)]
pub struct Sweeper {
    instance: Instance,
    scratch_dir: PathBuf,
}

impl Sweeper {
    /// Does it, on this thread; some milliseconds where nothing resists.
    pub fn sweep(&self) {
        let _ = agent::sweep(&self.instance, Some(&self.scratch_dir), SWEEP);
        self.leave();
    }

    /// What is left after an orderly end is an empty directory. (One that is not empty stays: its agent is on its way still.)
    pub(super) fn leave(&self) {
        let _ = std::fs::remove_dir(&self.scratch_dir);
    }
}

async fn sweep(instance: Instance, scratch_dir: PathBuf) {
    let swept = tokio::task::spawn_blocking(move || agent::sweep(&instance, Some(&scratch_dir), SWEEP)).await;
    match swept {
        Ok(swept) if swept.killed > 0 || swept.left > 0 => {
            log::warn!("ended {} processes of an earlier run; {} would not go", swept.killed, swept.left);
        }
        Ok(_) => {}
        Err(problem) => log::error!("the sweep of an earlier run's processes failed: {problem}"),
    }
}

fn shared(
    config: &Config,
    home: &Home,
    roots: &WorkspaceRoots,
    tasks: &TaskTracker,
    lookup: Lookup,
) -> Result<Shared, BuildError> {
    let (limits, times) = (&config.limits, &config.times);
    let run = Uuid::new_v4().simple().to_string();
    Ok(Shared {
        limits: Arc::new(SessionLimits {
            max_json_depth: limits.max_json_depth,
            max_queue: limits.max_queue,
            max_queue_bytes: limits.max_queue_bytes,
            max_prompts: limits.max_prompts,
            max_attached: limits.max_attached,
            permission_timeout: times.permission_timeout,
            client_tool_timeout: times.client_tool_timeout,
            start_timeout: times.agent_start,
            interrupt_timeout: times.interrupt,
            agent_idle: times.agent_idle,
            task_limit: times.task_limit,
            schedule_limit: times.schedule_limit,
            slot_patience: times.slot_patience,
            session_grace: times.session_grace,
            retention: times.retention,
            allow_bypass: config.allow_bypass,
            client_mcp: config.client_mcp.as_deref().map(ClientMcp::only).transpose()?.unwrap_or_default(),
            allow_cross_session: config.allow_cross_session,
            stored: home.store.is_some(),
            default_model: config.model.clone(),
        }),
        server: ServerInfo {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: protocol::VERSION,
            heartbeat_ms: u64::try_from(times.heartbeat.as_millis()).unwrap_or(u64::MAX),
            max_message_bytes: limits.max_message_bytes as u64,
        },
        pool: AgentPool::new(limits.max_agents, limits.max_waiting),
        warm: WarmAgents::default(),
        launcher: Launcher {
            spawner: Arc::new(Spawner::new(tasks.clone(), lookup)),
            program: config.claude_bin.clone(),
            env: agent_env(config)?,
            env_remove: config.agent_env_remove.iter().cloned().chain(own_variables()).collect(),
            instance: home.instance.clone(),
            scratch_dir: home.scratch_dir.clone(),
            roots: Some(roots.all()),
            limits: AgentLimits {
                max_line: limits.max_agent_line,
                stdin_queue_bytes: limits.max_agent_input,
                ..AgentLimits::default()
            },
        },
        store: home.store.clone(),
        log_window: limits.log_window,
        metrics: Arc::default(),
        starts: Starts::default(),
        run: run[..8].to_owned(),
        replies: AtomicU64::new(0),
    })
}

fn server_settings(config: &Config, tokens: Option<Tokens>) -> Result<server::Settings, BuildError> {
    let (limits, times) = (&config.limits, &config.times);
    Ok(server::Settings {
        max_connections: limits.max_connections,
        max_per_address: limits.max_connections_per_address,
        header_timeout: times.header,
        max_header_bytes: limits.max_header_bytes,
        answer_timeout: times.send,
        tokens: tokens.map(|tokens| Arc::new(TokenStore::new(tokens))),
        origins: AllowedOrigins::parse(config.doors.origins.iter().map(String::as_str))?,
        proxies: TrustedProxies::parse(config.doors.proxies.iter().map(String::as_str))?,
        connection: Arc::new(connection::Settings {
            max_message_bytes: limits.max_message_bytes,
            max_inbound_bytes: limits.max_inbound_bytes,
            heartbeat: times.heartbeat,
            send_timeout: times.send,
            max_frame_rate: limits.max_frame_rate,
            max_fragments: limits.max_fragments,
            ..connection::Settings::default()
        }),
        ..server::Settings::default()
    })
}

/// What agents get, their home last, so that it holds.
fn agent_env(config: &Config) -> Result<Vec<(OsString, OsString)>, BuildError> {
    let mut env = config.agent_env.clone();
    if let Some(home) = &config.agent_home {
        let failed = |problem: io::Error| BuildError::AgentHome(home.clone(), problem);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(failed)?;
        // Agents work elsewhere.
        env.push(("CLAUDE_CONFIG_DIR".into(), std::path::absolute(home).map_err(failed)?.into()));
    }
    Ok(env)
}

/// The gateway's own settings: agents run what others tell them, and have no business knowing its paths and doors.
fn own_variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.as_encoded_bytes().starts_with(b"CLAUDE_WS_"))
}

/// What `claude --version` says. `patience`: how long it may take; a busy machine needs a while to load it.
pub(super) async fn claude_version(program: &Path, patience: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    for name in own_variables() {
        command.env_remove(name);
    }
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(patience, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(problem)) => return Err(format!("cannot run {}: {problem}", program.display())),
        Err(_) => return Err(format!("{} --version does not come to an end", program.display())),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    match said.split_whitespace().next() {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => Err(format!("{} --version failed ({})", program.display(), output.status)),
    }
}
