//! Keeps the connections: one for the node's lease alone, so that no large write stands in its way, and one for everything else.
//!
//! # When the lease goes on without Redis
//! - Redis answers: it is good for a lease from when the answer was *asked for*.
//! - Redis is down by its own word or nobody listens there ([`Trouble::Down`]): nobody else can take a session either, so it goes on
//!   as if Redis had answered, for as long as that is what is found.
//! - There is no answer ([`Trouble::Silent`]), or one for this node only: others may be with Redis. When the lease is over all
//!   tenures are; back at Redis, the node gives up all that still stands under its name there.
//!
//! # When others' sessions may be taken
//! After Redis was away all leases may have run out although the nodes live: who has just come to Redis waits for one lease until it
//! takes anybody's session ([`Keeper::may_take`]).

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::{
    condition::{Condition, Part},
    connect::{Connector, Trouble, Wire},
    held::Holdings,
    keys,
    link::Link,
    scripts::DISOWN,
    skew::Skew,
};
use crate::store::{Lease, NodeId};

/// How long the connection for the work may give no answer. Large writes may stand before the question.
const WORK_SILENCE: Duration = Duration::from_secs(30);
/// Wait before a connection is tried again: the first time, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How many sessions are given up at once.
pub(super) const DISOWN_STEP: usize = 500;
/// Redis forgets what was said to a node so many leases after its last sign of life.
pub(super) const INBOX_LEASES: u32 = 10;

pub(super) struct Keeper {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) length: Duration,
    /// How long one answer may take.
    pub(super) patience: Duration,
    pub(super) connector: Connector,
    pub(super) link: Arc<Link>,
    pub(super) holdings: Arc<Holdings>,
    pub(super) condition: Arc<Condition>,
    pub(super) right: Arc<Right>,
    pub(super) skew: Arc<Skew>,
    /// Has the sessions' places in Redis compared with what is believed of them.
    pub(super) verify: Arc<dyn Fn() + Send + Sync>,
}

/// The keeper's connections; they end with this.
pub(super) struct Lines {
    lease: Wire,
    work: Wire,
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.lease.hang_up();
        self.work.hang_up();
    }
}

/// What claims rest on.
#[derive(Debug)]
pub(super) struct Right {
    lease: Mutex<Arc<Lease>>,
    with_redis_since: Mutex<Option<Instant>>,
    length: Duration,
    #[cfg(test)]
    old: std::sync::atomic::AtomicBool,
}

impl Right {
    pub(super) fn new(length: Duration) -> Self {
        // Over from the start: the first word with Redis begins one.
        Self {
            lease: Mutex::new(Lease::until(Instant::now())),
            with_redis_since: Mutex::new(None),
            length,
            #[cfg(test)]
            old: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// The one under which sessions are claimed now.
    pub(super) fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease.lock())
    }

    /// As if it had been with Redis for a lease.
    #[cfg(test)]
    pub(super) fn pretend_to_be_old(&self) {
        self.old.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// `Ok`: orphans may be taken; otherwise how long not yet.
    pub(super) fn may_take(&self) -> Result<(), Duration> {
        #[cfg(test)]
        if self.old.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(());
        }
        let since = *self.with_redis_since.lock();
        let been = since.map_or(Duration::ZERO, |since| since.elapsed());
        if been >= self.length { Ok(()) } else { Err(self.length.saturating_sub(been)) }
    }
}

