//! What stands of what was told: for when the agent takes a part of it back, or says it once more.
//!
//! Each line of the agent has a `uuid`, by which later lines name it. So the finished blocks of the running turn's messages are
//! kept by their lines, and what is left when some of them go is a message's `kept` text. Bounded: the oldest messages are
//! forgotten first, and what is forgotten cannot be taken back any more.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::converter::tools::Tools;
use crate::protocol::{
    AssistantMessageRetracted, EventSink, MessageId, RetractionReason, ServerMessage, Text,
};

/// Most text that is kept, bytes. A message that is longer by itself is not kept, so it stands whatever comes.
const MOST_BYTES: usize = 1 << 20;
/// Most messages that are kept.
const MOST_MESSAGES: usize = 256;
/// Lines that are known by their `uuid` when they come again, the newest ones.
const MOST_LINES: usize = 256;
/// Lines that a compaction keeps and that are known when they come again.
const MOST_PRESERVED: usize = 4096;

/// A line's `uuid`, as far as it is needed to compare it with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::converter) struct LineId(u64);

impl LineId {
    /// None where the line has no `uuid`.
    pub(in crate::converter) fn of(uuid: &str) -> Option<Self> {
        if uuid.is_empty() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        uuid.hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}

/// A finished block.
#[derive(Debug)]
pub(super) enum Block {
    /// Its text, as a JSON string token.
    Text(Box<str>),
    /// As that.
    Thinking(Box<str>),
    /// The id of the call.
    Call(Box<str>),
}

impl Block {
    fn cost(&self) -> usize {
        match self {
            Self::Text(text) | Self::Thinking(text) | Self::Call(text) => text.len() + size_of::<Self>(),
        }
    }
}

/// One message of the protocol, and what was told of it as finished.
#[derive(Debug)]
struct Told {
    id: MessageId,
    /// The API's id; several messages of the protocol can have the same.
    api_id: Option<Box<str>>,
    /// The subagent that it is of.
    parent: Option<Box<str>>,
    blocks: Vec<(Option<LineId>, Block)>,
    /// It was too long to be kept.
    is_too_long: bool,
}

/// The messages of the running turn, and the lines that must not be told twice.
#[derive(Debug, Default)]
pub(super) struct Standing {
    messages: VecDeque<Told>,
    bytes: usize,
    lines: VecDeque<LineId>,
    preserved: HashSet<LineId>,
}

impl Standing {
    /// A message of the protocol begins.
    pub(super) fn begins(&mut self, id: MessageId, api_id: Option<&str>, parent: Option<&str>) {
        if self.messages.len() >= MOST_MESSAGES {
            self.forget_oldest();
        }
        let (api_id, parent) = (api_id.map(Box::from), parent.map(Box::from));
        self.messages.push_back(Told { id, api_id, parent, blocks: Vec::new(), is_too_long: false });
    }

    /// A message that began without the API's id has this one.
    pub(super) fn is_called(&mut self, id: MessageId, api_id: &str) {
        if let Some(told) = self.messages.iter_mut().rfind(|told| told.id == id) {
            told.api_id.get_or_insert_with(|| api_id.into());
        }
    }

    /// As [`finished`](Self::finished), of a text. One that is too long to be kept is not even copied.
    pub(super) fn said(
        &mut self,
        id: MessageId,
        line: Option<LineId>,
        block: impl FnOnce(Box<str>) -> Block,
        text: &str,
    ) {
        if text.len() <= MOST_BYTES {
            self.finished(id, line, block(text.into()));
        } else if let Some(told) = self.messages.iter_mut().rfind(|told| told.id == id) {
            self.bytes -= told.blocks.drain(..).map(|(_, block)| block.cost()).sum::<usize>();
            told.is_too_long = true;
        }
    }

    /// A block of that message is finished; `line` said so.
    pub(super) fn finished(&mut self, id: MessageId, line: Option<LineId>, block: Block) {
        let Some(told) = self.messages.iter_mut().rfind(|told| told.id == id) else { return };
        let cost = block.cost();
        told.blocks.push((line, block));
        self.bytes += cost;
        if told.blocks.iter().map(|(_, block)| block.cost()).sum::<usize>() > MOST_BYTES {
            self.bytes -= told.blocks.drain(..).map(|(_, block)| block.cost()).sum::<usize>();
            told.is_too_long = true;
        }
        while self.bytes > MOST_BYTES && self.messages.front().is_some_and(|oldest| oldest.id != id) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.messages.pop_front();
        let blocks = oldest.map(|told| told.blocks).unwrap_or_default();
        self.bytes -= blocks.iter().map(|(_, block)| block.cost()).sum::<usize>();
    }

