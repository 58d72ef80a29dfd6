//! Connections of other nodes that use sessions of this one: each a client like those that are connected here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use super::letter::{Head, Letter, Place};
use super::post::Post;
use crate::dispatch::Dispatch;
use crate::log::{CursorId, Doorbell, Ending, Hold};
use crate::session::{Client, ClientId};
use crate::store::NodeId;

/// Messages of one connection that may wait. It sends the next one when the one before was answered, or given up.
const MAILBOX: usize = 8;
/// Notices that may wait for one connection, as for one that is connected here.
const NOTICES: usize = 16;
/// Connections of other nodes; messages of more are dropped, and their clients get `agent_unavailable`.
const MAX_GUESTS: usize = 100_000;

/// A client's message from another node.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) n: u64,
    /// Name of the token.
    pub(super) owner: String,
    pub(super) text: Utf8Bytes,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Guests {
    table: Mutex<HashMap<(NodeId, u64), mpsc::Sender<Question>>>,
}

impl Guests {
    /// Has a message handled, by the task of its connection.
    pub(super) fn ask(
        self: &Arc<Self>,
        door: NodeId,
        connection: u64,
        question: Question,
        post: &Arc<Post>,
        dispatch: &Arc<Dispatch>,
    ) {
        let mut table = self.table.lock();
        if table.len() >= MAX_GUESTS && !table.contains_key(&(door.clone(), connection)) {
            log::error!("{MAX_GUESTS} connections of other gateways use sessions here: no more");
            return;
        }
        let place = (door.clone(), connection);
        // Its task ended by a fault: the next one begins anew.
        if table.get(&place).is_some_and(mpsc::Sender::is_closed) {
            table.remove(&place);
        }
        let mailbox = table.entry(place).or_insert_with(|| {
            // From the reader of the inbox to the guest's task. Full: dropped, and the other side gives up waiting. Closed: it has
            // ended, and is not in the table.
            let (mailbox, questions) = mpsc::channel(MAILBOX);
            let guest = Guest::new(door, connection, Arc::clone(post), Arc::clone(dispatch));
            post.tasks.spawn(guest.run(questions, post.done.clone()));
            mailbox
        });
        if mailbox.try_send(question).is_err() {
            log::warn!("a connection of another gateway asks faster than it is answered");
        }
    }

    pub(super) fn goodbye(&self, door: &NodeId, connection: u64) {
        self.table.lock().remove(&(door.clone(), connection));
    }

    /// Those of nodes that are gone. Which these are.
    pub(super) fn forget(&self, is_gone: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
        let mut gone = Vec::new();
        self.table.lock().retain(|(door, _), _| {
            let stays = !is_gone(door);
            if !stays && !gone.contains(door) {
                gone.push(door.clone());
            }
            stays
        });
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.lock().is_empty()
    }
}

struct Guest {
    door: NodeId,
    connection: u64,
    client: Client,
    notices: mpsc::Receiver<Utf8Bytes>,
    /// What keeps the sessions that it is attached to, as its cursors would.
    holds: Vec<Hold>,
    post: Arc<Post>,
    dispatch: Arc<Dispatch>,
}

enum Event {
    Question(Question),
    Notice(Utf8Bytes),
    /// Logs have ended.
    Ended,
}

impl Guest {
    fn new(door: NodeId, connection: u64, post: Arc<Post>, dispatch: Arc<Dispatch>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Beyond the numbers of the connections here.
        let id = ClientId((1 << 63) | NEXT.fetch_add(1, Ordering::Relaxed));
        let (sender, notices) = mpsc::channel(NOTICES);
        let client = Client { id, notices: sender, doorbell: Doorbell::new() };
        Self { door, connection, client, notices, holds: Vec::new(), post, dispatch }
    }

    /// Until its connection is gone.
    async fn run(mut self, mut questions: mpsc::Receiver<Question>, done: CancellationToken) {
        let mut news = Vec::new();
        loop {
            let event = tokio::select! {
                question = questions.recv() => match question {
                    Some(question) => Event::Question(question),
                    None => return,
                },
                Some(notice) = self.notices.recv() => Event::Notice(notice),
                () = self.client.doorbell.wait(&mut news) => Event::Ended,
                () = done.cancelled() => return,
            };
            match event {
                Event::Question(question) => self.answer(question).await,
                Event::Notice(notice) => {
                    let head = Head::Notice { connection: self.connection };
                    self.post.send(&self.door, head, vec![notice]).await;
                }
                Event::Ended => self.let_go(&mut news).await,
            }
        }
    }

    async fn answer(&mut self, Question { n, owner, text }: Question) {
        let handled = self.dispatch.remote_text(&self.client, &owner.into(), &text).await;
        drop(text);
        let Some(mut handled) = handled else {
            return self.post.answer(&self.door, Head::NotHere { n }, Vec::new()).await;
        };
        let place = handled.answer.cursor.take().map(|cursor| {
            let hold = cursor.hold(&self.client.doorbell);
            self.holds.retain(|other| other.key() != hold.key());
            self.holds.push(hold);
            Place {
                session: cursor.key().to_string(),
                epoch: cursor.epoch().to_owned(),
                position: cursor.position(),
                durable: cursor.durable_seq(),
            }
        });
        let head = Head::Answer { n, bad: handled.bad, place };
        self.post.answer(&self.door, head, handled.answer.frames).await;
    }

    async fn let_go(&mut self, news: &mut Vec<CursorId>) {
        let rung = std::mem::take(news);
        let (ended, holds) =
            std::mem::take(&mut self.holds).into_iter().partition(|hold| rung.contains(&hold.id()));
        self.holds = holds;
        let ended: Vec<Hold> = ended;
        for hold in ended {
            // An end that the log itself tells of closes nothing.
            if hold.ending() == Some(Ending::Moved) {
                let head = Head::Moved { session: hold.key().to_string(), epoch: hold.epoch().to_owned() };
                drop(hold);
                self.post.send(&self.door, head, Vec::new()).await;
            }
        }
    }
}

/// Reads a letter's one body.
pub(super) fn only_body(letter: Letter) -> Option<Utf8Bytes> {
    letter.bodies.into_iter().next()
}
