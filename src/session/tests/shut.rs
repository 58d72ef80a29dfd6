//! A store that takes nothing for a while.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::store::{
    Backlog, Chunk, Expired, Pending, Retention, SessionKey, Source, Store, StoreError, StoreHealth,
    StoredSession,
};

/// A store that hears of nothing while it is shut.
#[derive(Debug)]
pub(super) struct Shut {
    pub(super) store: Arc<dyn Store>,
    pub(super) open: watch::Sender<bool>,
    pub(super) waiting: Mutex<Vec<Arc<dyn Source>>>,
}

impl Shut {
    pub(super) fn open(&self) {
        for source in self.waiting.lock().drain(..) {
            self.store.dirty(source);
        }
        self.open.send_replace(true);
    }
}

impl Store for Shut {
    fn dirty(&self, source: Arc<dyn Source>) {
        let mut waiting = self.waiting.lock();
        if *self.open.borrow() { self.store.dirty(source) } else { waiting.push(source) }
    }

    fn read<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>> {
        self.store.read(key, epoch, after, max_bytes)
    }

    fn backlog(&self) -> &Backlog {
        self.store.backlog()
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.store.health()
    }

    fn sessions(&self) -> Pending<'_, Result<Vec<StoredSession>, StoreError>> {
        self.store.sessions()
    }

    fn message_ids<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
    ) -> Pending<'a, Result<Vec<String>, StoreError>> {
        self.store.message_ids(key, epoch)
    }

    fn expired(&self, retention: Retention) -> Pending<'_, Result<Vec<Expired>, StoreError>> {
        self.store.expired(retention)
    }

    fn delete<'a>(&'a self, key: &'a SessionKey, epoch: &'a str) -> Pending<'a, Result<(), StoreError>> {
        self.store.delete(key, epoch)
    }

    fn flush(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async {
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.unwrap();
            self.store.flush().await
        })
    }

    fn close(&self) -> Pending<'_, Result<(), StoreError>> {
        self.store.close()
    }
}
