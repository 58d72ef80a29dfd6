//! Threads that read: replays and lists, off the runtime's threads and beside the writer.

use std::{path::Path, sync::Arc, thread};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::schema::{self, OpenError};
use crate::store::StoreError;

/// Two: one long list or large frame does not hold up all replays.
const THREADS: usize = 2;
/// How many reads may wait for a thread.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Ends with its last clone.
#[derive(Debug)]
pub(super) struct Readers {
    /// Cursors and lists send, the threads take turns in reading. Full: the read waits. Closed never, while this lives.
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let (jobs, receiver) = mpsc::channel::<Job>(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        for n in 0..THREADS {
            let conn = schema::reopen(path)?;
            conn.pragma_update(None, "query_only", true).map_err(|error| OpenError::of(path, error))?;
            let receiver = Arc::clone(&receiver);
            thread::Builder::new().name(format!("store-read-{n}")).spawn(move || {
                loop {
                    // The lock is free again before the job runs.
                    let job = receiver.lock().blocking_recv();
                    let Some(job) = job else { return };
                    job(&conn);
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Cancel safe: a read that nobody waits for any more is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        let job = move |conn: &Connection| {
            if !done.is_closed() {
                let _ = done.send(read(conn));
            }
        };
        self.jobs.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?.map_err(|error| StoreError::of(&error))
    }
}
