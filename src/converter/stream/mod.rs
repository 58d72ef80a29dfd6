//! The messages of the model: each told once, whether it was streamed, came in finished blocks, or both.
//!
//! The agent tells a message twice: as the API's stream events, and as `assistant` lines with the finished blocks. They belong
//! together by the message's id. So a [`Track`] remembers of each block how much was streamed, and of a finished block only the
//! rest is told. Each subagent has a [`Stream`] of its own; on each, at most one message is open, so that start, deltas and
//! complete nest whatever order the lines come in.

mod retract;
mod standing;
mod token;
mod track;

use std::borrow::Cow;

use crate::agent::wire::{AssistantMessage, Block, Event, Span, StreamEvent, strings};
use crate::protocol::{
    AssistantMessageComplete, AssistantMessageDelta, AssistantMessageStart, Delta, EventSink, Json,
    MessageId, RetractionReason, ServerMessage, Text,
};

use super::tools::{self, Tools};
use standing::{LineId, Standing};
use track::{Kind, Track};

/// So many subagents' streams are kept; the stalest makes room for one more. Streams end with their subagent.
const MOST_STREAMS: usize = 64;

/// The stream of the main thread and those of the subagents.
#[derive(Debug, Default)]
pub(super) struct Streams {
    list: Vec<Stream>,
    standing: Standing,
}

/// One thread of the conversation.
#[derive(Debug, Default)]
struct Stream {
    /// The tool use that started the subagent; none on the main thread.
    parent: Option<Box<str>>,
    /// The protocol message that is open; it tells of `current`.
    open: Option<MessageId>,
    /// The message that was last spoken of.
    current: Option<Track>,
    /// A streamed message that another one cut into.
    suspended: Option<Track>,
}

/// The kinds of deltas that say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// `text_delta`.
    Text,
    /// `thinking_delta`.
    Thinking,
    /// `input_json_delta`.
    Input,
}

impl Streams {
    /// Converts a stream event; tells whether it has a form in the protocol.
    pub(super) fn event(
        &mut self,
        line: &StreamEvent<'_>,
        cut_off: Option<&str>,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) -> bool {
        let event = &line.event;
        let parent = line.parent_tool_use_id.as_deref();
        match event.kind.get() {
            "message_start" => {
                let (stream, standing) = self.stream(parent, sink);
                stream.begin(event, cut_off, standing, tools, sink);
            }
            "content_block_start" => return self.block_start(line, cut_off, sink),
            "content_block_delta" => {
                let delta = &event.delta;
                let (piece, token) = match delta.kind.get() {
                    "text_delta" => (Piece::Text, delta.text),
                    "thinking_delta" => (Piece::Thinking, delta.thinking),
                    "input_json_delta" => (Piece::Input, delta.partial_json),
                    _ => return false,
                };
                let Some(token) = token.string() else { return false };
                return self.delta(parent, event.index.count(), piece, token, cut_off, sink);
            }
            "content_block_stop" => {}
            "message_delta" => {
                if let Some(track) = self.find(parent).and_then(Stream::streamed) {
                    track.ends(event.delta.stop_reason, event.usage);
                }
            }
            "message_stop" => {
                let Self { list, standing } = self;
                if let Some(stream) = list.iter_mut().find(|stream| stream.parent.as_deref() == parent) {
                    stream.stop(line.is_abandoned, cut_off, standing, tools, sink);
                }
            }
            _ => return false,
        }
        true
    }

    /// Converts a delta; tells whether it has a form in the protocol.
    pub(super) fn delta(
        &mut self,
        parent: Option<&str>,
        index: Option<u64>,
        piece: Piece,
        token: &str,
        cut_off: Option<&str>,
        sink: &mut impl EventSink,
    ) -> bool {
        let (stream, standing) = self.stream(parent, sink);
        let index = index.unwrap_or(0);
        if piece == Piece::Input {
            // Without its block's start nobody could tell which tool the input is for.
            return stream.input(index, token, sink);
        }
        let id = stream.open_streamed(cut_off, standing, sink);
        let kind = if piece == Piece::Text { Kind::Text } else { Kind::Thinking };
        let track = stream.current.get_or_insert_default();
        if track.streamed(index, kind, token) && token != "\"\"" {
            say(id, stream.parent.as_deref(), piece, token, sink);
        }
        true
    }

