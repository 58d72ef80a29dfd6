//! Sessions without a task: dormant ones stand here, ended ones are looked up in the store.
//!
//! A dormant session can be woken up at any time and is few in number beside those that have ended, which nobody asks for but by
//! accident: of these nothing stays in memory once the store has it all.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::found::{Found, OpenError};
use super::record::Record;

use crate::protocol::{Liveness, SessionSummary};
use crate::store::{SessionKey, Status, Store, StoreError, StoredSession};

/// Ended sessions that are remembered where there is no store, so that late commands get `session_ended`.
const MAX_ENDED: usize = 1024;
/// Sessions that the log names as unreadable, at most.
const MAX_UNREADABLE: usize = 1024;
/// How long the store may take for a session's last events before others go on without waiting for it.
const SETTLE: Duration = Duration::from_secs(10);

/// What is at rest.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    resting: HashMap<SessionKey, Resting>,
    /// Ended sessions without a store, oldest first.
    ended: VecDeque<SessionKey>,
    /// Those of which the log has said that they cannot be read.
    unreadable: HashSet<SessionKey>,
}

/// A session without a task.
#[derive(Debug, Clone)]
pub(super) struct Resting {
    pub(super) owner: Arc<str>,
    pub(super) summary: SessionSummary,
    /// Where it can be taken up from; none without a store.
    pub(super) place: Option<Place>,
    /// Whether the summary is true: what the store has of it can be understood.
    pub(super) readable: bool,
}

/// A session's place in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: String,
    /// Where its log goes on.
    pub(super) next_seq: u64,
    /// The store has everything. Otherwise it still holds the log's last events in its hands.
    pub(super) settled: bool,
}

impl Shelf {
    /// Of what a store lists, that which can be woken up.
    pub(super) fn of(stored: Vec<StoredSession>) -> Self {
        let mut shelf = Self::default();
        for stored in stored.into_iter().filter(|stored| stored.ended().is_none()) {
            let key = stored.key.clone();
            let resting = shelf.read(stored);
            shelf.resting.insert(key, resting);
        }
        shelf
    }

    /// Of one that cannot be read the log says so, once.
    fn read(&mut self, stored: StoredSession) -> Resting {
        let key = stored.key.clone();
        let (resting, read) = Resting::of(stored);
        if let Err(problem) = read {
            self.note_unreadable(&key, &problem);
        }
        resting
    }

    pub(super) fn note_unreadable(&mut self, key: &SessionKey, problem: &StoreError) {
        if self.unreadable.len() < MAX_UNREADABLE && self.unreadable.insert(key.clone()) {
            log::error!("it is not listed, and cannot be taken up: {problem}");
        }
    }

    pub(super) fn get(&self, key: &SessionKey) -> Option<&Resting> {
        self.resting.get(key)
    }

    pub(super) fn remove(&mut self, key: &SessionKey) -> Option<Resting> {
        self.resting.remove(key)
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.resting.len()
    }

    /// Those of one owner.
    pub(super) fn of_owner(&self, owner: &str) -> impl Iterator<Item = (&SessionKey, &Resting)> {
        self.resting.iter().filter(move |(_, resting)| *resting.owner == *owner)
    }

    /// How many of them have not ended.
    pub(super) fn count_of(&self, owner: &str) -> usize {
        self.of_owner(owner).filter(|(_, resting)| !resting.has_ended()).count()
    }

    /// Puts a session here whose task is done, if memory is its place.
    pub(super) fn put(&mut self, key: SessionKey, resting: Resting) {
        match (&resting.place, resting.has_ended()) {
            // The store knows it.
            (Some(Place { settled: true, .. }), true) => return,
            (None, _) => {
                self.ended.push_back(key.clone());
                if self.ended.len() > MAX_ENDED
                    && let Some(oldest) = self.ended.pop_front()
                {
                    self.resting.remove(&oldest);
                }
            }
            _ => {}
        }
        self.resting.insert(key, resting);
    }

