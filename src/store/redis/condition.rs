//! Whether the store works: the connection and the writes each say so, everybody reads the sum.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::store::{StoreCounts, StoreHealth};

/// A lasting failure is logged this often.
const LOG_AGAIN: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Condition {
    parts: Mutex<Parts>,
    health: watch::Sender<StoreHealth>,
    commits: AtomicU64,
    failures: AtomicU64,
    micros: AtomicU64,
}

#[derive(Debug, Default)]
struct Parts {
    wire_fails: bool,
    writes_fail: bool,
    logged: Option<Instant>,
}

/// Who has something to say.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Wire,
    Writes,
}

impl Condition {
    pub(super) fn new() -> Self {
        Self {
            parts: Mutex::default(),
            health: watch::Sender::default(),
            commits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<StoreHealth> {
        self.health.subscribe()
    }

    pub(super) fn fails(&self, part: Part, why: &str) {
        let mut parts = self.parts.lock();
        match part {
            Part::Wire => parts.wire_fails = true,
            Part::Writes => parts.writes_fail = true,
        }
        if parts.logged.is_none_or(|logged| logged.elapsed() >= LOG_AGAIN) {
            parts.logged = Some(Instant::now());
            ::log::error!(
                "store: Redis: {why}. Live delivery goes on; what is new is not safe until this is mended"
            );
        }
        self.tell(&parts);
    }

    pub(super) fn works(&self, part: Part) {
        let mut parts = self.parts.lock();
        let failed = match part {
            Part::Wire => std::mem::take(&mut parts.wire_fails),
            Part::Writes => std::mem::take(&mut parts.writes_fail),
        };
        if failed && !parts.wire_fails && !parts.writes_fail {
            parts.logged = None;
            ::log::info!("store: Redis works again");
        }
        self.tell(&parts);
    }

    fn tell(&self, parts: &Parts) {
        let now =
            if parts.wire_fails || parts.writes_fail { StoreHealth::Failing } else { StoreHealth::Good };
        self.health.send_if_modified(|known| std::mem::replace(known, now) != now);
    }

    pub(super) fn count(&self, ok: bool, took: Duration) {
        if ok { &self.commits } else { &self.failures }.fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn counts(&self) -> StoreCounts {
        StoreCounts {
            commits: self.commits.load(Relaxed),
            failures: self.failures.load(Relaxed),
            micros: self.micros.load(Relaxed),
        }
    }
}
