//! A WebSocket over a [`Wire`], shared by the futures of one task.
//!
//! tungstenite's state machine owns no stream, so it is driven here directly: reader and writer run in one task and share its
//! waker, which spares `WebSocketStream`'s waker proxies, and the state (with its buffers) can be replaced by a fresh one when
//! nothing is in it.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::Instant,
};
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use super::{End, large::Large, wire::Wire};
use crate::protocol::codes::CloseCode;

/// The read buffer: tungstenite zero-fills what is free of it at every read, and each idle connection keeps it.
const READ_BUFFER: usize = 4096;
/// Received messages of this size, and as much queued at once, leave buffers behind that are worth freeing.
const LARGE: usize = 16 << 10;
/// How much of a large message is written before it is the turn of other tasks: about a tenth of a millisecond.
const TURN: usize = 256 << 10;
/// Pings amid a large message that may be unanswered before more of it goes out: 512 KiB. What kernels and proxies would take beyond that,
/// the answer to a ping of the peer's own would have to wait for.
const AHEAD: u32 = 4;
/// Bytes of pongs that may wait for a socket that takes nothing; while there are more, nothing is read.
const MAX_PONGS: usize = 16 << 10;

/// What the peer did.
#[derive(Debug)]
pub(super) enum Event {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// A ping (its pong is on the way), or a pong that answers none of ours.
    Control,
    /// A pong for a ping of ours.
    Answer,
    /// There will be no more.
    End(End),
}

/// Nothing can be written any more; the reader learns why.
#[derive(Debug)]
pub(super) struct Broken;

/// The moments that the watchdog asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When the peer was last heard.
    pub(super) heard: Instant,
    /// When a socket that was full last took something.
    pub(super) moved: Instant,
    /// Since when the socket takes nothing, while there is something to write.
    pub(super) blocked: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Socket<IO> {
    // Held for the time of one poll, never contended: all users are futures of one task.
    inner: Mutex<Inner<IO>>,
}

/// How far the peer has read large messages, as its pongs tell.
#[derive(Debug, Default)]
struct Trail {
    /// Number of the last ping that was sent amid one; its payload.
    sent: u32,
    /// Of the last one that was answered; a pong answers all pings before it too.
    answered: u32,
    /// It does not answer pings, so it is not waited for.
    is_deaf: bool,
    /// Its pongs are not read at the moment.
    is_unheard: bool,
    /// Whoever waits for a pong.
    waiting: Option<Waker>,
    /// It has waited since the last heartbeat.
    was_waiting: bool,
}

impl Trail {
    fn ping(&mut self) -> Message {
        self.sent = self.sent.wrapping_add(1);
        Message::Ping(Bytes::copy_from_slice(&self.sent.to_be_bytes()))
    }

    fn pong(&mut self, payload: &[u8]) {
        let Ok(number) = payload.try_into().map(u32::from_be_bytes) else { return };
        // Only one that was sent and not answered yet.
        let open = self.sent.wrapping_sub(self.answered);
        if self.sent.wrapping_sub(number) < open {
            self.answered = number;
            self.is_deaf = false;
            self.wake();
        }
    }

