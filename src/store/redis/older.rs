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

/// Sessions that are looked at in one step, which nothing else in Redis comes between.
const STEP: usize = 500;

/// Gives all sessions of owners the names that they have now; each step in `patience`. Gives how many could not be renamed, because
/// living nodes have them.
pub(super) async fn rename(wire: &Wire, patience: Duration) -> Result<usize, Trouble> {
    let (mut at, mut kept) = (0, 0);
    loop {
        let mut call = RENAME.call(&[keys::ALL, keys::REST]);
        call.arg(at).arg(STEP);
        let renamed = timeout(patience, RENAME.run(wire, &call)).await;
        let silent = |_| Trouble::Silent("no answer when sessions were renamed".to_owned());
        let (looked_at, of_others): (usize, usize) = renamed.map_err(silent)??;
        kept += of_others;
        at += looked_at;
        if looked_at < STEP {
            return Ok(kept);
        }
    }
}
