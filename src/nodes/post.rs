//! Letters on their way out, and the answers that are waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::letter::{Head, Letter};
use crate::log::{Cursor, Doorbell};
use crate::store::{NodeId, SharedStore, Store, StoreError};

/// Bytes of letters that this node may be sending at once; who sends more waits.
const IN_FLIGHT: usize = 64 << 20;
/// How often, in the time of a lease, an answer is tried to a node that seems to be gone.
const ANSWER_PAUSES: u32 = 20;
/// What a letter counts at least, and the unit.
const UNIT: usize = 1 << 10;

/// The way to other nodes.
#[derive(Debug)]
pub(super) struct Post {
    store: Arc<dyn Store>,
    me: NodeId,
    next: AtomicU64,
    /// Questions that are open, by their numbers.
    open: Mutex<HashMap<u64, Waiting>>,
    room: Semaphore,
    /// All of the room's tasks.
    pub(super) tasks: TaskTracker,
    /// Ends them.
    pub(super) done: CancellationToken,
}

/// An answer, and the cursor at the place that it names.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) letter: Letter,
    pub(super) cursor: Option<Cursor>,
}

/// Somebody who asked.
#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Reply>,
    /// What rings where the answer names a place in a log; `None`: it names none.
    doorbell: Option<Doorbell>,
}

/// A question that was not answered yet. Dropped: nobody waits any more.
#[derive(Debug)]
pub(super) struct Open<'a> {
    post: &'a Post,
    pub(super) n: u64,
    pub(super) answer: oneshot::Receiver<Reply>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.post.open.lock().remove(&self.n);
    }
}

impl Post {
    /// `None`: the store is not shared.
    pub(super) fn new(store: Arc<dyn Store>, done: CancellationToken) -> Option<Arc<Self>> {
        let me = store.shared()?.node().clone();
        Some(Arc::new(Self {
            store,
            me,
            next: AtomicU64::new(1),
            open: Mutex::default(),
            room: Semaphore::new(IN_FLIGHT / UNIT),
            tasks: TaskTracker::new(),
            done,
        }))
    }

    pub(super) fn me(&self) -> &NodeId {
        &self.me
    }

    pub(super) fn shared(&self) -> Option<&dyn SharedStore> {
        self.store.shared()
    }

    /// Makes a question's number.
    pub(super) fn question(&self, doorbell: Option<&Doorbell>) -> Open<'_> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.open.lock().insert(n, Waiting { answer: sender, doorbell: doorbell.cloned() });
        Open { post: self, n, answer }
    }

    /// The answer to a question has come. `attach` makes the cursor at the place that it names: at once, because the next letter may
    /// say that the session has moved on.
    pub(super) fn answered(
        &self,
        n: u64,
        letter: Letter,
        attach: impl FnOnce(&Letter, &Doorbell) -> Option<Cursor>,
    ) {
        let waiting = self.open.lock().remove(&n);
        if let Some(Waiting { answer, doorbell }) = waiting {
            let cursor = doorbell.and_then(|doorbell| attach(&letter, &doorbell));
            let _ = answer.send(Reply { letter, cursor });
        }
    }

    /// Sends a letter that somebody waits for.
    pub(super) async fn deliver(
        &self,
        to: &NodeId,
        head: Head,
        bodies: Vec<Utf8Bytes>,
    ) -> Result<(), StoreError> {
        let Some(shared) = self.store.shared() else { return Err(StoreError::Closed) };
        let letter = Letter { from: self.me.clone(), head, bodies }.write();
        let units = u32::try_from(letter.len() / UNIT + 1).unwrap_or(u32::MAX);
        let units = units.min(u32::try_from(IN_FLIGHT / UNIT).unwrap_or(u32::MAX));
        let _room = self.room.acquire_many(units).await.map_err(|_| StoreError::Closed)?;
        shared.send(to, letter).await
    }

    /// Sends an answer. Who asked may be without a lease for a moment (it stood still, and has just come back): it is given the time to
    /// get one, as it waits.
    pub(super) async fn answer(&self, to: &NodeId, head: Head, bodies: Vec<Utf8Bytes>) {
        let pause = self.store.shared().map_or(Duration::ZERO, SharedStore::lease) / ANSWER_PAUSES;
        for _ in 0..ANSWER_PAUSES {
            match self.deliver(to, head.clone(), bodies.clone()).await {
                Err(StoreError::Gone) => tokio::time::sleep(pause).await,
                Err(problem) => return log::warn!("an answer to gateway {to} was lost: {problem}"),
                Ok(()) => return,
            }
        }
    }

    /// Sends a letter. If it is lost, whoever waits at the other end finds out by itself.
    pub(super) async fn send(&self, to: &NodeId, head: Head, bodies: Vec<Utf8Bytes>) {
        match self.deliver(to, head, bodies).await {
            // There is nobody to miss it.
            Ok(()) | Err(StoreError::Gone) => {}
            Err(problem) => log::warn!("a message to gateway {to} was lost: {problem}"),
        }
    }
}
