//! How far this machine's clock is from Redis's: that one decides how old a session is, for all gateways.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use super::connect::{Trouble, Wire};

/// Clocks that are not further apart than this are the same.
const SAME_MS: i64 = 30_000;

/// What is to be added to a time of this machine to have Redis's.
#[derive(Debug, Default)]
pub(super) struct Skew {
    ms: AtomicI64,
    told: AtomicBool,
}

impl Skew {
    /// Asks for Redis's time, and gives it. None: we may not ask (an ACL without `+time`), and go by our own.
    pub(super) async fn look(&self, wire: &Wire) -> Result<Option<u64>, Trouble> {
        let (seconds, micros): (u64, u64) = match wire.ask(&redis::cmd("TIME")).await {
            Err(Trouble::Denied(why)) => {
                ::log::debug!("store: the time of Redis is not known: {why}");
                return Ok(None);
            }
            answer => answer?,
        };
        let theirs = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let ours = i64::try_from(ours).unwrap_or(i64::MAX);
        self.set(i64::try_from(theirs).unwrap_or(i64::MAX).saturating_sub(ours));
        Ok(Some(theirs))
    }

    pub(super) fn set(&self, ms: i64) {
        let ms = if ms.abs() < SAME_MS { 0 } else { ms };
        self.ms.store(ms, Relaxed);
        if ms != 0 && !self.told.swap(true, Relaxed) {
            ::log::warn!(
                "store: this machine's clock is {} s {} that of Redis, which decides how long sessions are kept: set it right",
                ms.unsigned_abs() / 1000,
                if ms < 0 { "ahead of" } else { "behind" }
            );
        }
    }

    /// The same moment by Redis's clock.
    pub(super) fn theirs(&self, ours_ms: u64) -> u64 {
        ours_ms.saturating_add_signed(self.ms.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::Skew;

    #[test]
    fn clocks_that_are_far_apart_are_told_apart() {
        let skew = Skew::default();
        assert_eq!(skew.theirs(100), 100);
        skew.set(29_999);
        assert_eq!(skew.theirs(100), 100);
        skew.set(-40_000);
        assert_eq!((skew.theirs(100_000), skew.theirs(100)), (60_000, 0));
    }
}
