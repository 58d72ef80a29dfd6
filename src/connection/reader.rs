//! Reads: hands each message to the service, counts what is too much, and says how the connection ended.

use std::{
    future::pending,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    End, Outbox, Service, Settings, Verdict,
    rate::Bucket,
    socket::{Event, Socket},
};
use crate::protocol::codes::CloseCode;

pub(super) struct Reader<'a, S: Service, IO> {
    pub(super) socket: &'a Socket<IO>,
    pub(super) service: &'a S,
    pub(super) settings: &'a Settings,
    pub(super) outbox: Outbox,
    pub(super) client: S::Client,
    /// A handler runs, so that nothing is read: tells the watchdog not to take that for silence.
    pub(super) busy: &'a AtomicBool,
    pub(super) bucket: Bucket,
    pub(super) excess: u32,
    pub(super) bad: u32,
}

enum Data {
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Reader<'_, S, IO> {
    /// Runs until the peer closes, vanishes, or breaks the protocol.
    pub(super) async fn run(mut self) -> End {
        loop {
            let data = match self.socket.next().await {
                Event::End(end @ End::Violation(_)) => {
                    // The answers to what came before it are still written.
                    self.outbox.end(end);
                    return pending().await;
                }
                Event::End(end) => return end,
                // While closing, frames are read only to find the peer's close frame among them.
                _ if self.outbox.is_closing() => continue,
                // Asked for, so it does not count against the peer's rate.
                Event::Answer => continue,
                Event::Control => None,
                Event::Text(text) => Some(Data::Text(text)),
                Event::Binary(bytes) => Some(Data::Binary(bytes)),
            };
            self.busy.store(true, Ordering::Relaxed);
            self.socket.unheard(true);
            // Boxed by nobody: a handler's future is part of the connection's task.
            if AssertUnwindSafe(self.handle(data)).catch_unwind().await.is_err() {
                self.outbox.close(CloseCode::Internal, "internal error");
            }
            self.socket.unheard(false);
            self.busy.store(false, Ordering::Relaxed);
        }
    }

    async fn handle(&mut self, data: Option<Data>) {
        if !self.bucket.take(Instant::now()) {
            return self.over_rate(data).await;
        }
        if self.bucket.calm() {
            self.excess = 0;
        }
        let verdict = match data {
            None => return,
            Some(Data::Text(text)) => self.service.text(&mut self.client, text, &self.outbox).await,
            Some(Data::Binary(bytes)) => self.service.binary(&mut self.client, bytes, &self.outbox).await,
        };
        match verdict {
            Verdict::Good => self.bad = 0,
            Verdict::Bad => self.bad += 1,
        }
        if self.bad > self.settings.max_bad_frames {
            self.outbox.close(CloseCode::Policy, "too many bad frames");
        }
    }

    async fn over_rate(&mut self, data: Option<Data>) {
        self.excess += 1;
        if self.excess > self.settings.max_excess_frames {
            self.outbox.close(CloseCode::Policy, "too many frames");
            return;
        }
        let text = match &data {
            None => return,
            Some(Data::Text(text)) => Some(text),
            Some(Data::Binary(_)) => None,
        };
        self.service.rate_limited(&mut self.client, text, &self.outbox).await;
    }
}
