//! Writes: the only future that queues messages for the socket while the connection is open.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{
    End, Service, Settings, Stats,
    cursors::{Cursors, Turn},
    outbox::{Item, Source},
    socket::{Broken, Socket},
};
use crate::{protocol::codes::CloseCode, wake::Gate};

/// Items of each queue that are written before it is the cursors' turn.
const QUEUE_TURN: usize = 64;
/// Messages of more bytes are announced.
const ANNOUNCED: usize = 256 << 10;
/// A session is run by another gateway now: where the client comes back to, it goes on.
const MOVED: End = End::Ours(CloseCode::ServiceRestart, "session moved; reconnect");

/// What there is to write.
enum Word {
    /// Cursors have news, or the connection is to end, or a heartbeat is due.
    Rung,
    Item(Item),
    Notice(Utf8Bytes),
}

pub(super) struct Writer<'a, S, IO> {
    pub(super) socket: &'a Socket<IO>,
    pub(super) service: &'a S,
    pub(super) settings: &'a Settings,
    pub(super) stats: &'a Arc<Stats>,
    pub(super) source: Source,
    /// Set by the watchdog, which then wakes the writer.
    pub(super) beat: &'a AtomicBool,
    /// A handler of the reader's runs.
    pub(super) busy: &'a AtomicBool,
    pub(super) cursors: Cursors,
    /// Before the queues, which hold something far more seldom than cursors have news.
    pub(super) asked: Gate,
    /// Frames of one turn; empty between turns.
    pub(super) batch: Vec<Utf8Bytes>,
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Writer<'_, S, IO> {
    /// Runs until the connection shall end.
    pub(super) async fn run(mut self) -> End {
        let shared = Arc::clone(&self.source.shared);
        loop {
            if let Some(end) = shared.ending() {
                // Bounded: what a peer does not take in time, it asks for again when it comes back.
                let _ = timeout(self.settings.close_timeout, self.rest(end)).await;
                return end;
            }
            if self.burst().await.is_err() {
                return self.broken().await;
            }
            if self.cursors.waiting() == 0 {
                self.wait().await;
            }
        }
    }

    /// The reader finds out more, and still handles what the peer said before it left: a message of a client that is gone is to be
    /// run all the same. So places in the queue are still given back, and attachments are held, until no handler runs and nothing
    /// comes any more. A handler that takes longer than a socket that takes nothing is borne with (`--send-timeout`) is dropped.
    async fn broken(&mut self) -> End {
        let last = Instant::now() + self.settings.send_timeout;
        while Instant::now() < last {
            let quiet = last.min(Instant::now() + self.settings.close_timeout);
            let item = match timeout_at(quiet, self.source.queue.recv()).await {
                Ok(Some(item)) => item,
                Err(_) if self.busy.load(Ordering::Relaxed) => continue,
                Ok(None) | Err(_) => break,
            };
            match item {
                Item::Attach(cursor) => self.cursors.attach(*cursor),
                Item::Detach(session) => self.cursors.detach(&session),
                Item::Frame(_) | Item::Binary(_) => {
                    self.source.shared.release(item.into_message().map_or(0, |message| message.len()));
                }
            }
        }
        End::PeerGone
    }

    /// All that can be written now, every cursor having one turn, and one flush.
    async fn burst(&mut self) -> Result<(), Broken> {
        if self.beat.load(Ordering::Relaxed) {
            self.beat().await?;
        }
        if self.asked.is_open() {
            self.queues().await?;
        }
        self.cursors.look(&self.source.shared.doorbell);
        for _ in 0..self.cursors.waiting() {
            self.turn().await?;
        }
        self.socket.flush().await
    }

    /// What waits in the queues, a bounded part of it.
    async fn queues(&mut self) -> Result<(), Broken> {
        for _ in 0..QUEUE_TURN {
            let Ok(item) = self.source.queue.try_recv() else { break };
            self.item(item).await?;
        }
        for _ in 0..QUEUE_TURN {
            let Ok(notice) = self.source.notices.try_recv() else { break };
            self.feed(Message::Text(notice)).await?;
        }
        Ok(())
    }

    /// What is left before an orderly close: the queue, and for a peer that did nothing wrong, the events.
    async fn rest(&mut self, end: End) -> Result<(), Broken> {
        while let Ok(item) = self.source.queue.try_recv() {
            self.item(item).await?;
        }
        self.cursors.look(&self.source.shared.doorbell);
        let friendly =
            matches!(end, End::Ours(CloseCode::Normal | CloseCode::GoingAway | CloseCode::ServiceRestart, _));
        while friendly && self.cursors.waiting() > 0 {
            self.turn().await?;
        }
        // A large message may still be on its way, which a close would cut.
        self.socket.flush().await
    }

    /// Waits for something to write.
    async fn wait(&mut self) {
        // A broken socket shows at the next burst.
        let _ = match poll_fn(|cx| self.poll_word(cx)).await {
            Word::Rung => return,
            Word::Item(item) => self.item(item).await,
            Word::Notice(notice) => self.feed(Message::Text(notice)).await,
        };
    }

    fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<Word> {
        let Source { queue, notices, shared } = &mut self.source;
        if self.cursors.poll_rung(&shared.doorbell, cx).is_ready() {
            return Poll::Ready(Word::Rung);
        }
        self.asked.poll(cx, |cx| {
            if let Poll::Ready(Some(item)) = queue.poll_recv(cx) {
                return Poll::Ready(Word::Item(item));
            }
            match notices.poll_recv(cx) {
                Poll::Ready(Some(notice)) => Poll::Ready(Word::Notice(notice)),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            }
        })
    }

    async fn item(&mut self, item: Item) -> Result<(), Broken> {
        match item {
            Item::Attach(cursor) => self.cursors.attach(*cursor),
            Item::Detach(session) => self.cursors.detach(&session),
            Item::Frame(_) | Item::Binary(_) => {
                let Some(message) = item.into_message() else { return Ok(()) };
                let len = message.len();
                let fed = self.feed(message).await;
                self.source.shared.release(len);
                return fed;
            }
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), Broken> {
        let service = self.service;
        let cut = |frame: &Utf8Bytes, max_bytes| service.cut(frame, max_bytes);
        let turn = self.cursors.turn(&mut self.batch, self.settings.cursor_bytes, cut).await;
        if self.batch.iter().any(|frame| frame.len() > ANNOUNCED) {
            let frames = std::mem::take(&mut self.batch).into_iter();
            self.batch =
                frames.flat_map(|frame| [self.announcement(frame.len()), Some(frame)]).flatten().collect();
        }
        self.socket.feed_all(&mut self.batch.iter_mut().map(std::mem::take)).await?;
        self.stats.frames_out.fetch_add(self.batch.len() as u64, Ordering::Relaxed);
        self.batch.clear();
        match turn {
            Turn::Read => {}
            Turn::Gap { session, first_seq } => {
                if let Some(notice) = self.service.gap(&session, first_seq) {
                    self.feed(Message::Text(notice)).await?;
                }
            }
            Turn::Moved => self.source.shared.end(MOVED),
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Broken> {
        self.beat.store(false, Ordering::Relaxed);
        self.socket.slim().await;
        self.batch.shrink_to(16);
        self.feed(Message::Ping(Bytes::new())).await?;
        match self.service.heartbeat() {
            Some(frame) => self.feed(Message::Text(frame)).await,
            None => Ok(()),
        }
    }

    fn announcement(&self, bytes: usize) -> Option<Utf8Bytes> {
        if bytes > ANNOUNCED { self.service.announce(bytes) } else { None }
    }

    async fn feed(&self, message: Message) -> Result<(), Broken> {
        if let Some(notice) = self.announcement(message.len()) {
            self.socket.feed(Message::Text(notice)).await?;
            self.stats.frames_out.fetch_add(1, Ordering::Relaxed);
        }
        self.socket.feed(message).await?;
        self.stats.frames_out.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
