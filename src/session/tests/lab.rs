//! Sessions as handlers find them, without a gateway around. Unless told otherwise their agents cannot be started, so that every
//! turn ends in an error: that is enough for most.

use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use crate::agent::{AgentLimits, Instance, Spawner};
use crate::log::{Cursor, Doorbell, Progress};
use crate::protocol::{Json, ServerInfo, SessionConfig, UserMessage};
use crate::session::state::{Attach, ReplayFrom};
use crate::session::warm::WarmAgents;
use crate::session::{
    AgentPool, Answer, Client, ClientId, Command, Launcher, OpenError, Registry, Resolved, SessionHandle,
    SessionLimits, Shared, Starts,
};
use crate::store::{DataDir, SqliteStore, Store};

pub(super) const ME: &str = "me";

pub(super) struct Lab {
    pub(super) registry: Arc<Registry>,
    pub(super) shared: Arc<Shared>,
}

impl Lab {
    pub(super) async fn new(limits: SessionLimits, store: Option<Arc<dyn Store>>) -> Self {
        Self::with(limits, store, PathBuf::from("/nonexistent/claude"), 1 << 20).await
    }

    pub(super) async fn with(
        limits: SessionLimits,
        store: Option<Arc<dyn Store>>,
        program: PathBuf,
        log_window: usize,
    ) -> Self {
        let tasks = TaskTracker::new();
        let spawner = Spawner::new(tasks.clone(), crate::lookup::Lookup::new());
        Self::of(limits, store, (program, spawner), log_window, tasks).await
    }

    pub(super) async fn of(
        limits: SessionLimits,
        store: Option<Arc<dyn Store>>,
        (program, spawner): (PathBuf, Spawner),
        log_window: usize,
        tasks: TaskTracker,
    ) -> Self {
        let limits = SessionLimits { stored: store.is_some(), ..limits };
        let stored = match &store {
            Some(store) => store.sessions().await.unwrap(),
            None => Vec::new(),
        };
        let shared = Arc::new(Shared {
            limits: Arc::new(limits),
            server: ServerInfo {
                name: "t".to_owned(),
                version: "0".to_owned(),
                protocol: 1,
                heartbeat_ms: 1,
                max_message_bytes: 1,
            },
            pool: AgentPool::new(1, 10),
            warm: WarmAgents::default(),
            launcher: Launcher {
                spawner: Arc::new(spawner),
                program,
                env: Vec::new(),
                env_remove: Vec::new(),
                instance: Instance::new("registry-tests").unwrap(),
                scratch_dir: std::env::temp_dir().join("claude-ws-registry-tests"),
                roots: None,
                limits: AgentLimits::default(),
            },
            store,
            log_window,
            metrics: Arc::default(),
            starts: Starts::default(),
            run: "r".to_owned(),
            replies: AtomicU64::new(0),
        });
        Self { registry: Registry::new(Arc::clone(&shared), stored, 3, tasks), shared }
    }

    pub(super) async fn plain() -> Self {
        Self::new(SessionLimits::default(), None).await
    }

    pub(super) async fn open(&self, id: &str, owner: &str) -> Result<(SessionHandle, bool), OpenError> {
        self.registry
            .open(id, &owner.into(), &anywhere, ready(Ok::<_, OpenError>(SessionConfig::default())))
            .await
    }
}

pub(super) struct Me {
    pub(super) client: Client,
    pub(super) notices: mpsc::Receiver<Utf8Bytes>,
}

pub(super) fn client(id: u64) -> Me {
    let (sender, notices) = mpsc::channel(8);
    Me { client: Client { id: ClientId(id), notices: sender, doorbell: Doorbell::new() }, notices }
}

pub(super) fn attach(created: bool) -> Command {
    let from = ReplayFrom { last_seq: Some(0), ..ReplayFrom::default() };
    Command::Attach(Attach { from, options: None, created })
}

pub(super) fn say() -> Command {
    Command::UserMessage(UserMessage { content: Json::of("x").unwrap(), parent_tool_use_id: None })
}

impl Me {
    pub(super) async fn attach(&self, handle: &SessionHandle, created: bool) -> Answer {
        handle.command(&self.client, "attach".to_owned(), attach(created)).await.expect("an answer")
    }

    /// Reads until an event of this type has come for `request_id`; gives all that was read.
    pub(super) async fn read_until(
        &self,
        cursor: &mut Cursor,
        kind: &str,
        request_id: Option<&str>,
    ) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let mut frames = Vec::new();
            let progress = cursor.read(&mut frames, 1 << 16).await;
            events.extend(frames.iter().map(|frame| serde_json::from_str::<Value>(frame).unwrap()));
            let is_it = |event: &Value| {
                event["type"] == kind && request_id.is_none_or(|id| event["request_id"] == id)
            };
            if events.iter().any(is_it) {
                return events;
            }
            match progress {
                Progress::Closed => panic!("it ended without {kind}: {events:?}"),
                Progress::CaughtUp => self.client.doorbell.wait(&mut Vec::new()).await,
                _ => {}
            }
        }
    }
}

pub(super) fn code(answer: &Answer) -> Value {
    let last: Value = serde_json::from_str(answer.frames.last().unwrap()).unwrap();
    last["code"].clone()
}

pub(super) fn sqlite(dir: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(DataDir::open(dir.path()).unwrap(), 1 << 20).unwrap())
}

/// Every directory will do.
pub(super) fn anywhere(paths: Vec<String>) -> Resolved {
    Box::pin(ready(paths.into_iter().map(Ok).collect()))
}
