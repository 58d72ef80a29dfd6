//! A look at a Redis: whether it can be used, and what about it is unwise.

use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::{
    RedisError, RedisOptions,
    connect::{Connector, Trouble, Wire},
    keys,
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisFindings {
    /// Sessions in it, of all nodes.
    pub sessions: u64,
    /// What its operator should change.
    pub unwise: Vec<&'static str>,
}

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects, looks, and leaves nothing.
pub(super) async fn look(options: &RedisOptions) -> Result<RedisFindings, RedisError> {
    let tasks = TaskTracker::new();
    let connector = Connector::new(options, PATIENCE, tasks.clone())?;
    let unreachable = |trouble: Trouble| RedisError::Unreachable {
        address: options.address.to_string(),
        why: trouble.to_string(),
    };
    let wire = connector.connect().await.map_err(unreachable)?;
    let sessions = wire.ask(redis::cmd("ZCARD").arg(keys::ALL)).await.map_err(unreachable)?;
    let unwise = unwise(&wire).await;
    wire.hang_up();
    tasks.close();
    tasks.wait().await;
    Ok(RedisFindings { sessions, unwise })
}

/// Nothing, where we may not ask.
pub(super) async fn unwise(wire: &Wire) -> Vec<&'static str> {
    let Ok(info) = wire.ask::<String>(&redis::cmd("INFO")).await else { return Vec::new() };
    let says = |name: &str| {
        let value = info.lines().find_map(|wire| wire.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim)
    };
    let mut unwise = Vec::new();
    if says("maxmemory").is_some_and(|bytes| bytes != "0")
        && says("maxmemory_policy").is_some_and(|policy| policy != "noeviction")
    {
        unwise.push("it throws keys away when its memory is full: set maxmemory-policy noeviction");
    }
    if says("aof_enabled") == Some("0") {
        unwise.push("it may lose what it acknowledged when it restarts: set appendonly yes");
    }
    if says("cluster_enabled") == Some("1") {
        unwise.push("it is a Redis Cluster, which is not supported");
    }
    unwise
}
