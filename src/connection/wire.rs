//! The socket under the WebSocket: counts, notes progress, and lets no byte of a bad frame through.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    scanner::{Scanner, Violation},
    stats::Stats,
};
use crate::protocol::codes::CloseCode;

/// Bytes that are read ahead: most messages of clients are shorter.
const AHEAD: usize = 1024;

/// Messages of up to this size may come in whatever others send.
const FREE: u64 = 16 << 10;

/// One connection's share of the memory for messages that are not complete.
#[derive(Debug)]
pub(super) struct Inbound {
    stats: Arc<Stats>,
    /// What this connection has of [`Stats::inbound`].
    share: u64,
    max: u64,
}

impl Inbound {
    pub(super) fn new(stats: &Arc<Stats>, max: usize) -> Self {
        Self { stats: Arc::clone(stats), share: 0, max: max as u64 }
    }

    /// So many bytes are held now. False: with them it is too much, over all connections.
    fn note(&mut self, held: u64) -> bool {
        let share = if held > FREE { held } else { 0 };
        let (former, all) = (std::mem::replace(&mut self.share, share), &self.stats.inbound);
        if share <= former {
            all.fetch_sub(former - share, Relaxed);
            return true;
        }
        all.fetch_add(share - former, Relaxed) + (share - former) <= self.max
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.note(0);
    }
}

/// A socket as tungstenite sees it.
#[derive(Debug)]
pub(super) struct Wire<IO> {
    io: IO,
    /// What was read already: together with the request head, or ahead.
    early: Bytes,
    scanner: Scanner,
    violation: Option<CloseCode>,
    stats: Arc<Stats>,
    inbound: Inbound,
    /// When the peer was last heard.
    pub(super) heard: Instant,
    /// When a write last found room in a socket that had been full: so long ago, at the most, bytes left for the peer.
    pub(super) moved: Instant,
    /// Since when the socket is full: a write found it so, and none has succeeded since.
    pub(super) blocked: Option<Instant>,
}

impl<IO> Wire<IO> {
    pub(super) fn new(io: IO, early: Bytes, scanner: Scanner, stats: Arc<Stats>, inbound: Inbound) -> Self {
        let now = Instant::now();
        Self { io, early, scanner, violation: None, stats, inbound, heard: now, moved: now, blocked: None }
    }

    /// Why reading ended with an error, where it was the peer's fault.
    pub(super) fn violation(&self) -> Option<CloseCode> {
        self.violation
    }

    /// What was read so far are whole messages.
    pub(super) fn at_rest(&self) -> bool {
        self.scanner.at_rest() && self.early.is_empty()
    }

    /// Waits for something to read, or the end, and takes a first piece of it. (Who only asks whether there is something
    /// need not have a large buffer ready.)
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        IO: AsyncRead + Unpin,
    {
        if !self.early.is_empty() || self.violation.is_some() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [const { MaybeUninit::uninit() }; AHEAD];
        let mut piece = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
        self.early = Bytes::copy_from_slice(piece.filled());
        Poll::Ready(Ok(()))
    }

    fn note_write(&mut self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(len)) => {
                if self.blocked.take().is_some() {
                    self.moved = Instant::now();
                }
                self.stats.bytes_out.fetch_add(*len as u64, Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.blocked.get_or_insert_with(Instant::now);
            }
        }
    }

    /// The socket itself, for reading past the end of the protocol.
    pub(super) fn raw(&mut self) -> &mut IO {
        &mut self.io
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.violation.is_some() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        } else {
            let len = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early[..len]);
            this.early.advance(len);
        }
        let new = &buf.filled()[before..];
        if new.is_empty() {
            return Poll::Ready(Ok(()));
        }
        this.heard = Instant::now();
        this.stats.bytes_in.fetch_add(new.len() as u64, Relaxed);
        let frames = this.scanner.frames();
        let verdict = this.scanner.scan(new);
        this.stats.frames_in.fetch_add(this.scanner.frames() - frames, Relaxed);
        if let Err(Violation { at, code }) = verdict {
            // The messages before the bad frame are still handled; the next read reports it.
            this.violation = Some(code);
            buf.set_filled(before + at);
            if at == 0 {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        } else if !this.inbound.note(this.scanner.held()) {
            this.violation = Some(CloseCode::TryAgainLater);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write(cx, buf);
        this.note_write(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
