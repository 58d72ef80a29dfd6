//! Where session events go: the seam between those who make them and the log.

use std::fmt;

use super::ServerMessage;

/// The number behind an event's `id` (`msg-0`, `msg-1`, …); unique within the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg-{}", self.0)
    }
}

/// Takes session events, in order. The implementation adds what the maker cannot know: session, `seq`, timestamp, and the
/// `request_id` of the turn.
pub trait EventSink {
    /// A fresh id. `assistant_message_*` events of one message share theirs.
    fn next_id(&mut self) -> MessageId;

    /// Appends one event.
    fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>);

    /// Appends one event under an id of its own.
    fn event(&mut self, message: &ServerMessage<'_>) -> MessageId {
        let id = self.next_id();
        self.emit(id, message);
        id
    }
}
