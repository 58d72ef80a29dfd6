//! A client that costs little: frames are counted where they lie in the read buffer, and only marks are looked for.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::emitter::{DIGITS, MARK, nanos};

/// Deltas that have come to all clients so far.
pub(crate) static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// One connection.
pub(crate) struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// Where the next frame begins, and how far the buffer is filled.
    start: usize,
    end: usize,
}

/// What one client saw of one turn.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Deltas that arrived.
    pub(crate) deltas: u64,
    /// From writing to arrival, microseconds, one for each delta.
    pub(crate) micros: Vec<u32>,
    /// Frames of more than a megabyte.
    pub(crate) big: u64,
    /// Notices that events were no longer kept.
    pub(crate) gaps: u64,
    /// All frames, and their bytes.
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// When the first and the last delta came.
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
}

/// A frame in the buffer.
struct Frame {
    op: u8,
    from: usize,
    to: usize,
}

impl Client {
    /// Connects and upgrades. `space`: bytes of the read buffer.
    pub(crate) async fn connect(address: &str, space: usize) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut client = Self { socket, buffer: vec![0; space], start: 0, end: 0 };
        loop {
            if let Some(head) = memmem::find(&client.buffer[..client.end], b"\r\n\r\n") {
                if !client.buffer.starts_with(b"HTTP/1.1 101") {
                    let head = String::from_utf8_lossy(&client.buffer[..head]).into_owned();
                    return Err(io::Error::other(head));
                }
                client.start = head + 4;
                return Ok(client);
            }
            client.fill().await?;
        }
    }

    /// Sends a text frame (masked with zeros, which is a mask too).
    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.write(0x81, text.as_bytes()).await
    }

    async fn write(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![first];
        match u16::try_from(payload.len()) {
            Ok(len @ 0..126) => frame.push(0x80 | len.to_le_bytes()[0]),
            Ok(len) => {
                frame.push(0x80 | 126);
                frame.extend(len.to_be_bytes());
            }
            Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.socket.write_all(&frame).await
    }

    /// Reads frames until one begins with `prefix` and holds `text`; gives it.
    pub(crate) async fn wait_for(&mut self, prefix: &[u8], text: &[u8]) -> io::Result<String> {
        loop {
            let frame = self.frame().await?;
            let payload = &self.buffer[frame.from..frame.to];
            if payload.starts_with(prefix) && memmem::find(payload, text).is_some() {
                return Ok(String::from_utf8_lossy(payload).into_owned());
            }
        }
    }

    /// Reads until the turn's `result`.
    pub(crate) async fn turn(&mut self) -> io::Result<Seen> {
        let mark = memmem::Finder::new(MARK);
        let gap = memmem::Finder::new(br#""code":"gap""#);
        let mut seen = Seen::default();
        loop {
            let frame = self.frame().await?;
            let payload = &self.buffer[frame.from..frame.to];
            seen.frames += 1;
            seen.bytes += payload.len() as u64;
            if payload.len() > 1 << 20 {
                seen.big += 1;
            } else if payload.starts_with(br#"{"type":"result""#) {
                return Ok(seen);
            } else if let Some(at) = mark.find(payload) {
                let written = digits(&payload[at + MARK.len()..]);
                let micros = nanos().saturating_sub(written) / 1000;
                seen.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
                seen.deltas += 1;
                ARRIVED.fetch_add(1, Ordering::Relaxed);
                let now = Instant::now();
                seen.first.get_or_insert(now);
                seen.last = Some(now);
            } else if gap.find(payload).is_some() {
                seen.gaps += 1;
            }
        }
    }

    /// Answers pings, until the connection ends.
    pub(crate) async fn idle(&mut self) -> io::Result<()> {
        loop {
            self.frame().await?;
        }
    }

    /// The next text frame, whole in the buffer.
    async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            match self.peek() {
                Some(frame) if frame.op == 9 => {
                    self.start = frame.to;
                    let payload = self.buffer[frame.from..frame.to].to_vec();
                    self.write(0x8a, &payload).await?;
                }
                Some(frame) if frame.op == 8 => return Err(io::ErrorKind::ConnectionAborted.into()),
                Some(frame) => {
                    self.start = frame.to;
                    return Ok(frame);
                }
                None => self.fill().await?,
            }
        }
    }

    /// The next frame, if all of it is there.
    fn peek(&self) -> Option<Frame> {
        let bytes = &self.buffer[self.start..self.end];
        let (op, len) = (bytes.first()? & 15, bytes.get(1)? & 127);
        let (head, len) = match len {
            126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            len => (2, u64::from(len)),
        };
        let to = head + usize::try_from(len).ok()?;
        (bytes.len() >= to).then_some(Frame { op, from: self.start + head, to: self.start + to })
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        match self.socket.read(&mut self.buffer[self.end..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }
}

fn digits(text: &[u8]) -> u128 {
    text.iter().take(DIGITS).fold(0, |number, digit| number * 10 + u128::from(digit.wrapping_sub(b'0')))
}
