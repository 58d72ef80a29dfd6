//! A connection before and while it runs.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    End, Gauge, Outbox, Peer, Refusal, Service, Settings, Stats,
    cursors::Cursors,
    finish::finish,
    outbox::{Source, outbox},
    rate::Bucket,
    reader::Reader,
    scanner::Scanner,
    socket::Socket,
    watchdog::Watchdog,
    wire::{Inbound, Wire},
    writer::Writer,
};
use crate::wake::{Gate, beside};

/// A connection that the service has agreed to; runs once the upgrade is done.
pub struct Connection<S: Service> {
    service: Arc<S>,
    client: S::Client,
    outbox: Outbox,
    source: Source,
    peer: Peer,
    settings: Arc<Settings>,
    stats: Arc<Stats>,
}

impl<S: Service> Connection<S> {
    /// Asks the service.
    pub fn prepare(
        service: Arc<S>,
        peer: Peer,
        settings: Arc<Settings>,
        stats: Arc<Stats>,
    ) -> Result<Self, Refusal> {
        let (outbox, source) = outbox(settings.outbox_bytes);
        let client = service.connected(&peer, &outbox)?;
        Ok(Self { service, client, outbox, source, peer, settings, stats })
    }

    /// The way into it, before it runs too.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Runs the connection over an upgraded socket, until the socket is closed. `early` is what was read beyond the request's
    /// head. `going_away` closes with 1001.
    pub async fn run<IO>(self, io: IO, early: Bytes, going_away: &CancellationToken) -> End
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Self { service, client, outbox, source, peer, settings, stats } = self;
        let _open = Gauge::new(&stats, |stats| &stats.connections);
        stats.upgraded.fetch_add(1, Relaxed);
        log::debug!("{peer} open");
        let scanner = Scanner::new(settings.max_message_bytes, settings.max_fragments);
        // A single message of the largest size always has room.
        let inbound = Inbound::new(&stats, settings.max_inbound_bytes.max(settings.max_message_bytes));
        let wire = Wire::new(io, early, scanner, Arc::clone(&stats), inbound);
        let socket = Socket::new(wire, settings.max_message_bytes);
        let started = Instant::now();
        let (busy, beat) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::clone(&source.shared);
        let end = {
            let reader = Reader {
                socket: &socket,
                service: &*service,
                settings: &settings,
                outbox,
                client,
                busy: &busy,
                bucket: Bucket::new(settings.max_frame_rate, started),
                excess: 0,
                bad: 0,
            };
            let writer = Writer {
                socket: &socket,
                service: &*service,
                settings: &settings,
                stats: &stats,
                source,
                beat: &beat,
                busy: &busy,
                cursors: Cursors::default(),
                asked: Gate::new(),
                batch: Vec::new(),
            };
            let watchdog = Watchdog {
                socket: &socket,
                settings: &settings,
                shared: &shared,
                busy: &busy,
                beat: &beat,
                going_away,
            };
            let (mut reading, mut writing) = (pin!(reader.run()), pin!(writer.run()));
            let mut gate = Gate::new();
            // In this order: what the peer did is told before what this side makes of it. The writer has no gate: it shares the
            // socket's way out with the reader, which answers pings, and flushes for both.
            let talk = poll_fn(|cx| match gate.poll(cx, |cx| reading.as_mut().poll(cx)) {
                Poll::Pending => writing.as_mut().poll(cx),
                ready @ Poll::Ready(_) => ready,
            });
            beside(talk, watchdog.run()).await
        };
        // The client's state, its cursors and the outbox are gone; sessions know before the handshake is over.
        finish(socket, end, &settings).await;
        stats.closed(end.code());
        let lived: Duration = started.elapsed();
        log::info!("{peer} closed with {} after {:.1} s ({end:?})", end.code(), lived.as_secs_f64());
        end
    }
}
