//! The task that writes: pulls what sessions have gathered and sends it to Redis, one batch of each session at a time, those of many
//! sessions one behind the other on the same connection.
//!
//! There is no pace: a session is pulled again as soon as Redis has its last batch, so what is under way is bounded by
//! [`MAX_UNDER_WAY`], and batches grow by themselves when Redis is slow. While Redis is away these batches wait; the rest waits in the logs.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    condition::Part,
    delivery::{Delivery, Outcome, weight},
};
use crate::store::{Batch, SessionKey, Source};

/// Bytes that may be under way before other sessions have to wait.
const MAX_UNDER_WAY: usize = 16 << 20;
/// How much is pulled from one session at once; bounds how long its log, and Redis, are busy with it.
const PULL_BYTES: usize = 256 << 10;

/// Where logs say that they have something.
#[derive(Debug, Default)]
pub(super) struct Inlet {
    /// Each source at most a few times: bounded by the number of sessions.
    dirty: Mutex<Vec<Arc<dyn Source>>>,
    verify: AtomicBool,
    wake: Notify,
}

impl Inlet {
    pub(super) fn dirty(&self, source: Arc<dyn Source>) {
        self.dirty.lock().push(source);
        self.wake.notify_one();
    }

    /// All sessions' places are to be compared with what Redis has.
    pub(super) fn verify(&self) {
        self.verify.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Tells who waits for a flush when the last session that was to be flushed has been: by being dropped.
#[derive(Debug)]
struct Mark(Option<oneshot::Sender<()>>);

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            let _ = done.send(());
        }
    }
}

/// One session: what is to be pulled, and who waits for it.
#[derive(Debug, Default)]
struct Line {
    /// Logs of this id that are to be pulled, the earlier life first.
    sources: VecDeque<Arc<dyn Source>>,
    verify: bool,
    under_way: bool,
    /// Flushes that wait for the next pulls, and for the batch under way.
    marks: Vec<Arc<Mark>>,
    sent_marks: Vec<Arc<Mark>>,
}

impl Line {
    fn mark(&mut self, mark: Arc<Mark>) {
        if self.sources.is_empty() { &mut self.sent_marks } else { &mut self.marks }.push(mark);
    }
}

/// Wanted: a word when what was dirty before is written.
pub(super) struct Flush {
    /// Of this session only.
    pub(super) of: Option<SessionKey>,
    pub(super) done: oneshot::Sender<()>,
}

struct Delivered {
    key: SessionKey,
    source: Option<Arc<dyn Source>>,
    weight: usize,
    outcome: Outcome,
}

type Sending = Pin<Box<dyn Future<Output = Delivered> + Send>>;

pub(super) struct Writer {
    delivery: Arc<Delivery>,
    inlet: Arc<Inlet>,
    /// Flushes; see [`RedisStore`](super::RedisStore).
    flushes: mpsc::Receiver<Flush>,
    lines: HashMap<SessionKey, Line>,
    /// Lines with something to do and no batch under way.
    ready: VecDeque<SessionKey>,
    sending: FuturesUnordered<Sending>,
    under_way: usize,
}

impl Writer {
    pub(super) fn new(delivery: Arc<Delivery>, inlet: Arc<Inlet>, flushes: mpsc::Receiver<Flush>) -> Self {
        Self {
            delivery,
            inlet,
            flushes,
            lines: HashMap::new(),
            ready: VecDeque::new(),
            sending: FuturesUnordered::new(),
            under_way: 0,
        }
    }

    /// Until the store is closed or nobody has it any more.
    pub(super) async fn run(mut self) {
        let inlet = Arc::clone(&self.inlet);
        loop {
            tokio::select! {
                Some(delivered) = self.sending.next() => self.outcome(delivered),
                flush = self.flushes.recv() => match flush {
                    Some(flush) => self.flush(flush),
                    None => return,
                },
                () = inlet.wake.notified() => {}
                () = self.delivery.link.closed() => return,
            }
            self.take();
            self.start();
        }
    }

