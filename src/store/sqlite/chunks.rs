//! Events in the file: one row for a run of neighbouring events of a session, in the order in which they came.
//!
//! Why not a row an event, clustered by session: a commit of a few events for each of 100 sessions then touches 100 pages. Measured
//! (100 sessions, 2–5 events of 255 bytes a commit): 11–20 µs of CPU and 4–10 KB of writing an event, against 2–5 µs and 0.6–2 KB
//! this way, where a commit fills the table's last page and an index that is small, as it has one entry a run.
//!
//! A run is a zero, and for each event: the distance of its seq from the one before it (from 0 for the first), the length of its
//! frame, and the frame as the `delta` module has it, against the frame before it. All numbers are LEB128. Runs of schema version 2
//! and older have no zero at the front, and frames as they are.

use rusqlite::{Connection, ErrorCode, MAIN_DB, params};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    delta,
    tables::{int, uint},
};
use crate::store::{Batch, Chunk, Entry};

/// A run's frames have no more bytes than this together, so that a read that starts within one does not read much for nothing. A
/// larger frame is a run by itself.
const RUN_BYTES: usize = 64 << 10;
/// What a run begins with; no distance of a seq from 0 is that.
const DELTAS: u64 = 0;
/// A frame of more bytes is written from where it lies: to bind it would copy it twice, and a run is a copy of its own.
const LARGE: usize = 4 << 20;
/// What a run costs in the file besides its bytes, roughly.
const ROW_OVERHEAD: usize = 40;

/// Inserts the entries of `batch`, and says how many bytes that took.
pub(super) fn write(
    conn: &Connection,
    session: i64,
    batch: &Batch,
    run: &mut Vec<u8>,
) -> rusqlite::Result<u64> {
    let mut lost = batch.lost_through.map(int);
    let mut bytes = 0;
    let mut rest = &batch.entries[..];
    while let Some((last, large)) = fill(run, &mut rest) {
        let size = run.len() + large.len();
        match insert(conn, session, last, lost, run, large) {
            Ok(()) => {
                lost = None;
                bytes += size + ROW_OVERHEAD;
            }
            // One event of a gigabyte: nothing will ever make it fit, and the others must not wait for it. Readers see a gap.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::TooBig) => {
                ::log::error!("store: an event of {size} bytes is too large to be kept");
                lost = Some(int(last));
            }
            Err(error) => return Err(error),
        }
    }
    if run.capacity() > 2 * RUN_BYTES {
        *run = Vec::new();
    }
    Ok(bytes as u64)
}

