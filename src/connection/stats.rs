//! Counters of connections, for metrics and for tests that want them back at zero.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Codes that are counted one by one; all others share a last place.
const CODES: [u16; 11] = [1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009, 1011, 1013, 4000];

/// Counters of one server: gauges go up and down, the rest only up. All are exact once the tasks are done.
#[derive(Debug, Default)]
pub struct Stats {
    /// Gauge: accepted sockets that are open, HTTP and WebSocket.
    pub sockets: AtomicU64,
    /// Gauge: upgraded connections.
    pub connections: AtomicU64,
    /// Accepted sockets.
    pub accepted: AtomicU64,
    /// Errors of `accept`.
    pub accept_errors: AtomicU64,
    /// Sockets dropped at once, because even the places for refusals were taken.
    pub dropped: AtomicU64,
    /// HTTP answers with an error status.
    pub refused: AtomicU64,
    /// Upgrades.
    pub upgraded: AtomicU64,
    /// WebSocket frames received, control frames and fragments included.
    pub frames_in: AtomicU64,
    /// WebSocket bytes received.
    pub bytes_in: AtomicU64,
    /// Bytes of clients' messages that are not complete yet, now; those of up to 16 KiB are not counted.
    pub inbound: AtomicU64,
    /// WebSocket messages queued for writing, pings included.
    pub frames_out: AtomicU64,
    /// WebSocket bytes written.
    pub bytes_out: AtomicU64,
    closes: [AtomicU64; CODES.len() + 1],
}

/// A moment of [`Stats`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "as in `Stats`")]
pub struct Snapshot {
    pub sockets: u64,
    pub connections: u64,
    pub accepted: u64,
    pub accept_errors: u64,
    pub dropped: u64,
    pub refused: u64,
    pub upgraded: u64,
    pub frames_in: u64,
    pub bytes_in: u64,
    pub inbound: u64,
    pub frames_out: u64,
    pub bytes_out: u64,
    /// Ended connections by close code, only codes that occurred. 1006: none was exchanged; 0: any other code.
    pub closes: Vec<(u16, u64)>,
}

impl Stats {
    /// Counts an ended connection.
    pub(crate) fn closed(&self, code: u16) {
        let at = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len());
        self.closes[at].fetch_add(1, Relaxed);
    }

    /// All counters, one after the other.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let codes = CODES.into_iter().chain([0]);
        Snapshot {
            sockets: read(&self.sockets),
            connections: read(&self.connections),
            accepted: read(&self.accepted),
            accept_errors: read(&self.accept_errors),
            dropped: read(&self.dropped),
            refused: read(&self.refused),
            upgraded: read(&self.upgraded),
            frames_in: read(&self.frames_in),
            bytes_in: read(&self.bytes_in),
            inbound: read(&self.inbound),
            frames_out: read(&self.frames_out),
            bytes_out: read(&self.bytes_out),
            closes: codes.zip(self.closes.iter().map(read)).filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// Holds a gauge of [`Stats`] up by one for as long as it lives, panics included.
#[derive(Debug)]
pub struct Gauge {
    stats: Arc<Stats>,
    which: fn(&Stats) -> &AtomicU64,
}

impl Gauge {
    /// One more.
    pub fn new(stats: &Arc<Stats>, which: fn(&Stats) -> &AtomicU64) -> Self {
        which(stats).fetch_add(1, Relaxed);
        Self { stats: Arc::clone(stats), which }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.which)(&self.stats).fetch_sub(1, Relaxed);
    }
}
