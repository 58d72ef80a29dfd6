//! A gateway in this process, on a free port, with a workspace of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use claude_ws::config::Config;
use claude_ws::gateway::{Demo, Gateway};
use claude_ws::scripted_model::ScriptedModel;
use claude_ws::server::{BindAddr, Listener};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Client, Lab, Transcript};

/// How long a gateway may take to go down.
const STOP: Duration = Duration::from_secs(45);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    workspace: TempDir,
    model: ScriptedModel,
    demo: Mutex<Option<Demo>>,
    config_dir: PathBuf,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    transcripts: Arc<Mutex<Vec<Arc<Transcript>>>>,
}

impl Server {
    pub(super) async fn start(
        lab: &Lab,
        program: PathBuf,
        script: Option<&serde_json::Value>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let workspace = tempfile::Builder::new().prefix("claude-ws-it-").tempdir().unwrap();
        let mut config = Config { claude_bin: program, ..Config::default() };
        config.workspace_roots = vec![workspace.path().to_owned()];
        config.agent_env.push(lab.mark());
        config.times.drain = Duration::ZERO;
        configure(&mut config);
        let tasks = TaskTracker::new();
        let file = script.map(|script| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), script.to_string()).unwrap();
            file
        });
        let script = file.as_ref().map(tempfile::NamedTempFile::path);
        let demo = Demo::start(&mut config, script, &tasks).await.unwrap();
        let config_dir =
            config.agent_env.iter().find(|(name, _)| name == "CLAUDE_CONFIG_DIR").unwrap().1.clone();
        let gateway = Gateway::new(config).await.unwrap();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let BindAddr::Tcp(address) = *listener.local_addr() else { panic!("a TCP address") };
        let shutdown = CancellationToken::new();
        tasks.spawn(gateway.serve(listener, shutdown.clone()));
        let transcripts = Arc::clone(&lab.transcripts);
        let config_dir = PathBuf::from(config_dir);
        let (model, demo) = (demo.model().clone(), Mutex::new(Some(demo)));
        Self { address, workspace, model, demo, config_dir, shutdown, tasks, transcripts }
    }

    /// Where sessions work; symlinks resolved.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.workspace.path().canonicalize().unwrap()
    }

    /// Claude Code's private configuration directory.
    pub(crate) fn config_dir(&self) -> &Path {
        &self.config_dir
    }

    /// What the model was asked.
    pub(crate) fn model(&self) -> &ScriptedModel {
        &self.model
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Client {
        let name = format!("c{}", self.transcripts.lock().len() + 1);
        let client = Client::connect(self.address, &name, &self.tasks).await;
        self.transcripts.lock().push(client.transcript());
        client
    }

    /// A new connection that has started session `s` with these options.
    pub(crate) async fn session(&self, options: serde_json::Value) -> Client {
        let mut client = self.connect().await;
        client.start(options).await;
        client
    }

    /// Drains (without patience) and waits for the end, so that clients have read everything.
    pub(super) async fn stop(&self) {
        self.shutdown.cancel();
        drop(self.demo.lock().take());
        self.tasks.close();
        let ended = tokio::time::timeout(STOP, self.tasks.wait()).await;
        assert!(ended.is_ok(), "the gateway did not go down within {STOP:?}");
    }
}