    /// Ready when the peer is not too far behind.
    fn poll_near(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_deaf || self.is_unheard || self.sent.wrapping_sub(self.answered) < AHEAD {
            return Poll::Ready(());
        }
        self.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&mut self) {
        self.was_waiting = false;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

#[derive(Debug)]
struct Inner<IO> {
    wire: Wire<IO>,
    state: WebSocketContext,
    config: WebSocketConfig,
    /// The last write found the socket full, or a large message is on its way: flush before the next message.
    full: bool,
    /// A message that goes out past `state`, which must not write while a fragment of it is under way.
    large: Option<Large>,
    /// Bytes of pongs that were not seen to be out.
    pongs: usize,
    /// Woken when the pongs are out: the reader, where it waits for that.
    too_many_pongs: Option<Waker>,
    /// Pings of ours that no pong has come for.
    pings: usize,
    /// How far the peer has read large messages.
    trail: Trail,
    /// All that was read has been handed out.
    drained: bool,
    /// Large messages have passed since the state was fresh.
    bloated: bool,
    /// Bytes of messages since the last complete flush.
    unflushed: usize,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Socket<IO> {
    pub(super) fn new(wire: Wire<IO>, max_message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes));
        let state = WebSocketContext::new(Role::Server, Some(config));
        let inner = Inner {
            wire,
            state,
            config,
            full: false,
            large: None,
            pongs: 0,
            too_many_pongs: None,
            pings: 0,
            trail: Trail::default(),
            drained: false,
            bloated: false,
            unflushed: 0,
        };
        Self { inner: Mutex::new(inner) }
    }

    /// The next thing the peer does. Cancel safe. After [`Event::End`], reads on towards the end of the close handshake.
    pub(super) async fn next(&self) -> Event {
        poll_fn(|cx| self.inner.lock().poll_next(cx)).await
    }

    /// Queues a message; waits only while the socket is full and there is a buffer's worth to write, or a large message. Pings and
    /// closes go out between the fragments of that; after a close, the rest of it does not.
    pub(super) async fn feed(&self, message: Message) -> Result<(), Broken> {
        let mut message = Some(message);
        poll_fn(|cx| self.inner.lock().poll_feed(&mut message, cx)).await
    }

    /// As [`feed`](Self::feed), for many text messages at once.
    pub(super) async fn feed_all(
        &self,
        messages: &mut impl Iterator<Item = Utf8Bytes>,
    ) -> Result<(), Broken> {
        let mut next = None;
        poll_fn(|cx| {
            let mut inner = self.inner.lock();
            loop {
                if next.is_none() {
                    next = messages.next().map(Message::Text);
                }
                if next.is_none() {
                    return Poll::Ready(Ok(()));
                }
                ready!(inner.poll_feed(&mut next, cx))?;
            }
        })
        .await
    }

    /// Writes all that is queued.
    pub(super) async fn flush(&self) -> Result<(), Broken> {
        poll_fn(|cx| self.inner.lock().poll_flush(cx)).await
    }

    /// Gives up the large message that is on its way, at the end of its fragment: the connection ends.
    pub(super) fn cut(&self) {
        self.inner.lock().cut();
    }

    /// Whether the peer's pongs are left unread, since a handler has the reader's time: nobody is waited for then.
    pub(super) fn unheard(&self, is_unheard: bool) {
        let trail = &mut self.inner.lock().trail;
        trail.is_unheard = is_unheard;
        if is_unheard {
            trail.wake();
        }
    }

    /// A heartbeat has passed: a peer that has not answered a ping of a large message for as long is not waited for.
    pub(super) fn beat(&self) {
        let trail = &mut self.inner.lock().trail;
        if trail.waiting.is_some() {
            // Who never has is not waited for any longer than this.
            trail.is_deaf = trail.was_waiting || trail.answered == 0;
            trail.was_waiting = true;
            if trail.is_deaf {
                trail.wake();
            }
        }
    }

    pub(super) fn times(&self) -> Times {
        let wire = &self.inner.lock().wire;
        Times { heard: wire.heard, moved: wire.moved, blocked: wire.blocked }
    }

    /// Frees what large messages left behind, if nothing is being read or written.
    pub(super) async fn slim(&self) {
        poll_fn(|cx| {
            self.inner.lock().slim(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Ends the write half; then what the peer still sends is thrown away, up to `max` bytes.
    pub(super) async fn hang_up(self, max: usize) {
        let mut wire = self.inner.into_inner().wire;
        if wire.shutdown().await.is_err() {
            return;
        }
        let mut left = max;
        let mut space = [0; 1024];
        while left > 0 {
            let mut buf = ReadBuf::new(&mut space);
            match poll_fn(|cx| Pin::new(wire.raw()).poll_read(cx, &mut buf)).await {
                Ok(()) if !buf.filled().is_empty() => left = left.saturating_sub(buf.filled().len()),
                _ => return,
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Inner<IO> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.pongs > MAX_PONGS {
            let flushed = self.poll_flush(cx);
            if flushed.is_pending() && self.pongs > MAX_PONGS {
                // The writer may be the next to hear that there is room.
                self.too_many_pongs = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        // tungstenite fills its read buffer with zeros at every look, so it is asked only when there is something to see: bytes,
        // or room in the socket for a pong that waits.
        if self.drained && self.wire.blocked.is_none() {
            match ready!(self.wire.poll_ahead(cx)) {
                Ok(()) => {}
                Err(_) => return Poll::Ready(Event::End(End::PeerGone)),
            }
        }
        let held = self.large.as_ref().is_some_and(Large::is_amid);
        let result = self.state.read(&mut Blocking { wire: &mut self.wire, cx, held });
        self.drained = false;
        Poll::Ready(match result {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.drained = true;
                return Poll::Pending;
            }
            Ok(Message::Text(text)) => {
                self.bloated |= text.len() > LARGE;
                Event::Text(text)
            }
            Ok(Message::Binary(bytes)) => {
                self.bloated |= bytes.len() > LARGE;
                Event::Binary(bytes)
            }
            Ok(Message::Close(frame)) => Event::End(End::PeerClosed(frame.map(|frame| frame.code.into()))),
            Ok(Message::Ping(payload)) => {
                // Its header has two bytes.
                self.pongs += 2 + payload.len();
                Event::Control
            }
            Ok(Message::Pong(payload)) if self.pings > 0 => {
                self.pings -= 1;
                self.trail.pong(&payload);
                Event::Answer
            }
            Ok(Message::Pong(_) | Message::Frame(_)) => Event::Control,
            Err(error) => Event::End(self.end(&error)),
        })
    }

    /// RFC 6455, section 7.4.1.
    fn end(&self, error: &Error) -> End {
        match (self.wire.violation(), error) {
            (Some(code), _) => End::Violation(code),
            (None, Error::Utf8(_)) => End::Violation(CloseCode::InvalidPayload),
            (None, Error::Capacity(_)) => End::Violation(CloseCode::TooBig),
            (None, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => End::PeerGone,
            (None, Error::Protocol(_)) => End::Violation(CloseCode::Protocol),
            (None, _) => End::PeerGone,
        }
    }

    /// Takes the message over, unless it has to wait for what was taken before.
    fn poll_feed(&mut self, message: &mut Option<Message>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let large = message.as_ref().is_some_and(Large::takes);
        match message {
            Some(Message::Ping(_)) => {}
            Some(Message::Close(_)) => self.cut(),
            _ if self.full || large => ready!(self.poll_flush(cx))?,
            _ => {}
        }
        Poll::Ready(match message.take() {
            Some(Message::Text(text)) if large => self.write_large(text, cx),
            Some(message) => self.write(message, cx),
            None => Ok(()),
        })
    }

    fn write(&mut self, message: Message, cx: &mut Context<'_>) -> Result<(), Broken> {
        self.unflushed += message.len();
        self.bloated |= self.unflushed > LARGE;
        self.pings += usize::from(message.is_ping());
        let held = self.large.as_ref().is_some_and(Large::is_amid);
        match self.state.write(&mut Blocking { wire: &mut self.wire, cx, held }, message) {
            Ok(()) => Ok(()),
            // The message was taken over all the same; the next one waits.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full = true;
                Ok(())
            }
            Err(_) => Err(Broken),
        }
    }

    /// All that was queued before must be out.
    fn write_large(&mut self, text: Utf8Bytes, cx: &mut Context<'_>) -> Result<(), Broken> {
        if !self.state.can_write() {
            return Err(Broken);
        }
        self.large = Some(Large::new(text));
        self.full = true;
        match self.poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    fn cut(&mut self) {
        if let Some(large) = &mut self.large {
            large.cut();
        }
        self.trail.wake();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut left = TURN;
        loop {
            if let Some(large) = &mut self.large {
                ready!(large.poll_write(&mut self.wire, &mut left, cx)).map_err(|_| Broken)?;
            }
            ready!(self.poll_flush_state(cx))?;
            let Some(large) = &mut self.large else { break };
            if large.takes_ping() {
                let ping = self.trail.ping();
                self.write(ping, cx)?;
                continue;
            }
            if !large.is_out() {
                ready!(self.trail.poll_near(cx));
            }
            if !large.begin() {
                self.large = None;
                break;
            }
        }
        self.full = false;
        self.unflushed = 0;
        Poll::Ready(Ok(()))
    }

    /// What tungstenite has to write. No fragment may be under way.
    fn poll_flush_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self.state.flush(&mut Blocking { wire: &mut self.wire, cx, held: false }) {
            Ok(()) => {}
            // After the peer's close frame and the answer to it nothing follows.
            Err(Error::ConnectionClosed) => self.large = None,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(_) => return Poll::Ready(Err(Broken)),
        }
        self.pongs = 0;
        if let Some(reader) = self.too_many_pongs.take() {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn slim(&mut self, cx: &mut Context<'_>) {
        let idle = self.drained && self.wire.at_rest() && self.state.can_write();
        if self.bloated && idle && matches!(self.poll_flush(cx), Poll::Ready(Ok(()))) {
            self.state = WebSocketContext::new(Role::Server, Some(self.config));
            self.bloated = false;
        }
    }
}

/// The wire as a non-blocking `std` stream, for the time of one poll.
struct Blocking<'a, 'c, IO> {
    wire: &'a mut Wire<IO>,
    cx: &'a mut Context<'c>,
    /// A fragment is under way: what else there is to write waits.
    held: bool,
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<IO: AsyncRead + Unpin> Read for Blocking<'_, '_, IO> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(space);
        or_would_block(Pin::new(&mut *self.wire).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl<IO: AsyncWrite + Unpin> Write for Blocking<'_, '_, IO> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        or_would_block(Pin::new(&mut *self.wire).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.wire).poll_flush(self.cx))
    }
}
