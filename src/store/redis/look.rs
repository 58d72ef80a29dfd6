//! A look at a Redis: whether it can be used, and what about it is unwise. A start looks as `--check` does, so that the two agree.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    RedisError, RedisOptions,
    connect::{Connector, Trouble, Wire},
    keeper::millis,
    keys,
    scripts::TRIAL,
};
use crate::store::NodeId;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisFindings {
    /// Sessions in it, of all nodes.
    pub sessions: u64,
    /// What its operator should change, or what could not be looked at.
    pub unwise: Vec<String>,
}

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nodes whose leases are compared, at most.
const NODES: usize = 256;

/// Connects, looks, and leaves nothing.
pub(super) async fn look(options: &RedisOptions) -> Result<RedisFindings, RedisError> {
    let tasks = TaskTracker::new();
    let connector = Connector::new(options, PATIENCE, tasks.clone())?;
    let found = match connector.connect().await {
        Ok(wire) => {
            let found = examine(&wire, options.lease, PATIENCE).await;
            wire.hang_up();
            found
        }
        Err(trouble) => Err(trouble),
    };
    tasks.close();
    tasks.wait().await;
    found.map_err(|trouble| RedisError::of(&options.address, &trouble))
}

/// Tries what a gateway does there. `patience`: for each step.
pub(super) async fn examine(
    wire: &Wire,
    lease: Duration,
    patience: Duration,
) -> Result<RedisFindings, Trouble> {
    in_time(patience, trial(wire)).await?;
    let sessions = in_time(patience, wire.ask(redis::cmd("ZCARD").arg(keys::ALL))).await?;
    let mut unwise = in_time(patience, settings(wire)).await?;
    unwise.extend(in_time(patience, leases(wire, lease)).await?);
    Ok(RedisFindings { sessions, unwise })
}

async fn in_time<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let silent = || Trouble::Silent("it takes the connection and gives no answer: is it a Redis?".to_owned());
    timeout(patience, step).await.unwrap_or_else(|_| Err(silent()))
}

/// Every kind of command, on keys of different slots that nobody else uses.
async fn trial(wire: &Wire) -> Result<(), Trouble> {
    wire.ask::<String>(&redis::cmd("PING")).await?;
    let id = Uuid::new_v4();
    let keys: Vec<_> = (1..=6).map(|n| keys::trial(&id.to_string(), n)).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    TRIAL.run::<String>(wire, &TRIAL.call(&keys)).await.map(drop)
}

/// What its own settings say.
async fn settings(wire: &Wire) -> Result<Vec<String>, Trouble> {
    let info = match wire.ask::<String>(&redis::cmd("INFO")).await {
        Err(Trouble::Denied(why)) => {
            let text = format!(
                "whether it keeps what it is given could not be looked at (INFO: {why}): see to maxmemory-policy noeviction and \
                 appendonly yes, or allow +info"
            );
            return Ok(vec![text]);
        }
        answer => answer?,
    };
    let says = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim)
    };
    let mut unwise = Vec::new();
    if says("maxmemory").is_some_and(|bytes| bytes != "0")
        && says("maxmemory_policy").is_some_and(|policy| policy != "noeviction")
    {
        unwise
            .push("it throws keys away when its memory is full: set maxmemory-policy noeviction".to_owned());
    }
    if says("aof_enabled") == Some("0") {
        unwise.push("it may lose what it acknowledged when it restarts: set appendonly yes".to_owned());
    }
    if says("cluster_enabled") == Some("1") {
        unwise.push("it is a Redis Cluster, which is not supported".to_owned());
    }
    Ok(unwise)
}

/// What a node says of itself, as far as it matters here.
#[derive(Deserialize)]
struct About {
    name: String,
    lease_ms: u64,
}

/// A node that believes in longer leases than others goes on when they take its sessions.
async fn leases(wire: &Wire, lease: Duration) -> Result<Vec<String>, Trouble> {
    let nodes: Vec<String> = wire.ask(redis::cmd("SMEMBERS").arg(keys::NODES)).await?;
    let mut others = Vec::new();
    for node in nodes.into_iter().take(NODES) {
        let about: Option<String> = wire.ask(redis::cmd("GET").arg(keys::node(&NodeId::from(node)))).await?;
        // One of an older program says nothing of it.
        let about = about.and_then(|about| serde_json::from_str::<About>(&about).ok());
        others.extend(about.filter(|about| about.lease_ms != millis(lease)));
    }
    let shown = |ms| humantime::format_duration(Duration::from_millis(ms));
    let tell = |other: &About| {
        format!(
            "the gateway {} has --lease {}, this one {}: all must have the same",
            other.name,
            shown(other.lease_ms),
            shown(millis(lease))
        )
    };
    Ok(others.iter().map(tell).collect())
}
