//! The agent takes something back: a message whose stream broke, one that the model refused to finish, lines that others replace.
//!
//! Newer versions say that a stream broke (`message_stop` with `abandoned_blocks`). The older one just says another message or the
//! turn's end, or a `message_stop` without the reason why the model stopped. So a streamed message that ends in one of these ways
//! has broken too, unless somebody stopped the turn. Either way what is not finished by then will never be: an interrupt gives what
//! was said so far as finished (`aborted`).

use std::borrow::Cow;
use std::collections::HashSet;

use super::standing::{LineId, Standing};
use super::{Stream, Streams};
use crate::converter::tools::Tools;
use crate::protocol::{EventSink, MessageId, RetractionReason};

/// The stop reason of a message of which something is void.
const ABANDONED: &str = "abandoned";

impl Streams {
    /// A compaction keeps these lines, and may say them once more.
    pub(in crate::converter) fn preserve<'a>(&mut self, lines: impl Iterator<Item = Cow<'a, str>>) {
        self.standing.preserve(lines.filter_map(|line| LineId::of(&line)));
    }

    /// What these lines told does not stand any more. Lines that are not known mean nothing.
    pub(in crate::converter) fn retract_lines<'a>(
        &mut self,
        lines: impl Iterator<Item = Cow<'a, str>>,
        reason: RetractionReason,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) {
        let lines: HashSet<LineId> = lines.filter_map(|line| LineId::of(&line)).collect();
        if lines.is_empty() {
            return;
        }
        let stays = |line: Option<LineId>| line.is_none_or(|line| !lines.contains(&line));
        for id in self.standing.of_lines(&lines) {
            self.end(id, sink);
            self.standing.retract(id, reason, stays, Vec::new(), tools, sink);
        }
    }

    /// The model refused to finish the message with that id of the API.
    pub(in crate::converter) fn refused(
        &mut self,
        api_id: &str,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) {
        for id in self.standing.of_api_id(api_id) {
            self.end(id, sink);
            self.standing.retract(id, RetractionReason::Refusal, |_| false, Vec::new(), tools, sink);
        }
    }

    /// Ends that message, if it is open.
    fn end(&mut self, id: MessageId, sink: &mut impl EventSink) {
        if let Some(stream) = self.list.iter_mut().find(|stream| stream.open == Some(id)) {
            stream.complete(Some(ABANDONED), sink);
        }
    }
}

impl Stream {
    /// `message_stop`.
    pub(super) fn stop(
        &mut self,
        is_abandoned: bool,
        cut_off: Option<&str>,
        standing: &mut Standing,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) {
        let Some(track) = self.streamed() else { return };
        track.stopped |= !is_abandoned && track.stop_reason.is_some();
        let refused = track.message.filter(|_| track.is_refused() && cut_off.is_none());
        if self.current.as_ref().is_some_and(|track| track.is_streamed) {
            if refused.is_some() {
                self.complete(Some(ABANDONED), sink);
            }
            self.leave(cut_off, standing, tools, sink);
        }
        if let Some(track) = self.streamed() {
            track.stopped = true;
        }
        if let Some(id) = refused {
            standing.retract(id, RetractionReason::Refusal, |_| false, Vec::new(), tools, sink);
        }
    }

    /// Ends the open message; what of it is not finished will never be.
    pub(super) fn leave(
        &mut self,
        cut_off: Option<&str>,
        standing: &mut Standing,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) {
        let broken = |track: &&mut super::Track| track.is_streamed && !track.stopped && !track.aborted;
        let (Some(id), Some(track)) = (self.open, self.current.as_mut().filter(broken)) else {
            return self.close(cut_off, sink);
        };
        if cut_off.is_some() {
            return self.close(cut_off, sink);
        }
        let void = track.give_up();
        if void.is_none() && standing.stands(id) {
            return self.close(cut_off, sink);
        }
        self.complete(Some(ABANDONED), sink);
        standing.retract(id, RetractionReason::Retry, |_| true, void.unwrap_or_default(), tools, sink);
    }
}
