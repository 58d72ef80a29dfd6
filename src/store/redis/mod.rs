//! The store in Redis, shared by several gateways.
//!
//! # What is where
//! A session's events are a stream whose entry ids are the `seq`s (`cws:e:ID:EPOCH`), what is known of it a hash (`cws:s:ID`), the ids of
//! its client messages a list (`cws:m:ID:EPOCH`). A node's lease is one key that expires (`cws:node:NODE`), whatever it runs. Everything
//! that must not be torn apart is a script; each write of a session names the node and its fence, and Redis refuses it when the
//! session is another's by now.
//!
//! # What is safe
//! - What Redis acknowledged is as safe as Redis makes it: with `appendonly yes` the last second may go with the machine, in a failover
//!   what the replica had not got. The store notices (batches are numbered), and stores again what is still in memory; the rest is
//!   noted as lost and readers are told.
//! - While Redis is away what waits is bounded by [`Backlog`], and written in order when it is back.
//!
//! One primary, with replicas and sentinels or without; Redis Cluster is not supported: scripts touch keys of several slots.

mod address;
mod condition;
mod connect;
mod delivery;
mod follow;
mod held;
mod inbox;
mod keeper;
mod keys;
mod link;
mod look;
mod older;
mod reader;
mod scripts;
mod sharing;
mod skew;
#[cfg(test)]
mod tests;
mod writer;

pub use address::{RedisAddress, RedisOptions};
pub use look::RedisFindings;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use self::{
    condition::Condition,
    connect::{Connector, Trouble},
    delivery::Delivery,
    follow::Following,
    held::Holdings,
    keeper::{Keeper, Right},
    link::Link,
    scripts::{DELETE, DISOWN, RELEASE},
    skew::Skew,
    writer::{Flush, Inlet, Writer},
};
use super::{
    Backlog, Chunk, DataDir, Expired, Indexed, NodeId, Pending, Record, Retention, SessionKey, SharedStore,
    Source, Store, StoreCounts, StoreError, StoreHealth, StoredSession,
};

/// Messages of other nodes that wait in memory; more wait in Redis.
const INBOX: usize = 256;
/// How long Redis may take for each answer when the store is opened.
const OPENING: Duration = Duration::from_secs(10);
/// The shortest lease: Redis, networks and schedulers need some time.
const SHORTEST_LEASE: Duration = Duration::from_millis(300);

/// Sessions in a Redis that several gateways share. Dropped without [`Store::close`] it leaves its sessions as a crash does.
#[derive(Debug)]
pub struct RedisStore {
    node: NodeId,
    /// The node that this gateway was before; its sessions are this one's to take.
    before: Option<NodeId>,
    length: Duration,
    link: Arc<Link>,
    holdings: Arc<Holdings>,
    condition: Arc<Condition>,
    right: Arc<Right>,
    skew: Arc<Skew>,
    following: Arc<Following>,
    backlog: Backlog,
    inlet: Arc<Inlet>,
    /// Methods send, the writer answers when what was dirty before is written. Full: the method waits. Closed: the store is.
    flushes: mpsc::Sender<Flush>,
    inbox: Mutex<Option<mpsc::Receiver<Bytes>>>,
    tasks: TaskTracker,
    /// Locked until the store is gone.
    dir: Mutex<Option<DataDir>>,
}

/// Why a Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It cannot be reached, or does not let us in.
    #[error("{address} cannot be used: {why}")]
    Unreachable {
        /// Where, without secrets.
        address: String,
        /// Why.
        why: String,
    },
    /// Gateways run there to which ids of different owners are the same.
    #[error(
        "{address}: gateways of an older version still run {sessions} sessions there, under names that this one does not use. Stop \
         them all, then start this one: it takes over what they stored"
    )]
    OlderNodes {
        /// Where, without secrets.
        address: String,
        /// How many.
        sessions: usize,
    },
    /// The data directory, where the node is noted, or a file with certificates.
    #[error("the shared store: {0}")]
    Io(#[from] io::Error),
}

impl RedisError {
    fn of(address: &RedisAddress, trouble: &Trouble) -> Self {
        let mut why = trouble.to_string();
        // In Redis's own words, and what to do.
        let advice = [
            ("READONLY", "it is a replica: name the primary, or its sentinels (redis+sentinel://)"),
            ("NOREPLICAS", "it wants replicas that are not there (min-replicas-to-write)"),
            ("CROSSSLOT", "it is a Redis Cluster, which is not supported"),
            ("CLUSTERDOWN", "it is a Redis Cluster, which is not supported"),
            ("MOVED", "it is a Redis Cluster, which is not supported"),
            ("NOPERM", "docs/redis.md has the rights that a gateway needs"),
            // What 7.0 says where a script may not.
            ("The user executing the script can't", "docs/redis.md has the rights that a gateway needs"),
            ("NOAUTH", "it wants a password (--redis-password-file)"),
            ("OOM", "its memory is full (maxmemory)"),
        ];
        if let Some((_, advice)) = advice.iter().find(|(code, _)| why.contains(code)) {
            why = format!("{why}: {advice}");
        }
        Self::Unreachable { address: address.to_string(), why }
    }
}

