//! The logs of sessions that other nodes run, as far as connections here read them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::letter::Place;
use crate::log::{Cursor, Doorbell, EventLog, Followed};
use crate::store::{Entry, Follow, Follower, NodeId, Store};

/// One mirror for each session, as long as somebody reads it.
#[derive(Debug)]
pub(super) struct Mirrors {
    store: Arc<dyn Store>,
    window: usize,
    table: Mutex<HashMap<String, Mirror>>,
}

#[derive(Debug)]
struct Mirror {
    log: Arc<EventLog>,
    /// Who runs the session.
    node: NodeId,
    #[expect(dead_code, reason = "held for its drop, which ends the following")]
    follow: Follow,
}

impl Mirrors {
    pub(super) fn new(store: Arc<dyn Store>, window: usize) -> Arc<Self> {
        Arc::new(Self { store, window, table: Mutex::default() })
    }

    /// Who runs the session, as far as its mirror knows.
    pub(super) fn owner(&self, session: &str) -> Option<NodeId> {
        let table = self.table.lock();
        table.get(session).filter(|mirror| mirror.log.ending().is_none()).map(|mirror| mirror.node.clone())
    }

    /// A cursor at the place that the owner gave.
    pub(super) fn attach(
        self: &Arc<Self>,
        node: &NodeId,
        place: Place,
        doorbell: &Doorbell,
        tasks: &TaskTracker,
    ) -> Option<Cursor> {
        let shared = self.store.shared()?;
        let mut table = self.table.lock();
        if let Some(mirror) = table.get(&place.session) {
            let is_it = mirror.node == *node && mirror.log.epoch() == place.epoch;
            if is_it && mirror.log.ending().is_none() {
                return Some(mirror.log.attach_at(place.position, doorbell));
            }
            mirror.log.close_moved();
        }
        let Place { session, epoch, position, durable } = place;
        let key = session.as_str().into();
        let log = EventLog::mirror(key, epoch, self.window, Arc::clone(&self.store), durable);
        let cursor = log.attach_at(position, doorbell);
        let sink = Arc::new(Sink(Arc::clone(&log)));
        let follow = shared.follow(log.key(), log.epoch(), durable, sink);
        table.insert(session, Mirror { log: Arc::clone(&log), node: node.clone(), follow });
        drop(table);
        tasks.spawn(Arc::clone(self).until_nobody_reads(log));
        Some(cursor)
    }

    async fn until_nobody_reads(self: Arc<Self>, log: Arc<EventLog>) {
        let mut followed = Followed::default();
        loop {
            if log.cursors_changed(&mut followed).await > 0 {
                continue;
            }
            let mut table = self.table.lock();
            // Nobody attaches while the table is locked.
            if log.cursors() > 0 {
                continue;
            }
            if table.get(log.key().as_str()).is_some_and(|mirror| Arc::ptr_eq(&mirror.log, &log)) {
                table.remove(log.key().as_str());
            }
            return;
        }
    }

    /// That node does not run the session any more, nor whatever `epoch` says.
    pub(super) fn moved(&self, node: &NodeId, session: &str, epoch: Option<&str>) {
        let table = self.table.lock();
        if let Some(mirror) = table.get(session)
            && mirror.node == *node
            && epoch.is_none_or(|epoch| epoch == mirror.log.epoch())
        {
            mirror.log.close_moved();
        }
    }

    /// Those nodes run nothing any more, or do not know who reads here.
    pub(super) fn all_moved(&self, is_gone: impl Fn(&NodeId) -> bool) {
        for mirror in self.table.lock().values().filter(|mirror| is_gone(&mirror.node)) {
            mirror.log.close_moved();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.lock().is_empty()
    }
}

/// Takes what the store hands out into a mirror.
struct Sink(Arc<EventLog>);

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Follower for Sink {
    fn events(&self, entries: Vec<Entry>) {
        let ended = entries.last().is_some_and(|entry| is_end(&entry.frame));
        self.0.extend(entries);
        if ended {
            self.0.close();
        }
    }

    fn lost(&self, through: u64) {
        self.0.lose(through);
    }
}

/// Nothing follows a `session_ended`: the one event that a mirror must know.
fn is_end(frame: &str) -> bool {
    frame.starts_with(r#"{"type":"session_ended","#)
}

#[cfg(test)]
mod tests {
    use super::is_end;
    use crate::protocol::encode::{Encoder, Header};
    use crate::protocol::{EndReason, ServerMessage, SessionEnded};

    #[test]
    fn the_last_event_of_a_session_is_known() {
        let header = Header { id: "msg-1".into(), request_id: Some("r"), seq: Some(7), timestamp: Some(8) };
        let ended = ServerMessage::SessionEnded(SessionEnded { reason: EndReason::Client });
        assert!(is_end(&Encoder::new("s").encode(&header, &ended)));
        assert!(!is_end(r#"{"type":"user_message","content":"{\"type\":\"session_ended\","}"#));
    }
}
