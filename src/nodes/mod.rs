//! Room: several gateways that share a store. A client may be attached at any of them, each session is run by one.
//!
//! Its job: to bring the messages of connections here to the node that runs the session, and its answers back; to keep mirrors of the
//! logs of such sessions; and to serve those of other nodes.
//!
//! May assume: the store is shared ([`Store::shared`]), and brings letters in order or not at all. Must not know: what messages mean,
//! sockets, how the store does it.
//!
//! Words: a **node** is one run of one gateway, the **owner** of a session the node that runs it, a **door** a node where a client is
//! attached whose session is elsewhere, a **guest** such a client as its owner sees it.
//!
//! # The way of a message
//! `dispatch` asks the [router](crate::dispatch::Elsewhere) where a session is that is not at work here. Is it at another node, the frame goes there as
//! it is, in a letter; there a guest's task gives it to the dispatch table as any client's, and the answer's frames come back. An attach's
//! answer names the place in the log: the door makes its cursor there, in its mirror, which follows the session's events in the store.
//! So events take one way to all doors, and a session knows nothing of nodes but that somebody holds it.
//!
//! # When a session leaves its owner
//! Its log ends as *moved*, and so do all mirrors of it: by the owner's word, or when its lease is over. Connections that were attached
//! are closed with 1012, come back and find the session where it is then.

mod guests;
mod legs;
mod letter;
mod mirrors;
mod post;
mod router;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::session::Registry;
use crate::store::{NodeId, SharedStore, Store};
use guests::{Guests, Question, only_body};
use legs::Legs;
use letter::{Head, Letter};
use mirrors::Mirrors;
use post::Post;
use watch::Watch;

/// How long a node that had guests here and has no lease may be gone before it is not waited for any more.
const FORGOTTEN: Duration = Duration::from_hours(1);
/// How long the room's tasks get for their end.
const END: Duration = Duration::from_secs(2);

/// This node among the others.
#[derive(Debug)]
pub struct Nodes {
    registry: Arc<Registry>,
    post: Arc<Post>,
    mirrors: Arc<Mirrors>,
    legs: Arc<Legs>,
    guests: Arc<Guests>,
    watch: Watch,
    /// Nodes whose guests were forgotten when they had no lease. If one comes back, it is told.
    forgotten: Mutex<BTreeMap<NodeId, Instant>>,
}

impl Nodes {
    /// `None`: the store is this gateway's alone. `done` ends the room's tasks.
    pub fn new(registry: &Arc<Registry>, done: CancellationToken) -> Option<Arc<Self>> {
        let shared = registry.shared();
        let store: Arc<dyn Store> = Arc::clone(shared.store.as_ref()?);
        let post = Post::new(Arc::clone(&store), done)?;
        Some(Arc::new(Self {
            registry: Arc::clone(registry),
            post,
            mirrors: Mirrors::new(store, shared.log_window),
            legs: Arc::default(),
            guests: Arc::default(),
            watch: Watch::default(),
            forgotten: Mutex::default(),
        }))
    }

    /// Begins to read what other nodes write.
    pub fn serve(self: &Arc<Self>, dispatch: &Arc<Dispatch>) {
        let Some(inbox) = self.post.shared().and_then(SharedStore::inbox) else { return };
        let done = self.post.done.clone();
        let reading = Arc::clone(self).read(inbox, Arc::clone(dispatch));
        let watching = Arc::clone(self).watch();
        self.post.tasks.spawn(async move {
            tokio::select! {
                ((), ()) = async { tokio::join!(reading, watching) } => {}
                () = done.cancelled() => {}
            }
        });
    }

    /// Ends the room's tasks. Sessions must be released before.
    pub async fn close(&self) {
        self.post.done.cancel();
        self.post.tasks.close();
        if tokio::time::timeout(END, self.post.tasks.wait()).await.is_err() {
            log::warn!("messages to other gateways were given up");
        }
    }

    async fn read(self: Arc<Self>, mut inbox: mpsc::Receiver<Bytes>, dispatch: Arc<Dispatch>) {
        while let Some(bytes) = inbox.recv().await {
            match Letter::read(bytes) {
                Ok(letter) => self.open(letter, &dispatch),
                Err(problem) => log::error!("a message of another gateway cannot be read: {problem}"),
            }
        }
    }

    /// Never waits: what takes time has a task of its own.
    fn open(self: &Arc<Self>, letter: Letter, dispatch: &Arc<Dispatch>) {
        match letter.head.clone() {
            Head::Ask { n, connection, owner } => {
                let door = letter.from.clone();
                let Some(text) = only_body(letter) else { return };
                let question = Question { n, owner, text };
                self.guests.ask(door, connection, question, &self.post, dispatch);
            }
            Head::Answer { n, place, .. } => self.post.answered(n, letter, |letter, doorbell| {
                self.mirrors.attach(&letter.from, place?, doorbell, &self.post.tasks)
            }),
            Head::NotHere { n } | Head::Listed { n } => self.post.answered(n, letter, |_, _| None),
            Head::Notice { connection } => {
                if let Some(notice) = only_body(letter) {
                    self.legs.notice(connection, notice);
                }
            }
            Head::Goodbye { connection } => self.guests.goodbye(&letter.from, connection),
            Head::Moved { session, epoch } => self.mirrors.moved(&letter.from, &session, Some(&epoch)),
            Head::List { n, owner, sessions } => {
                self.post.tasks.spawn(Arc::clone(self).tell_list(letter.from, n, owner, sessions));
            }
            Head::Forgotten => self.mirrors.all_moved(|node| *node == letter.from),
        }
    }

    async fn watch(self: Arc<Self>) {
        let Some(shared) = self.post.shared() else { return };
        let depends =
            || !self.mirrors.is_empty() || !self.guests.is_empty() || !self.forgotten.lock().is_empty();
        loop {
            let alive = self.watch.look(shared, depends).await;
            self.mirrors.all_moved(|node| !alive.contains(node));
            for node in self.came_back(&alive) {
                self.post.send(&node, Head::Forgotten, Vec::new()).await;
            }
            self.watch.tell(alive);
        }
    }

    /// Forgets the guests of nodes that are gone; gives those that were gone and are there again.
    fn came_back(&self, alive: &BTreeSet<NodeId>) -> Vec<NodeId> {
        let now = Instant::now();
        let mut forgotten = self.forgotten.lock();
        forgotten
            .extend(self.guests.forget(|node| !alive.contains(node)).into_iter().map(|node| (node, now)));
        let back = forgotten.keys().filter(|node| alive.contains(node)).cloned().collect();
        forgotten.retain(|node, since| !alive.contains(node) && now.duration_since(*since) < FORGOTTEN);
        back
    }
}
