//! Which nodes live, as far as somebody here depends on it.
//!
//! A node whose lease ran out is not believed dead at once after the store was away: then all leases may have run out, though their
//! nodes live.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::store::{NodeId, SharedStore};

/// Looks at most this often.
const SHORTEST: Duration = Duration::from_millis(50);
/// Looks in the time of a lease, while nobody waits for a node's answer.
const CALM: u32 = 4;
/// The same while somebody does.
const ANXIOUS: u32 = 20;

/// The nodes with a lease, looked at now and then.
#[derive(Debug)]
pub(super) struct Watch {
    alive: watch::Sender<Arc<BTreeSet<NodeId>>>,
    waiting: AtomicUsize,
    hurry: Notify,
    /// Until then all leases may have run out while the store was away.
    trust_from: Mutex<Instant>,
}

impl Default for Watch {
    fn default() -> Self {
        let (alive, waiting, hurry) = (watch::Sender::default(), AtomicUsize::new(0), Notify::new());
        Self { alive, waiting, hurry, trust_from: Mutex::new(Instant::now()) }
    }
}

/// Counts who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watch {
    /// Ends when that node, which lived when this was called, is gone. `patience`: how long its answer may take before anybody asks.
    pub(super) async fn gone(&self, node: &NodeId, patience: Duration) {
        tokio::time::sleep(patience).await;
        let mut alive = self.alive.subscribe();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        self.hurry.notify_one();
        loop {
            if alive.changed().await.is_err() {
                return std::future::pending().await;
            }
            if !alive.borrow_and_update().contains(node) {
                return;
            }
        }
    }

    /// The nodes that live, at the next look that can be trusted. There is none while nobody `depends` on it.
    pub(super) async fn look(
        &self,
        shared: &dyn SharedStore,
        depends: impl Fn() -> bool,
    ) -> BTreeSet<NodeId> {
        let lease = shared.lease();
        loop {
            let anxious = self.waiting.load(Ordering::Relaxed) > 0;
            let pause = (lease / if anxious { ANXIOUS } else { CALM }).max(SHORTEST);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.hurry.notified(), if !anxious => continue,
            }
            if !anxious && !depends() {
                continue;
            }
            let nodes: BTreeSet<_> = match shared.nodes().await {
                Ok(nodes) => nodes.into_iter().collect(),
                Err(problem) => {
                    log::debug!("which gateways live is not known: {problem}");
                    BTreeSet::new()
                }
            };
            let now = Instant::now();
            if !nodes.contains(shared.node()) {
                *self.trust_from.lock() = now + lease;
            } else if now >= *self.trust_from.lock() {
                return nodes;
            }
        }
    }

    /// Tells those who wait.
    pub(super) fn tell(&self, alive: BTreeSet<NodeId>) {
        self.alive.send_replace(Arc::new(alive));
    }
}
