//! What a connection is told from outside: the service behind it, who the peer is, its limits.

use std::{fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Outbox;

/// Limits and times of one connection. The defaults are the command's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--max-message-bytes`: a larger frame or message of the peer closes with 1009. 8 MiB.
    pub max_message_bytes: usize,
    /// `--max-inbound-bytes`: messages that are still coming in, of all connections that share [`Stats`](super::Stats); a
    /// connection that goes beyond it with a message of over 16 KiB is closed with 1013. 256 MiB.
    pub max_inbound_bytes: usize,
    /// `--heartbeat`: a ping and the service's heartbeat frame this often; a peer that sends no byte for twice as long is closed
    /// with 4000. 15 s.
    pub heartbeat: Duration,
    /// `--send-timeout`: a socket that accepts no byte for this long, while there is something to send, is dropped. 30 s.
    pub send_timeout: Duration,
    /// `--max-frame-rate`: frames a second that a peer may send, and the burst that it may save up. 0: no limit. 500.
    pub max_frame_rate: u32,
    /// Frames over the rate that are answered (each by [`Service::rate_limited`]) before the connection is closed with 1008. 100.
    pub max_excess_frames: u32,
    /// Bad frames in a row that are answered before the connection is closed with 1008. 100.
    pub max_bad_frames: u32,
    /// Frames that one message may be cut into; more close with 1009. 131,072.
    pub max_fragments: u32,
    /// What waits in the outbox at most, in bytes (and one frame more, of any size). 1 MiB.
    pub outbox_bytes: usize,
    /// What one cursor may write before the next one's turn, in bytes. 64 KiB.
    pub cursor_bytes: usize,
    /// How long an orderly close may take: what is left to write, the close frame, the peer's answer. 2 s.
    pub close_timeout: Duration,
    /// How long a peer is read on after the write half was shut down, so that the close frame is not lost to a reset. 500 ms.
    pub linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_message_bytes: 8 << 20,
            max_inbound_bytes: 256 << 20,
            heartbeat: Duration::from_secs(15),
            send_timeout: Duration::from_secs(30),
            max_frame_rate: 500,
            max_excess_frames: 100,
            max_bad_frames: 100,
            max_fragments: 128 << 10,
            outbox_bytes: 1 << 20,
            cursor_bytes: 64 << 10,
            close_timeout: Duration::from_secs(2),
            linger: Duration::from_millis(500),
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Number of the connection, unique within the process; for logs.
    pub id: u64,
    /// The client's address, behind trusted proxies the one that they name. `None` for a unix socket.
    pub address: Option<IpAddr>,
    /// The token's name; `""` without tokens.
    pub owner: Arc<str>,
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "connection {} ", self.id)?;
        match self.address {
            Some(address) => write!(out, "[{address}")?,
            None => out.write_str("[unix")?,
        }
        if self.owner.is_empty() { out.write_str("]") } else { write!(out, " {}]", self.owner) }
    }
}

/// A connection that the service does not take: becomes a 503.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// For machines, e.g. `capacity`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// What the service thinks of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was understood (though perhaps refused).
    Good,
    /// It was not a message at all. Too many in a row close the connection.
    Bad,
}

/// What stands behind a connection.
///
/// Handlers run in the connection's reader: the next frame is read when the future is done. They answer through the
/// [`Outbox`]. A client's state is dropped when its connection ends, before the close handshake.
pub trait Service: Send + Sync + 'static {
    /// State of one connection.
    type Client: Send;

    /// A connection is about to be upgraded. `outbox` may be kept; what is sent before the upgrade waits.
    fn connected(&self, peer: &Peer, outbox: &Outbox) -> Result<Self::Client, Refusal>;

    /// A text message.
    fn text(
        &self,
        client: &mut Self::Client,
        frame: Utf8Bytes,
        outbox: &Outbox,
    ) -> impl Future<Output = Verdict> + Send;

    /// A binary message.
    fn binary(
        &self,
        client: &mut Self::Client,
        frame: Bytes,
        outbox: &Outbox,
    ) -> impl Future<Output = Verdict> + Send;

    /// A text message (`None`: a binary one) came over the rate limit and is not handled: says so to the peer.
    fn rate_limited(
        &self,
        client: &mut Self::Client,
        frame: Option<&Utf8Bytes>,
        outbox: &Outbox,
    ) -> impl Future<Output = ()> + Send;

    /// What the server says every [`Settings::heartbeat`], besides the ping.
    fn heartbeat(&self) -> Option<Utf8Bytes>;

    /// What the server says before a message of so many bytes, which is a large one: a client that sees whole messages only is to
    /// know why none comes.
    fn announce(&self, bytes: usize) -> Option<Utf8Bytes>;

    /// A frame of a session's log, for a peer that wants at most so many bytes of a content: a shorter one in its place. None: it goes
    /// out as it is.
    fn cut(&self, frame: &Utf8Bytes, max_bytes: usize) -> Option<Utf8Bytes>;

    /// A cursor fell out of what its log keeps and goes on at `first_seq`: the notice for the peer, before those events.
    fn gap(&self, session: &str, first_seq: u64) -> Option<Utf8Bytes>;
}
