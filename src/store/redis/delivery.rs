//! One batch of one session on its way to Redis, until Redis has it or says that it does not want it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::Cmd;
use tokio::time::sleep;

use super::{
    condition::{Condition, Part},
    connect::{Trouble, Wire},
    held::{Held, Holdings},
    keys,
    link::Link,
    scripts::{DELETE, RECREATE, WRITE},
    skew::Skew,
};
use crate::store::{Batch, NodeId, Source, Status};

/// First and longest wait before a write that Redis refused for its own reasons is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// What an entry counts besides its frame.
const ENTRY_OVERHEAD: usize = 32;
/// How long a deleted session is remembered, so that no late writer brings it back.
pub(super) const TOMBSTONE: Duration = Duration::from_hours(1);

/// What all batches need on their way.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) node: NodeId,
    pub(super) link: Arc<Link>,
    pub(super) holdings: Arc<Holdings>,
    pub(super) condition: Arc<Condition>,
    pub(super) skew: Arc<Skew>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Redis has it.
    Written,
    /// Redis has lost what came before it: the source is to be pulled again.
    Rewound,
    /// Nothing of this session is to be written any more.
    Refused,
    /// The store was closed.
    Closed,
}

/// What one try came to.
enum Tried {
    Outcome(Outcome),
    /// To be tried again on the same connection, later.
    Later(Trouble),
    /// To be tried again on the next connection.
    Reconnect,
}

/// What a write takes up in memory and, about, in Redis.
pub(super) fn weight(batch: &Batch) -> usize {
    let entries: usize = batch.entries.iter().map(|entry| entry.frame.len() + ENTRY_OVERHEAD).sum();
    let ids: usize = batch.message_ids.iter().map(|id| id.len() + ENTRY_OVERHEAD).sum();
    entries + ids + batch.record.as_ref().map_or(0, |record| record.state.len())
}

