//! The time by which sessions age.
//!
//! A machine's clock may be wrong by a month when it starts, and what was deleted by it does not come back. So time that no gateway has
//! lived through is not believed at once: after a leap the store's time goes on from where it was, faster than the clock until it has
//! caught up. A clock that goes back is followed: that deletes nothing.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use super::tables::int;

/// A leap of up to so much is believed: a restart, a clock that is set right.
const BELIEVED_MS: u64 = 60 * 60 * 1000;
/// How much faster than the clock time goes that catches up. A month takes a week; a machine that is off most of the day never falls
/// behind.
const CATCHING_UP: u64 = 4;
/// A leap of more than this is worth a word in the log.
const STRANGE_MS: u64 = 24 * 60 * 60 * 1000;

/// The store's time, while the process lives.
#[derive(Debug)]
pub(super) struct Clock {
    now_ms: u64,
    /// The latest time that it has ever been. A clock that has gone back (a machine that does not know the time when it starts) is
    /// believed again up to here.
    mark_ms: u64,
    at: Instant,
}

impl Clock {
    /// Goes on from where an earlier process left it.
    pub(super) fn read(conn: &Connection, wall_ms: u64) -> rusqlite::Result<Self> {
        let stored: Option<i64> =
            conn.query_row("SELECT value FROM meta WHERE name = 'clock'", [], |row| row.get(0)).optional()?;
        // Of a file that was last used by an older program: when it was last used, about.
        let newest = |conn: &Connection| {
            conn.query_row("SELECT max(last_active_at) FROM sessions", [], |row| row.get::<_, Option<i64>>(0))
        };
        let stored = if stored.is_some() { stored } else { newest(conn)? };
        let now_ms = stored.and_then(|stored| u64::try_from(stored).ok()).unwrap_or(wall_ms);
        let marked: Option<i64> = conn
            .query_row("SELECT value FROM meta WHERE name = 'clock_mark'", [], |row| row.get(0))
            .optional()?;
        let mark_ms = marked.and_then(|marked| u64::try_from(marked).ok()).unwrap_or(0).max(now_ms);
        let ahead = wall_ms.saturating_sub(mark_ms);
        if ahead > STRANGE_MS {
            ::log::warn!(
                "store: the clock is {} days ahead of when the sessions were last in use. In case that it is wrong, none is deleted at \
                 once: they age {CATCHING_UP} times as fast until that is made up for (--retention)",
                ahead / STRANGE_MS
            );
        }
        Ok(Self { now_ms, mark_ms, at: Instant::now() })
    }

    /// What time it is when the machine's clock says `wall_ms`.
    pub(super) fn tell(&mut self, wall_ms: u64, at: Instant) -> u64 {
        let lived = at.saturating_duration_since(self.at);
        self.at = at;
        let known = self.now_ms.max(self.mark_ms.min(wall_ms));
        let behind = wall_ms.saturating_sub(known);
        self.now_ms = if behind <= BELIEVED_MS { wall_ms } else { known + caught_up(lived).min(behind) };
        self.mark_ms = self.mark_ms.max(self.now_ms);
        self.now_ms
    }

    /// For the next process.
    pub(super) fn write(now_ms: u64, conn: &Connection) -> rusqlite::Result<()> {
        conn.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('clock', ?1)", params![int(now_ms)])?;
        let mark = "INSERT INTO meta (name, value) VALUES ('clock_mark', ?1) \
                    ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)";
        conn.execute(mark, params![int(now_ms)]).map(drop)
    }
}

fn caught_up(lived: Duration) -> u64 {
    u64::try_from(lived.as_millis()).unwrap_or(u64::MAX).saturating_mul(CATCHING_UP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = STRANGE_MS;

    fn clock(now_ms: u64) -> (Clock, Instant) {
        let at = Instant::now();
        (Clock { now_ms, mark_ms: now_ms, at }, at)
    }

    #[test]
    fn the_clock_is_followed() {
        let (mut clock, at) = clock(100 * DAY);
        let minute = Duration::from_mins(1);
        assert_eq!(clock.tell(100 * DAY, at), 100 * DAY);
        assert_eq!(clock.tell(100 * DAY + 60_000, at + minute), 100 * DAY + 60_000);
        // A restart, or a clock that was a little wrong; and one that was far ahead.
        assert_eq!(clock.tell(100 * DAY + BELIEVED_MS, at + minute), 100 * DAY + BELIEVED_MS);
        assert_eq!(clock.tell(70 * DAY, at + minute), 70 * DAY);
    }

    /// Each boot of a machine that begins at 1970 kept everything for years more.
    #[test]
    fn a_clock_that_was_behind_for_a_while_is_believed_up_to_where_it_was() {
        let (mut clock, at) = clock(100 * DAY);
        assert_eq!(clock.tell(DAY, at), DAY);
        assert_eq!(clock.tell(100 * DAY, at), 100 * DAY);
        assert_eq!(clock.tell(DAY, at), DAY);
        assert_eq!(clock.tell(130 * DAY, at), 100 * DAY, "beyond that it is a leap");
    }

    #[test]
    fn a_leap_is_made_up_for_by_and_by() {
        let (mut clock, start) = clock(100 * DAY);
        let (mut wall, mut at, mut days) = (130 * DAY, start, 0);
        assert_eq!(clock.tell(wall, at), 100 * DAY, "nothing is older than before");
        while clock.now_ms < wall {
            let before = clock.now_ms;
            (wall, at, days) = (wall + DAY, at + Duration::from_millis(DAY), days + 1);
            let now = clock.tell(wall, at);
            assert!(now <= wall && now - before <= CATCHING_UP * DAY);
        }
        assert_eq!(days, 10, "30 days at three a day more than go by");
    }
}
