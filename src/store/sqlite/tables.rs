//! The statements: what a batch becomes in the tables, and how sessions are read back.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::chunks;
use crate::store::{Batch, Indexed, KEPT_MESSAGE_IDS, Record, SessionKey, Status, StoredSession};

/// After this much, a session's size is written to its row, also without a record that is written anyway.
const UNSAVED_BYTES: u64 = 1 << 20;

/// How often a session's oldest message ids are looked for, in ids that were written.
const PRUNE_EVERY: usize = 1024;

/// Session rows that the writer knows. Forgotten whenever a transaction is rolled back.
#[derive(Debug, Default)]
pub(super) struct Rows {
    known: HashMap<SessionKey, Known>,
    /// For making runs of events.
    run: Vec<u8>,
}

#[derive(Debug)]
struct Known {
    epoch: String,
    /// `sessions.key`.
    row: i64,
    /// Stored, and not yet counted in the row: a row holds the session's state, so it is not written at every commit.
    unsaved_bytes: u64,
    /// Ids that may be written before the oldest are looked for.
    until_prune: usize,
}

impl Rows {
    pub(super) fn forget_all(&mut self) {
        self.known.clear();
    }

    pub(super) fn forget(&mut self, key: &SessionKey) {
        self.known.remove(key);
    }

    /// Makes the rows' sizes right.
    pub(super) fn save(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.known.values_mut().try_for_each(|known| known.save(conn))
    }

    /// The session's row; made when there is none, in place of an earlier life of the same id.
    fn find_or_make(&mut self, conn: &Connection, key: &SessionKey, epoch: &str) -> rusqlite::Result<()> {
        if self.known.get(key).is_some_and(|known| known.epoch == epoch) {
            return Ok(());
        }
        let row = if let Some(row) = find(conn, key, epoch)? {
            row
        } else {
            doom(conn, "id = ?1", params![key.as_str()])?;
            conn.prepare_cached("INSERT INTO sessions (id, epoch) VALUES (?1, ?2)")?
                .insert(params![key.as_str(), epoch])?
        };
        let known = Known { epoch: epoch.to_owned(), row, unsaved_bytes: 0, until_prune: 0 };
        self.known.insert(key.clone(), known);
        Ok(())
    }
}

impl Known {
    fn save(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.unsaved_bytes > 0 {
            conn.prepare_cached("UPDATE sessions SET bytes = bytes + ?2 WHERE key = ?1")?
                .execute(params![self.row, int(self.unsaved_bytes)])?;
            self.unsaved_bytes = 0;
        }
        Ok(())
    }

    /// `written` more ids are in the table: now and then those are deleted that are too many.
    fn prune_ids(&mut self, conn: &Connection, written: usize) -> rusqlite::Result<()> {
        if let Some(left) = self.until_prune.checked_sub(written) {
            self.until_prune = left;
            return Ok(());
        }
        self.until_prune = PRUNE_EVERY;
        conn.prepare_cached(
            "DELETE FROM message_ids WHERE session = ?1 AND number <= (
                SELECT number FROM message_ids WHERE session = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![self.row, int(KEPT_MESSAGE_IDS as u64)])?;
        Ok(())
    }
}

fn find(conn: &Connection, key: &str, epoch: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT key FROM sessions WHERE id = ?1 AND epoch = ?2")?
        .query_row(params![key, epoch], |row| row.get(0))
        .optional()
}

/// Writes one pull, within the caller's transaction.
pub(super) fn write(
    conn: &Connection,
    rows: &mut Rows,
    key: &SessionKey,
    epoch: &str,
    batch: &Batch,
) -> rusqlite::Result<()> {
    if batch.delete {
        rows.forget(key);
        return delete(conn, key, epoch);
    }
    rows.find_or_make(conn, key, epoch)?;
    let Rows { known, run } = rows;
    let Some(known) = known.get_mut(key) else { return Ok(()) };
    known.unsaved_bytes += chunks::write(conn, known.row, batch, run)?;
    for id in &batch.message_ids {
        conn.prepare_cached("INSERT OR IGNORE INTO message_ids (session, id) VALUES (?1, ?2)")?
            .execute(params![known.row, id])?;
    }
    if !batch.message_ids.is_empty() {
        known.prune_ids(conn, batch.message_ids.len())?;
    }
    if let Some(record) = &batch.record {
        write_record(conn, known.row, record)?;
    }
    if batch.record.is_some() || known.unsaved_bytes > UNSAVED_BYTES {
        known.save(conn)?;
    }
    // It rests or is over: most are never heard of again.
    if batch.record.as_ref().is_some_and(|record| record.status != Status::Active) {
        rows.forget(key);
    }
    Ok(())
}

