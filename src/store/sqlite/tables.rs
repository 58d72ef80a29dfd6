//! The statements: what a batch becomes in the tables, and how it is read back.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Row, params, types::ValueRef};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::store::{Batch, Chunk, Entry, Record, SessionKey, Status, StoredSession};

/// What an event costs in the file besides its frame, roughly.
const ROW_OVERHEAD: usize = 24;

/// Session rows that the writer knows: what to put into `events.session`. Forgotten whenever a transaction is rolled back.
#[derive(Debug, Default)]
pub(super) struct Rows {
    known: HashMap<SessionKey, (String, i64)>,
}

impl Rows {
    pub(super) fn forget_all(&mut self) {
        self.known.clear();
    }

    /// The session's row; made when there is none, in place of an earlier life of the same id.
    fn of(&mut self, conn: &Connection, key: &SessionKey, epoch: &str) -> rusqlite::Result<i64> {
        if let Some((known, row)) = self.known.get(key)
            && known == epoch
        {
            return Ok(*row);
        }
        let row = if let Some(row) = find(conn, key, epoch)? {
            row
        } else {
            doom(conn, "id = ?1", params![key.as_str()])?;
            conn.prepare_cached("INSERT INTO sessions (id, epoch) VALUES (?1, ?2)")?
                .insert(params![key.as_str(), epoch])?
        };
        self.known.insert(key.clone(), (epoch.to_owned(), row));
        Ok(row)
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
        rows.known.remove(key);
        return delete(conn, key, epoch);
    }
    let row = rows.of(conn, key, epoch)?;
    if let (Some(first), Some(last)) = (batch.entries.first(), batch.entries.last()) {
        let bytes = write_events(conn, row, batch)?;
        conn.prepare_cached(
            "UPDATE sessions SET bytes = bytes + ?2, last_seq = ?3,
                first_seq = CASE first_seq WHEN 0 THEN ?4 ELSE first_seq END WHERE key = ?1",
        )?
        .execute(params![row, bytes, int(last.seq), int(first.seq)])?;
    }
    for id in &batch.message_ids {
        conn.prepare_cached("INSERT OR IGNORE INTO message_ids (session, id) VALUES (?1, ?2)")?
            .execute(params![row, id])?;
    }
    if let Some(record) = &batch.record {
        write_record(conn, row, record)?;
    }
    Ok(())
}

fn write_events(conn: &Connection, row: i64, batch: &Batch) -> rusqlite::Result<i64> {
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO events (session, seq, lost_through, frame) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut lost = batch.lost_through.map(int);
    let mut bytes = 0;
    for entry in &batch.entries {
        match insert.execute(params![row, int(entry.seq), lost, entry.frame.as_str()]) {
            Ok(_) => {
                lost = None;
                bytes += entry.frame.len() + ROW_OVERHEAD;
            }
            // Nothing will ever make it fit: the others must not wait for it. Readers see that it is missing.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::TooBig) => {
                ::log::error!("store: an event of {} bytes is too large to be kept", entry.frame.len());
                lost = Some(int(entry.seq));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
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

/// See [`Store::read`](crate::store::Store::read).
pub(super) fn read(
    conn: &Connection,
    key: &str,
    epoch: &str,
    after: u64,
    max_bytes: usize,
) -> rusqlite::Result<Chunk> {
    // One statement, so that a session that is deleted in between cannot show half of itself.
    let mut select = conn.prepare_cached(
        "SELECT seq, lost_through, frame FROM events
         WHERE session = (SELECT key FROM sessions WHERE id = ?1 AND epoch = ?2) AND seq > ?3 ORDER BY seq",
    )?;
    let mut rows = select.query(params![key, epoch, int(after)])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let seq = uint(row, 0)?;
        let lost = row.get::<_, Option<i64>>(1)?.and_then(|lost| u64::try_from(lost).ok());
        if let Some(through) = lost.filter(|through| *through > after) {
            if entries.is_empty() {
                return Ok(Chunk::Lost { through, next: seq });
            }
            break;
        }
        let text = row.get_ref(2)?;
        let ValueRef::Text(text) = text else {
            return Err(rusqlite::Error::InvalidColumnType(2, "frame".to_owned(), text.data_type()));
        };
        bytes += text.len();
        if bytes > max_bytes && !entries.is_empty() {
            break;
        }
        let frame = std::str::from_utf8(text).map_err(|error| rusqlite::Error::Utf8Error(2, error))?;
        entries.push(Entry { seq, frame: Utf8Bytes::from(frame) });
    }
    Ok(if entries.is_empty() { Chunk::End } else { Chunk::Entries(entries) })
}

/// All sessions, in the order in which they were made.
pub(super) fn sessions(conn: &Connection) -> rusqlite::Result<Vec<StoredSession>> {
    let mut select = conn.prepare(
        "SELECT id, epoch, first_seq, last_seq, next_seq, owner, created_at, last_active_at, status, state
         FROM sessions ORDER BY key",
    )?;
    let stored = select.query_map([], |row| {
        let last_seq = uint(row, 3)?;
        let state: Option<String> = row.get(9)?;
        let mut record = None;
        if let Some(state) = state {
            record = Some(Record {
                owner: row.get(5)?,
                created_at: uint(row, 6)?,
                last_active_at: uint(row, 7)?,
                status: status(row, 8)?,
                state,
            });
        }
        Ok(StoredSession {
            key: SessionKey::from(row.get::<_, String>(0)?),
            epoch: row.get(1)?,
            first_seq: uint(row, 2)?.max(1),
            last_seq,
            next_seq: uint(row, 4)?.max(last_seq + 1),
            record,
        })
    })?;
    stored.collect()
}

/// Every message id that the session has seen.
pub(super) fn message_ids(conn: &Connection, key: &str, epoch: &str) -> rusqlite::Result<Vec<String>> {
    let Some(row) = find(conn, key, epoch)? else { return Ok(Vec::new()) };
    let mut select = conn.prepare_cached("SELECT id FROM message_ids WHERE session = ?1")?;
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