impl Keeper {
    /// Until the store is closed.
    pub(super) async fn run(self, first: Lines) {
        let mut lines = Some(first);
        let mut wait = AGAIN.0;
        while !self.link.is_closed() {
            let asked = Instant::now();
            let connected = if let Some(lines) = lines.take() {
                Ok(lines)
            } else {
                tokio::select! {
                    connected = self.connect() => connected,
                    () = self.link.closed() => return,
                }
            };
            let trouble = match connected {
                Ok(lines) => {
                    wait = AGAIN.0;
                    let (trouble, asked) = tokio::select! {
                        trouble = self.keep(&lines) => trouble,
                        trouble = self.answers(&lines.work) => (trouble, Instant::now()),
                        () = self.link.closed() => return,
                    };
                    self.link.unset();
                    let trouble = if lines.lease.witnessed { trouble } else { trouble.unwitnessed() };
                    drop(lines);
                    // What is found when it is tried again is the evidence; that a connection ended is none, and nobody's concern
                    // if the next one works.
                    if !matches!(trouble, Trouble::Down(_)) {
                        ::log::debug!("store: Redis: {trouble}");
                        continue;
                    }
                    (trouble, asked)
                }
                Err(trouble) => (trouble, asked),
            };
            self.note(&trouble.0, trouble.1);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.link.closed() => return,
            }
            wait = (wait * 2).min(AGAIN.1).min(self.length / 6);
        }
    }

    /// Connects, and says the first words.
    pub(super) async fn connect(&self) -> Result<Lines, Trouble> {
        let lease = self.connector.connect().await?;
        let lines = Lines { work: self.connector.connect().await.inspect_err(|_| lease.hang_up())?, lease };
        self.settle(&lines).await?;
        Ok(lines)
    }

    fn note(&self, trouble: &Trouble, asked: Instant) {
        self.condition.fails(Part::Wire, &trouble.to_string());
        let lease = self.right.lease();
        let prolonged = matches!(trouble, Trouble::Down(_)) && lease.prolong(asked + self.length);
        if !prolonged && !lease.holds(Instant::now()) {
            self.lapse(&lease);
        }
    }

    /// The lease is over: so is every tenure, whether or not its session noticed.
    fn lapse(&self, lease: &Lease) {
        lease.end();
        let held = self.holdings.all().len();
        if held > 0 {
            ::log::error!("store: no word of Redis for {:?}: {held} sessions are given up", self.length);
            self.holdings.lose_all();
        }
    }

    /// First words on a new connection: takes the lease up, or begins a new one.
    async fn settle(&self, lines: &Lines) -> Result<(), Trouble> {
        let wire = &lines.lease;
        let asked = Instant::now();
        let lease = self.right.lease();
        let goes_on = lease.holds(asked);
        if !goes_on {
            self.lapse(&lease);
            // Before the node is seen to live again: what stands under its name is nobody's.
            self.disown(wire).await?;
        }
        if !self.renew(wire).await? {
            self.sign_in(wire).await?;
        }
        if goes_on {
            if !lease.prolong(asked + self.length) {
                return Err(Trouble::Silent("the lease ran out meanwhile".to_owned()));
            }
        } else {
            *self.right.lease.lock() = Lease::until(asked + self.length);
        }
        *self.right.with_redis_since.lock() = Some(Instant::now());
        // The node need not wait for it: it is looked at again each minute.
        if let Err(problem) = self.in_time(self.skew.look(&lines.work)).await {
            ::log::debug!("store: the clock of Redis could not be read: {problem}");
        }
        self.link.set(&lines.work);
        self.condition.works(Part::Wire);
        (self.verify)();
        Ok(())
    }

    /// Renews the lease in time, until something is wrong; when that was asked which found it.
    async fn keep(&self, lines: &Lines) -> (Trouble, Instant) {
        let wire = &lines.lease;
        let ended = || (Trouble::Silent("the connection ended".to_owned()), Instant::now());
        loop {
            tokio::select! {
                () = sleep(self.length / 3) => {}
                () = lines.work.over() => return ended(),
                () = wire.over() => return ended(),
            }
            let asked = Instant::now();
            let renewed = match self.renew(wire).await {
                Ok(true) if self.right.lease().prolong(asked + self.length) => Ok(()),
                Ok(true) => Err(Trouble::Silent("the lease ran out".to_owned())),
                // Redis does not know the node any more: it was away, or has lost its data.
                Ok(false) => self.settle(lines).await,
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = renewed {
                return (trouble, asked);
            }
        }
    }

    /// Ends when the connection for the work gives no answer: something on the way may have dropped it without a word.
    async fn answers(&self, work: &Wire) -> Trouble {
        loop {
            sleep(WORK_SILENCE / 2).await;
            match timeout(WORK_SILENCE, work.ask::<String>(&redis::cmd("PING"))).await {
                Ok(Ok(_)) => {}
                Ok(Err(trouble)) => return trouble,
                Err(_) => return Trouble::Silent("the connection for sessions gives no answer".to_owned()),
            }
        }
    }

    /// `false`: Redis knows no lease of this node.
    async fn renew(&self, wire: &Wire) -> Result<bool, Trouble> {
        // Not SET: a Redis without memory to spare still does this.
        let mut renew = redis::cmd("PEXPIRE");
        renew.arg(keys::node(&self.node)).arg(millis(self.length));
        let mut keep = redis::cmd("PEXPIRE");
        keep.arg(keys::inbox(&self.node)).arg(millis(self.length * INBOX_LEASES));
        let both = async {
            let (known, _) = tokio::try_join!(wire.ask::<bool>(&renew), wire.ask::<bool>(&keep))?;
            Ok(known)
        };
        self.in_time(both).await
    }

    async fn sign_in(&self, wire: &Wire) -> Result<(), Trouble> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let name = self.name.replace(['"', '\\'], "");
        let lease = millis(self.length);
        let about = format!(r#"{{"started":{started},"name":"{name}","lease_ms":{lease}}}"#);
        let mut set = redis::cmd("SET");
        set.arg(keys::node(&self.node)).arg(about).arg("PX").arg(millis(self.length));
        let mut add = redis::cmd("SADD");
        add.arg(keys::NODES).arg(self.node.as_str());
        self.in_time(async {
            wire.ask::<()>(&set).await?;
            wire.ask::<()>(&add).await
        })
        .await
    }

    async fn disown(&self, wire: &Wire) -> Result<(), Trouble> {
        let (own, me) = (keys::own(&self.node), self.node.as_str());
        loop {
            let mut call = DISOWN.call(&[&own, keys::REST]);
            call.arg(me).arg(DISOWN_STEP);
            if self.in_time(DISOWN.run::<usize>(wire, &call)).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        match timeout(self.patience, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Silent("Redis does not answer".to_owned())),
        }
    }
}

/// For Redis.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
