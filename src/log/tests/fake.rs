//! A store for one session that commits when the test says so.

use std::{collections::BTreeMap, future::ready, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::store::{
    Backlog, Batch, Chunk, Entry, Expired, Pending, Retention, SessionKey, Source, Store, StoreError,
    StoreHealth, StoredSession,
};

#[derive(Debug)]
pub(super) struct FakeStore {
    backlog: Backlog,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    dirty: Option<Arc<dyn Source>>,
    /// Pulled and not committed.
    in_hand: Vec<Batch>,
    rows: BTreeMap<u64, (Option<u64>, Utf8Bytes)>,
    message_ids: Vec<String>,
}

impl FakeStore {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { backlog: Backlog::new(limit), state: Mutex::default() })
    }

    /// Pulls once. `false`: nothing is dirty.
    pub(super) fn pull(&self, max_bytes: usize) -> bool {
        let Some(source) = self.state.lock().dirty.take() else { return false };
        let mut batch = Batch::default();
        let more = source.pull(&mut batch, max_bytes);
        let mut state = self.state.lock();
        state.in_hand.push(batch);
        if more {
            assert!(state.dirty.replace(source).is_none(), "told again before it was pulled dry");
        }
        true
    }

    /// Commits all that was pulled.
    pub(super) fn commit(&self, source: &dyn Source) {
        let mut state = self.state.lock();
        let mut newest = None;
        for mut batch in std::mem::take(&mut state.in_hand) {
            let mut lost = batch.lost_through;
            assert!(lost.is_none() || !batch.entries.is_empty());
            state.message_ids.append(&mut batch.message_ids);
            for Entry { seq, frame } in batch.entries {
                assert!(Some(seq) > newest);
                newest = Some(seq);
                assert!(state.rows.insert(seq, (lost.take(), frame)).is_none(), "{seq} came twice");
            }
        }
        drop(state);
        if let Some(newest) = newest {
            source.committed(newest);
        }
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.state.lock().rows.contains_key(&seq)
    }

    pub(super) fn message_ids(&self) -> Vec<String> {
        self.state.lock().message_ids.clone()
    }

    fn chunk(&self, after: u64, max_bytes: usize) -> Chunk {
        let state = self.state.lock();
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (&seq, (lost, frame)) in state.rows.range(after + 1..) {
            if let Some(through) = lost.filter(|lost| *lost > after) {
                if entries.is_empty() {
                    return Chunk::Lost { through, next: seq };
                }
                break;
            }
            bytes += frame.len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(Entry { seq, frame: frame.clone() });
        }
        if entries.is_empty() { Chunk::End } else { Chunk::Entries(entries) }
    }
}

impl Store for FakeStore {
    fn dirty(&self, source: Arc<dyn Source>) {
        assert!(self.state.lock().dirty.replace(source).is_none(), "told again before it was pulled dry");
    }

    fn read<'a>(
        &'a self,
        _: &'a SessionKey,
        _: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>> {
        Box::pin(ready(Ok(self.chunk(after, max_bytes))))
    }

    fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        watch::Sender::default().subscribe()
    }

    fn sessions(&self) -> Pending<'_, Result<Vec<StoredSession>, StoreError>> {
        Box::pin(ready(Err(StoreError::Closed)))
    }

    fn message_ids<'a>(
        &'a self,
        _: &'a SessionKey,
        _: &'a str,
    ) -> Pending<'a, Result<Vec<String>, StoreError>> {
        Box::pin(ready(Err(StoreError::Closed)))
    }

    fn expired(&self, _: Retention) -> Pending<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(ready(Err(StoreError::Closed)))
    }

    fn delete<'a>(&'a self, _: &'a SessionKey, _: &'a str) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(ready(Err(StoreError::Closed)))
    }

    fn flush(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(ready(Err(StoreError::Closed)))
    }

    fn close(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(ready(Err(StoreError::Closed)))
    }
}
