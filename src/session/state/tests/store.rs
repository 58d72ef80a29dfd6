//! A store in memory for one session, which takes in and commits when the test says so.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::store::{
    Backlog, Batch, Chunk, Entry, Expired, Pending, Record, Retention, SessionKey, Source, Store, StoreError,
    StoreHealth, StoredSession,
};

#[derive(Debug)]
pub(super) struct MemoryStore {
    backlog: Backlog,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    dirty: Option<Arc<dyn Source>>,
    /// Taken in and not committed.
    in_hand: Vec<Batch>,
    /// Each with the last seq that was lost before it, if any was.
    rows: BTreeMap<u64, (Option<u64>, Utf8Bytes)>,
    record: Option<Record>,
    message_ids: Vec<String>,
}

impl MemoryStore {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { backlog: Backlog::new(limit), state: Mutex::default() })
    }

    /// Takes in at most about `max_bytes`.
    pub(super) fn pull(&self, max_bytes: usize) {
        let Some(source) = self.state.lock().dirty.take() else { return };
        let mut batch = Batch::default();
        let more = source.pull(&mut batch, max_bytes);
        let mut state = self.state.lock();
        state.in_hand.push(batch);
        if more {
            state.dirty = Some(source);
        }
    }

    /// Commits what was taken in.
    pub(super) fn commit(&self, source: &dyn Source) {
        let mut state = self.state.lock();
        let mut newest = None;
        for batch in std::mem::take(&mut state.in_hand) {
            let mut lost = batch.lost_through;
            for Entry { seq, frame } in batch.entries {
                newest = Some(seq);
                state.rows.insert(seq, (lost.take(), frame));
            }
            state.record = batch.record.or(state.record.take());
            state.message_ids.extend(batch.message_ids);
        }
        drop(state);
        if let Some(newest) = newest {
            source.committed(newest);
        }
    }

    /// The gateway dies: what was not committed is gone.
    pub(super) fn crash(&self) {
        let mut state = self.state.lock();
        state.dirty = None;
        state.in_hand.clear();
    }

    pub(super) fn rows(&self) -> Vec<(u64, Utf8Bytes)> {
        self.state.lock().rows.iter().map(|(seq, (_, frame))| (*seq, frame.clone())).collect()
    }

    /// The session as the next gateway finds it; `given_out`: the newest seq that clients may have seen.
    pub(super) fn stored(&self, epoch: &str, given_out: u64) -> StoredSession {
        let state = self.state.lock();
        let last_seq = state.rows.keys().next_back().copied().unwrap_or(0);
        StoredSession {
            key: "s".into(),
            epoch: epoch.to_owned(),
            first_seq: state.rows.keys().next().copied().unwrap_or(1),
            last_seq,
            next_seq: given_out.max(last_seq) + 1000,
            record: state.record.clone(),
        }
    }
}

impl Store for MemoryStore {
    fn dirty(&self, source: Arc<dyn Source>) {
        self.state.lock().dirty = Some(source);
    }

    fn read<'a>(
        &'a self,
        _: &'a SessionKey,
        _: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>> {
        let state = self.state.lock();
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (&seq, (lost, frame)) in state.rows.range(after + 1..) {
            if let Some(through) = lost.filter(|lost| *lost > after) {
                if entries.is_empty() {
                    return Box::pin(ready(Ok(Chunk::Lost { through, next: seq })));
                }
                break;
            }
            bytes += frame.len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(Entry { seq, frame: frame.clone() });
        }
        let chunk = if entries.is_empty() { Chunk::End } else { Chunk::Entries(entries) };
        Box::pin(ready(Ok(chunk)))
    }

    fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        watch::Sender::default().subscribe()
    }

    fn sessions(&self) -> Pending<'_, Result<Vec<StoredSession>, StoreError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn message_ids<'a>(
        &'a self,
        _: &'a SessionKey,
        _: &'a str,
    ) -> Pending<'a, Result<Vec<String>, StoreError>> {
        Box::pin(ready(Ok(self.state.lock().message_ids.clone())))
    }

    fn expired(&self, _: Retention) -> Pending<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn delete<'a>(&'a self, _: &'a SessionKey, _: &'a str) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }

    fn flush(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }

    fn close(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }
}