    fn block_start(
        &mut self,
        line: &StreamEvent<'_>,
        cut_off: Option<&str>,
        sink: &mut impl EventSink,
    ) -> bool {
        let parent = line.parent_tool_use_id.as_deref();
        let block = line.event.block();
        let index = line.event.index.count();
        let kind = Kind::of(&block);
        let known = kind != Kind::Other;
        let (stream, standing) = self.stream(parent, sink);
        stream.open_streamed(cut_off, standing, sink);
        stream.current.get_or_insert_default().begin_block(index.unwrap_or(0), kind);
        let (piece, token) = match block.kind.get() {
            "text" => (Piece::Text, block.text),
            "thinking" => (Piece::Thinking, block.thinking),
            _ => return known,
        };
        match token.string() {
            Some(token) if token != "\"\"" => self.delta(parent, index, piece, token, cut_off, sink),
            _ => known,
        }
    }

    /// Converts an `assistant` line: what of its blocks was not streamed, and its tool calls. Tells whether all of it has a
    /// form in the protocol. A line that comes again is no news.
    pub(super) fn finished(
        &mut self,
        line: &AssistantMessage<'_>,
        cut_off: Option<&str>,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) -> bool {
        let id = line.uuid.as_deref().and_then(LineId::of);
        if self.standing.is_repeated(id) {
            return true;
        }
        self.retract_lines(strings(line.supersedes), RetractionReason::Superseded, tools, sink);
        if let Some(refused) = line.refused_message_id.as_deref() {
            self.refused(refused, tools, sink);
        }
        let (stream, standing) = self.stream(line.parent_tool_use_id.as_deref(), sink);
        stream.turn_to(line, cut_off, standing, tools, sink);
        let mut all = true;
        for block in &line.body.content {
            all &= match block.kind.get() {
                "text" => stream.rest(Piece::Text, block.text, id, standing, sink),
                "thinking" => stream.rest(Piece::Thinking, block.thinking, id, standing, sink),
                "tool_use" => {
                    stream.call(block, id, tools, standing, sink);
                    true
                }
                _ => false,
            };
        }
        let late = stream.current.as_ref().is_some_and(|track| track.stopped);
        if late {
            stream.close(cut_off, sink);
        }
        let refused = stream.current.as_ref().is_some_and(|track| !track.is_streamed && track.is_refused());
        if refused && cut_off.is_none() {
            self.refused(line.body.id.get(), tools, sink);
        }
        all
    }

    /// A `user` line came: a message that came in finished blocks, without an end of its own, is over.
    pub(super) fn user_spoke(
        &mut self,
        parent: Option<&str>,
        cut_off: Option<&str>,
        sink: &mut impl EventSink,
    ) {
        let in_blocks =
            |stream: &&mut Stream| stream.current.as_ref().is_some_and(|track| !track.is_streamed);
        if let Some(stream) = self.find(parent).filter(in_blocks) {
            stream.close(cut_off, sink);
        }
    }

    /// A subagent ended; its stream is forgotten.
    pub(super) fn subagent_done(
        &mut self,
        tool_use_id: &str,
        cut_off: Option<&str>,
        sink: &mut impl EventSink,
    ) {
        if let Some(at) = self.list.iter().position(|stream| stream.parent.as_deref() == Some(tool_use_id)) {
            self.list.remove(at).close(cut_off, sink);
        }
    }

    /// A turn is over: closes what is open, but not what a subagent that goes on in the background is just saying.
    pub(super) fn close_turn(&mut self, tools: &mut Tools, sink: &mut impl EventSink) {
        let Self { list, standing } = self;
        for stream in list {
            if stream.parent.is_none() || stream.current.as_ref().is_some_and(|track| !track.is_streamed) {
                stream.leave(None, standing, tools, sink);
            }
        }
    }

    /// Closes every open message.
    pub(super) fn close_all(&mut self, stop_reason: Option<&str>, sink: &mut impl EventSink) {
        // What was told stays known: after an interrupt, the agent still sends the finished block.
        for stream in &mut self.list {
            stream.close(stop_reason, sink);
        }
    }

    /// Forgets the subagents that say nothing at the moment, and what the turn has said.
    pub(super) fn forget(&mut self) {
        self.standing.turn_over();
        self.list.retain(|stream| stream.parent.is_none() || stream.open.is_some());
    }

    fn find(&mut self, parent: Option<&str>) -> Option<&mut Stream> {
        self.list.iter_mut().find(|stream| stream.parent.as_deref() == parent)
    }

