//! Threads for work that may hang: one more whenever all that there are have something to do.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;

/// What one of them does.
pub type Job = Box<dyn FnOnce() + Send>;

/// The threads. Dropped, those that wait end; those that work end with their work.
///
/// How many there may be is the caller's to bound.
pub struct Workers {
    name: &'static str,
    /// How many may wait for work.
    keep: usize,
    /// Those that wait, the last to have worked last. Each channel takes one job, from whoever took it off this list, so sending
    /// never waits; closed: the thread ends.
    idle: Mutex<Vec<SyncSender<Job>>>,
}

impl Workers {
    /// None yet. At most `keep` of them wait for work when there is none; `usize::MAX`: no thread ends before this does.
    pub fn new(name: &'static str, keep: usize) -> Arc<Self> {
        Arc::new(Self { name, keep, idle: Mutex::default() })
    }

    /// Has one of them do `job`, at once. Where the system gives no thread the job is dropped.
    pub fn run(self: &Arc<Self>, job: Job) {
        let idle = self.idle.lock().pop();
        match idle {
            None => self.begin(job),
            Some(thread) => {
                // It broke down.
                if let Err(unsent) = thread.send(job) {
                    self.begin(unsent.0);
                }
            }
        }
    }

    fn begin(self: &Arc<Self>, job: Job) {
        let workers = Arc::downgrade(self);
        let body = move || {
            let mut job = job;
            loop {
                job();
                let (sender, next) = sync_channel(1);
                {
                    let Some(workers) = workers.upgrade() else { return };
                    let mut idle = workers.idle.lock();
                    if idle.len() >= workers.keep {
                        return;
                    }
                    idle.push(sender);
                }
                match next.recv() {
                    Ok(more) => job = more,
                    Err(_) => return,
                }
            }
        };
        if let Err(problem) = thread::Builder::new().name(self.name.into()).spawn(body) {
            ::log::error!("no thread for {}: {problem}", self.name);
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("name", &self.name).finish_non_exhaustive()
    }
}