impl RedisStore {
    /// Connects and signs this node in. `backlog_bytes`: see [`Backlog::new`]. `tasks` are the store's own: [`Store::close`] ends and
    /// waits for them.
    pub async fn open(
        dir: DataDir,
        options: RedisOptions,
        backlog_bytes: usize,
        tasks: TaskTracker,
    ) -> Result<Self, RedisError> {
        let length = options.lease.max(SHORTEST_LEASE);
        let connector = Connector::new(&options, OPENING, tasks.clone())?;
        let unusable = |trouble: Trouble| RedisError::of(&options.address, &trouble);
        let wire = connector.connect().await.map_err(unusable)?;
        let found = look::examine(&wire, length, OPENING).await.inspect_err(|_| wire.hang_up());
        for unwise in found.map_err(unusable)?.unwise {
            ::log::warn!("store: about {}: {unwise}", options.address);
        }
        let (node, before) = dir.new_node()?;
        let (node, before) = (NodeId::from(node), before.map(NodeId::from));
        if let Some(before) = &before {
            // It is not there any more (the directory was locked): others need not wait for its lease.
            let mut gone = redis::cmd("UNLINK");
            gone.arg(keys::node(before)).arg(keys::inbox(before));
            connector.in_time_ask::<()>(&wire, gone).await.map_err(unusable)?;
        }
        let kept = older::rename(&wire, OPENING).await.map_err(unusable)?;
        wire.hang_up();
        if kept > 0 {
            return Err(RedisError::OlderNodes { address: options.address.to_string(), sessions: kept });
        }
        let (flushes, receiver) = mpsc::channel(64);
        let (messages, inbox) = mpsc::channel(INBOX);
        let store = Self {
            node: node.clone(),
            before,
            length,
            link: Arc::new(Link::new()),
            holdings: Arc::default(),
            condition: Arc::new(Condition::new()),
            right: Arc::new(Right::new(length)),
            skew: Arc::default(),
            following: Arc::default(),
            backlog: Backlog::new(backlog_bytes),
            inlet: Arc::default(),
            flushes,
            inbox: Mutex::new(Some(inbox)),
            tasks,
            dir: Mutex::new(Some(dir)),
        };
        let mut keeper = store.keeper(options.name, connector.clone());
        let lines = keeper.connect().await.map_err(unusable)?;
        // From now on an answer that comes late is worth less than another try: three in a lease.
        keeper.patience = length / 3;
        keeper.connector = connector.with_patience(length / 3);
        store.tasks.spawn(keeper.run(lines));
        let delivery = Delivery {
            node: node.clone(),
            link: Arc::clone(&store.link),
            holdings: Arc::clone(&store.holdings),
            condition: Arc::clone(&store.condition),
            skew: Arc::clone(&store.skew),
        };
        store.tasks.spawn(Writer::new(Arc::new(delivery), Arc::clone(&store.inlet), receiver).run());
        let (link, following) = (Arc::clone(&store.link), Arc::clone(&store.following));
        let reader = follow::Reader { node: node.clone(), connector: connector.clone(), link, following };
        store.tasks.spawn(reader.run());
        let link = Arc::clone(&store.link);
        store.tasks.spawn(inbox::Inbox { node, connector, link, messages }.run());
        Ok(store)
    }

    /// Looks at a Redis without being a node there.
    pub async fn look(options: &RedisOptions) -> Result<RedisFindings, RedisError> {
        look::look(options).await
    }

    fn keeper(&self, name: String, connector: Connector) -> Keeper {
        let inlet = Arc::clone(&self.inlet);
        Keeper {
            node: self.node.clone(),
            name,
            length: self.length,
            patience: OPENING,
            connector,
            link: Arc::clone(&self.link),
            holdings: Arc::clone(&self.holdings),
            condition: Arc::clone(&self.condition),
            right: Arc::clone(&self.right),
            skew: Arc::clone(&self.skew),
            verify: Arc::new(move || inlet.verify()),
        }
    }

    #[cfg(test)]
    pub(super) async fn used_bytes(&self) -> Result<u64, StoreError> {
        reader::used_bytes(&self.link).await
    }

