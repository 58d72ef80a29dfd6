//! What happens to a session now and then, behind one future that stays.
//!
//! To listen for each of these anew after every piece that the agent says would cost more than the piece.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::store::{StoreHealth, Tenure};
use crate::wake::OnWake;

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
    attached: watch::Receiver<usize>,
    store: Option<watch::Receiver<StoreHealth>>,
    tenure: Option<Arc<Tenure>>,
}

/// Listens all the time.
pub(super) struct Ears(OnWake<Hearing>);

type Hearing = Pin<Box<dyn Future<Output = (Heard, Sources)> + Send>>;

impl Ears {
    pub(super) fn new(
        bedtime: Arc<Notify>,
        attached: watch::Receiver<usize>,
        store: Option<watch::Receiver<StoreHealth>>,
        tenure: Option<Arc<Tenure>>,
    ) -> Self {
        Self(OnWake::new(Box::pin(Sources { bedtime, attached, store, tenure }.hear())))
    }

    /// What happens next. Cancel safe: what was heard waits.
    pub(super) async fn hear(&mut self) -> Heard {
        let (heard, sources) = (&mut self.0).await;
        self.0.set(Box::pin(sources.hear()));
        heard
    }
}

impl Sources {
    async fn hear(mut self) -> (Heard, Self) {
        let heard = tokio::select! {
            () = self.bedtime.notified() => Heard::Bedtime,
            Ok(()) = self.attached.changed() => Heard::Attached(*self.attached.borrow_and_update()),
            health = changed(&mut self.store) => Heard::Store(health),
            () = lost(self.tenure.as_deref()) => Heard::Lost,
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