    /// The stream of `parent`, a new one if need be; and what stands.
    fn stream(&mut self, parent: Option<&str>, sink: &mut impl EventSink) -> (&mut Stream, &mut Standing) {
        let found = self.list.iter().position(|stream| stream.parent.as_deref() == parent);
        let at = found.unwrap_or_else(|| {
            if self.list.len() >= MOST_STREAMS {
                self.make_room(sink);
            }
            self.list.push(Stream { parent: parent.map(Box::from), ..Stream::default() });
            self.list.len() - 1
        });
        (&mut self.list[at], &mut self.standing)
    }

    /// Forgets the oldest subagent's stream, one without an open message if there is one.
    fn make_room(&mut self, sink: &mut impl EventSink) {
        let oldest = |with_open: bool| {
            self.list
                .iter()
                .position(|stream| stream.parent.is_some() && (with_open || stream.open.is_none()))
        };
        if let Some(at) = oldest(false).or_else(|| oldest(true)) {
            self.list.remove(at).close(None, sink);
        }
    }
}

impl Stream {
    /// `message_start`.
    fn begin(
        &mut self,
        event: &Event<'_>,
        cut_off: Option<&str>,
        standing: &mut Standing,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) {
        let message = event.body();
        match &mut self.current {
            // Its blocks came first.
            Some(track) if track.is(message.id.get()) && !track.is_streamed => track.is_streamed = true,
            _ => {
                self.leave(cut_off, standing, tools, sink);
                self.suspended = None;
                self.current = Some(Track::new(&message, true));
                self.open(standing, sink);
            }
        }
    }

    /// The streamed message, as far as stream events can mean it.
    fn streamed(&mut self) -> Option<&mut Track> {
        [&mut self.current, &mut self.suspended].into_iter().flatten().find(|track| track.is_streamed)
    }

    /// Makes sure that a streamed message is open, for a stream event that belongs to it.
    fn open_streamed(
        &mut self,
        cut_off: Option<&str>,
        standing: &mut Standing,
        sink: &mut impl EventSink,
    ) -> MessageId {
        if !self.current.as_ref().is_some_and(|track| track.is_streamed) {
            self.close(cut_off, sink);
            let streamed = self.suspended.take().unwrap_or_else(Track::implicit);
            self.suspended = self.current.replace(streamed);
        }
        self.open(standing, sink)
    }

    /// Makes the message of an `assistant` line the current one.
    fn turn_to(
        &mut self,
        line: &AssistantMessage<'_>,
        cut_off: Option<&str>,
        standing: &mut Standing,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) {
        let id = line.body.id.get();
        let is_current = self.current.as_mut().is_some_and(|track| match self.open {
            _ if track.is(id) => true,
            Some(open) if track.takes(id) => {
                standing.is_called(open, id);
                true
            }
            _ => false,
        });
        if !is_current {
            self.leave(cut_off, standing, tools, sink);
            if self.suspended.as_ref().is_some_and(|track| track.is(id)) {
                std::mem::swap(&mut self.current, &mut self.suspended);
            } else {
                let old = self.current.replace(Track::new(&line.body, false));
                self.suspended = old.filter(|track| track.is_streamed && !track.stopped);
            }
        }
        if let Some(track) = &mut self.current {
            track.aborted |= line.aborted;
            if !track.is_streamed {
                track.ends(line.body.stop_reason, line.body.usage);
            }
        }
    }

    /// Tells what of a finished block was not streamed.
    fn rest(
        &mut self,
        piece: Piece,
        token: Span<'_>,
        line: Option<LineId>,
        standing: &mut Standing,
        sink: &mut impl EventSink,
    ) -> bool {
        let Some(token) = token.string() else { return false };
        let kind = if piece == Piece::Text { Kind::Text } else { Kind::Thinking };
        let track = self.current.get_or_insert_default();
        let told = track.finish(kind);
        let before = track.message;
        let block = if piece == Piece::Text { standing::Block::Text } else { standing::Block::Thinking };
        let rest =
            if told == 0 { Some(Cow::Borrowed(token)) } else { token::tail(token, told).map(Cow::Owned) };
        let Some(rest) = rest.filter(|rest| rest != "\"\"") else {
            if let Some(id) = before.filter(|_| told > 0) {
                standing.said(id, line, block, token);
            }
            return true;
        };
        let is_whole = told == 0 || self.open == before;
        if let Some(id) = before.filter(|_| !is_whole) {
            // The message that the beginning stands in is over.
            standing.said(id, line, block, &token::head(token, &rest));
        }
        let id = self.open(standing, sink);
        say(id, self.parent.as_deref(), piece, &rest, sink);
        standing.said(id, line, block, if is_whole { token } else { &rest });
        true
    }

