//! One test's surroundings, and its orderly end.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claude_ws::config::Config;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{Cli, Client, Server, Transcript, check};

/// Tests with a real CLI that run at a time: each process takes some 250 MB, and a core while it starts.
static PLACES: Semaphore = Semaphore::const_new(6);
/// How long a test may take, the wait for its place not counted.
const OVERALL: Duration = Duration::from_secs(150);

/// What a test works with.
pub(crate) struct Lab {
    /// Which real CLI; `None`: the fake one.
    pub(crate) cli: Option<Cli>,
    program: PathBuf,
    /// The environment entry that every process of this lab carries.
    mark: (OsString, OsString),
    /// Readers of connections.
    tasks: TaskTracker,
    servers: Mutex<Vec<Arc<Server>>>,
    pub(super) transcripts: Arc<Mutex<Vec<Arc<Transcript>>>>,
}

/// Runs `flow` with a real CLI.
pub(crate) fn real(cli: Cli, flow: impl AsyncFnOnce(&Lab)) {
    run(Some(cli), cli.path(), flow);
}

/// Runs `flow` with the fake CLI.
pub(crate) fn fake(flow: impl AsyncFnOnce(&Lab)) {
    run(None, crate::locate::fake_claude().to_owned(), flow);
}

fn run(cli: Option<Cli>, program: PathBuf, flow: impl AsyncFnOnce(&Lab)) {
    // RUST_LOG=info cargo test --test it -- NAME shows the gateway's log.
    let _ = env_logger::Builder::from_env("RUST_LOG").try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let _place = if cli.is_some() { Some(PLACES.acquire().await.unwrap()) } else { None };
        let lab = Lab::new(cli, program);
        let flow = AssertUnwindSafe(flow(&lab)).catch_unwind();
        let outcome = tokio::time::timeout(OVERALL, flow).await;
        let ended = AssertUnwindSafe(lab.end()).catch_unwind().await;
        match (outcome, ended) {
            (Ok(Ok(())), Ok(())) => {}
            (Err(_), _) => {
                lab.print();
                panic!("the test did not come to its end within {OVERALL:?}");
            }
            (Ok(Err(panic)), _) | (_, Err(panic)) => {
                lab.print();
                resume_unwind(panic);
            }
        }
    });
}

impl Lab {
    fn new(cli: Option<Cli>, program: PathBuf) -> Self {
        let mark = ("CLAUDE_WS_TEST_LAB".into(), uuid::Uuid::new_v4().to_string().into());
        Self {
            cli,
            program,
            mark,
            tasks: TaskTracker::new(),
            servers: Mutex::default(),
            transcripts: Arc::default(),
        }
    }

    /// A gateway with the built-in demo script.
    pub(crate) async fn server(&self) -> Arc<Server> {
        self.server_with(|_| ()).await
    }

    /// The same, configured otherwise.
    pub(crate) async fn server_with(&self, configure: impl FnOnce(&mut Config)) -> Arc<Server> {
        self.start(None, configure).await
    }

    /// A gateway whose (real) agents speak with a model that plays this script; see `docs/demo-script.md`.
    pub(crate) async fn scripted_server(&self, script: &serde_json::Value) -> Arc<Server> {
        self.start(Some(script), |_| ()).await
    }

    async fn start(
        &self,
        script: Option<&serde_json::Value>,
        configure: impl FnOnce(&mut Config),
    ) -> Arc<Server> {
        let server = Arc::new(Server::start(self, self.program.clone(), script, configure).await);
        self.servers.lock().push(Arc::clone(&server));
        server
    }

    /// A gateway whose (fake) agents play `script`; see `tests/fake_claude/cli.rs`.
    pub(crate) async fn fake_server(&self, script: &serde_json::Value) -> Arc<Server> {
        let script = script.to_string();
        self.server_with(|config| config.agent_env.push(("FAKE_CLAUDE_SCRIPT".into(), script.into()))).await
    }

    /// The environment entry by which [`Lab::processes`] knows this lab's processes; servers pass it on by themselves.
    pub(crate) fn mark(&self) -> (OsString, OsString) {
        self.mark.clone()
    }

    /// A connection to a gateway that is not this lab's own.
    pub(crate) async fn connect(&self, address: SocketAddr) -> Client {
        let client = Client::connect(address, "x", &self.tasks).await;
        self.transcripts.lock().push(client.transcript());
        client
    }

    /// Processes that carry this lab's mark.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = [self.mark.0.as_encoded_bytes(), b"=", self.mark.1.as_encoded_bytes()].concat();
        let own = std::process::id().to_string();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && *pid != own)
            .filter(|pid| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ.split(|byte| *byte == 0).any(|entry| entry == mark)
            })
            .map(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                format!("{pid}: {}", String::from_utf8_lossy(&line).replace('\0', " "))
            })
            .collect()
    }

    /// Shuts everything down and looks at what is left of it.
    async fn end(&self) {
        let servers = std::mem::take(&mut *self.servers.lock());
        for server in &servers {
            server.stop().await;
        }
        let left = self.processes();
        assert!(left.is_empty(), "processes were left behind: {left:#?}");
        check::all(&self.transcripts.lock());
    }

    fn print(&self) {
        for transcript in &*self.transcripts.lock() {
            eprintln!("{transcript}");
        }
    }
}
