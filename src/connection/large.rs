//! A large text frame on its way out, past tungstenite's write buffer.
//!
//! tungstenite copies each frame into its buffer and moves what is left of it after every write: of 20 MB, of which a socket takes
//! some 100 KB at a time, that is gigabytes moved, and other connections wait meanwhile. Here the payload is written from where it
//! lies, a piece at a time. Assumes that nothing else writes to the wire until it is out; knows nothing of other frames.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::wire::Wire;

/// Frames of more bytes take this way.
const FROM: usize = 64 << 10;
/// How much is written before it is the turn of other tasks: about a tenth of a millisecond.
const TURN: usize = 256 << 10;

/// RFC 6455, section 5.2: the last frame of a text message, not masked.
const TEXT: u8 = 0x81;
/// The same section: the length follows in eight bytes.
const LONG: u8 = 127;

#[derive(Debug)]
pub(super) struct Large {
    head: [u8; 10],
    payload: Utf8Bytes,
    /// Bytes that are out, of both.
    written: usize,
}

impl Large {
    /// Whether a message goes this way.
    pub(super) fn takes(message: &Message) -> bool {
        matches!(message, Message::Text(text) if text.len() > FROM)
    }

    pub(super) fn new(payload: Utf8Bytes) -> Self {
        let mut head = [TEXT, LONG, 0, 0, 0, 0, 0, 0, 0, 0];
        head[2..].copy_from_slice(&(payload.len() as u64).to_be_bytes());
        Self { head, payload, written: 0 }
    }

    /// Writes until all is out.
    pub(super) fn poll_write<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut left = TURN;
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let piece = &rest[..rest.len().min(left)];
            let written = ready!(Pin::new(&mut *wire).poll_write(cx, piece))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            left -= written;
        }
    }

    fn rest(&self) -> &[u8] {
        match self.written.checked_sub(self.head.len()) {
            None => &self.head[self.written..],
            Some(at) => &self.payload.as_bytes()[at..],
        }
    }
}