    async fn flushed(&self, of: Option<SessionKey>) -> Result<(), StoreError> {
        let (done, result) = oneshot::channel();
        self.flushes.send(Flush { of, done }).await.map_err(|_| StoreError::Closed)?;
        let _ = result.await;
        if self.link.is_closed() { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Gives up what this node still has, in order if `clean`, and signs it off.
    async fn sign_off(&self) -> Result<(), StoreError> {
        let wire = self.link.wire_soon().await?;
        let clean = !self.backlog.has_lost();
        for held in self.holdings.all() {
            if !held.tenure.holds(Instant::now()) {
                continue;
            }
            let mut call = RELEASE.call(&[&keys::session(&held.key), keys::REST]);
            call.arg(self.node.as_str()).arg(held.tenure.fence()).arg(held.key.as_str());
            if clean {
                call.arg(held.last() + 1)
            } else {
                call.arg("")
            };
            RELEASE.run::<u8>(&wire, &call).await?;
            self.holdings.give_up(&held.key, &held.tenure);
        }
        // What else stands under its name nobody works on.
        loop {
            let mut call = DISOWN.call(&[&keys::own(&self.node), keys::REST]);
            call.arg(self.node.as_str()).arg(keeper::DISOWN_STEP);
            if DISOWN.run::<usize>(&wire, &call).await? == 0 {
                break;
            }
        }
        wire.ask::<()>(redis::cmd("SREM").arg(keys::NODES).arg(self.node.as_str())).await?;
        let mut gone = redis::cmd("UNLINK");
        gone.arg(keys::node(&self.node)).arg(keys::inbox(&self.node)).arg(keys::wake(&self.node));
        wire.ask::<()>(&gone).await?;
        Ok(())
    }
}

impl Store for RedisStore {
    fn dirty(&self, source: Arc<dyn Source>) {
        if !self.link.is_closed() {
            self.inlet.dirty(source);
        }
    }

    fn read<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>> {
        Box::pin(reader::read(&self.link, key, epoch, after, max_bytes))
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }

    fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.condition.health()
    }

    fn counts(&self) -> StoreCounts {
        self.condition.counts()
    }

    fn sessions(&self) -> Pending<'_, Result<Vec<StoredSession>, StoreError>> {
        Box::pin(async {
            let rows = reader::listed(&self.link, keys::ALL).await?;
            Ok(rows.into_iter().map(|row| row.stored).collect())
        })
    }

    fn session<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<Option<StoredSession>, StoreError>> {
        Box::pin(async move { Ok(reader::session(&self.link, key).await?.map(|row| row.stored)) })
    }

    fn index<'a>(&'a self, owner: &'a str) -> Pending<'a, Result<Vec<Indexed>, StoreError>> {
        Box::pin(reader::index(&self.link, owner))
    }

    fn records(&self, keys: Vec<SessionKey>) -> Pending<'_, Result<Vec<Option<Record>>, StoreError>> {
        Box::pin(reader::records(&self.link, keys))
    }

    fn message_ids<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
    ) -> Pending<'a, Result<Vec<String>, StoreError>> {
        Box::pin(reader::message_ids(&self.link, key, epoch))
    }

    fn clock(&self, wall_ms: u64) -> Pending<'_, Result<u64, StoreError>> {
        Box::pin(async move { Ok(self.skew.look(&self.link.wire_soon().await?).await?.unwrap_or(wall_ms)) })
    }

    fn expired(&self, retention: Retention) -> Pending<'_, Result<Vec<Expired>, StoreError>> {
        // After Redis was away leases may have run out whose nodes live: theirs are no orphans.
        Box::pin(reader::expired(&self.link, retention, self.right.may_take().is_ok()))
    }

    fn delete<'a>(&'a self, key: &'a SessionKey, epoch: &'a str) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut call = delivery::delete_call(key, epoch);
            call.arg(self.node.as_str()).arg("").arg(key.as_str()).arg(epoch);
            call.arg(keeper::millis(delivery::TOMBSTONE)).arg(u8::from(self.right.may_take().is_ok()));
            match DELETE.on::<u8>(&self.link, &call).await? {
                3 => Err(StoreError::Refused),
                _ => Ok(()),
            }
        })
    }

    fn flush(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.flushed(None))
    }

    fn flush_of<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(self.flushed(Some(key.clone())))
    }

    fn close(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async {
            if self.link.is_closed() {
                return Err(StoreError::Closed);
            }
            if *self.condition.health().borrow() == StoreHealth::Failing && self.backlog.bytes() > 0 {
                return Err(StoreError::Away("Redis does not take what waits".to_owned()));
            }
            self.flushed(None).await?;
            self.sign_off().await?;
            self.link.close();
            self.tasks.close();
            self.tasks.wait().await;
            drop(self.dir.lock().take());
            Ok(())
        })
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.link.close();
    }
}