/// One row, whose events are `run` and behind it `large`.
fn insert(
    conn: &Connection,
    session: i64,
    last: u64,
    lost_through: Option<i64>,
    run: &[u8],
    large: &[u8],
) -> rusqlite::Result<()> {
    if large.is_empty() {
        conn.prepare_cached(
            "INSERT INTO runs (session, last_seq, lost_through, events) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![session, int(last), lost_through, run])?;
        return Ok(());
    }
    let id = conn
        .prepare_cached(
            "INSERT INTO runs (session, last_seq, lost_through, events) VALUES (?1, ?2, ?3, zeroblob(?4))",
        )?
        .insert(params![session, int(last), lost_through, int((run.len() + large.len()) as u64)])?;
    let mut events = conn.blob_open(MAIN_DB, "runs", "events", id, false)?;
    events.write_all_at(run, 0)?;
    for (at, piece) in large.chunks(LARGE).enumerate() {
        events.write_all_at(piece, run.len() + at * LARGE)?;
    }
    events.close()
}

/// Moves entries from `rest` to `run`: as many as fit, but one at least. The seq of the last, and what of a large frame, which is a
/// run by itself, stands behind `run`; `None` when there is none.
fn fill<'a>(run: &mut Vec<u8>, rest: &mut &'a [Entry]) -> Option<(u64, &'a [u8])> {
    run.clear();
    if let Some((entry, others)) = rest.split_first()
        && entry.frame.len() > LARGE
    {
        let frame = entry.frame.as_bytes();
        put_number(run, DELTAS);
        put_number(run, entry.seq);
        put_number(run, frame.len() as u64);
        delta::put_head_of_first(run, frame.len());
        *rest = others;
        return Some((entry.seq, frame));
    }
    put_number(run, DELTAS);
    let (mut last, mut bytes, mut before) = (None, 0, &[][..]);
    while let Some((entry, others)) = rest.split_first() {
        bytes += entry.frame.len();
        if last.is_some() && bytes > RUN_BYTES {
            break;
        }
        put_number(run, entry.seq - last.unwrap_or(0));
        put_number(run, entry.frame.len() as u64);
        delta::put(run, before, entry.frame.as_bytes());
        last = Some(entry.seq);
        before = entry.frame.as_bytes();
        *rest = others;
    }
    last.map(|last| (last, &[][..]))
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
        "SELECT lost_through, events FROM runs
         WHERE session = (SELECT key FROM sessions WHERE id = ?1 AND epoch = ?2) AND last_seq > ?3 ORDER BY last_seq",
    )?;
    let mut rows = select.query(params![key, epoch, int(after)])?;
    let mut read = Read { after, max_bytes, bytes: 0, entries: Vec::new() };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) if is_damage(&error) => return read.or_past_damage(conn, key, epoch),
            Err(error) => return Err(error),
        };
        let lost = row.get::<_, Option<i64>>(0)?.and_then(|lost| u64::try_from(lost).ok());
        let run = row.get_ref(1)?.as_blob()?;
        if let Some(through) = lost.filter(|through| *through > after) {
            if read.entries.is_empty() {
                return match first_of(run) {
                    Ok(next) => Ok(Chunk::Lost { through, next }),
                    Err(_) => read.or_past_damage(conn, key, epoch),
                };
            }
            break;
        }
        match read.take(run) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if is_damage(&error) => return read.or_past_damage(conn, key, epoch),
            Err(error) => return Err(error),
        }
    }
    Ok(if read.entries.is_empty() { Chunk::End } else { Chunk::Entries(read.entries) })
}

struct Read {
    after: u64,
    max_bytes: usize,
    bytes: usize,
    entries: Vec<Entry>,
}

impl Read {
    /// What follows is damaged: what was read before it; or, if that is nothing, where it goes on.
    fn or_past_damage(self, conn: &Connection, key: &str, epoch: &str) -> rusqlite::Result<Chunk> {
        if self.entries.is_empty() {
            past_damage(conn, key, epoch, self.after)
        } else {
            Ok(Chunk::Entries(self.entries))
        }
    }

    /// `false`: the read is full.
    fn take(&mut self, run: &[u8]) -> rusqlite::Result<bool> {
        let mut run = Run::of(run);
        while let Some(seq) = run.next()? {
            if seq <= self.after {
                continue;
            }
            self.bytes += run.frame.len();
            if self.bytes > self.max_bytes && !self.entries.is_empty() {
                return Ok(false);
            }
            let bad = |error| rusqlite::Error::Utf8Error(1, error);
            let frame = if run.rest.is_empty() {
                // The last one, and perhaps a large one: no further copy of it.
                let frame = String::from_utf8(std::mem::take(&mut run.frame));
                Utf8Bytes::from(frame.map_err(|error| bad(error.utf8_error()))?)
            } else {
                Utf8Bytes::from(std::str::from_utf8(&run.frame).map_err(bad)?)
            };
            self.entries.push(Entry { seq, frame });
            self.after = seq;
        }
        Ok(self.bytes < self.max_bytes)
    }
}

/// Whether a part of the file is not what was written.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | Utf8Error(..))
        || matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure)
        )
}