    /// The turn is over: nothing of it is taken back any more.
    pub(super) fn turn_over(&mut self) {
        self.messages = VecDeque::new();
        self.bytes = 0;
        self.preserved = HashSet::new();
    }

    /// Whether that line was told before; from now on it counts as told.
    pub(super) fn is_repeated(&mut self, line: Option<LineId>) -> bool {
        let Some(line) = line else { return false };
        if self.preserved.contains(&line) || self.lines.contains(&line) {
            return true;
        }
        if self.lines.len() >= MOST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        false
    }

    /// A compaction kept these lines: until the end of the turn they are not news.
    pub(super) fn preserve(&mut self, lines: impl Iterator<Item = LineId>) {
        self.preserved.extend(lines.take(MOST_PRESERVED));
    }

    /// Messages of which one of these lines told something.
    pub(super) fn of_lines(&self, lines: &HashSet<LineId>) -> Vec<MessageId> {
        let of_these =
            |told: &&Told| told.blocks.iter().any(|(line, _)| line.is_some_and(|line| lines.contains(&line)));
        self.messages.iter().filter(of_these).map(|told| told.id).collect()
    }

    /// Messages of the protocol that tell the API's message of that id.
    pub(super) fn of_api_id(&self, api_id: &str) -> Vec<MessageId> {
        let of_it = |told: &&Told| told.api_id.as_deref() == Some(api_id);
        self.messages.iter().filter(of_it).map(|told| told.id).collect()
    }

    /// Whether anything of that message is finished.
    pub(super) fn stands(&self, id: MessageId) -> bool {
        self.messages.iter().any(|told| told.id == id && (told.is_too_long || !told.blocks.is_empty()))
    }

    /// Tells that of this message only the blocks stand that `stay`; `calls` will not come either.
    pub(super) fn retract(
        &mut self,
        id: MessageId,
        reason: RetractionReason,
        mut stay: impl FnMut(Option<LineId>) -> bool,
        mut calls: Vec<String>,
        tools: &mut Tools,
        sink: &mut impl EventSink,
    ) {
        let Some(at) = self.messages.iter().rposition(|told| told.id == id) else { return };
        let told = &mut self.messages[at];
        if told.is_too_long {
            log::warn!("a message of over {MOST_BYTES} bytes was taken back in part; it stands whole");
            return;
        }
        let mut gone = 0;
        told.blocks.retain(|(line, block)| {
            let stays = stay(*line);
            if !stays {
                gone += block.cost();
                // What a refused message had called reports all the same; a replaced one's call does not.
                if let Block::Call(call) = block
                    && reason != RetractionReason::Refusal
                    && tools.never_comes(call)
                {
                    calls.push(call.to_string());
                }
            }
            stays
        });
        self.bytes -= gone;
        let mut kept = [String::new(), String::new()];
        for (_, block) in &told.blocks {
            match block {
                Block::Text(text) => kept[0] += &Text::Token(text).decode(),
                Block::Thinking(text) => kept[1] += &Text::Token(text).decode(),
                Block::Call(_) => {}
            }
        }
        let [text, thinking] = kept;
        let retracted = AssistantMessageRetracted {
            message_id: id.to_string().into(),
            kept: text.into(),
            kept_thinking: Some(thinking).filter(|text| !text.is_empty()).map(Into::into),
            tool_use_ids: calls,
            reason,
            parent_tool_use_id: told.parent.as_deref().map(Cow::Borrowed),
        };
        sink.event(&ServerMessage::AssistantMessageRetracted(retracted));
        if told.blocks.is_empty() {
            self.messages.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let mut standing = Standing::default();
        let text = || Block::Text("x".repeat(1 << 20).into());
        for number in 0..1000 {
            let id = MessageId(number);
            standing.begins(id, None, None);
            standing.finished(id, LineId::of("l"), text());
            assert!(standing.bytes <= MOST_BYTES + 1024 && standing.stands(id));
        }
        for _ in 0..8 {
            standing.finished(MessageId(999), None, text());
        }
        assert!(standing.bytes <= MOST_BYTES && standing.stands(MessageId(999)));
        for number in 0..1000 {
            standing.begins(MessageId(number), Some("a"), Some("p"));
            assert!(!standing.is_repeated(LineId::of(&number.to_string())));
        }
        assert!(standing.messages.len() <= MOST_MESSAGES && standing.lines.len() <= MOST_LINES);
        standing.turn_over();
        assert_eq!((standing.bytes, standing.messages.len()), (0, 0));
    }
}
