//! The file: opening it, its tables, and what is wrong with it when it cannot be used.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// `user_version` of the files that this program writes.
pub(super) const VERSION: i64 = 4;

/// How far a restored session's next seq is from the last one stored, when the gateway did not end in order. Clients may have seen
/// events that were never committed: none of their seqs may be given to another event of the same epoch, or a client that comes back
/// with such a `last_seq` would miss it.
const SEQ_JUMP: i64 = 1_000_000;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was written by a later version of this program. Use that one, or another data directory.
    #[error(
        "{} has schema version {found}, this program knows {VERSION} and older: use the newer program that wrote it, or choose \
         another directory with --data-dir",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The file is not a database or is broken. Nothing was changed.
    #[error(
        "{} is damaged or not a database ({source}). Nothing was changed. Restore it from a copy, or move it and the files \
         {name}-wal and {name}-shm beside it away to start without the old sessions",
        path.display(), name = path.file_name().unwrap_or_default().display()
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What `SQLite` says.
        source: rusqlite::Error,
    },
    /// Anything else: permissions, a full disk.
    #[error("{} cannot be opened: {source}", path.display())]
    Failed {
        /// The database file.
        path: PathBuf,
        /// What `SQLite` says.
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("the store's threads cannot be started: {0}")]
    Threads(#[from] std::io::Error),
}

impl OpenError {
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, source },
            _ => Self::Failed { path, source },
        }
    }
}

/// Session keys are never used twice (`AUTOINCREMENT`), so that the events of a deleted session, which are cleared away in small
/// steps (`doomed`), are never taken for another's.
///
/// `runs` holds the events, see `chunks`. `lost_through`: the events before this run, up to that seq, were lost while the disk was
/// full; `NULL` almost always. Version 3 writes runs another way, and reads both. `sessions.bytes` lags behind a little. `message_ids.number` grows in the order in which they came.
const TABLES: &str = "
    CREATE TABLE sessions (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        epoch TEXT NOT NULL,
        bytes INTEGER NOT NULL DEFAULT 0,
        next_seq INTEGER NOT NULL DEFAULT 0,
        status INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL DEFAULT 0,
        last_active_at INTEGER NOT NULL DEFAULT 0,
        owner TEXT NOT NULL DEFAULT '',
        state TEXT
    );
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        lost_through INTEGER,
        events BLOB NOT NULL
    );
    CREATE INDEX runs_by_session ON runs (session, last_seq);
    CREATE TABLE message_ids (
        number INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        id TEXT NOT NULL,
        UNIQUE (session, id)
    );
    CREATE TABLE doomed (session INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// From version 1, whose message ids were in no order.
const FROM_1: &str = "
    ALTER TABLE message_ids RENAME TO old_ids;
    CREATE TABLE message_ids (
        number INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        id TEXT NOT NULL,
        UNIQUE (session, id)
    );
    INSERT INTO message_ids (session, id) SELECT session, id FROM old_ids;
    DROP TABLE old_ids;
";

/// From version 3, whose `sessions.id` was the id alone: it is the key, so that ids of different owners do not meet.
const FROM_3: &str = "UPDATE sessions SET id = owner || '/' || id WHERE owner <> ''";

/// The file, as the writer has it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) conn: Connection,
    /// It could not be written yet: version of its schema. To be [prepared](prepare) before anything is written.
    pub(super) unprepared: Option<i64>,
}

/// Opens the file for the writer, makes the tables if need be, and notes that it is in use. Where there is no room for that, what is
/// stored can be read all the same.
pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    let failed = |source| OpenError::of(path, source);
    // What people say to their agents is for nobody else's eyes, also where the directory is open to others. `SQLite` gives the files
    // beside it the same mode. Should it fail, opening the file says why.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut conn = Connection::open(path).map_err(failed)?;
    // The version comes before anything that writes: a file that is not ours or is newer stays as it is.
    let found = version(&conn).map_err(failed)?;
    if found > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found });
    }
    let unprepared = match prepare(&mut conn, found) {
        Ok(()) => None,
        // One of an older program has to be brought up to date before it can be read.
        Err(error) if found == VERSION && has_no_room(&error) => {
            settings(&conn).map_err(failed)?;
            ::log::error!(
                "store: {} cannot be written: {error}. What is stored can be read; what is new is not safe until this is mended",
                path.display()
            );
            Some(found)
        }
        Err(error) => return Err(failed(error)),
    };
    Ok(Opened { conn, unprepared })
}

