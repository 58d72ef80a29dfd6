//! How sessions leave: to the shelf when their task is done, by a fault, and all of them when the gateway goes down.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::Registry;
use crate::protocol::{Liveness, SessionStatus};
use crate::session::handle::{Mail, SessionHandle};
use crate::session::shelf::{self, Place, Resting};
use crate::session::state::Closing;
use crate::session::task;

impl Registry {
    /// A session's task panicked: a bug. Its agent went with it; the session is taken up from the store as after a kill, or is
    /// over where there is none.
    pub(super) async fn broke_down(&self, handle: &SessionHandle) {
        let key = &handle.key;
        log::error!("session {key}: broke down by a fault of the gateway; please report it");
        self.shared.pool.is_busy(key.name());
        let place = self.lay_down(handle);
        if self.shared_store().is_some() {
            self.lay_down_held(handle).await;
        } else if let Some(place) = place
            && let Some(store) = &self.shared.store
            && shelf::settle(&**store, Some(key)).await
        {
            self.sessions.lock().shelf.settled(&[(key.clone(), place)]);
        }
    }

    /// Says the last words of a session whose task is gone, and puts it on the shelf. In one step: who has heard of it and starts
    /// it again finds it at rest, and who finds it at rest has all its events.
    fn lay_down(&self, handle: &SessionHandle) -> Option<Place> {
        let key = &handle.key;
        let mut sessions = self.sessions.lock();
        // Removed before: nobody knows it any more, and the id may be another's.
        if !sessions.is_live(handle) {
            return None;
        }
        task::last_words(&handle.log, key.id(), self.shared.store.is_some());
        let place = self.shared.store.is_some().then(|| Place {
            epoch: handle.log.epoch().to_owned(),
            next_seq: handle.log.last_seq() + 1,
            settled: false,
        });
        let mut summary = handle.summary();
        summary.state = SessionStatus::Idle;
        summary.pending_permissions = 0;
        if summary.status != Liveness::Ended {
            summary.status = if place.is_some() { Liveness::Dormant } else { Liveness::Ended };
        }
        sessions.forget_live(handle);
        let owner = Arc::clone(&handle.owner);
        let resting = Resting { owner, summary, place: place.clone(), readable: true };
        sessions.shelf.put(key.clone(), resting);
        place
    }

    /// A session's task is done. What came too late is dropped last, so that whoever waits looks again and finds what is now.
    pub(super) async fn finished(&self, finished: task::Finished) {
        if self.shared_store().is_some() {
            let (key, closing) = (finished.handle.key.clone(), finished.closing);
            self.finished_held(finished).await;
            log::info!("session {key}: {}", describe(closing));
            return;
        }
        let task::Finished { handle, closing, place, too_late } = finished;
        let mut place = place;
        if let (Some(place), Some(store)) = (&mut place, &self.shared.store) {
            place.settled = shelf::settle(&**store, Some(&handle.key)).await;
            if !place.settled {
                log::warn!(
                    "session {}: the store takes long for its last events; it has them in hand",
                    handle.key
                );
            }
        }
        let mut sessions = self.sessions.lock();
        sessions.forget_live(&handle);
        if closing != Closing::Removed {
            let owner = Arc::clone(&handle.owner);
            let resting = Resting { owner, summary: handle.summary(), place, readable: true };
            sessions.shelf.put(handle.key.clone(), resting);
        }
        drop(sessions);
        drop(too_late);
        log::info!("session {}: {}", handle.key, describe(closing));
    }

    /// Has every session come to its end; running turns get until `until`. Nothing new begins.
    pub async fn drain(&self, until: Instant) {
        let live: Vec<_> = {
            let mut sessions = self.sessions.lock();
            sessions.draining = true;
            self.shared.warm.close();
            sessions.live.values().cloned().collect()
        };
        // Closed: it is over already. Full: that one takes its time, and the others need not.
        join_all(live.iter().map(|handle| handle.mailbox.send(Box::new(Mail::Drain(until))))).await;
        drop(live);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn describe(closing: Closing) -> &'static str {
    match closing {
        Closing::Ended(_) => "ended",
        Closing::Removed => "removed",
        Closing::Dormant => "dormant",
        Closing::Lost => "another gateway may have it by now",
    }
}
