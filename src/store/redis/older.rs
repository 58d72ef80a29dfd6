//! What older versions of this program left: sessions under their ids alone, whoever owned them.
//!
//! May assume that no other node runs a version of that kind, or find out that one does. Must not know what is in a session.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    connect::{Trouble, Wire},
    keys,
    scripts::RENAME,
};
use crate::store::NodeId;

/// Sessions that are looked at in one step, which nothing else in Redis comes between.
const STEP: usize = 500;

/// Gives all sessions of owners the names that they have now; each step in `patience`. Gives how many stand in the way, because
/// gateways that know only the old names live: then nothing was changed.
pub(super) async fn rename(wire: &Wire, patience: Duration) -> Result<usize, Trouble> {
    let (held, others) = step_through(wire, patience, false).await?;
    if held > 0 || (others > 0 && lives(wire).await?) {
        return Ok(held + others);
    }
    step_through(wire, patience, true).await.map(|_| 0)
}

/// How many sessions with old names living nodes have, and how many others there are.
async fn step_through(wire: &Wire, patience: Duration, rename: bool) -> Result<(usize, usize), Trouble> {
    let (mut at, mut held, mut others) = (0, 0, 0);
    loop {
        let mut call = RENAME.call(&[keys::ALL, keys::REST]);
        call.arg(at).arg(STEP).arg(u8::from(rename));
        let looked = timeout(patience, RENAME.run(wire, &call)).await;
        let silent = |_| Trouble::Silent("no answer when sessions were renamed".to_owned());
        let (looked_at, of_nodes, of_nobody): (usize, usize, usize) = looked.map_err(silent)??;
        held += of_nodes;
        others += of_nobody;
        at += looked_at;
        if looked_at < STEP {
            return Ok((held, others));
        }
    }
}

/// Whether a gateway lives that knows only the old names: it says nothing of its lease.
async fn lives(wire: &Wire) -> Result<bool, Trouble> {
    let nodes: Vec<String> = wire.ask(redis::cmd("SMEMBERS").arg(keys::NODES)).await?;
    for node in nodes {
        let about: Option<String> = wire.ask(redis::cmd("GET").arg(keys::node(&NodeId::from(node)))).await?;
        if about.is_some_and(|about| !about.contains("\"lease_ms\"")) {
            return Ok(true);
        }
    }
    Ok(false)
}