fn has_no_room(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
}

/// How far sessions' next seqs are from the last ones stored, of a file that could not be prepared: further than any earlier gateway
/// came that could not write it either.
pub(super) fn unprepared_jump() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SEQ_JUMP.unsigned_abs() + u64::try_from(since_epoch.as_millis()).unwrap_or(0)
}

/// A further connection to a file that [`open`] has opened.
pub(super) fn reopen(path: &Path) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::of(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    settings(&conn).map_err(failed)?;
    Ok(conn)
}

fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn settings(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    // Checkpoints have a thread of their own, so that no commit waits for the disk.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A checkpoint leaves the log as large as it is, and its size is what wakes the next one: it is cut when it begins anew.
    conn.pragma_update(None, "journal_size_limit", 1 << 20)?;
    // A commit is in the operating system's hands: the death of the process loses nothing of it, a power cut may lose the last ones,
    // never the file.
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    // What is deleted or replaced is overwritten: sessions' records hold secrets (`SessionConfig`). `FAST`: where it costs no reading.
    let _: i64 = conn.pragma_update_and_check(None, "secure_delete", "FAST", |row| row.get(0))?;
    conn.pragma_update(None, "cache_size", -4096)?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Brings the file up to date, and notes that it is in use.
pub(super) fn prepare(conn: &mut Connection, found: i64) -> rusqlite::Result<()> {
    if found == 0 {
        // Takes effect in an empty file only.
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let _: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    settings(conn)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match found {
        0 => tx.execute_batch(TABLES)?,
        1 => tx.execute_batch(FROM_1)?,
        _ => {}
    }
    if (1..4).contains(&found) {
        tx.execute_batch(FROM_3)?;
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    // Older programs know nothing of it and need not.
    tx.execute_batch(
        "CREATE INDEX IF NOT EXISTS ended_by_activity ON sessions (owner, last_active_at, id, epoch) WHERE status = 2;
         DROP INDEX IF EXISTS ended_sessions",
    )?;
    let clean: i64 =
        tx.query_row("SELECT coalesce(max(value), 0) FROM meta WHERE name = 'clean'", [], |row| row.get(0))?;
    if clean == 0 {
        tx.execute(
            "UPDATE sessions SET next_seq = ?1 + max(next_seq, 1 + coalesce(
                (SELECT max(last_seq) FROM runs WHERE session = sessions.key), 0))",
            [SEQ_JUMP],
        )?;
    }
    // Nothing is in use at this moment; what a killed gateway left as active would otherwise never be forgotten.
    tx.execute("UPDATE sessions SET status = 1 WHERE status = 0", [])?;
    set_clean(&tx, false)?;
    tx.commit()?;
    // On the disk before anything is written: a power cut must not bring `clean` back.
    match checkpoint(conn, "TRUNCATE") {
        // It stands in the write-ahead log, which is as good until the power is cut.
        Err(error) if has_no_room(&error) => {
            ::log::warn!("store: checkpoint: {error}");
            Ok(())
        }
        done => done.map(drop),
    }
}

/// Whether everything that sessions gave out is stored.
pub(super) fn set_clean(conn: &Connection, clean: bool) -> rusqlite::Result<()> {
    conn.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('clean', ?1)", [clean])?;
    Ok(())
}

/// Moves what the write-ahead log holds into the file, and both to the disk. `false`: somebody was in the way. (`SQLite` does not
/// wait for another checkpoint: callers take [`Shared::checkpoint`](super::writer::Shared::checkpoint) before.)
pub(super) fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<bool> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok(row.get::<_, i64>(0)? == 0))
}
