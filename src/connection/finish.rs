//! The last steps of a connection: close frame, close handshake, shutdown. Every wait is bounded.

use std::borrow::Cow;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::{
    End, Settings,
    socket::{Event, Socket},
};
use crate::protocol::codes::CloseCode;

/// What a peer may still send after the write half was shut down.
const LINGER_BYTES: usize = 64 << 10;

/// Brings the socket down as `end` asks for.
pub(super) async fn finish<IO>(socket: Socket<IO>, end: End, settings: &Settings)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    // What was to be written had its time.
    socket.cut();
    match end {
        End::PeerGone | End::Stalled => return,
        End::PeerClosed(_) => {
            // tungstenite has queued the answer.
            let _ = timeout(settings.close_timeout, socket.flush()).await;
        }
        End::Violation(code) => {
            let _ = timeout(settings.close_timeout, send_close(&socket, code, violation(code))).await;
        }
        End::Ours(code, reason) => {
            let handshake = async {
                if send_close(&socket, code, reason).await {
                    while !matches!(socket.next().await, Event::End(_)) {}
                }
            };
            let _ = timeout(settings.close_timeout, handshake).await;
        }
    }
    // Closing a socket with unread bytes in it resets the connection, and the peer never sees the close frame.
    let _ = timeout(settings.linger, socket.hang_up(LINGER_BYTES)).await;
}

fn violation(code: CloseCode) -> &'static str {
    match code {
        CloseCode::TooBig => "message too big",
        CloseCode::InvalidPayload => "invalid UTF-8",
        CloseCode::TryAgainLater => "no room for a large message",
        _ => "protocol error",
    }
}

async fn send_close<IO>(socket: &Socket<IO>, code: CloseCode, reason: &'static str) -> bool
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame { code: code.code().into(), reason: Cow::Borrowed(reason).as_ref().into() };
    socket.feed(Message::Close(Some(frame))).await.is_ok() && socket.flush().await.is_ok()
}
