//! Writes: the only future that queues messages for the socket while the connection is open.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{
    End, Service, Settings, Stats,
    cursors::{Cursors, Turn},
    outbox::{Item, Source},
    socket::{Broken, Socket},
};
use crate::{protocol::codes::CloseCode, wake::OnWake};

/// Items of each queue that are written before it is the cursors' turn.
const QUEUE_TURN: usize = 64;

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
    /// Frames of one turn; empty between turns.
    pub(super) batch: Vec<Utf8Bytes>,
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Writer<'_, S, IO> {
    /// Runs until the connection shall end.
    pub(super) async fn run(mut self) -> End {
        let shared = Arc::clone(&self.source.shared);
        // A peer that does not take what is being written must not put off the end.
        let overdue = pin!(async {
            let end = shared.ended().await;
            sleep(self.settings.close_timeout).await;
            end
        });
        let writing = async {
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
        };
        tokio::select! {
            end = writing => end,
            end = OnWake::new(overdue) => end,
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
        self.beat().await?;
        for _ in 0..QUEUE_TURN {
            let Ok(item) = self.source.queue.try_recv() else { break };
            self.item(item).await?;
        }
        for _ in 0..QUEUE_TURN {
            let Ok(notice) = self.source.notices.try_recv() else { break };
            self.feed(Message::Text(notice)).await?;
        }
        self.cursors.look(&self.source.shared.doorbell);
        for _ in 0..self.cursors.waiting() {
            self.turn().await?;
        }
        self.socket.flush().await
    }

    /// What is left before an orderly close: the queue, and for a peer that did nothing wrong, the events.
    async fn rest(&mut self, end: End) -> Result<(), Broken> {
        while let Ok(item) = self.source.queue.try_recv() {
            self.item(item).await?;
        }
        self.cursors.look(&self.source.shared.doorbell);
        let friendly = matches!(end, End::Ours(CloseCode::Normal | CloseCode::GoingAway, _));
        while friendly && self.cursors.waiting() > 0 {
            self.turn().await?;
        }
        Ok(())
    }

    /// Waits for something to write.
    async fn wait(&mut self) {
        tokio::select! {
            Some(item) = self.source.queue.recv() => {
                // A broken socket shows at the next burst.
                let _ = self.item(item).await;
            }
            Some(notice) = self.source.notices.recv() => {
                let _ = self.feed(Message::Text(notice)).await;
            }
            () = self.cursors.rung(&self.source.shared.doorbell) => {}
        }
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
        let turn = self.cursors.turn(&mut self.batch, self.settings.cursor_bytes).await;
        let mut batch = std::mem::take(&mut self.batch);
        let count = batch.len() as u64;
        self.socket.feed_all(&mut batch.drain(..)).await?;
        self.stats.frames_out.fetch_add(count, Ordering::Relaxed);
        self.batch = batch;
        if let Turn::Gap { session, first_seq } = turn
            && let Some(notice) = self.service.gap(&session, first_seq)
        {
            self.feed(Message::Text(notice)).await?;
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Broken> {
        if !self.beat.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.socket.slim().await;
        self.batch.shrink_to(16);
        self.feed(Message::Ping(Bytes::new())).await?;
        match self.service.heartbeat() {
            Some(frame) => self.feed(Message::Text(frame)).await,
            None => Ok(()),
        }
    }

    async fn feed(&self, message: Message) -> Result<(), Broken> {
        self.socket.feed(message).await?;
        self.stats.frames_out.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