impl Delivery {
    /// Brings it there, however long that takes.
    pub(super) async fn deliver(&self, held: &Arc<Held>, source: &Arc<dyn Source>, batch: &Batch) -> Outcome {
        let mut wait = RETRY.0;
        loop {
            let Some(wire) = self.link.wire().await else { return Outcome::Closed };
            if !held.tenure.holds(Instant::now()) {
                return self.refused(held);
            }
            let begun = Instant::now();
            let tried = if batch.delete {
                self.delete(&wire, held).await
            } else {
                self.write(&wire, held, source, batch).await
            };
            self.condition.count(matches!(tried, Tried::Outcome(_)), begun.elapsed());
            match tried {
                Tried::Outcome(outcome) => return outcome,
                Tried::Reconnect => wire.hang_up(),
                Tried::Later(trouble) => {
                    self.condition.fails(Part::Writes, &trouble.to_string());
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.link.closed() => return Outcome::Closed,
                    }
                    wait = (wait * 2).min(RETRY.1);
                }
            }
        }
    }

    async fn write(&self, wire: &Wire, held: &Arc<Held>, source: &Arc<dyn Source>, batch: &Batch) -> Tried {
        let call = self.call(held, batch);
        let (code, number, last) = match WRITE.run::<(u8, u64, u64)>(wire, &call).await {
            Ok(answer) => answer,
            Err(trouble) => return failed(trouble),
        };
        self.condition.works(Part::Writes);
        match code {
            1 => {
                held.now_at(number, last);
                if let Some(entry) = batch.entries.last() {
                    source.committed(entry.seq);
                }
                Tried::Outcome(Outcome::Written)
            }
            2 => Tried::Outcome(Self::lost(held, source, number, last)),
            0 => self.recreate(wire, held, source).await,
            _ => Tried::Outcome(self.refused(held)),
        }
    }

    fn call(&self, held: &Held, batch: &Batch) -> Cmd {
        let (key, epoch) = (&held.key, &held.epoch);
        let mut call = WRITE.call(&[
            &keys::session(key),
            &keys::events(key, epoch),
            &keys::message_ids(key, epoch),
            &keys::tombstone(key),
            keys::BYTES,
        ]);
        call.arg(self.node.as_str()).arg(held.tenure.fence()).arg(held.batch() + 1);
        if batch.is_empty() {
            call.arg("");
        } else {
            call.arg(weight(batch));
        }
        call.arg(key.as_str());
        match &batch.record {
            None => call.arg(&["0", "", "", "", "", ""]),
            Some(record) => call
                .arg("1")
                .arg(&record.owner)
                .arg(record.created_at)
                .arg(self.skew.theirs(record.last_active_at))
                .arg(status(record.status))
                .arg(&record.state),
        };
        call.arg(batch.message_ids.len()).arg(&batch.message_ids);
        match batch.lost_through {
            None => call.arg(""),
            Some(seq) => call.arg(seq),
        };
        for entry in &batch.entries {
            call.arg(entry.seq).arg(entry.frame.as_str());
        }
        call
    }

    /// Redis is behind: it came back, or another took its place, without its last writes.
    fn lost(held: &Held, source: &Arc<dyn Source>, number: u64, last: u64) -> Outcome {
        ::log::warn!(
            "session {}: Redis has lost its events after {last} (of {}); what is still in memory is stored again",
            held.key,
            held.last()
        );
        held.now_at(number, last);
        source.rewind(last);
        Outcome::Rewound
    }

    /// Redis knows nothing of the session.
    async fn recreate(&self, wire: &Wire, held: &Arc<Held>, source: &Arc<dyn Source>) -> Tried {
        let key = &held.key;
        let mut call = RECREATE.call(&[
            &keys::session(key),
            &keys::tombstone(key),
            keys::ALL,
            keys::MADE,
            &keys::of(&held.owner),
            &keys::events(key, &held.epoch),
            &keys::message_ids(key, &held.epoch),
        ]);
        call.arg(self.node.as_str())
            .arg(held.tenure.fence())
            .arg(key.as_str())
            .arg(&held.epoch)
            .arg(&held.owner)
            .arg(held.created_at)
            .arg(source.last() + 1);
        match RECREATE.run::<bool>(wire, &call).await {
            Ok(true) => Tried::Outcome(Self::lost(held, source, 0, 0)),
            // Deleted, or somebody else's: the write will be told.
            Ok(false) => Tried::Reconnect,
            Err(trouble) => failed(trouble),
        }
    }

    async fn delete(&self, wire: &Wire, held: &Arc<Held>) -> Tried {
        let mut call = delete_call(&held.key, &held.epoch);
        call.arg(self.node.as_str()).arg(held.tenure.fence());
        call.arg(held.key.as_str()).arg(&held.epoch).arg(super::keeper::millis(TOMBSTONE));
        match DELETE.run::<u8>(wire, &call).await {
            Ok(3) => Tried::Outcome(self.refused(held)),
            Ok(_) => {
                self.condition.works(Part::Writes);
                self.holdings.forget(&held.key, &held.tenure);
                Tried::Outcome(Outcome::Written)
            }
            Err(trouble) => failed(trouble),
        }
    }

    fn refused(&self, held: &Held) -> Outcome {
        ::log::warn!("session {}: another node has it by now; nothing more is stored from here", held.key);
        self.holdings.give_up(&held.key, &held.tenure);
        Outcome::Refused
    }
}

fn failed(trouble: Trouble) -> Tried {
    match trouble {
        Trouble::Silent(_) => Tried::Reconnect,
        // No primary any more: the next connection may be to the one that is.
        Trouble::Down(text) if text.contains("READONLY") => Tried::Reconnect,
        trouble => Tried::Later(trouble),
    }
}

/// The script's keys; the arguments follow.
pub(super) fn delete_call(key: &str, epoch: &str) -> Cmd {
    DELETE.call(&[
        &keys::session(key),
        &keys::events(key, epoch),
        &keys::message_ids(key, epoch),
        &keys::tombstone(key),
        keys::ALL,
        keys::REST,
        keys::BYTES,
    ])
}

fn status(status: Status) -> u8 {
    match status {
        Status::Active => 0,
        Status::Dormant => 1,
        Status::Ended => 2,
    }
}