    /// What became dirty.
    fn take(&mut self) {
        let dirty = mem::take(&mut *self.inlet.dirty.lock());
        for source in dirty {
            let key = source.key().clone();
            let line = self.lines.entry(key.clone()).or_default();
            if !line.sources.iter().any(|known| Arc::ptr_eq(known, &source)) {
                line.sources.push_back(source);
                if !line.under_way && line.sources.len() == 1 && !line.verify {
                    self.ready.push_back(key);
                }
            }
        }
        if self.inlet.verify.swap(false, Ordering::AcqRel) {
            for held in self.delivery.holdings.all() {
                let line = self.lines.entry(held.key.clone()).or_default();
                if !line.under_way && line.sources.is_empty() && !line.verify {
                    self.ready.push_back(held.key.clone());
                }
                line.verify = true;
            }
        }
    }

    fn flush(&mut self, flush: Flush) {
        // Who was told `dirty` before the flush is part of it.
        self.take();
        let mark = Arc::new(Mark(Some(flush.done)));
        match flush.of {
            Some(key) => {
                if let Some(line) = self.lines.get_mut(&key) {
                    line.mark(mark);
                }
            }
            None => self.lines.values_mut().for_each(|line| line.mark(Arc::clone(&mark))),
        }
    }

    fn start(&mut self) {
        while self.under_way < MAX_UNDER_WAY
            && let Some(key) = self.ready.pop_front()
        {
            let Some(mut line) = self.lines.remove(&key) else { continue };
            if let Some(send) = self.next(&key, &mut line) {
                line.under_way = true;
                self.sending.push(send);
            }
            if line.under_way {
                self.lines.insert(key, line);
            }
        }
    }

    /// The line's next batch; none: there is nothing to do for it.
    fn next(&mut self, key: &SessionKey, line: &mut Line) -> Option<Sending> {
        while let Some(source) = line.sources.front().cloned() {
            let Some(held) = self.delivery.holdings.of(&source) else {
                if source.tenure().is_none() {
                    ::log::error!("session {key}: a log without a tenure is not stored");
                }
                line.sources.pop_front();
                continue;
            };
            let mut batch = Batch::default();
            if !source.pull(&mut batch, PULL_BYTES) {
                line.sources.pop_front();
            }
            if line.sources.is_empty() {
                line.sent_marks.append(&mut line.marks);
            }
            if batch.is_empty() && !line.verify {
                continue;
            }
            line.verify = false;
            return Some(self.send(held, source, batch));
        }
        let verify = mem::take(&mut line.verify);
        let held = self.delivery.holdings.get(key).filter(|_| verify)?;
        let source = held.source.lock().as_ref().and_then(std::sync::Weak::upgrade)?;
        Some(self.send(held, source, Batch::default()))
    }

    fn send(&mut self, held: Arc<super::held::Held>, source: Arc<dyn Source>, batch: Batch) -> Sending {
        let (delivery, weight) = (Arc::clone(&self.delivery), weight(&batch));
        self.under_way += weight;
        Box::pin(async move {
            let outcome = delivery.deliver(&held, &source, &batch).await;
            let source = (outcome == Outcome::Rewound).then_some(source);
            Delivered { key: held.key.clone(), source, weight, outcome }
        })
    }

    fn outcome(&mut self, delivered: Delivered) {
        let Delivered { key, source, weight, outcome } = delivered;
        self.under_way -= weight;
        if outcome == Outcome::Closed {
            return;
        }
        if self.sending.is_empty() {
            // What failed was given up meanwhile: nothing waits for Redis any more.
            self.delivery.condition.works(Part::Writes);
        }
        let Some(line) = self.lines.get_mut(&key) else { return };
        line.under_way = false;
        if let Some(source) = source {
            // Pulled again from where Redis stands; a flush waits for that.
            line.marks.append(&mut line.sent_marks);
            if !line.sources.iter().any(|known| Arc::ptr_eq(known, &source)) {
                line.sources.push_front(source);
            }
        }
        line.sent_marks.clear();
        if line.sources.is_empty() && !line.verify {
            self.lines.remove(&key);
        } else {
            self.ready.push_back(key);
        }
    }
}
