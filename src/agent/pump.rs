//! The readers of the agent's two output pipes.
//!
//! stdout goes in whole lines through a bounded channel: when the reader of the channel is slow, the pump stops reading
//! and the agent waits in its write. stderr is always read, so that it never blocks the agent; only its end is kept.
//! Must not know what a line means, nor when the agent is stopped: it ends at the end of the pipes, or shortly after
//! `gone` (the process and its descendants are dead) should someone else hold a pipe open.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::framing::{Frame, Framer};
use super::launch::Output;

/// How much is still read after `gone`: all that a pipe can hold was written before. (The most that an unprivileged
/// process can make a pipe hold.)
const LAST_BYTES: usize = 1 << 20;

/// The process is gone; how long to go on reading what nobody should be writing any more.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub(super) token: CancellationToken,
    pub(super) drain: Duration,
}

impl Gone {
    /// One read, or 0 when the process is gone and nothing came for the drain time.
    async fn or_read(&self, read: impl Future<Output = io::Result<usize>>) -> usize {
        tokio::select! {
            biased;
            read = read => read.unwrap_or_else(|error| {
                log::debug!("reading from an agent: {error}");
                0
            }),
            () = async { self.token.cancelled().await; tokio::time::sleep(self.drain).await } => 0,
        }
    }
}

/// Reads stdout to its end. `ended` is cancelled there, which may be long before the last line is taken.
pub(super) async fn stdout(
    mut pipe: impl AsyncRead + Unpin,
    max_line: usize,
    output: mpsc::Sender<Output>,
    gone: Gone,
    ended: CancellationToken,
) {
    let mut framer = Framer::new(max_line);
    let mut last = 0;
    while last < LAST_BYTES {
        let read = gone.or_read(async { pipe.read_buf(&mut framer.buffer()).await }).await;
        if read == 0 {
            break;
        }
        if gone.token.is_cancelled() {
            last += read;
        }
        framer.advance();
        if !forward(&mut framer, &output).await {
            break;
        }
    }
    drop(pipe);
    ended.cancel();
    framer.finish();
    forward(&mut framer, &output).await;
}

/// False when nobody reads the channel any more.
async fn forward(framer: &mut Framer, output: &mpsc::Sender<Output>) -> bool {
    while let Some(frame) = framer.next_frame() {
        let item = match frame {
            Frame::Lines(lines) => Output::Lines(lines),
            Frame::Skipped { bytes } => Output::Skipped { bytes },
        };
        if output.send(item).await.is_err() {
            return false;
        }
    }
    true
}

/// The end of a stream, at most so many bytes of it.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    max: usize,
}

impl Tail {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: Arc::default(), max }
    }

    fn push(&self, new: &[u8]) {
        let new = &new[new.len().saturating_sub(self.max)..];
        let mut bytes = self.bytes.lock();
        let over = (bytes.len() + new.len()).saturating_sub(self.max);
        bytes.drain(..over);
        bytes.extend(new);
    }

    /// As text; a character that was cut or is not UTF-8 shows as U+FFFD.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.lock().iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Reads stderr to its end and keeps the tail.
pub(super) async fn stderr(mut pipe: impl AsyncRead + Unpin, tail: Tail, gone: Gone) {
    let mut buffer = vec![0; 4096];
    let mut last = 0;
    while last < LAST_BYTES {
        let read = gone.or_read(pipe.read(&mut buffer)).await;
        if read == 0 {
            return;
        }
        if gone.token.is_cancelled() {
            last += read;
        }
        tail.push(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end() {
        let tail = Tail::new(5);
        tail.push(b"ab");
        tail.push(b"cdef");
        assert_eq!(tail.text(), "bcdef");
        tail.push(b"0123456789");
        assert_eq!(tail.text(), "56789");
        tail.push("é€".as_bytes());
        assert_eq!(tail.text(), "é€");
        tail.push(b"xyz");
        assert_eq!(tail.text(), "\u{fffd}\u{fffd}xyz".chars().collect::<String>());
    }

    #[tokio::test]
    async fn a_pipe_that_someone_else_holds_open_does_not_hold_the_pump() {
        let (near, _far) = tokio::io::duplex(10);
        let (sender, mut receiver) = mpsc::channel(1);
        let gone = Gone { token: CancellationToken::new(), drain: Duration::from_millis(1) };
        let ended = CancellationToken::new();
        gone.token.cancel();
        stdout(near, 100, sender, gone, ended.clone()).await;
        assert!(ended.is_cancelled());
        assert!(receiver.recv().await.is_none());
    }
}