    /// Tells of a tool call, once.
    fn call(
        &mut self,
        block: &Block<'_>,
        line: Option<LineId>,
        tools: &mut Tools,
        standing: &mut Standing,
        sink: &mut impl EventSink,
    ) {
        let (tool_use_id, tool_name) = (block.id.get(), block.name.get());
        if let Some(track) = &mut self.current {
            track.called(tool_use_id);
        }
        let is_news = tools.first_use(tool_use_id);
        if is_news {
            let id = self.open(standing, sink);
            let delta = Delta::ToolUse {
                tool_use_id: tool_use_id.into(),
                tool_name: tool_name.into(),
                tool_input: tools::tool_input(block.input),
            };
            emit(id, self.parent.as_deref(), delta, sink);
        }
        if let Some(id) = self.current.as_ref().and_then(|track| track.message) {
            standing.finished(id, line, standing::Block::Call(tool_use_id.into()));
        }
        if is_news {
            tools.tell_use(tool_use_id, tool_name, block.input, self.parent.as_deref(), sink);
        }
    }

    /// `input_json_delta`.
    fn input(&self, index: u64, token: &str, sink: &mut impl EventSink) -> bool {
        let Some(track) = self.current.as_ref().filter(|track| track.is_streamed) else {
            return self.suspended.is_some();
        };
        let Some((tool_use_id, tool_name)) = track.tool(index) else { return false };
        let delta = Delta::ToolInput {
            tool_use_id: tool_use_id.into(),
            tool_name: tool_name.into(),
            partial_json: Text::Token(token),
        };
        // Pieces of an input are a preview; the whole input comes with the call. So none opens a message again.
        if let (Some(id), false) = (self.open, token == "\"\"") {
            emit(id, self.parent.as_deref(), delta, sink);
        }
        true
    }

    /// The open message, a new one if none is.
    fn open(&mut self, standing: &mut Standing, sink: &mut impl EventSink) -> MessageId {
        if let Some(id) = self.open {
            return id;
        }
        let id = sink.next_id();
        let track = self.current.get_or_insert_default();
        track.message = Some(id);
        standing.begins(id, track.api_id(), self.parent.as_deref());
        let model = &*track.model;
        sink.emit(
            id,
            &ServerMessage::AssistantMessageStart(AssistantMessageStart {
                model: model.into(),
                parent_tool_use_id: self.parent.as_deref().map(Cow::Borrowed),
            }),
        );
        self.open = Some(id);
        id
    }

    fn close(&mut self, cut_off: Option<&str>, sink: &mut impl EventSink) {
        let track = self.current.as_ref();
        let own = track.and_then(|track| track.stop_reason.as_deref());
        let aborted = track.is_some_and(|track| track.aborted).then_some("interrupted");
        let stop_reason = own.or(aborted).or(cut_off).map(str::to_owned);
        self.complete(stop_reason.as_deref(), sink);
    }

    fn complete(&mut self, stop_reason: Option<&str>, sink: &mut impl EventSink) {
        let Some(id) = self.open.take() else { return };
        let usage = self.current.as_ref().and_then(|track| track.usage.as_deref());
        sink.emit(
            id,
            &ServerMessage::AssistantMessageComplete(AssistantMessageComplete {
                stop_reason: stop_reason.map(Cow::Borrowed),
                usage: usage.map(Json::checked),
                parent_tool_use_id: self.parent.as_deref().map(Cow::Borrowed),
            }),
        );
    }
}

/// Emits a piece of text or thinking.
fn say(id: MessageId, parent: Option<&str>, piece: Piece, token: &str, sink: &mut impl EventSink) {
    let text = Text::Token(token);
    let delta = match piece {
        Piece::Thinking => Delta::Thinking { thinking: text },
        _ => Delta::Text { text },
    };
    emit(id, parent, delta, sink);
}

fn emit(id: MessageId, parent: Option<&str>, delta: Delta<'_>, sink: &mut impl EventSink) {
    let parent_tool_use_id = parent.map(Cow::Borrowed);
    sink.emit(id, &ServerMessage::AssistantMessageDelta(AssistantMessageDelta { delta, parent_tool_use_id }));
}
