//! The task that writes: pulls what sessions have gathered and sends it to Redis, one batch of each session at a time, those of many
//! sessions one behind the other on the same connection.
//!
//! There is no pace: a session is pulled again as soon as Redis has its last batch, so what is under way is bounded by
//! [`MAX_FLYING`], and batches grow by themselves when Redis is slow. While Redis is away flights wait; the rest waits in the logs.

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
    flight::{Landed, Sky, weight},
};
use crate::store::{Batch, SessionKey, Source};

/// Bytes that may be under way before other sessions have to wait.
const MAX_FLYING: usize = 16 << 20;
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

/// One session's turn.
#[derive(Debug, Default)]
struct Seat {
    /// Logs of this id that are to be pulled, the earlier life first.
    sources: VecDeque<Arc<dyn Source>>,
    verify: bool,
    flying: bool,
    /// Flushes that wait for the next pulls, and for the batch under way.
    marks: Vec<Arc<Mark>>,
    flying_marks: Vec<Arc<Mark>>,
}

impl Seat {
    fn mark(&mut self, mark: Arc<Mark>) {
        if self.sources.is_empty() { &mut self.flying_marks } else { &mut self.marks }.push(mark);
    }
}

/// Wanted: a word when what was dirty before is written.
pub(super) struct Flush {
    /// Of this session only.
    pub(super) of: Option<SessionKey>,
    pub(super) done: oneshot::Sender<()>,
}

struct Flown {
    key: SessionKey,
    source: Option<Arc<dyn Source>>,
    weight: usize,
    landed: Landed,
}

type Flight = Pin<Box<dyn Future<Output = Flown> + Send>>;

pub(super) struct Writer {
    sky: Arc<Sky>,
    inlet: Arc<Inlet>,
    /// Flushes; see [`RedisStore`](super::RedisStore).
    flushes: mpsc::Receiver<Flush>,
    seats: HashMap<SessionKey, Seat>,
    /// Seats with something to do that are not flying.
    ready: VecDeque<SessionKey>,
    flights: FuturesUnordered<Flight>,
    flying: usize,
}

impl Writer {
    pub(super) fn new(sky: Arc<Sky>, inlet: Arc<Inlet>, flushes: mpsc::Receiver<Flush>) -> Self {
        Self {
            sky,
            inlet,
            flushes,
            seats: HashMap::new(),
            ready: VecDeque::new(),
            flights: FuturesUnordered::new(),
            flying: 0,
        }
    }

    /// Until the store is closed or nobody has it any more.
    pub(super) async fn run(mut self) {
        let inlet = Arc::clone(&self.inlet);
        loop {
            tokio::select! {
                Some(flown) = self.flights.next() => self.landed(flown),
                flush = self.flushes.recv() => match flush {
                    Some(flush) => self.flush(flush),
                    None => return,
                },
                () = inlet.wake.notified() => {}
                () = self.sky.link.closed() => return,
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
            let seat = self.seats.entry(key.clone()).or_default();
            if !seat.sources.iter().any(|known| Arc::ptr_eq(known, &source)) {
                seat.sources.push_back(source);
                if !seat.flying && seat.sources.len() == 1 && !seat.verify {
                    self.ready.push_back(key);
                }
            }
        }
        if self.inlet.verify.swap(false, Ordering::AcqRel) {
            for held in self.sky.holdings.all() {
                let seat = self.seats.entry(held.key.clone()).or_default();
                if !seat.flying && seat.sources.is_empty() && !seat.verify {
                    self.ready.push_back(held.key.clone());
                }
                seat.verify = true;
            }
        }
    }

    fn flush(&mut self, flush: Flush) {
        // Who was told `dirty` before the flush is part of it.
        self.take();
        let mark = Arc::new(Mark(Some(flush.done)));
        match flush.of {
            Some(key) => {
                if let Some(seat) = self.seats.get_mut(&key) {
                    seat.mark(mark);
                }
            }
            None => self.seats.values_mut().for_each(|seat| seat.mark(Arc::clone(&mark))),
        }
    }

    fn start(&mut self) {
        while self.flying < MAX_FLYING
            && let Some(key) = self.ready.pop_front()
        {
            let Some(mut seat) = self.seats.remove(&key) else { continue };
            if let Some(flight) = self.next(&key, &mut seat) {
                seat.flying = true;
                self.flights.push(flight);
            }
            if seat.flying {
                self.seats.insert(key, seat);
            }
        }
    }

    /// The seat's next batch; none: there is nothing to do for it.
    fn next(&mut self, key: &SessionKey, seat: &mut Seat) -> Option<Flight> {
        while let Some(source) = seat.sources.front().cloned() {
            let Some(held) = self.sky.holdings.of(&source) else {
                if source.tenure().is_none() {
                    ::log::error!("session {key}: a log without a tenure is not stored");
                }
                seat.sources.pop_front();
                continue;
            };
            let mut batch = Batch::default();
            if !source.pull(&mut batch, PULL_BYTES) {
                seat.sources.pop_front();
            }
            if seat.sources.is_empty() {
                seat.flying_marks.append(&mut seat.marks);
            }
            if batch.is_empty() && !seat.verify {
                continue;
            }
            seat.verify = false;
            return Some(self.flight(held, source, batch));
        }
        let verify = mem::take(&mut seat.verify);
        let held = self.sky.holdings.get(key).filter(|_| verify)?;
        let source = held.source.lock().as_ref().and_then(std::sync::Weak::upgrade)?;
        Some(self.flight(held, source, Batch::default()))
    }

    fn flight(&mut self, held: Arc<super::held::Held>, source: Arc<dyn Source>, batch: Batch) -> Flight {
        let (sky, weight) = (Arc::clone(&self.sky), weight(&batch));
        self.flying += weight;
        Box::pin(async move {
            let landed = sky.fly(&held, &source, &batch).await;
            let source = (landed == Landed::Rewound).then_some(source);
            Flown { key: held.key.clone(), source, weight, landed }
        })
    }

    fn landed(&mut self, flown: Flown) {
        let Flown { key, source, weight, landed } = flown;
        self.flying -= weight;
        if landed == Landed::Closed {
            return;
        }
        if self.flights.is_empty() {
            // What failed was given up meanwhile: nothing waits for Redis any more.
            self.sky.condition.works(Part::Writes);
        }
        let Some(seat) = self.seats.get_mut(&key) else { return };
        seat.flying = false;
        if let Some(source) = source {
            // Pulled again from where Redis stands; a flush waits for that.
            seat.marks.append(&mut seat.flying_marks);
            if !seat.sources.iter().any(|known| Arc::ptr_eq(known, &source)) {
                seat.sources.push_front(source);
            }
        }
        seat.flying_marks.clear();
        if seat.sources.is_empty() && !seat.verify {
            self.seats.remove(&key);
        } else {
            self.ready.push_back(key);
        }
    }
}