/// The run after `after` cannot be read: it is lost, with those behind it that cannot be read either, and no others.
fn past_damage(conn: &Connection, key: &str, epoch: &str, after: u64) -> rusqlite::Result<Chunk> {
    // By the index alone, which knows of runs without reading them.
    let mut select = conn.prepare_cached(
        "SELECT number, last_seq FROM runs
         WHERE session = (SELECT key FROM sessions WHERE id = ?1 AND epoch = ?2) AND last_seq > ?3 ORDER BY last_seq",
    )?;
    let mut rows = select.query(params![key, epoch, int(after)])?;
    let mut through = after;
    while let Some(row) = rows.next()? {
        let (number, last) = (row.get::<_, i64>(0)?, uint(row, 1)?);
        if let Some(next) = first_if_whole(conn, number).filter(|_| through > after) {
            ::log::error!("store: events {} to {through} of session {key} are damaged, and lost", after + 1);
            return Ok(Chunk::Lost { through, next });
        }
        through = last;
    }
    ::log::error!("store: the events after {after} of session {key} are damaged, and lost");
    Ok(Chunk::End)
}

/// Seq of its first event, if all of the run can be read.
fn first_if_whole(conn: &Connection, number: i64) -> Option<u64> {
    let mut select = conn.prepare_cached("SELECT events FROM runs WHERE number = ?1").ok()?;
    let read = |row: &rusqlite::Row<'_>| {
        let mut run = Run::of(row.get_ref(0)?.as_blob()?);
        let mut first = None;
        while let Some(seq) = run.next()? {
            std::str::from_utf8(&run.frame).map_err(|error| rusqlite::Error::Utf8Error(1, error))?;
            first.get_or_insert(seq);
        }
        first.ok_or_else(damaged)
    };
    select.query_row([number], read).ok()
}

/// The events of a run.
struct Run<'a> {
    rest: &'a [u8],
    seq: u64,
    /// That of the last event.
    frame: Vec<u8>,
    /// It is of schema version 2 or older.
    plain: bool,
}

impl<'a> Run<'a> {
    fn of(run: &'a [u8]) -> Self {
        let rest = run.strip_prefix(&[0]);
        Self { rest: rest.unwrap_or(run), seq: 0, frame: Vec::new(), plain: rest.is_none() }
    }

    /// The next event's seq, and its frame in `frame`.
    fn next(&mut self) -> rusqlite::Result<Option<u64>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.event().ok_or_else(damaged).map(Some)
    }

    fn event(&mut self) -> Option<u64> {
        self.seq = self.seq.checked_add(take_number(&mut self.rest)?)?;
        let len = usize::try_from(take_number(&mut self.rest)?).ok()?;
        if self.plain {
            let (frame, rest) = self.rest.split_at_checked(len)?;
            self.frame.clear();
            self.frame.extend_from_slice(frame);
            self.rest = rest;
        } else {
            delta::take(&mut self.rest, &mut self.frame, len)?;
        }
        Some(self.seq)
    }
}

/// Seq of a run's first event.
fn first_of(mut run: &[u8]) -> rusqlite::Result<u64> {
    let mut number = || take_number(&mut run).ok_or_else(damaged);
    match number()? {
        DELTAS => number(),
        seq => Ok(seq),
    }
}

/// Seq of the session's first event; 0 when it has none.
pub(super) fn first_seq(conn: &Connection, session: i64) -> rusqlite::Result<u64> {
    // Only the numbers that stand first: a run of many megabytes is not read for them.
    let mut select = conn.prepare_cached(
        "SELECT substr(events, 1, 11) FROM runs WHERE session = ?1 ORDER BY last_seq LIMIT 1",
    )?;
    let mut rows = select.query([session])?;
    let first = match rows.next() {
        Ok(None) => return Ok(0),
        Ok(Some(row)) => first_of(row.get_ref(0)?.as_blob()?),
        Err(error) => Err(error),
    };
    match first {
        // Who reads from the beginning is told how much is lost.
        Err(error) if is_damage(&error) => Ok(1),
        first => first,
    }
}

/// Seq of the session's last event; 0 when it has none.
pub(super) fn last_seq(conn: &Connection, session: i64) -> rusqlite::Result<u64> {
    conn.prepare_cached("SELECT coalesce(max(last_seq), 0) FROM runs WHERE session = ?1")?
        .query_row([session], |row| uint(row, 0))
}

