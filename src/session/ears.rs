//! What happens to a session now and then, behind one future that stays.
//!
//! To listen for each of these anew after every piece that the agent says would cost more than the piece.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::ReusableBoxFuture;

use crate::store::StoreHealth;

/// What happened.
pub(super) enum Heard {
    /// The agent's slot is wanted.
    Bedtime,
    /// So many connections are attached now.
    Attached(usize),
    /// The store works, or does not.
    Store(StoreHealth),
}

/// Where it is heard.
#[derive(Debug)]
struct Sources {
    bedtime: Arc<Notify>,
    attached: watch::Receiver<usize>,
    store: Option<watch::Receiver<StoreHealth>>,
}

/// Listens all the time.
#[derive(Debug)]
pub(super) struct Ears(ReusableBoxFuture<'static, (Heard, Sources)>);

impl Ears {
    pub(super) fn new(
        bedtime: Arc<Notify>,
        attached: watch::Receiver<usize>,
        store: Option<watch::Receiver<StoreHealth>>,
    ) -> Self {
        Self(ReusableBoxFuture::new(Sources { bedtime, attached, store }.hear()))
    }

    /// What happens next. Cancel safe: what was heard waits.
    pub(super) async fn hear(&mut self) -> Heard {
        let (heard, sources) = poll_fn(|cx| self.0.poll(cx)).await;
        self.0.set(sources.hear());
        heard
    }
}

impl Sources {
    async fn hear(mut self) -> (Heard, Self) {
        let heard = tokio::select! {
            () = self.bedtime.notified() => Heard::Bedtime,
            Ok(()) = self.attached.changed() => Heard::Attached(*self.attached.borrow_and_update()),
            health = changed(&mut self.store) => Heard::Store(health),
        };
        (heard, self)
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
