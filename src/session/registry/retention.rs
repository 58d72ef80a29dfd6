//! Sessions at rest that have been kept long enough.

use super::Registry;
use crate::session::shelf::{self, Resting};
use crate::store::{Expired, Retention, StoreError};

impl Registry {
    /// Deletes what `retention` gives up of the sessions at rest. One that the store fails to delete stays, and is tried again the
    /// next time.
    pub async fn forget(&self, retention: Retention) -> Result<(), StoreError> {
        let Some(store) = &self.shared.store else { return Ok(()) };
        let unsettled = self.sessions.lock().shelf.unsettled();
        if let Some(shared) = store.shared() {
            for (key, _) in &unsettled {
                // Later, if the store still does not take it.
                let _ = self.lay_aside(shared, key).await;
            }
        } else if !unsettled.is_empty() && shelf::settle(&**store, None).await {
            self.sessions.lock().shelf.settled(&unsettled);
        }
        let mut outcome = Ok(());
        for expired in store.expired(retention).await? {
            let LetGo::Yes(resting) = self.let_go(&expired) else { continue };
            match store.delete(&expired.key, &expired.epoch).await {
                Ok(()) => log::info!("session {}: deleted from the store", expired.key),
                // Somebody has just taken it up.
                Err(StoreError::Refused) => {}
                Err(problem) => {
                    self.put_back(&expired, resting);
                    outcome = Err(problem);
                }
            }
        }
        outcome
    }

    /// Whether the session rests, so that it may be deleted. If so, nobody finds it any more.
    fn let_go(&self, expired: &Expired) -> LetGo {
        let mut sessions = self.sessions.lock();
        let key = &expired.key;
        match sessions.shelf.get(key).map(|resting| &resting.place) {
            Some(Some(place)) if place.epoch == expired.epoch => LetGo::Yes(sessions.shelf.remove(key)),
            // Over, and known to the store alone; or its task is about to end.
            None if (expired.ended || self.shared_store().is_some()) && !sessions.live.contains_key(key) => {
                LetGo::Yes(None)
            }
            Some(_) | None => LetGo::No,
        }
    }

    /// It could not be deleted. Unless somebody began another under its id, it is found again.
    fn put_back(&self, expired: &Expired, resting: Option<Resting>) {
        let mut sessions = self.sessions.lock();
        let key = &expired.key;
        if let Some(resting) = resting
            && !sessions.live.contains_key(key)
            && sessions.shelf.get(key).is_none()
        {
            sessions.shelf.put(key.clone(), resting);
        }
    }
}

/// Whether a session may be deleted, and what was on the shelf of it.
enum LetGo {
    No,
    Yes(Option<Resting>),
}
