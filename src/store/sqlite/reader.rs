//! Threads that read: replays and lists, off the runtime's threads and beside the writer.
//!
//! Two lanes: looks at one session, which somebody waits for who starts it, come before all that is read in bulk. Each read in bulk is
//! bounded by who asks for it, so a look waits for one of them at most.

use std::{collections::VecDeque, path::Path, sync::Arc, thread};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::schema::{self, OpenError};
use crate::store::StoreError;

/// Two: one long list or large frame does not hold up all replays.
const THREADS: usize = 2;
/// How many reads of each lane may wait for a thread. Full: the read waits.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Ends with its last clone.
#[derive(Debug)]
pub(super) struct Readers {
    lanes: Arc<Lanes>,
    looks: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

#[derive(Default)]
struct Lanes {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

/// Cursors, lists and handlers put jobs in, the threads take them out.
#[derive(Default)]
struct Waiting {
    looks: VecDeque<(Job, OwnedSemaphorePermit)>,
    bulk: VecDeque<(Job, OwnedSemaphorePermit)>,
    is_closed: bool,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Lanes")
    }
}

impl Lanes {
    /// The next job; `None` at the end, when all are done.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        loop {
            let next = waiting.looks.pop_front();
            if let Some((job, _room)) = next.or_else(|| waiting.bulk.pop_front()) {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            self.wake.wait(&mut waiting);
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.lanes.waiting.lock().is_closed = true;
        self.lanes.wake.notify_all();
    }
}

impl Readers {
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let lanes = Arc::<Lanes>::default();
        let room = || Arc::new(Semaphore::new(QUEUE));
        let readers = Self { lanes: Arc::clone(&lanes), looks: room(), bulk: room() };
        for n in 0..THREADS {
            let conn = schema::reopen(path)?;
            conn.pragma_update(None, "query_only", true).map_err(|error| OpenError::of(path, error))?;
            let lanes = Arc::clone(&lanes);
            thread::Builder::new().name(format!("store-read-{n}")).spawn(move || {
                while let Some(job) = lanes.next() {
                    job(&conn);
                }
            })?;
        }
        Ok(readers)
    }

    /// A read in bulk. Cancel safe: a read that nobody waits for any more is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.queued(&self.bulk, |waiting| &mut waiting.bulk, read).await
    }

    /// A short look, before all reads in bulk. Cancel safe.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.queued(&self.looks, |waiting| &mut waiting.looks, read).await
    }

    async fn queued<T: Send + 'static>(
        &self,
        room: &Arc<Semaphore>,
        lane: impl FnOnce(&mut Waiting) -> &mut VecDeque<(Job, OwnedSemaphorePermit)>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        let job = move |conn: &Connection| {
            if !done.is_closed() {
                let _ = done.send(read(conn));
            }
        };
        let place = Arc::clone(room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        lane(&mut self.lanes.waiting.lock()).push_back((Box::new(job), place));
        self.lanes.wake.notify_one();
        result.await.map_err(|_| StoreError::Closed)?.map_err(|error| StoreError::of(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Ten who listed 20,000 sessions each held up a session's start for 25 s.
    #[tokio::test]
    async fn a_look_comes_before_all_that_is_read_in_bulk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.db");
        schema::open(&path).unwrap();
        let readers = Readers::start(&path).unwrap();
        let (order, go) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let job = |name: &'static str| {
            let (order, go) = (Arc::clone(&order), Arc::clone(&go));
            move |_: &Connection| {
                while !go.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                order.lock().push(name);
                Ok(())
            }
        };
        // Both threads have something in hand, and more waits.
        let bulk = futures_util::future::join_all((0..10).map(|_| readers.run(job("bulk"))));
        let look = async {
            // Behind them all.
            tokio::task::yield_now().await;
            while readers.lanes.waiting.lock().bulk.len() > 8 {
                tokio::task::yield_now().await;
            }
            let asked = readers.look(job("look"));
            let release = async {
                while readers.lanes.waiting.lock().looks.is_empty() {
                    tokio::task::yield_now().await;
                }
                go.store(true, Ordering::Release);
            };
            tokio::join!(asked, release).0
        };
        let (bulk, looked) = tokio::join!(bulk, look);
        looked.unwrap();
        assert!(bulk.into_iter().all(|read| read.is_ok()));
        let place = order.lock().iter().position(|name| *name == "look");
        assert!(place.is_some_and(|place| place <= 2), "{:?}", order.lock());
    }
}
