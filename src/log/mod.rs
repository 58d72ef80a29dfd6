//! Room: a session's event log, its only output. One writer (the session's task), many cursors (connections).
//!
//! May assume: entries come in ascending order of `seq`, from one task. Must not know: what events mean, who reads them.
//!
//! Live delivery and replay are the same read, so there is no seam between them to lose an event in. A slow reader is a cursor
//! that lags; it costs the writer nothing.
//!
//! # Memory
//! The newest events are kept in memory, up to the window (`--log-window`) plus one frame: the oldest entry goes when the ones
//! after it fill the window by themselves. A batch that is larger than the window is kept on top of it for cursors that did not
//! lag before (`trim`), so that it reaches everyone who keeps up; memory is then at most the window and the largest batch. An entry
//! counts as its frame's bytes and [`ENTRY_OVERHEAD`].
//! - Without a store, what leaves the window is gone: a cursor that still needed it gets [`Progress::Gap`].
//! - With a store, only what is durable leaves the window, and who lags reads it from there. When the store stalls, logs grow past
//!   their windows until all that waits reaches the store's limit ([`Backlog`](crate::store::Backlog)); from then on each log that
//!   appends falls back to its window, drops the oldest although unstored, and who lags gets a [`Progress::Gap`]. So memory is at
//!   most the windows and the limit.
//!
//! # What is stored before it is told
//! That a client's message is accepted is a promise: that event is withheld until the store has it, with all that follows it
//! (`withheld`). Nothing else waits for the store.
//!
//! Frames are slices of the encoder's chunks. Entries leave in the order in which they came, so at most one chunk per log is held
//! by fewer frames than it was made for (the encoder must give a frame that is larger than a chunk a buffer of its own, or the
//! small frames after it would hold that one); [`EventLog::compact`] ends even that, for sessions that go to sleep.

mod attach;
mod attendance;
mod cursor;
mod doorbell;
mod event_log;
mod feed;
mod hold;
mod lost;
mod mirror;
#[cfg(test)]
mod tests;
mod trim;
mod window;
mod withheld;

pub use crate::store::{Entry, SessionKey};
pub use attach::{Attached, From, Verdict};
pub use attendance::Followed;
pub use cursor::{Cursor, Progress};
pub use doorbell::{CursorId, Doorbell};
pub use event_log::{Ending, EventLog, Journal};
pub use hold::Hold;
pub use lost::stored_event;
pub use window::ENTRY_OVERHEAD;
