//! Connections here that use sessions of other nodes: which nodes know of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::letter::Head;
use super::post::Post;
use crate::session::{Client, ClientId};
use crate::store::NodeId;

/// How often a goodbye is said that is not heard, and the time between two.
const GOODBYES: u32 = 40;
const AGAIN: Duration = Duration::from_secs(5);

/// By connection: the way to it, and who is to be told when it ends.
#[derive(Debug, Default)]
pub(super) struct Legs {
    table: Mutex<HashMap<ClientId, Leg>>,
}

#[derive(Debug)]
struct Leg {
    client: Client,
    nodes: BTreeSet<NodeId>,
}

impl Legs {
    /// That node is about to hear of the connection.
    pub(super) fn note(self: &Arc<Self>, client: &Client, node: &NodeId, post: &Arc<Post>) {
        let mut table = self.table.lock();
        if let Some(leg) = table.get_mut(&client.id) {
            leg.nodes.insert(node.clone());
            return;
        }
        let leg = Leg { client: client.clone(), nodes: BTreeSet::from([node.clone()]) };
        table.insert(client.id, leg);
        drop(table);
        post.tasks.spawn(Arc::clone(self).until_it_ends(client.clone(), Arc::clone(post)));
    }

    /// One task for each such connection, which says goodbye for it.
    async fn until_it_ends(self: Arc<Self>, client: Client, post: Arc<Post>) {
        tokio::select! {
            () = client.notices.closed() => {}
            // The end of the lease says it for all.
            () = post.done.cancelled() => return,
        }
        let leg = self.table.lock().remove(&client.id);
        let mut nodes: Vec<_> = leg.into_iter().flat_map(|leg| leg.nodes).collect();
        // Said until it was heard: the other side keeps the session for this connection. A node that is gone needs no goodbye, but
        // one whose lease is merely not renewed yet does.
        for _ in 0..GOODBYES {
            let mut left = Vec::new();
            for node in nodes {
                let head = Head::Goodbye { connection: client.id.0 };
                if post.deliver(&node, head, Vec::new()).await.is_err() {
                    left.push(node);
                }
            }
            if left.is_empty() {
                return;
            }
            nodes = left;
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = post.done.cancelled() => return,
            }
        }
    }

    /// Something that answers nothing.
    pub(super) fn notice(&self, connection: u64, notice: Utf8Bytes) {
        if let Some(leg) = self.table.lock().get(&ClientId(connection)) {
            // Full or gone: it is only a notice.
            let _ = leg.client.notices.try_send(notice);
        }
    }
}
