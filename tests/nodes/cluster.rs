//! Gateways that share a Redis.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Lab, Options, wait};
use crate::proxy::Proxy;
use crate::redis::Redis;

/// The lease of most tests' gateways: short, so that takeovers are quick, and not so short that a gateway on a machine that is busy
/// with other things loses it.
pub(crate) const LEASE: &str = "3s";

/// A Redis, and the laboratory where its gateways run.
pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    pub(crate) redis: Redis,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let redis = Redis::start(&lab.path("redis"));
        Self { lab, redis }
    }

    /// A gateway of that name (and data directory).
    pub(crate) fn node(&self, name: &str, args: &[&str]) -> Gateway {
        self.options(name, &self.redis.address().to_string(), args).start()
    }

    /// The same behind a proxy.
    pub(crate) fn node_behind(&self, proxy: &Proxy, name: &str, args: &[&str]) -> Gateway {
        self.options(name, &proxy.address().to_string(), args).start()
    }

    /// The same with the real CLI and the scripted model.
    pub(crate) fn real_node(&self, name: &str, args: &[&str]) -> Gateway {
        let home = self.lab.path("agents").display().to_string();
        let mut all = vec!["--demo", "--agent-home", &home];
        all.extend_from_slice(args);
        self.options(name, &self.redis.address().to_string(), &all).real_claude().start()
    }

    fn options(&self, name: &str, redis: &str, args: &[&str]) -> Options<'_> {
        let store = format!("redis://{redis}/0");
        let mut all = vec!["--store", &store, "--node-name", name];
        if !args.contains(&"--lease") {
            all.extend_from_slice(&["--lease", LEASE]);
        }
        all.extend_from_slice(args);
        self.lab.options(&all).data(name)
    }

    /// Conversations for which an agent was started while another one was alive.
    pub(crate) fn overlaps(&self) -> Vec<String> {
        let starts = std::fs::read_to_string(self.lab.path("state").join("agents")).unwrap_or_default();
        assert!(!starts.is_empty(), "no agent was ever started");
        starts.lines().filter(|line| line.split_whitespace().count() > 2).map(str::to_owned).collect()
    }
}

/// Connects and attaches to `session` after the last event that the client has, until the session is there: while it changes
/// hands, and while a gateway drains, it may be refused, or the connection be closed. Gives the `session_info`.
pub(crate) fn come_back(gateway: &Gateway, session: &str, seen: &[Value], epoch: &Value) -> (Client, Value) {
    wait("the session", || try_to_come_back(gateway.address, session, seen, epoch))
}

/// The same, once.
pub(crate) fn try_to_come_back(
    address: SocketAddr,
    session: &str,
    seen: &[Value],
    epoch: &Value,
) -> Result<(Client, Value), String> {
    let last = seen.last().map_or(json!(0), |event| event["seq"].clone());
    let mut client = Client::try_connect(address).map_err(|problem| format!("refused: {problem}"))?;
    let message = json!({"type": "session_start", "session_id": session, "last_seq": last, "epoch": epoch});
    let id = client.send(message);
    loop {
        match client.read() {
            Ok(info) if info["type"] == "session_info" && info["request_id"] == *id => {
                return Ok((client, info));
            }
            Ok(error) if error["type"] == "error" && error["request_id"] == *id => {
                return Err(error.to_string());
            }
            Ok(_) => {}
            Err(code) => return Err(format!("closed with {code}")),
        }
    }
}
