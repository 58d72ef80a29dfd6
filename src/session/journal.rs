//! The session's pen: numbers events, encodes each once, and holds them until the task appends them to the log.

use std::collections::HashMap;

use super::plans::Plans;
use super::record::OpenMessage;
use super::tally::Tally;
use crate::log::Entry;
use crate::protocol::encode::{Encoder, Header};
use crate::protocol::{EventSink, Executor, MessageId, ServerMessage};

/// Encoded events that are not in the log yet, and the counters behind `seq` and `id`.
#[derive(Debug)]
pub struct Journal {
    encoder: Encoder,
    next_id: u64,
    next_seq: u64,
    /// Unix milliseconds of the input that is being handled.
    now: u64,
    /// The client message that the running turn stems from.
    turn: Option<String>,
    entries: Vec<Entry>,
    /// Calls whose `tool_use` was seen and whose `tool_result` was not, and who runs them.
    running_tools: HashMap<String, Executor>,
    plans: Plans,
    /// Messages of the model that have begun and not ended, at most one of each subagent.
    open: Vec<OpenMessage>,
    tally: Tally,
    stems: Stems,
}

/// Which client messages the events stem from, while somebody wants to know.
#[derive(Debug, Default)]
pub struct Stems {
    wanted: bool,
    /// Of events that are not in the log yet; no id twice in a row.
    ids: Vec<String>,
}

impl Stems {
    /// From now on, or no longer.
    pub fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Takes those that were noted.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ids)
    }

    fn note(&mut self, request_id: Option<&str>) {
        if let Some(id) = request_id.filter(|_| self.wanted)
            && self.ids.last().is_none_or(|last| last != id)
        {
            self.ids.push(id.to_owned());
        }
    }
}

/// Where a journal goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Number of the next `msg-N`.
    pub next_id: u64,
    /// The next `seq`; 0 counts as 1.
    pub next_seq: u64,
}

impl Position {
    /// The newest event; 0: none.
    pub fn last_seq(self) -> u64 {
        self.next_seq.saturating_sub(1)
    }
}

impl Journal {
    /// An empty journal of `session_id` that goes on at `position`.
    pub fn new(session_id: &str, position: Position) -> Self {
        Self {
            encoder: Encoder::new(session_id),
            next_id: position.next_id,
            next_seq: position.next_seq.max(1),
            now: 0,
            turn: None,
            entries: Vec::new(),
            running_tools: HashMap::new(),
            plans: Plans::default(),
            open: Vec::new(),
            tally: Tally::default(),
            stems: Stems::default(),
        }
    }

    /// What the events stem from.
    pub fn stems(&mut self) -> &mut Stems {
        &mut self.stems
    }

    /// Sets the time that the next events carry, Unix milliseconds.
    pub fn set_time(&mut self, now: u64) {
        self.now = now;
    }

    /// Sets the client message that the next events stem from.
    pub fn set_turn(&mut self, request_id: Option<String>) {
        self.turn = request_id;
    }

    /// Emits one event that stems from `request_id` instead of the running turn.
    pub fn event_for(&mut self, request_id: Option<&str>, message: &ServerMessage<'_>) -> MessageId {
        let id = self.next_id();
        self.append(id, request_id, message);
        id
    }

    /// Events that wait for the log.
    pub fn entries(&mut self) -> &mut Vec<Entry> {
        &mut self.entries
    }

    /// The event that was emitted last and is not in the log yet.
    pub fn last_frame(&self) -> Option<&str> {
        self.entries.last().map(|entry| entry.frame.as_str())
    }

    /// Where a journal would go on after this one.
    pub fn position(&self) -> Position {
        Position { next_id: self.next_id, next_seq: self.next_seq }
    }

    /// Messages of the model that have begun and not ended.
    pub fn open_messages(&self) -> &[OpenMessage] {
        &self.open
    }

    /// Whether a tool is running.
    pub fn tool_is_running(&self) -> bool {
        !self.running_tools.is_empty()
    }

    /// Whether clients were told of this call as theirs, and no result of it was seen.
    pub fn client_runs(&self, tool_use_id: &str) -> bool {
        self.running_tools.get(tool_use_id) == Some(&Executor::Client)
    }

    /// The plans of calls that were told and have no result.
    pub(super) fn plans(&self) -> &Plans {
        &self.plans
    }

    /// What metrics want to know of the events.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Whether there is anything for metrics.
    pub fn has_notes(&self) -> bool {
        self.tally.has_notes()
    }

    /// Forgets running tools: the turn is over, none of them reports any more.
    pub fn forget_tools(&mut self) {
        self.running_tools.clear();
        self.plans = Plans::default();
    }

    /// Gives back memory that is kept for events to come.
    pub fn slim(&mut self) {
        self.encoder.release();
        self.entries.shrink_to_fit();
        self.running_tools.shrink_to_fit();
        self.open.shrink_to_fit();
    }

    fn append(&mut self, id: MessageId, request_id: Option<&str>, message: &ServerMessage<'_>) {
        let header =
            Header { id: id.into(), request_id, seq: Some(self.next_seq), timestamp: Some(self.now) };
        let frame = self.encoder.encode(&header, message);
        self.entries.push(Entry { seq: self.next_seq, frame });
        self.next_seq += 1;
        self.stems.note(request_id);
        match message {
            ServerMessage::ToolUse(call) => {
                self.plans.called(call);
                self.running_tools.insert(call.tool_use_id.to_string(), call.executor);
            }
            ServerMessage::ToolResult(result) => {
                self.plans.done(&result.tool_use_id);
                self.running_tools.remove(&*result.tool_use_id);
            }
            ServerMessage::AssistantMessageStart(start) => {
                let parent_tool_use_id = start.parent_tool_use_id.as_deref().map(str::to_owned);
                self.open.push(OpenMessage { id, parent_tool_use_id });
            }
            ServerMessage::AssistantMessageComplete(_) => self.open.retain(|open| open.id != id),
            _ => {}
        }
        self.tally.note(message, self.now);
    }
}

impl EventSink for Journal {
    fn next_id(&mut self) -> MessageId {
        let id = MessageId(self.next_id);
        self.next_id += 1;
        id
    }

    fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>) {
        let turn = self.turn.take();
        self.append(id, turn.as_deref(), message);
        self.turn = turn;
    }
}
