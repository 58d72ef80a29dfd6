//! The right to run a session, where several gateways share one store: what it hangs on, and how its end is noticed.
//!
//! May assume: the clock is monotonic and runs on while the process is stopped. Must not know: which store, what a session is.
//!
//! A node has one [`Lease`], which the store's keeper prolongs; every session that the node runs has a [`Tenure`] that holds as long
//! as the lease does and nobody else was given the session. Both end **once and for good**: a lease that ran out is not prolonged any
//! more (the keeper makes a new one, under which sessions are claimed anew), so whoever found that a tenure does not hold stays right.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// How long a node may go on without word from the store. Shared by all of the node's tenures.
#[derive(Debug)]
pub struct Lease {
    base: Instant,
    /// Nanoseconds after `base`; 0: over.
    until: AtomicU64,
    changed: Notify,
}

impl Lease {
    /// One that holds until then, if it is not prolonged.
    pub fn until(valid_until: Instant) -> Arc<Self> {
        let base = Instant::now();
        let lease = Self { base, until: AtomicU64::new(0), changed: Notify::new() };
        lease.until.store(lease.nanos(valid_until), Ordering::Release);
        Arc::new(lease)
    }

    /// Whether it holds at `now`.
    pub fn holds(&self, now: Instant) -> bool {
        self.nanos(now) < self.until.load(Ordering::Acquire)
    }

    /// It holds until then too. `false`: it had run out before, and stays so.
    pub fn prolong(&self, valid_until: Instant) -> bool {
        let until = self.nanos(valid_until);
        let mut known = self.until.load(Ordering::Acquire);
        loop {
            if known <= self.nanos(Instant::now()) {
                self.end();
                return false;
            }
            match self.until.compare_exchange(known, until.max(known), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => known = other,
            }
        }
    }

    /// Ends it now.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// How long it holds yet, if it is not prolonged; zero when it is over.
    pub fn left(&self) -> Duration {
        let until = self.until.load(Ordering::Acquire);
        Duration::from_nanos(until.saturating_sub(self.nanos(Instant::now())))
    }

    fn nanos(&self, at: Instant) -> u64 {
        // 0 is "over": the first nanosecond counts as the second.
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// The right to run one session: its fencing number, and the lease of the node. Ends for good, once.
#[derive(Debug)]
pub struct Tenure {
    fence: u64,
    lease: Arc<Lease>,
    lost: AtomicBool,
    ended: Notify,
}

impl Tenure {
    /// `fence`: the number that the store gave out with this claim, greater than any before for this session.
    pub fn new(fence: u64, lease: Arc<Lease>) -> Arc<Self> {
        Arc::new(Self { fence, lease, lost: AtomicBool::new(false), ended: Notify::new() })
    }

    /// The fencing number: every write names it, and is refused once a greater one was given out.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Whether the session may go on at `now`: two loads and a compare. To be asked in front of everything that others could see.
    pub fn holds(&self, now: Instant) -> bool {
        !self.lost.load(Ordering::Acquire) && self.lease.holds(now)
    }

    /// Ends it: the store refused a write, or somebody found that it does not hold any more.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.ended.notify_waiters();
    }

    /// Ends when the tenure does not hold any more, whyever; from then on it never will. Cancel safe.
    pub async fn lost(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            let mut changed = std::pin::pin!(self.lease.changed.notified());
            // Registered before the look, so that an end between the look and the wait is not missed.
            ended.as_mut().enable();
            changed.as_mut().enable();
            if !self.holds(Instant::now()) {
                self.lose();
                return;
            }
            tokio::select! {
                () = ended => {}
                () = changed => {}
                // Looked at again then: it may have been prolonged.
                () = tokio::time::sleep(self.lease.left()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Lease, Tenure};

    const LONG: Duration = Duration::from_mins(10);

    #[test]
    fn a_lease_that_ran_out_is_never_prolonged() {
        let now = Instant::now();
        let lease = Lease::until(now);
        assert!(!lease.holds(Instant::now()));
        assert!(!lease.prolong(now + LONG), "too late");
        assert!(!lease.holds(now), "and nobody sees it hold again, whatever clock they read");
        assert_eq!(lease.left(), Duration::ZERO);
    }

    #[test]
    fn a_lease_is_prolonged_and_never_shortened() {
        let now = Instant::now();
        let lease = Lease::until(now + LONG);
        assert!(lease.prolong(now + 2 * LONG) && lease.prolong(now + LONG));
        assert!(lease.holds(now + LONG + LONG / 2));
        assert!(!lease.holds(now + 2 * LONG), "by the clock, also if nobody noticed");
    }

    #[tokio::test]
    async fn a_tenure_ends_by_its_own_loss_and_by_the_leases_end() {
        let lease = Lease::until(Instant::now() + LONG);
        let (one, other) = (Tenure::new(1, lease.clone()), Tenure::new(7, lease.clone()));
        assert_eq!((one.fence(), other.fence()), (1, 7));
        one.lose();
        one.lost().await;
        assert!(!one.holds(Instant::now()) && other.holds(Instant::now()));
        let mut lost = std::pin::pin!(other.lost());
        assert!(futures_util::poll!(lost.as_mut()).is_pending());
        lease.end();
        lost.await;
        assert!(!other.holds(Instant::now()));
    }

    #[tokio::test]
    async fn a_tenure_ends_when_the_lease_runs_out() {
        let tenure = Tenure::new(1, Lease::until(Instant::now() + Duration::from_millis(5)));
        tenure.lost().await;
        assert!(!tenure.holds(Instant::now()));
    }
}
