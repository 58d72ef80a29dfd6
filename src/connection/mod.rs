//! Room: one WebSocket connection, from the upgrade to the last byte of its close handshake.
//!
//! Its job: read frames and hand them to a [`Service`]; write what the service says and what the cursors of event logs hold, in
//! order, fairly, one flush a burst; heartbeats, rate and size limits, close codes.
//!
//! May assume: the handshake has been answered (the `server` room does that). Must not know: what any message means, or HTTP.
//!
//! # Shape
//! One task per connection joins three futures over one socket: the reader (which awaits the service's handlers), the
//! writer (the only one that writes messages) and the watchdog (time). Whichever ends first says how the connection ends
//! ([`End`]), the others are dropped, and `finish` brings the socket down. So a blocked write never stops reading, and neither
//! can outlive the other.

mod cursors;
mod finish;
mod large;
mod outbox;
mod prepare;
mod rate;
mod reader;
mod scanner;
mod service;
mod socket;
mod stats;
#[cfg(test)]
mod tests;
mod watchdog;
mod wire;
mod writer;

pub use outbox::{Gone, Outbox};
pub use prepare::Connection;
pub use service::{Peer, Refusal, Service, Settings, Verdict};
pub use stats::{Gauge, Snapshot, Stats};

use crate::protocol::codes::CloseCode;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer sent a close frame; the code that it gave.
    PeerClosed(Option<u16>),
    /// The peer vanished without a close frame.
    PeerGone,
    /// The peer broke the WebSocket protocol, or a limit of its frames.
    Violation(CloseCode),
    /// This side closes.
    Ours(CloseCode, &'static str),
    /// The peer's socket accepted no byte for [`Settings::send_timeout`].
    Stalled,
}

impl End {
    /// The code that counts for statistics: what was sent, or received; 1006 where there was none.
    pub fn code(self) -> u16 {
        match self {
            Self::PeerClosed(code) => code.unwrap_or(1005),
            Self::PeerGone | Self::Stalled => 1006,
            Self::Violation(code) | Self::Ours(code, _) => code.code(),
        }
    }
}
