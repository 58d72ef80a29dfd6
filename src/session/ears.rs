//! What happens to a session now and then, behind one future that stays.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{Notify, watch};

use crate::log::{EventLog, Followed};
use crate::store::{Source as _, StoreHealth, Tenure};

/// What happened.
pub(super) enum Heard {
    /// The agent's slot is wanted.
    Bedtime,
    /// So many connections are attached now.
    Attached(usize),
    /// The store works, or does not.
    Store(StoreHealth),
    /// The tenure has ended.
    Lost,
}

/// Where it is heard.
#[derive(Debug)]
struct Sources {
    bedtime: Arc<Notify>,
    log: Arc<EventLog>,
    followed: Followed,
    store: Option<watch::Receiver<StoreHealth>>,
}

/// Listens all the time.
pub(super) struct Ears(Hearing);

type Hearing = Pin<Box<dyn Future<Output = (Heard, Sources)> + Send>>;

impl Ears {
    pub(super) fn new(
        bedtime: Arc<Notify>,
        log: Arc<EventLog>,
        store: Option<watch::Receiver<StoreHealth>>,
    ) -> Self {
        Self(Box::pin(Sources { bedtime, log, followed: Followed::default(), store }.hear()))
    }

    /// What happens next.
    pub(super) fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let (heard, sources) = ready!(self.0.as_mut().poll(cx));
        self.0 = Box::pin(sources.hear());
        Poll::Ready(heard)
    }
}

impl Sources {
    async fn hear(mut self) -> (Heard, Self) {
        let heard = tokio::select! {
            () = self.bedtime.notified() => Heard::Bedtime,
            count = self.log.cursors_changed(&mut self.followed) => Heard::Attached(count),
            health = changed(&mut self.store) => Heard::Store(health),
            () = lost(self.log.tenure().map(Arc::as_ref)) => Heard::Lost,
        };
        (heard, self)
    }
}

async fn lost(tenure: Option<&Tenure>) {
    match tenure {
        Some(tenure) => tenure.lost().await,
        None => std::future::pending().await,
    }
}

async fn changed(health: &mut Option<watch::Receiver<StoreHealth>>) -> StoreHealth {
    if let Some(receiver) = health
        && receiver.changed().await.is_ok()
    {
        return *receiver.borrow_and_update();
    }
    std::future::pending().await
}
