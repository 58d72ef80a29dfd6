//! What things are called in Redis. The scripts know some of these names too.

use crate::store::NodeId;

/// Sessions in the order in which they were made.
pub(super) const ALL: &str = "cws:all";
/// Sessions that no node has, by when they were last active.
pub(super) const REST: &str = "cws:rest";
/// Bytes of all sessions.
pub(super) const BYTES: &str = "cws:bytes";
/// How many sessions were ever made.
pub(super) const MADE: &str = "cws:made";
/// Nodes, living or not.
pub(super) const NODES: &str = "cws:nodes";

/// What is known of a session.
pub(super) fn session(id: &str) -> String {
    format!("cws:s:{id}")
}

/// Its events.
pub(super) fn events(id: &str, epoch: &str) -> String {
    format!("cws:e:{id}:{epoch}")
}

/// Ids of its client messages.
pub(super) fn message_ids(id: &str, epoch: &str) -> String {
    format!("cws:m:{id}:{epoch}")
}

/// The last fence of a session that was deleted.
pub(super) fn tombstone(id: &str) -> String {
    format!("cws:gone:{id}")
}

/// Sessions of an owner of sessions.
pub(super) fn of(owner: &str) -> String {
    format!("cws:of:{owner}")
}

/// A node's lease.
pub(super) fn node(node: &NodeId) -> String {
    format!("cws:node:{node}")
}

/// The sessions that a node has.
pub(super) fn own(node: &NodeId) -> String {
    format!("cws:own:{node}")
}

/// For trying whether Redis can be used.
pub(super) fn trial(id: &str, number: u8) -> String {
    format!("cws:try:{id}:{number}")
}

/// What other nodes say to it.
pub(super) fn inbox(node: &NodeId) -> String {
    format!("cws:in:{node}")
}

/// What wakes the node's reader of streams.
pub(super) fn wake(node: &NodeId) -> String {
    format!("cws:wake:{node}")
}
