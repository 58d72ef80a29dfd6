//! What the store offers because it is shared: claims, and what nodes say to each other.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use redis::Value;
use tokio::sync::mpsc;

use super::{
    RedisStore,
    held::Held,
    keeper::{INBOX_LEASES, millis},
    keys, reader,
    scripts::{CLAIM, RELEASE, SEND},
};
use crate::store::{
    Claim, Follow, Follower, NewSession, NodeId, Pending, SessionKey, SharedStore, StoreError, Tenure,
    Whereabouts,
};

/// How far a session's next seq is from the last one stored, when its node did not release it. Clients may have seen events that Redis
/// never got: none of their seqs may be given to another event of the same epoch.
const SEQ_JUMP: u64 = 1_000_000;
/// Messages that may wait in a node's inbox; a node that reads is never that far behind.
const MAX_INBOX: usize = 10_000;
/// Bytes of them, as far as it is known: no letter is added to more than would take so many of its own size.
const MAX_INBOX_BYTES: usize = 256 << 20;

impl RedisStore {
    async fn claim_it(&self, key: &SessionKey, create: Option<NewSession<'_>>) -> Result<Claim, StoreError> {
        let Some(reservation) = self.holdings.reserve(key) else {
            return Ok(Claim::Elsewhere(self.node.clone()));
        };
        let wire = self.link.wire_soon().await?;
        // Before Redis is asked: a claim that succeeds is under a lease that was good then.
        let lease = self.right.lease();
        let may_take = self.right.may_take();
        let new = create.unwrap_or(NewSession { epoch: "", owner: "", created_at: 0 });
        let mut call = CLAIM.call(&[
            &keys::session(key),
            &keys::tombstone(key),
            keys::ALL,
            keys::REST,
            keys::MADE,
            &keys::of(new.owner),
        ]);
        call.arg(self.node.as_str())
            .arg(self.before.as_ref().map_or("", NodeId::as_str))
            .arg(u8::from(may_take.is_ok()))
            .arg(key.as_str())
            .arg(new.epoch)
            .arg(new.owner)
            .arg(new.created_at)
            .arg(SEQ_JUMP);
        let answer: Vec<Value> = CLAIM.run(&wire, &call).await?;
        let mut fields = answer.into_iter().map(|value| reader::text(&value).ok().map(str::to_owned));
        let mut next = || fields.next().flatten();
        let what = next().unwrap_or_default();
        let held = |fence: Option<String>, epoch: &str, owner: &str, created_at, last| {
            let fence = fence.and_then(|fence| fence.parse().ok());
            let fence = fence.ok_or_else(|| StoreError::Database("a claim without a fence".to_owned()))?;
            Ok::<_, StoreError>(Held {
                key: key.clone(),
                epoch: epoch.to_owned(),
                owner: owner.to_owned(),
                created_at,
                tenure: Tenure::new(fence, lease),
                batch: AtomicU64::new(0),
                last: AtomicU64::new(last),
                source: parking_lot::Mutex::new(None),
            })
        };
        let (held, stored) = match what.as_str() {
            "absent" => return Ok(Claim::Absent),
            "foreign" => return Ok(Claim::Foreign),
            "elsewhere" => return Ok(Claim::Elsewhere(NodeId::from(next().unwrap_or_default()))),
            "notyet" => return Ok(Claim::NotYet(may_take.err().unwrap_or(Duration::ZERO))),
            "made" => (held(next(), new.epoch, new.owner, new.created_at, 0)?, None),
            _ => {
                let fence = next();
                next();
                let Some((stored, (owner, _))) = reader::stored(key, &mut next) else {
                    return Err(StoreError::Database("a session without an epoch".to_owned()));
                };
                let created_at = stored.record.as_ref().map_or(new.created_at, |record| record.created_at);
                let held = held(fence, &stored.epoch, &owner, created_at, stored.last_seq)?;
                // Made by this very claim, whose first answer was lost.
                let mine = stored.epoch == new.epoch && stored.last_seq == 0 && stored.record.is_none();
                (held, Some(stored).filter(|_| !mine))
            }
        };
        let held = Arc::new(held);
        let tenure = Arc::clone(&held.tenure);
        reservation.hold(held);
        Ok(Claim::Mine { tenure, stored })
    }
}

impl SharedStore for RedisStore {
    fn node(&self) -> &NodeId {
        &self.node
    }

    fn lease(&self) -> Duration {
        self.length
    }

    fn claim<'a>(
        &'a self,
        key: &'a SessionKey,
        create: Option<NewSession<'a>>,
    ) -> Pending<'a, Result<Claim, StoreError>> {
        Box::pin(self.claim_it(key, create))
    }

    fn release<'a>(
        &'a self,
        key: &'a SessionKey,
        tenure: &'a Tenure,
        next_seq: u64,
    ) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut call = RELEASE.call(&[&keys::session(key), keys::REST]);
            call.arg(self.node.as_str()).arg(tenure.fence()).arg(key.as_str()).arg(next_seq);
            let released = RELEASE.on::<bool>(&self.link, &call).await?;
            self.holdings.give_up(key, tenure);
            if released { Ok(()) } else { Err(StoreError::Refused) }
        })
    }

    fn whereabouts<'a>(&'a self, key: &'a SessionKey) -> Pending<'a, Result<Whereabouts, StoreError>> {
        Box::pin(async move {
            let mut cmd = redis::cmd("HMGET");
            cmd.arg(keys::session(key)).arg("epoch").arg("node");
            let (epoch, node): (Option<String>, Option<String>) = self.link.look(&cmd).await?;
            let node = node.filter(|node| !node.is_empty()).map(NodeId::from);
            Ok(match (epoch, node) {
                (None, _) => Whereabouts::Absent,
                (Some(_), None) => Whereabouts::Resting,
                (Some(_), Some(node)) if reader::lives(&self.link, &node).await? => Whereabouts::At(node),
                (Some(_), Some(node)) => Whereabouts::Orphaned(node),
            })
        })
    }

    fn count_of<'a>(&'a self, owner: &'a str) -> Pending<'a, Result<usize, StoreError>> {
        Box::pin(async move { self.link.look(redis::cmd("ZCARD").arg(keys::of(owner))).await })
    }

    fn nodes(&self) -> Pending<'_, Result<Vec<NodeId>, StoreError>> {
        Box::pin(reader::nodes(&self.link))
    }

    fn lives<'a>(&'a self, node: &'a NodeId) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(reader::lives(&self.link, node))
    }

    fn send<'a>(&'a self, to: &'a NodeId, message: Bytes) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut call = SEND.call(&[&keys::node(to), &keys::inbox(to)]);
            let limit = (MAX_INBOX_BYTES / message.len().max(1)).clamp(1, MAX_INBOX);
            call.arg(&*message).arg(limit).arg(millis(self.length * INBOX_LEASES));
            match SEND.on::<u8>(&self.link, &call).await? {
                0 => Err(StoreError::Gone),
                2 => Err(StoreError::Full),
                _ => Ok(()),
            }
        })
    }

    fn inbox(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.inbox.lock().take()
    }

    fn follow(&self, key: &SessionKey, epoch: &str, after: u64, sink: Arc<dyn Follower>) -> Follow {
        self.following.follow(key, epoch, after, sink)
    }
}
