//! Connections here that use sessions of other nodes: which nodes know of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::letter::Head;
use super::post::Post;
use crate::session::{Client, ClientId};
use crate::store::NodeId;

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
        for node in leg.into_iter().flat_map(|leg| leg.nodes) {
            post.send(&node, Head::Goodbye { connection: client.id.0 }, Vec::new()).await;
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
