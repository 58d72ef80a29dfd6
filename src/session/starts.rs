//! Whether agents can be started, judged by the starts there were: for `/readyz`.
//!
//! A single session can fail for reasons of its own (a model that does not exist, a broken MCP server), so several different ones must
//! fail in a row before it counts; unless no agent ever came up. The verdict runs out by itself: a gateway that nobody sends anything
//! to would otherwise never find out that it works again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Different sessions whose last starts must have failed.
const SESSIONS: usize = 3;
/// How long a failure counts.
const MEMORY: Duration = Duration::from_secs(30);

/// The last starts of agents, over all sessions.
#[derive(Debug, Default)]
pub struct Starts(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    /// Sessions whose starts failed since the last that went well, each once, with the time of its last failure.
    failed: VecDeque<(Arc<str>, Instant)>,
    any_went_well: bool,
}

impl Starts {
    /// An agent of `session` came up, or failed to.
    pub(super) fn note(&self, session: &Arc<str>, up: bool, now: Instant) {
        let mut record = self.0.lock();
        if up {
            record.any_went_well = true;
            record.failed.clear();
            return;
        }
        record.failed.retain(|(id, _)| id != session);
        record.failed.push_back((Arc::clone(session), now));
        if record.failed.len() > SESSIONS {
            record.failed.pop_front();
        }
    }

    /// Why no agent is expected to start; `None`: nothing speaks against it. For everybody to read: names no session and no path.
    pub fn verdict(&self, now: Instant) -> Option<&'static str> {
        let record = self.0.lock();
        let recent =
            record.failed.iter().filter(|(_, at)| now.saturating_duration_since(*at) < MEMORY).count();
        let needed = if record.any_went_well { SESSIONS } else { 1 };
        (recent >= needed).then_some("the last agents did not start; the gateway's log says why")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_session_does_not_make_the_gateway_unready() {
        let (starts, now) = (Starts::default(), Instant::now());
        let [a, b, c]: [Arc<str>; 3] = ["a", "b", "c"].map(Arc::from);
        starts.note(&a, true, now);
        for _ in 0..10 {
            starts.note(&a, false, now);
        }
        starts.note(&b, false, now);
        assert_eq!(starts.verdict(now), None);
        starts.note(&c, false, now);
        assert!(starts.verdict(now).is_some());
        assert_eq!(starts.verdict(now + MEMORY), None, "it is tried again");
        starts.note(&b, true, now);
        assert_eq!(starts.verdict(now), None);
    }

    #[test]
    fn the_very_first_failure_counts() {
        let (starts, now) = (Starts::default(), Instant::now());
        starts.note(&"a".into(), false, now);
        assert!(starts.verdict(now).is_some());
    }
}
