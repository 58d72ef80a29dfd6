//! The ways into a connection's writer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::End;
use crate::{
    log::{Cursor, Doorbell},
    protocol::codes::CloseCode,
};

/// Places in the ordered queue; its frames are also bounded in bytes.
const QUEUE: usize = 32;
/// Places for notices.
const NOTICES: usize = 16;

/// The connection has ended; what was sent is lost, and so would be any answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection has ended")]
pub struct Gone;

/// Takes what one connection shall write. Clones lead to the same connection.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// Replies, and what happens to cursors, in order. Sent by the reader's handlers, read by the writer. Full: the sender
    /// waits, so a peer that asks and does not read the answers is no longer read. Closed: the connection has ended.
    queue: mpsc::Sender<Item>,
    /// Best effort, sent by anybody (`try_send`), read by the writer. Full or closed: the notice is dropped.
    notices: mpsc::Sender<Utf8Bytes>,
    shared: Arc<Shared>,
}

/// What the writer has of it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) queue: mpsc::Receiver<Item>,
    pub(super) notices: mpsc::Receiver<Utf8Bytes>,
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Wakes the writer: cursors have news, there is a close, or a heartbeat is due.
    pub(super) doorbell: Doorbell,
    /// Bytes that may still be queued.
    budget: Semaphore,
    budget_max: usize,
    /// How the connection shall end, once the queue is written. The first wish wins.
    end: Mutex<Option<End>>,
    closing: AtomicBool,
    /// There is an end.
    closed: Notify,
}

#[derive(Debug)]
pub(super) enum Item {
    Frame(Utf8Bytes),
    Binary(Bytes),
    // Boxed: a queue has 32 places of the largest variant's size.
    Attach(Box<Cursor>),
    Detach(Box<str>),
}

impl Item {
    /// The message, for items that are one.
    pub(super) fn into_message(self) -> Option<Message> {
        match self {
            Self::Frame(text) => Some(Message::Text(text)),
            Self::Binary(bytes) => Some(Message::Binary(bytes)),
            Self::Attach(_) | Self::Detach(_) => None,
        }
    }
}

/// A new outbox that lets `bytes` of frames wait.
pub(super) fn outbox(bytes: usize) -> (Outbox, Source) {
    let (queue, queue_out) = mpsc::channel(QUEUE);
    let (notices, notices_out) = mpsc::channel(NOTICES);
    let budget_max = bytes.clamp(1, u32::MAX as usize >> 3);
    let shared = Arc::new(Shared {
        doorbell: Doorbell::new(),
        budget: Semaphore::new(budget_max),
        budget_max,
        end: Mutex::new(None),
        closing: AtomicBool::new(false),
        closed: Notify::new(),
    });
    let source = Source { queue: queue_out, notices: notices_out, shared: Arc::clone(&shared) };
    (Outbox { queue, notices, shared }, source)
}

impl Outbox {
    /// Sends a text message, after all that was sent before; waits while too much is queued.
    pub async fn frame(&self, frame: Utf8Bytes) -> Result<(), Gone> {
        self.shared.reserve(frame.len()).await?;
        self.queue.send(Item::Frame(frame)).await.map_err(|_| Gone)
    }

    /// As [`frame`](Self::frame), for a binary message.
    pub async fn binary(&self, frame: Bytes) -> Result<(), Gone> {
        self.shared.reserve(frame.len()).await?;
        self.queue.send(Item::Binary(frame)).await.map_err(|_| Gone)
    }

    /// From here on the connection also writes what this cursor reads. A cursor of the same session replaces the former one.
    pub async fn attach(&self, cursor: Cursor) -> Result<(), Gone> {
        self.queue.send(Item::Attach(Box::new(cursor))).await.map_err(|_| Gone)
    }

    /// Drops the session's cursor; events that it has not read are not written.
    pub async fn detach(&self, session: &str) -> Result<(), Gone> {
        self.queue.send(Item::Detach(session.into())).await.map_err(|_| Gone)
    }

    /// Closes the connection, after what was sent before. Frames of the peer are no longer handled. The first call wins.
    pub fn close(&self, code: CloseCode, reason: &'static str) {
        self.shared.end(End::Ours(code, reason));
    }

    pub(super) fn end(&self, end: End) {
        self.shared.end(end);
    }

    /// [`close`](Self::close) was called.
    pub fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    /// For best-effort notices by others than this connection's handlers: use `try_send`. There is no order between them and
    /// frames.
    pub fn notices(&self) -> mpsc::Sender<Utf8Bytes> {
        self.notices.clone()
    }

    /// What logs ring when cursors that are to be [attached](Self::attach) have news.
    pub fn doorbell(&self) -> &Doorbell {
        &self.shared.doorbell
    }
}

impl Shared {
    async fn reserve(&self, len: usize) -> Result<(), Gone> {
        let permits = self.cost(len);
        self.budget.acquire_many(permits).await.map_err(|_| Gone)?.forget();
        Ok(())
    }

    /// A frame larger than the whole budget waits for all of it.
    fn cost(&self, len: usize) -> u32 {
        u32::try_from(len.clamp(1, self.budget_max)).unwrap_or(u32::MAX)
    }

    /// The writer has taken a frame of this length out of the queue.
    pub(super) fn release(&self, len: usize) {
        self.budget.add_permits(self.cost(len) as usize);
    }

    /// Ends the connection after what was sent before.
    pub(super) fn end(&self, end: End) {
        self.end.lock().get_or_insert(end);
        self.closing.store(true, Ordering::Release);
        self.doorbell.nudge();
        self.closed.notify_one();
    }

    /// How the connection shall end, if it shall.
    pub(super) fn ending(&self) -> Option<End> {
        if self.closing.load(Ordering::Acquire) { *self.end.lock() } else { None }
    }

    /// Waits until the connection shall end.
    pub(super) async fn ended(&self) -> End {
        loop {
            if let Some(end) = self.ending() {
                return end;
            }
            self.closed.notified().await;
        }
    }
}

impl Source {
    /// Nothing more is taken, and what waits is dropped: whoever waits for room must not wait for ever.
    pub(super) fn close(&mut self) {
        self.queue.close();
        while self.queue.try_recv().is_ok() {}
        self.shared.budget.close();
        self.shared.doorbell.leave();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Wake, Waker};

    use super::*;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    /// Sessions keep the doorbells of those who have asked them something, for a while after they have left.
    #[test]
    fn a_doorbell_keeps_nothing_of_a_connection_that_is_gone() {
        let (outbox, source) = outbox(1);
        let (doorbell, task) = (outbox.doorbell().clone(), Arc::new(Task));
        let waker = Waker::from(Arc::clone(&task));
        assert!(doorbell.poll_wait(&mut Context::from_waker(&waker), &mut Vec::new()).is_pending());
        drop((waker, outbox));
        assert_eq!(Arc::strong_count(&task), 2);
        drop(source);
        assert_eq!(Arc::strong_count(&task), 1);
    }
}
