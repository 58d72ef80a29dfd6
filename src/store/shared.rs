//! What a store offers on top where several gateways share it: who runs which session, messages between them, and following what
//! others append. A store of one gateway has none of this ([`Store::shared`] is `None`).
//!
//! Words: a **node** is one run of one gateway. A session's **owner** here is the node that runs it (not the user it belongs to).

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Entry, Pending, SessionKey, Store, StoreError, StoredSession, Tenure};

/// Names one run of one gateway; never used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for NodeId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A session that is made by a claim.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// Names its life.
    pub epoch: &'a str,
    /// Name of the token that it belongs to.
    pub owner: &'a str,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// What came of a claim.
#[derive(Debug, Clone)]
pub enum Claim {
    /// This node runs the session from now on.
    Mine {
        /// To be given to the session's log; ends when the session must stop.
        tenure: Arc<Tenure>,
        /// What is stored of it, with the `next_seq` to go on with; `None`: it was newly made.
        stored: Option<StoredSession>,
    },
    /// Another living node runs it. Or this one does already: a claim is made once, by whoever keeps the living sessions.
    Elsewhere(NodeId),
    /// It is there, but belongs to another token than the one that wanted to make it. Only where something was to be made.
    Foreign,
    /// There is none, and none was to be made.
    Absent,
    /// Its owner has no lease, but this node has been with the store for less than a lease: all the others' may have run out while the
    /// store was away. Ask again after so long.
    NotYet(Duration),
}

/// Where a session is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// Not in the store.
    Absent,
    /// In the store, and no node's.
    Resting,
    /// That node runs it, and its lease lives. It may be this one.
    At(NodeId),
    /// That node ran it, and its lease is over: to be claimed.
    Orphaned(NodeId),
}

/// Gets what a session's owner appends. Called from the store's reader and must not block.
pub trait Follower: fmt::Debug + Send + Sync {
    /// The next events, in order, none of them twice and none missing but those that [`lost`](Self::lost) told of.
    fn events(&self, entries: Vec<Entry>);

    /// The events after the last one, up to and including this seq, are lost: they are kept nowhere.
    fn lost(&self, through: u64);
}

/// Following goes on until this is dropped.
pub struct Follow(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Follow {
    /// `end` runs once, at the drop.
    pub fn new(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follow")
    }
}

/// A store that several gateways share.
///
/// Every log that writes must have a tenure ([`Source::tenure`](super::Source::tenure)): what comes without one is not stored.
pub trait SharedStore: Store {
    /// This node.
    fn node(&self) -> &NodeId;

    /// How long a node that is silent keeps its sessions (`--lease`).
    fn lease(&self) -> Duration;

    /// Makes the session this node's, if no living node has it; makes it at all, if it is not there and `create` says how.
    /// Safe to give up and to call again: a claim whose answer was lost is found to be this node's own and made anew.
    fn claim<'a>(
        &'a self,
        key: &'a SessionKey,
        create: Option<NewSession<'a>>,
    ) -> Pending<'a, Result<Claim, StoreError>>;

    /// Gives the session up in order: any node may claim it at once. After a [`flush`](Store::flush), and when nothing is appended any
    /// more; the tenure is lost with it. `next_seq`: the least seq that the next event may get.
    fn release<'a>(
        &'a self,
        key: &'a SessionKey,
        tenure: &'a Tenure,
        next_seq: u64,
    ) -> Pending<'a, Result<(), StoreError>>;

    /// Where the session is.
    fn whereabouts<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<Whereabouts, StoreError>>;

    /// How many sessions that token has, ended ones too.
    fn count_of<'a>(&'a self, owner: &'a str) -> Pending<'a, Result<usize, StoreError>>;

    /// The nodes whose lease lives, this one included.
    fn nodes(&self) -> Pending<'_, Result<Vec<NodeId>, StoreError>>;

    /// Whether that node's lease lives.
    fn lives<'a>(&'a self, node: &'a NodeId) -> Pending<'a, Result<bool, StoreError>>;

    /// Puts a message into that node's inbox: at most once, and those of one sender that waits for each in order.
    /// [`StoreError::Gone`]: its lease is over. [`StoreError::Full`]: it does not read. After any other error it may have arrived.
    fn send<'a>(&'a self, to: &'a NodeId, message: Bytes) -> Pending<'a, Result<(), StoreError>>;

    /// What other nodes send here, taken by one reader. Full: messages wait in the store, up to a bound that senders are told of.
    /// Closed: the store is closed. `None`: it was taken before.
    fn inbox(&self) -> Option<mpsc::Receiver<Bytes>>;

    /// Hands what the session's owner appends after `after` to `sink`, from now on until the answer is dropped. Meant for the end of
    /// the stream: who is far behind reads it with [`read`](Store::read) first.
    fn follow(&self, key: &SessionKey, epoch: &str, after: u64, sink: Arc<dyn Follower>) -> Follow;
}
