//! What the registry tells its callers: what there is under an id, and why a session cannot be had.

use super::handle::SessionHandle;
use super::record::Record;
use crate::protocol::SessionSummary;
use crate::store::StoreError;

/// What a caller finds under an id.
#[derive(Debug)]
pub enum Found {
    /// A session at work.
    Live(SessionHandle),
    /// One that rests; [`Registry::open`](super::Registry::open) wakes it.
    Dormant(SessionSummary),
    /// One that is over.
    Ended(SessionSummary),
    /// None that is the caller's.
    Unknown,
}

/// Why a session could not be had. The texts are for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is none of that id for this caller.
    #[error("no session of that id")]
    Unknown,
    /// It is over.
    #[error("the session has ended")]
    Ended,
    /// Too many.
    #[error("too many sessions for this caller ({0}); end one first (--max-sessions-per-owner)")]
    TooMany(usize),
    /// The server goes down.
    #[error("the server is going down")]
    Draining,
    /// It would work where it may not.
    #[error(
        "the session's directory is gone, or is not under the server's workspace roots now (--workspace-root)"
    )]
    Directory,
    /// Where it would work does not answer.
    #[error("the file system of the session's directories does not answer; try again")]
    Silent,
    /// Another gateway runs it: it is to be asked.
    #[error("the session is on its way to another gateway; try again")]
    Elsewhere,
    /// The store does not answer.
    #[error("the session store does not answer")]
    Store,
    /// What the store has of it cannot be understood.
    #[error("what is stored of the session cannot be read; the gateway's log says why")]
    Unreadable,
}

impl From<StoreError> for OpenError {
    fn from(problem: StoreError) -> Self {
        log::error!("a session could not be read from the store: {problem}");
        match problem {
            StoreError::Unreadable(_) => Self::Unreadable,
            StoreError::Refused => Self::Elsewhere,
            _ => Self::Store,
        }
    }
}

/// What is kept of a session that rests.
#[derive(Debug)]
pub struct AtRest {
    /// Its state.
    pub record: Record,
    /// Its life.
    pub epoch: String,
    /// Seq of the first event kept; 1 when there is none.
    pub first_seq: u64,
    /// Seq of the last event kept; 0 when there is none.
    pub last_seq: u64,
}
