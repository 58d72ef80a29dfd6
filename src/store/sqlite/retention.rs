//! What may be forgotten, and making room.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::tables::{drain, int, uint};
use crate::store::{Expired, Retention, SessionKey, Status};

/// How many runs of events one step clears away: a few milliseconds of the writer's time.
const STEP_RUNS: usize = 200;
/// How many pages one step gives back to the file system.
const STEP_PAGES: u32 = 256;

/// See [`Store::expired`](crate::store::Store::expired).
pub(super) fn expired(conn: &Connection, retention: &Retention) -> rusqlite::Result<Vec<Expired>> {
    let oldest_kept = retention.max_age_ms.map(|age| retention.now_ms.saturating_sub(age));
    let mut excess = match retention.max_bytes {
        Some(max) => used_bytes(conn)?.saturating_sub(max),
        None => 0,
    };
    let mut expired = Vec::new();
    // Ended sessions first, then dormant ones, the oldest of each first. Active ones never.
    let mut select = conn.prepare_cached(
        "SELECT id, epoch, status, last_active_at, bytes FROM sessions WHERE status IN (1, 2)
         ORDER BY status DESC, last_active_at, key",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (last_active_at, bytes) = (uint(row, 3)?, uint(row, 4)?);
        let too_old = oldest_kept.is_some_and(|oldest| last_active_at < oldest);
        if !too_old && excess == 0 {
            continue;
        }
        excess = excess.saturating_sub(bytes);
        expired.push(Expired {
            key: SessionKey::from(row.get::<_, String>(0)?),
            epoch: row.get(1)?,
            ended: super::tables::status(row, 2)? == Status::Ended,
        });
    }
    if let Some(max) = retention.max_ended_per_owner {
        add_surplus(conn, max, &mut expired)?;
    }
    Ok(expired)
}

/// Adds the ended sessions of each owner that are too many.
fn add_surplus(conn: &Connection, max: usize, expired: &mut Vec<Expired>) -> rusqlite::Result<()> {
    let known: HashSet<_> = expired.iter().map(|expired| expired.key.clone()).collect();
    let mut select = conn.prepare_cached(
        "SELECT id, epoch FROM (
             SELECT id, epoch, row_number() OVER (PARTITION BY owner ORDER BY last_active_at DESC, id DESC) AS place
             FROM sessions INDEXED BY ended_by_activity WHERE status = 2)
         WHERE place > ?1",
    )?;
    let mut rows = select.query([int(max as u64)])?;
    while let Some(row) = rows.next()? {
        let key = SessionKey::from(row.get::<_, String>(0)?);
        if !known.contains(&key) {
            expired.push(Expired { key, epoch: row.get(1)?, ended: true });
        }
    }
    Ok(())
}

/// What the file holds, without free pages and without what is about to be cleared away.
pub(super) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| uint(row, 0));
    let used = (pragma("page_count")?.saturating_sub(pragma("freelist_count")?)) * pragma("page_size")?;
    let doomed = conn.query_row("SELECT coalesce(sum(bytes), 0) FROM doomed", [], |row| uint(row, 0))?;
    Ok(used.saturating_sub(doomed))
}

/// One step of clearing away what was deleted. `true`: there is more to do.
pub(super) fn clear_step(conn: &Connection) -> rusqlite::Result<bool> {
    let doomed: Option<i64> = conn
        .prepare_cached("SELECT session FROM doomed LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(session) = doomed else { return vacuum_step(conn) };
    let tx = conn.unchecked_transaction()?;
    let cleared = tx
        .prepare_cached(
            "DELETE FROM runs WHERE number IN (SELECT number FROM runs WHERE session = ?1 ORDER BY last_seq LIMIT ?2)",
        )?
        .execute(params![session, int(STEP_RUNS as u64)])?;
    if cleared < STEP_RUNS {
        tx.prepare_cached("DELETE FROM message_ids WHERE session = ?1")?.execute([session])?;
        tx.prepare_cached("DELETE FROM doomed WHERE session = ?1")?.execute([session])?;
    }
    tx.commit()?;
    Ok(true)
}

fn vacuum_step(conn: &Connection) -> rusqlite::Result<bool> {
    let free = |conn: &Connection| conn.pragma_query_value(None, "freelist_count", |row| uint(row, 0));
    let before = free(conn)?;
    if before == 0 {
        return Ok(false);
    }
    drain(conn.prepare_cached(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?)?;
    let after = free(conn)?;
    Ok(after > 0 && after < before)
}
