//! Token bucket for the frames of one peer.

use std::time::Duration;

use tokio::time::Instant;

/// Fills with `rate` tokens a second, up to one second's worth.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full one; a `rate` of 0 never runs dry.
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self { rate: f64::from(rate), tokens: f64::from(rate), filled: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.rate == 0.0 {
            return true;
        }
        let since: Duration = now.saturating_duration_since(self.filled);
        self.tokens = (self.tokens + since.as_secs_f64() * self.rate).min(self.rate);
        self.filled = now;
        let any = self.tokens >= 1.0;
        if any {
            self.tokens -= 1.0;
        }
        any
    }

    /// Half full at the least: the peer has calmed down.
    pub(super) fn calm(&self) -> bool {
        self.tokens * 2.0 >= self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_with_time_up_to_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 10);
        assert!(!bucket.calm());
        let later = start + Duration::from_millis(550);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 5);
        let much_later = later + Duration::from_hours(1);
        assert_eq!((0..20).filter(|_| bucket.take(much_later)).count(), 10);
    }

    #[test]
    fn zero_is_no_limit() {
        let now = Instant::now();
        let mut bucket = Bucket::new(0, now);
        assert!((0..10_000).all(|_| bucket.take(now)));
        assert!(bucket.calm());
    }
}