fn damaged() -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        1,
        rusqlite::types::Type::Blob,
        "a damaged run of events".into(),
    )
}

pub(super) fn put_number(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let [low, ..] = n.to_le_bytes();
        n >>= 7;
        if n == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

pub(super) fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_read_as_they_were_written(
            events in prop::collection::vec((1..=u64::MAX / 64, "[a-zé]{0,300}"), 0..40),
        ) {
            let mut seq = 0;
            let entries: Vec<_> = events.into_iter().map(|(step, frame)| {
                seq += step;
                Entry { seq, frame: Utf8Bytes::from(frame) }
            }).collect();
            let (mut rest, mut run, mut read) = (&entries[..], Vec::new(), Vec::new());
            while let Some((last, _)) = fill(&mut run, &mut rest) {
                prop_assert_eq!(first_of(&run).ok(), entries.get(read.len()).map(|entry| entry.seq));
                read.extend(events_of(&run));
                prop_assert_eq!(read.last().map(|entry| entry.seq), Some(last));
            }
            prop_assert_eq!(read, entries);
        }

        #[test]
        fn damaged_runs_end(bytes in prop::collection::vec(any::<u8>(), 0..200), plain in any::<bool>()) {
            let mut bytes = bytes;
            if !plain {
                bytes.insert(0, 0);
            }
            let mut run = Run::of(&bytes);
            while let Ok(Some(_)) = run.next() {
                prop_assert!(run.frame.len() <= bytes.len());
            }
        }
    }

    fn events_of(run: &[u8]) -> Vec<Entry> {
        let (mut run, mut entries) = (Run::of(run), Vec::new());
        while let Some(seq) = run.next().unwrap() {
            entries.push(Entry { seq, frame: Utf8Bytes::from(std::str::from_utf8(&run.frame).unwrap()) });
        }
        entries
    }

    #[test]
    fn a_large_frame_is_written_from_where_it_lies() {
        let frame = |len: usize, of: &str| Utf8Bytes::from(of.repeat(len / of.len()));
        let frames = [
            frame(10, "a"),
            frame(LARGE + 3, "l"),
            frame(10, "b"),
            frame(3 * LARGE, "m\u{e9}"),
            frame(10, "c"),
        ];
        let entries: Vec<_> = (1..).zip(frames).map(|(seq, frame)| Entry { seq: 10 * seq, frame }).collect();
        let (mut rest, mut run, mut read) = (&entries[..], Vec::new(), Vec::new());
        while let Some((_, large)) = fill(&mut run, &mut rest) {
            assert!(run.len() < LARGE);
            read.extend(events_of(&[&run, large].concat()));
        }
        assert_eq!(read, entries);
    }

    #[test]
    fn runs_of_older_programs_are_read() {
        let run = b"\x07\x03one\x02\x03two";
        assert_eq!(first_of(run).unwrap(), 7);
        let entry = |seq, frame: &'static str| Entry { seq, frame: Utf8Bytes::from_static(frame) };
        assert_eq!(events_of(run), [entry(7, "one"), entry(9, "two")]);
    }

    #[test]
    fn text_deltas_take_little_more_than_their_text() {
        let entries: Vec<_> = (1000..1200)
            .map(|seq| {
                let frame = format!(
                    r#"{{"type":"assistant_message_delta","id":"msg-7","session_id":"0e0a9d60-5e0c-4b7d-9c61-7a3f5f8d2f11","request_id":"3f0c7d5e-0001","seq":{seq},"timestamp":{},"delta":{{"delta_type":"text","text":" word{seq}"}}}}"#,
                    1_767_225_600_000_u64 + seq * 15
                );
                Entry { seq, frame: Utf8Bytes::from(frame) }
            })
            .collect();
        let mut run = Vec::new();
        fill(&mut run, &mut &entries[..]);
        assert!(run.len() < 30 * entries.len(), "{} bytes an event", run.len() / entries.len());
    }
}
