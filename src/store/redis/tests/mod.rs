//! What only a shared store does, and what it does when Redis is in trouble.

mod doors;
mod looks;
mod older;
mod owners;
mod secure;
mod sentinels;
mod trouble;

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::time::sleep;

use super::RedisStore;
use crate::store::{
    Claim, SessionKey, SharedStore,
    tests::{LONG_LEASE, node, server::Server},
};

/// For tests in which it is to run out, and not before it is to: also on a machine that is very busy. Others have [`LONG_LEASE`].
const SHORT: Duration = Duration::from_secs(4);
const BACKLOG: usize = 64 << 20;

/// A node and the directory that it keeps itself in.
#[derive(Debug)]
struct Node {
    store: Arc<RedisStore>,
    dir: TempDir,
}

impl std::ops::Deref for Node {
    type Target = Arc<RedisStore>;

    fn deref(&self) -> &Arc<RedisStore> {
        &self.store
    }
}

impl Node {
    async fn at(url: &str, lease: Duration) -> Self {
        let dir = TempDir::new().unwrap();
        Self { store: node(url, dir.path(), lease, BACKLOG).await, dir }
    }

    /// As the kernel ends a process: nothing is said any more, and its directory is free.
    fn kill(&self) {
        self.link.close();
        drop(self.store.dir.lock().take());
    }

    /// Claims until it is given the session: the former owner's lease, and this node's own first one, must be over.
    async fn take(&self, id: &str) -> Claim {
        let key = SessionKey::of("me", id);
        loop {
            match self.claim(&key, None).await {
                Ok(Claim::NotYet(_) | Claim::Elsewhere(_)) | Err(_) => {
                    sleep(Duration::from_millis(20)).await;
                }
                Ok(claim) => return claim,
            }
        }
    }
}

/// As time does it to the lease of a node that is away; the node does not know.
async fn end_lease(server: &Server, node: &Node) {
    let key = super::keys::node(node.node());
    server.ask::<()>(&["DEL", &key]).await;
}

/// What the stream of a session holds.
async fn stored(server: &Server, id: &str) -> Vec<u64> {
    let key = super::keys::events(&SessionKey::of("me", id), crate::store::tests::EPOCH);
    let entries: Vec<(String, Vec<String>)> = server.ask(&["XRANGE", &key, "-", "+"]).await;
    entries.iter().map(|(id, _)| id.split('-').next().unwrap().parse().unwrap()).collect()
}

/// A node that has been with Redis for a lease, so that it may take orphans, and whose own lease does not run out.
async fn old_hand(server: &Server) -> Node {
    let node = Node::at(&server.url(), LONG_LEASE).await;
    node.right.pretend_to_be_old();
    node
}
