//! The composition root: a [`Gateway`] is put together from a [`Config`] and serves listeners.
//!
//! Here alone the rooms meet: `server` and `connection` get a service that `dispatch` answers, sessions get their agents and
//! their store.

mod build;
pub mod check;
mod demo;
mod exposition;
mod metrics;
mod routes;
mod service;
mod shared_store;
pub mod welcome;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use build::{BuildError, Sweeper};
pub use demo::{Demo, DemoError};
pub use service::GatewayService;

use crate::config::{Config, Limits};
use crate::nodes::Nodes;
use crate::server::{self, Listener, Shutdown};
use crate::session::Registry;
use crate::store::{Retention, Store};

/// How often the store is looked through for sessions to delete.
const TIDY: Duration = Duration::from_mins(1);
/// How long the store may take for its last commit.
const CLOSE_STORE: Duration = Duration::from_secs(10);

/// One gateway: sessions, their agents and their store.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use claude_ws::config::Config;
/// use claude_ws::gateway::Gateway;
/// use claude_ws::server::Listener;
/// use tokio_util::sync::CancellationToken;
///
/// let gateway = Gateway::new(Config::default()).await?;
/// let listener = Listener::bind(&"127.0.0.1:0".parse()?).await?;
/// println!("ws://{}/ws", listener.local_addr());
/// let shutdown = CancellationToken::new();
/// gateway.serve(listener, shutdown).await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Gateway {
    service: Arc<GatewayService>,
    registry: Arc<Registry>,
    store: Option<Arc<dyn Store>>,
    /// Where the store is shared.
    nodes: Option<Arc<Nodes>>,
    settings: server::Settings,
    drain: Duration,
    retention: Retention,
    sweeper: Sweeper,
    /// Sessions' tasks, agents' tasks, and the gateway's own.
    tasks: TaskTracker,
    /// Ends the gateway's own tasks.
    done: DropGuard,
}

impl Gateway {
    /// Puts a gateway together: opens the store, sweeps what an earlier run left, makes ready to start agents.
    ///
    /// Must be called within a tokio runtime. Does not check that `claude` can be started; see [`Gateway::find_claude`]. Agents
    /// that are to be kept warm (`Limits::warm_agents`) are started from now on, in the background; they end with the gateway.
    pub async fn new(config: Config) -> Result<Self, BuildError> {
        build::gateway(config).await
    }

    /// The version of the `claude` that `config` names, or why it cannot be used; for people.
    pub async fn find_claude(config: &Config) -> Result<String, String> {
        build::claude_version(&config.claude_bin, config.times.agent_start).await
    }

    /// Serves `listener` until `shutdown`, then drains: no new connections, running turns get the time that the configuration
    /// gives them, agents are stopped, the store is closed.
    pub async fn serve(self, listener: Listener, shutdown: CancellationToken) {
        let signals = Shutdown::default();
        let ready = self.service.ready_flag();
        let serving =
            server::serve(listener, Arc::clone(&self.service), self.settings.clone(), signals.clone());
        let tidying = self.tidy();
        let draining = async {
            shutdown.cancelled().await;
            signals.draining.cancel();
            ready.cancel();
            log::info!("draining: running turns get {}", humantime::format_duration(self.drain));
            self.registry.drain(Instant::now() + self.drain).await;
            signals.closing.cancel();
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(serving, draining) } => {}
            never = tidying => match never {},
        }
        self.close().await;
    }

    /// What is to end with the gateway.
    async fn close(self) {
        self.done.disarm().cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.sweeper.leave();
        if let Some(nodes) = &self.nodes {
            nodes.close().await;
        }
        if let Some(store) = &self.store {
            match tokio::time::timeout(CLOSE_STORE, store.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => log::error!("the store did not take the last events: {problem}"),
                Err(_) => log::error!("the store did not take the last events in time"),
            }
        }
    }

    /// Ends all agents by force, for when there is no time for anything else.
    pub fn sweeper(&self) -> Sweeper {
        self.sweeper.clone()
    }

    /// The tokens of the doors, for `SIGHUP`.
    pub fn tokens(&self) -> Option<Arc<server::TokenStore>> {
        self.settings.tokens.clone()
    }

    /// Deletes old sessions from the store, for ever.
    async fn tidy(&self) -> std::convert::Infallible {
        let mut interval = tokio::time::interval(TIDY);
        loop {
            interval.tick().await;
            let Some(store) = &self.store else { continue };
            let forgotten = async {
                let now_ms = store.clock(unix_millis()).await?;
                self.registry.forget(Retention { now_ms, ..self.retention }).await
            };
            if let Err(problem) = forgotten.await {
                log::warn!("old sessions could not be deleted: {problem}");
            }
        }
    }
}

fn retention(limits: &Limits, keep: Duration) -> Retention {
    let max_age_ms = u64::try_from(keep.as_millis()).ok();
    let (max_bytes, max_ended_per_owner) = (limits.max_store_bytes, limits.max_ended_per_owner);
    Retention { now_ms: 0, max_age_ms, max_bytes, max_ended_per_owner }
}

fn unix_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