fn write_record(conn: &Connection, row: i64, record: &Record) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE sessions SET owner = ?2, created_at = ?3, last_active_at = ?4, status = ?5, state = ?6 WHERE key = ?1",
    )?
    .execute(params![
        row,
        record.owner,
        int(record.created_at),
        int(record.last_active_at),
        match record.status {
            Status::Active => 0,
            Status::Dormant => 1,
            Status::Ended => 2,
        },
        record.state
    ])?;
    Ok(())
}

/// Takes a session out at once; its events are cleared away later, in small steps.
pub(super) fn delete(conn: &Connection, key: &str, epoch: &str) -> rusqlite::Result<()> {
    doom(conn, "id = ?1 AND epoch = ?2", params![key, epoch])
}

fn doom(conn: &Connection, which: &str, params: impl rusqlite::Params + Copy) -> rusqlite::Result<()> {
    conn.prepare_cached(&format!(
        "INSERT OR REPLACE INTO doomed (session, bytes) SELECT key, bytes FROM sessions WHERE {which}"
    ))?
    .execute(params)?;
    conn.prepare_cached(&format!("DELETE FROM sessions WHERE {which}"))?.execute(params)?;
    Ok(())
}

/// All sessions, in the order in which they were made.
pub(super) fn sessions(conn: &Connection) -> rusqlite::Result<Vec<StoredSession>> {
    select(conn, "TRUE", [])
}

/// One session.
pub(super) fn session(conn: &Connection, key: &str) -> rusqlite::Result<Option<StoredSession>> {
    Ok(select(conn, "id = ?1", [key])?.pop())
}

/// The index of an owner's ended sessions.
pub(super) fn ended(conn: &Connection, owner: &str) -> rusqlite::Result<Vec<Indexed>> {
    let mut select = conn.prepare_cached(
        "SELECT id, epoch, last_active_at FROM sessions INDEXED BY ended_by_activity WHERE owner = ?1 AND status = 2",
    )?;
    let indexed = select.query_map([owner], |row| {
        Ok(Indexed {
            key: SessionKey::from(row.get::<_, String>(0)?),
            epoch: row.get(1)?,
            last_active_at: uint(row, 2)?,
            status: Status::Ended,
            node: None,
        })
    })?;
    indexed.collect()
}

/// The session's record.
pub(super) fn record(conn: &Connection, key: &str) -> rusqlite::Result<Option<Record>> {
    let mut select = conn.prepare_cached(
        "SELECT owner, created_at, last_active_at, status, state FROM sessions WHERE id = ?1",
    )?;
    Ok(select.query_row([key], |row| record_at(row, 0)).optional()?.flatten())
}

/// The record in these five columns.
fn record_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Record>> {
    let Some(state) = row.get(first + 4)? else { return Ok(None) };
    Ok(Some(Record {
        owner: row.get(first)?,
        created_at: uint(row, first + 1)?,
        last_active_at: uint(row, first + 2)?,
        status: status(row, first + 3)?,
        state,
    }))
}

fn select(
    conn: &Connection,
    which: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Vec<StoredSession>> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT key, id, epoch, next_seq, owner, created_at, last_active_at, status, state FROM sessions
         WHERE {which} ORDER BY key"
    ))?;
    let stored = select.query_map(params, |row| stored(conn, row))?;
    stored.collect()
}

fn stored(conn: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    let key = row.get(0)?;
    let last_seq = chunks::last_seq(conn, key)?;
    Ok(StoredSession {
        key: SessionKey::from(row.get::<_, String>(1)?),
        epoch: row.get(2)?,
        first_seq: chunks::first_seq(conn, key)?.max(1),
        last_seq,
        next_seq: uint(row, 3)?.max(last_seq + 1),
        record: record_at(row, 4)?,
    })
}

/// The message ids that are kept of the session, oldest first.
pub(super) fn message_ids(conn: &Connection, key: &str, epoch: &str) -> rusqlite::Result<Vec<String>> {
    let Some(row) = find(conn, key, epoch)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached("SELECT id FROM message_ids WHERE session = ?1 ORDER BY number")?;
    select.query_map([row], |row| row.get(0))?.collect()
}

pub(super) fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<Status> {
    Ok(match row.get::<_, i64>(column)? {
        1 => Status::Dormant,
        2 => Status::Ended,
        _ => Status::Active,
    })
}

/// `SQLite`'s integers are signed. Seqs, times and sizes do not come near the bound.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// For statements that are run for their effect only but may return rows.
pub(super) fn drain(mut statement: CachedStatement<'_>) -> rusqlite::Result<()> {
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
