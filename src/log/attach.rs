//! How a reader comes to its place in a log.

use std::sync::Arc;

use super::{cursor::Cursor, doorbell::Doorbell, event_log::EventLog};

/// Where a new cursor starts.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// With the next event.
    Live,
    /// From the beginning: what the client has is not what the log holds ([`EventLog::has_lost`]).
    Anew,
    /// After the last event that the client has.
    After {
        /// Its seq; 0: the client has none.
        seq: u64,
        /// The epoch that it came from. Absent: taken to match.
        epoch: Option<&'a str>,
    },
}

/// What a new cursor will read (PROTOCOL.md, rule 1).
///
/// A client whose `last_seq` is *ahead* of the log, in the same epoch, saw events that the store had not committed when the
/// gateway died: it has a tail that exists nowhere else. That is a [`Reset`](Self::Reset): it gets all that is kept, from the
/// first event on, so that it agrees with everyone else again. Nothing that the log holds is withheld from it; taking its position as
/// it is would withhold whatever gets those seqs. (A restored log goes on well past the lost tail, see
/// [`EventLog::restore`]; who comes back later is not ahead, and is found by [`EventLog::has_lost`].)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Live events only.
    None,
    /// Every event after the client's.
    Ok,
    /// The oldest that the client needs are no longer kept; the replay starts at `first_seq`.
    Gap,
    /// The client's position means nothing here: everything that is kept, from `first_seq` on.
    Reset,
}

/// A new cursor and what is true at the instant of its making.
#[derive(Debug)]
pub struct Attached {
    /// Read it until it is caught up; the doorbell rings only from then on.
    pub cursor: Cursor,
    /// What it will read.
    pub verdict: Verdict,
    /// See [`EventLog::first_seq`].
    pub first_seq: u64,
    /// See [`EventLog::last_seq`].
    pub last_seq: u64,
}

impl EventLog {
    /// A cursor that starts at `from`. Verdict, seqs and cursor are of one instant: no append comes between them.
    pub fn attach(self: &Arc<Self>, from: From<'_>, doorbell: &Doorbell) -> Attached {
        let bell = doorbell.bell();
        let mut state = self.state.lock();
        // A cursor must not stand on what it was not given.
        let last_seq = state.told();
        let floor = state.floor;
        let (verdict, after) = match from {
            From::Live => (Verdict::None, last_seq),
            From::Anew => (Verdict::Reset, floor),
            From::After { epoch: Some(epoch), .. } if epoch != self.epoch() => (Verdict::Reset, floor),
            From::After { seq, .. } if seq > last_seq => (Verdict::Reset, floor),
            From::After { seq, .. } if seq < floor => (Verdict::Gap, floor),
            From::After { seq, .. } => (Verdict::Ok, seq),
        };
        bell.stand_at(after);
        state.bells.push(Arc::clone(&bell));
        let first_seq = state.first_seq();
        self.enter(state);
        Attached { cursor: Cursor::new(Arc::clone(self), bell, after), verdict, first_seq, last_seq }
    }
}
