//! A Messages API on loopback that answers from a script: `--demo`, and the tests.
//!
//! The real Claude Code CLI talks to it, so only the model is replaced: permission prompts, tools, interrupts and
//! resuming are the real thing. It may assume that its client is the CLI; it must know nothing of sessions, of the
//! gateway's protocol or of processes. `docs/demo-script.md` describes scripts.

mod answer;
mod asked;
mod http;
mod record;
mod script;
mod side;
mod sse;
mod text;

use std::{
    ffi::OsString,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    asked::ToolResult,
    record::Request,
    script::{Script, ScriptError},
};

/// Environment variables that would lead an agent around the scripted model, or hand it real credentials.
pub const ENV_REMOVE: &[&str] = &[
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
];

/// A running scripted model. It ends with its shutdown token, not when this is dropped.
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    address: SocketAddr,
    requests: record::Requests,
}

impl ScriptedModel {
    /// Listens on a free loopback port and answers from `script` until `shutdown`.
    ///
    /// Its tasks run on `tracker`. The port is open when this returns.
    pub async fn start(
        script: Script,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let requests = record::Requests::default();
        let shared = Arc::new(http::Shared {
            script,
            requests: requests.clone(),
            attempts: parking_lot::Mutex::default(),
        });
        tracker.spawn(http::serve(listener, shared, tracker.clone(), shutdown));
        Ok(Self { address, requests })
    }

    /// For `ANTHROPIC_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What to add to an agent's environment, so that it talks to this model and to nobody else. Variables in
    /// [`ENV_REMOVE`] have to be taken out too. `config_dir` becomes the agent's private configuration directory.
    pub fn env(&self, config_dir: &Path) -> Vec<(OsString, OsString)> {
        let pairs = [
            ("ANTHROPIC_API_KEY", "scripted-model"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("NO_PROXY", "127.0.0.1"),
        ];
        let mut env: Vec<(OsString, OsString)> =
            pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        env.push(("ANTHROPIC_BASE_URL".into(), self.base_url().into()));
        env.push(("CLAUDE_CONFIG_DIR".into(), config_dir.into()));
        env
    }

    /// The last 128 requests to `/v1/messages`, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.snapshot()
    }

    /// Waits for the first request, past or to come, that `wanted` accepts. Tests bound it with a timeout.
    pub async fn request_where(&self, wanted: impl FnMut(&Request) -> bool) -> Request {
        self.requests.find(wanted).await
    }
}

#[cfg(test)]
mod tests {
    mod answers;
    mod api;
}
