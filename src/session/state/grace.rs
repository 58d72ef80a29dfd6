//! How long a session stays up when nobody is there.

use std::time::Instant;

use super::{Closing, Life, SessionState};

impl SessionState {
    /// Somebody came or left.
    pub(super) fn attached_changed(&mut self, count: usize) {
        self.attached = count;
        self.alone_since = (count == 0).then_some(self.now.instant);
        if count == 0 && self.never_ran() {
            self.remove();
        }
    }

    /// Somebody is about to be attached, which is heard of a moment later: until then the session must not go to rest.
    pub(super) fn somebody_comes(&mut self) {
        if self.alone_since.is_some() {
            self.alone_since = Some(self.now.instant);
        }
    }

    fn remove(&mut self) {
        log::info!("Session {} cleaned up", self.id);
        self.close(Closing::Removed, None);
    }

    /// A dormant session is wanted again, or one that is just going to rest: that one stays. Its agent goes nevertheless, and the
    /// next message brings up another.
    pub(super) fn wake(&mut self) {
        let goes_to_rest = self.life == Life::Closing(Closing::Dormant) && !self.going_down;
        if goes_to_rest || self.life == Life::Dormant {
            self.life = Life::Active;
            self.alone_since = (self.attached == 0).then_some(self.now.instant);
        }
    }

    fn never_ran(&self) -> bool {
        self.num_turns == 0 && self.turn.is_none() && self.queue.is_empty()
    }

    /// When a session without connections goes to rest; work is waited for.
    pub(super) fn grace_deadline(&self) -> Option<Instant> {
        let patience = match self.life {
            Life::Active => self.limits.session_grace,
            Life::Dormant => self.limits.retention,
            _ => return None,
        };
        let alone_since = self.alone_since.filter(|_| self.has_nothing_open())?;
        let until = alone_since + patience;
        Some(self.held_until().map_or(until, |held| held.max(until)))
    }

    pub(super) fn grace_tick(&mut self) {
        if self.grace_deadline().is_none_or(|deadline| deadline > self.now.instant) {
            return;
        }
        if self.life == Life::Dormant || self.never_ran() {
            self.remove();
        } else if self.limits.stored {
            self.close(Closing::Dormant, None);
        } else {
            self.life = Life::Dormant;
            self.alone_since = Some(self.now.instant);
            self.sleep_if_idle();
        }
    }
}
