//! `--demo`: the model is replaced by a script, everything else is the real thing.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, DataDir};
use crate::scripted_model::{ENV_REMOVE, Script, ScriptError, ScriptedModel};

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The script's file cannot be read.
    #[error("--demo-script: cannot read {0}: {1}")]
    File(PathBuf, io::Error),
    /// The script is none.
    #[error("--demo-script {0}: {1}")]
    Script(PathBuf, ScriptError),
    /// There is no place for Claude Code's own files.
    #[error("cannot make {}, where the demo's Claude Code keeps its files: {source}; choose another place with {flags}", path.display())]
    Home {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// What would choose another.
        flags: &'static str,
    },
    /// The system refuses a socket.
    #[error("cannot set the demo up: {0}")]
    Io(#[from] io::Error),
}

/// A running demo; dropping it ends the scripted model.
#[derive(Debug)]
pub struct Demo {
    model: ScriptedModel,
    stop: CancellationToken,
    /// Claude Code's private configuration, where nothing is kept.
    _config_dir: Option<RemovedDir>,
}

impl Demo {
    /// Starts the scripted model and points the agents of `config` at it: they send nothing outside, and neither read nor
    /// write the user's own Claude configuration. `script`: a file; none: the built-in script.
    pub async fn start(
        config: &mut Config,
        script: Option<&Path>,
        tasks: &TaskTracker,
    ) -> Result<Self, DemoError> {
        let script = match script {
            None => Script::builtin(),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|problem| DemoError::File(path.into(), problem))?;
                Script::from_json(&text).map_err(|problem| DemoError::Script(path.into(), problem))?
            }
        };
        let stop = CancellationToken::new();
        let model = ScriptedModel::start(script, tasks, stop.clone()).await?;
        let (config_dir, removed, flags) = match (&config.agent_home, &config.data_dir) {
            (Some(home), _) => (home.clone(), None, "--agent-home"),
            // Kept beside the sessions, whose conversations are in it.
            (None, DataDir::Path(data)) => (data.join("demo-claude"), None, "--data-dir, or --ephemeral"),
            (None, DataDir::Ephemeral) => {
                let dir = std::env::temp_dir().join(format!("claude-ws-demo-{}", uuid::Uuid::new_v4()));
                (dir.clone(), Some(RemovedDir(dir)), "the environment's TMPDIR, or --data-dir")
            }
        };
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config_dir);
        made.map_err(|source| DemoError::Home { path: config_dir.clone(), source, flags })?;
        config.agent_env.extend(model.env(&config_dir));
        config.agent_env_remove.extend(ENV_REMOVE.iter().map(Into::into));
        Ok(Self { model, stop, _config_dir: removed })
    }

    /// The scripted model: what it was asked.
    pub fn model(&self) -> &ScriptedModel {
        &self.model
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A directory that goes with its owner.
#[derive(Debug)]
struct RemovedDir(PathBuf);

impl Drop for RemovedDir {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
