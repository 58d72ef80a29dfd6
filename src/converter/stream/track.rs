//! What is known of one message of the model: its blocks, and how much of each has been told.

use super::token;
use crate::agent::wire::{Block, Body, Span};
use crate::protocol::MessageId;

/// The model of texts that are the agent's own.
const SYNTHETIC: &str = "<synthetic>";

/// One message of the model.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// The API's id; none if nothing said it.
    id: Option<Box<str>>,
    /// The model; empty if nothing said it.
    pub(super) model: Box<str>,
    /// Stream events tell it (too), so it ends with `message_stop`.
    pub(super) is_streamed: bool,
    /// `message_stop` came.
    pub(super) stopped: bool,
    /// The agent says that it was cut off.
    pub(super) aborted: bool,
    /// Why the model stopped.
    pub(super) stop_reason: Option<Box<str>>,
    /// The API's usage object.
    pub(super) usage: Option<Box<str>>,
    /// The message of the protocol that tells it, the newest one.
    pub(super) message: Option<MessageId>,
    blocks: Vec<Told>,
}

/// What has been told of a block.
#[derive(Debug)]
struct Told {
    /// Its place in the stream; none if it was not streamed yet.
    index: Option<u64>,
    kind: Kind,
    /// UTF-16 units of its text that have been told.
    units: u64,
    /// The finished block came: there is nothing to add.
    finished: bool,
    /// What was told of it is taken back. Should its finished form come all the same, it is told from the beginning.
    void: bool,
}

/// Kinds of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    Tool { id: Box<str>, name: Box<str> },
    Other,
}

impl Kind {
    /// The kind of a block.
    pub(super) fn of(block: &Block<'_>) -> Self {
        match block.kind.get() {
            "text" => Self::Text,
            "thinking" => Self::Thinking,
            "tool_use" => Self::Tool { id: block.id.get().into(), name: block.name.get().into() },
            _ => Self::Other,
        }
    }
}

impl Track {
    /// A message that begins.
    pub(super) fn new(body: &Body<'_>, is_streamed: bool) -> Self {
        Self {
            id: Some(body.id.get()).filter(|id| !id.is_empty()).map(Box::from),
            model: body.model.get().into(),
            is_streamed,
            ..Self::default()
        }
    }

    /// A streamed message whose start was not seen.
    pub(super) fn implicit() -> Self {
        Self { is_streamed: true, ..Self::default() }
    }

    /// Whether it is the message of that id.
    pub(super) fn is(&self, id: &str) -> bool {
        self.id.as_deref().is_some_and(|own| own == id)
    }

    /// Whether it can be the message of that id, as one of the two ids is not known; it is from now on.
    pub(super) fn takes(&mut self, id: &str) -> bool {
        if !self.is_streamed || self.id.is_some() && !id.is_empty() {
            return false;
        }
        if self.id.is_none() && !id.is_empty() {
            self.id = Some(id.into());
        }
        true
    }

    /// Why it ends, and what it used; absent values change nothing.
    pub(super) fn ends(&mut self, stop_reason: Span<'_>, usage: Span<'_>) {
        if let Some(reason) = stop_reason.text() {
            self.stop_reason = Some(reason.into());
        }
        if let Some(usage) = usage.object() {
            self.usage = Some(usage.into());
        }
    }

    /// A block begins to be streamed.
    pub(super) fn begin_block(&mut self, index: u64, kind: Kind) {
        // Its finished form may have come first.
        let ahead = self.blocks.iter_mut().find(|told| told.index.is_none() && told.kind == kind);
        if let Some(told) = ahead {
            told.index = Some(index);
            return;
        }
        let told = Told { index: Some(index), kind, units: 0, finished: false, void: false };
        match self.at(index) {
            Some(at) => self.blocks[at] = told,
            None => self.blocks.push(told),
        }
    }

    /// Counts a piece of a block's text; tells whether it is news.
    pub(super) fn streamed(&mut self, index: u64, kind: Kind, token: &str) -> bool {
        let at = match self.at(index) {
            Some(at) if self.blocks[at].kind == kind => at,
            _ => {
                self.begin_block(index, kind);
                self.at(index).unwrap_or(0)
            }
        };
        let Some(told) = self.blocks.get_mut(at) else { return true };
        if told.void {
            return false;
        }
        told.units += token::units(token);
        !told.finished
    }

    /// A block of text is finished: the UTF-16 units of it that were told before.
    pub(super) fn finish(&mut self, kind: Kind) -> u64 {
        let streamed = self.blocks.iter_mut().find(|told| !told.finished && told.kind == kind);
        if let Some(told) = streamed {
            told.finished = true;
            return told.units;
        }
        self.blocks.push(Told { index: None, kind, units: 0, finished: true, void: false });
        0
    }

    /// The whole call came that was streamed.
    pub(super) fn called(&mut self, tool_use_id: &str) {
        let is_it = |told: &&mut Told| matches!(&told.kind, Kind::Tool { id, .. } if **id == *tool_use_id);
        if let Some(told) = self.blocks.iter_mut().filter(|told| !told.finished).find(is_it) {
            told.finished = true;
        }
    }

    /// The stream broke: blocks that are not finished never will be. The ids of calls among them; none where nothing of it was
    /// told.
    pub(super) fn give_up(&mut self) -> Option<Vec<String>> {
        let mut calls = Vec::new();
        let mut is_void = false;
        for told in self.blocks.iter_mut().filter(|told| !told.finished && !told.void) {
            told.void = true;
            if let Kind::Tool { id, .. } = &told.kind {
                calls.push(id.to_string());
            }
            is_void |= told.units > 0 || matches!(told.kind, Kind::Tool { .. });
            told.units = 0;
        }
        is_void.then_some(calls)
    }

    /// Whether the model broke it off: what was said by then does not count. The agent's own report of that does.
    pub(super) fn is_refused(&self) -> bool {
        self.stop_reason.as_deref() == Some("refusal") && *self.model != *SYNTHETIC
    }

    /// The API's id.
    pub(super) fn api_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Id and name of the tool whose call is streamed there.
    pub(super) fn tool(&self, index: u64) -> Option<(&str, &str)> {
        match &self.blocks.get(self.at(index)?)?.kind {
            Kind::Tool { id, name } => Some((id, name)),
            _ => None,
        }
    }

    /// Where the block of that index stands; the last one is meant nearly always.
    fn at(&self, index: u64) -> Option<usize> {
        self.blocks.iter().rposition(|told| told.index == Some(index))
    }
}