    /// The session turned out to be over.
    pub(super) fn has_ended(&mut self, key: &SessionKey) {
        if let Some(resting) = self.resting.get_mut(key) {
            resting.summary.status = Liveness::Ended;
        }
    }

    /// Those of which the store does not have everything.
    pub(super) fn unsettled(&self) -> Vec<(SessionKey, Place)> {
        let unsettled = |(key, resting): (&SessionKey, &Resting)| {
            let place = resting.place.as_ref().filter(|place| !place.settled)?;
            Some((key.clone(), place.clone()))
        };
        self.resting.iter().filter_map(unsettled).collect()
    }

    /// The store has everything of these now, as they were: one that was at work since then may have more.
    pub(super) fn settled(&mut self, places: &[(SessionKey, Place)]) {
        for (key, place) in places {
            let same = |resting: &Resting| resting.place.as_ref() == Some(place);
            if !self.resting.get(key).is_some_and(same) {
                continue;
            }
            let Some(mut resting) = self.resting.remove(key) else { continue };
            if let Some(place) = &mut resting.place {
                place.settled = true;
            }
            self.put(key.clone(), resting);
        }
    }
}

impl Resting {
    /// What the store has, and whether it can be understood.
    fn of(stored: StoredSession) -> (Self, Result<(), StoreError>) {
        let (state, read) = match Record::of(&stored) {
            Ok(state) => (state, Ok(())),
            Err(problem) => (Record::default(), Err(problem)),
        };
        let record = stored.record.unwrap_or_default();
        let status = if record.status == Status::Ended { Liveness::Ended } else { Liveness::Dormant };
        let resting = Self {
            owner: record.owner.into(),
            summary: state.summary(stored.key.id(), status),
            place: Some(Place { epoch: stored.epoch, next_seq: stored.next_seq, settled: true }),
            readable: read.is_ok(),
        };
        (resting, read)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.summary.status == Liveness::Ended
    }

    /// What its owner finds, or somebody else.
    pub(super) fn found_by(&self, owner: &str) -> Found {
        if *self.owner != *owner {
            Found::Unknown
        } else if self.has_ended() {
            Found::Ended(self.summary.clone())
        } else {
            Found::Dormant(self.summary.clone())
        }
    }
}

/// Waits until the store has all that a session, or all of them, appended before. False: it takes too long, or fails.
pub(super) async fn settle(store: &dyn Store, key: Option<&SessionKey>) -> bool {
    let flushed = async {
        match key {
            Some(key) => store.flush_of(key).await,
            None => store.flush().await,
        }
    };
    matches!(tokio::time::timeout(SETTLE, flushed).await, Ok(Ok(())))
}

/// A session that is not in memory.
pub(super) async fn look_up(store: &dyn Store, key: &SessionKey, owner: &str) -> Result<Found, StoreError> {
    let stored = store.session(key).await?;
    // One that has not ended and was not in memory is just being made or deleted, unless others may have it. Of one without a record
    // nothing is known but that somebody wanted it: it is yet to be made.
    let known = stored.filter(|stored| match store.shared() {
        Some(_) => stored.record.is_some(),
        None => stored.ended().is_some(),
    });
    Ok(known.map_or(Found::Unknown, |stored| Resting::of(stored).0.found_by(owner)))
}

/// What the store has of a session that rests; waits for it where it does not have everything yet.
pub(super) async fn fetch(
    store: &dyn Store,
    key: &SessionKey,
    place: &Place,
) -> Result<StoredSession, OpenError> {
    if !place.settled && !settle(store, Some(key)).await {
        return Err(OpenError::Store);
    }
    let stored = store.session(key).await?;
    let stored = stored.filter(|stored| stored.epoch == place.epoch).ok_or(OpenError::Unknown)?;
    Ok(StoredSession { next_seq: place.next_seq, ..stored })
}
