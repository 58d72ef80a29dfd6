//! A large text message on its way out: in fragments, and past tungstenite's write buffer.
//!
//! A message in one frame lets nothing pass until it is out, which on a slow link takes minutes: no pong for the peer's library, no
//! close. So it goes out in fragments (RFC 6455, section 5.4), with a ping now and then: the pongs say that the peer is still
//! reading, however much the kernels and proxies on the way hold.
//!
//! tungstenite copies each frame into its buffer and moves what is left of it after every write: of 20 MB, of which a socket takes
//! some 100 KB at a time, that is gigabytes moved, and other connections wait meanwhile. Here the payload is written from where it
//! lies, a piece at a time. Assumes that nothing else writes to the wire while a fragment is under way; knows nothing of other
//! frames.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::wire::Wire;

/// Messages of more bytes take this way.
const FROM: usize = 64 << 10;
/// Payload bytes of a fragment, at most.
const FRAGMENT: usize = 64 << 10;
/// Payload bytes between two pings: a peer that takes 5 kB/s answers one within two heartbeats.
const PING_EVERY: usize = 2 * FRAGMENT;

/// RFC 6455, section 5.2: opcodes of a text message's first and further frames, and the bit of its last one.
const TEXT: u8 = 0x1;
const CONTINUATION: u8 = 0x0;
const LAST: u8 = 0x80;

#[derive(Debug)]
pub(super) struct Large {
    payload: Utf8Bytes,
    /// Payload bytes of the fragments that were begun.
    begun: usize,
    fragment: Option<Fragment>,
    /// Payload bytes since the last ping.
    unpinged: usize,
}

/// The fragment that is under way.
#[derive(Debug)]
struct Fragment {
    head: Head,
    /// Where its payload begins and ends.
    from: usize,
    to: usize,
    /// Bytes that are out, of head and payload.
    written: usize,
}

/// A frame's header, not masked.
#[derive(Debug)]
struct Head {
    bytes: [u8; 10],
    len: usize,
}

impl Head {
    /// RFC 6455, section 5.2: the length takes as few bytes as it can.
    fn new(first: u8, payload: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = first;
        let len = if let Ok(short @ 0..126) = u8::try_from(payload) {
            bytes[1] = short;
            2
        } else if let Ok(medium) = u16::try_from(payload) {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        } else {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            10
        };
        Self { bytes, len }
    }
}

impl Large {
    /// Whether a message goes this way.
    pub(super) fn takes(message: &Message) -> bool {
        matches!(message, Message::Text(text) if text.len() > FROM)
    }

    pub(super) fn new(payload: Utf8Bytes) -> Self {
        Self { payload, begun: 0, fragment: None, unpinged: 0 }
    }

    /// A fragment is under way, so that nothing else may be written.
    pub(super) fn is_amid(&self) -> bool {
        self.fragment.is_some()
    }

    /// The fragment that is under way will be the last one.
    pub(super) fn cut(&mut self) {
        self.begun = self.payload.len();
    }

    /// Between two fragments: it is time for a ping, which the caller sends.
    pub(super) fn takes_ping(&mut self) -> bool {
        let is_due = self.unpinged >= PING_EVERY && self.begun < self.payload.len();
        if is_due {
            self.unpinged = 0;
        }
        is_due
    }

    /// All fragments are begun.
    pub(super) fn is_out(&self) -> bool {
        self.begun == self.payload.len()
    }

    /// Begins the next fragment. False: all are out.
    pub(super) fn begin(&mut self) -> bool {
        let (from, all) = (self.begun, self.payload.len());
        if from == all {
            return false;
        }
        // Between characters: some clients look at each fragment by itself.
        let mut to = all.min(from + FRAGMENT);
        while !self.payload.is_char_boundary(to) {
            to -= 1;
        }
        let opcode = if from == 0 { TEXT } else { CONTINUATION };
        let last = if to == all { LAST } else { 0 };
        self.begun = to;
        self.unpinged += to - from;
        self.fragment = Some(Fragment { head: Head::new(last | opcode, to - from), from, to, written: 0 });
        true
    }

    /// Writes until the fragment is out, `left` bytes at most: then it is the turn of other tasks.
    pub(super) fn poll_write<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<IO>,
        left: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(fragment) = &mut self.fragment {
            if *left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Fragment { head, from, to, written } = fragment;
            let head_out = head.len.min(*written);
            let at = *from + *written - head_out;
            let end = (*to).min(at + *left);
            let pieces =
                [&head.bytes[head_out..head.len], &self.payload.as_bytes()[at..end]].map(IoSlice::new);
            let pieces = if head_out < head.len { &pieces[..] } else { &pieces[1..] };
            let new = ready!(Pin::new(&mut *wire).poll_write_vectored(cx, pieces))?;
            if new == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += new;
            *left = left.saturating_sub(new);
            if *written == head.len + (*to - *from) {
                self.fragment = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}
