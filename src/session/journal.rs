//! The session's pen: numbers events, encodes each once, and holds them until the task appends them to the log.

use std::collections::{HashMap, HashSet};

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
    /// Calls whose `tool_use` was seen and whose `tool_result` was not.
    running_tools: HashMap<String, Running>,
    /// The calls that began subagents which are no part of the turn: what these say stems from no message.
    beside: HashSet<String>,
    plans: Plans,
    /// Messages of the model that have begun and not ended, at most one of each subagent.
    open: Vec<OpenMessage>,
    tally: Tally,
    stems: Stems,
}

/// A call that has no result yet.
#[derive(Debug)]
struct Running {
    executor: Executor,
    /// The call that began the subagent which made it.
    parent: Option<String>,
    /// Of its `tool_use`.
    seq: u64,
}

/// Subagents that are remembered to be no part of the turn; more than an agent runs.
const MOST_BESIDE: usize = 1024;

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
            beside: HashSet::new(),
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

    /// Emits one event of the running turn.
    pub fn event_of_turn(&mut self, message: &ServerMessage<'_>) {
        self.event(message);
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

    /// Whether a tool of the turn is running.
    pub fn tool_is_running(&self) -> bool {
        self.running_tools.values().any(|tool| !self.is_beside(tool.parent.as_deref()))
    }

    /// Whether that tool of the turn is running.
    pub fn runs(&self, tool_use_id: &str) -> bool {
        self.running_tools.get(tool_use_id).is_some_and(|tool| !self.is_beside(tool.parent.as_deref()))
    }

    /// The `seq` of the `tool_use` by which clients were told of this call as theirs (ids repeat); none where a result of it was
    /// seen.
    pub fn client_runs(&self, tool_use_id: &str) -> Option<u64> {
        let running = self.running_tools.get(tool_use_id)?;
        (running.executor == Executor::Client).then_some(running.seq)
    }

    /// From now on the subagent that this call began is no part of the turn.
    pub fn goes_beside(&mut self, tool_use_id: &str) {
        if self.beside.contains(tool_use_id) {
            return;
        }
        if self.beside.len() >= MOST_BESIDE {
            self.beside.clear();
        }
        self.beside.insert(tool_use_id.to_owned());
    }

    /// Whether the subagent that this call began is no part of the turn. (The main thread is, always.)
    pub fn is_beside(&self, parent: Option<&str>) -> bool {
        parent.is_some_and(|parent| self.beside.contains(parent))
    }

    /// Whether the call was made by a subagent that is no part of the turn.
    pub fn is_made_beside(&self, tool_use_id: &str) -> bool {
        self.running_tools.get(tool_use_id).is_some_and(|tool| self.is_beside(tool.parent.as_deref()))
    }

    /// Whether a tool runs that is no part of the turn.
    pub fn runs_beside(&self) -> bool {
        self.running_tools.values().any(|tool| self.is_beside(tool.parent.as_deref()))
    }

    /// Whether the call was made by the subagent that `parent` began.
    pub fn is_made_by(&self, tool_use_id: &str, parent: &str) -> bool {
        self.running_tools.get(tool_use_id).is_some_and(|tool| tool.parent.as_deref() == Some(parent))
    }

    /// The subagent that `parent` began is gone: none of its tools reports any more.
    pub fn forget_tools_of(&mut self, parent: &str) {
        self.running_tools.retain(|_, tool| tool.parent.as_deref() != Some(parent));
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

    /// Forgets the running tools of the turn: it is over, none of them reports any more.
    pub fn forget_tools(&mut self) {
        let beside = &self.beside;
        self.running_tools
            .retain(|_, tool| tool.parent.as_deref().is_some_and(|parent| beside.contains(parent)));
    }

    /// Forgets all of them, and what is no part of the turn: the agent is gone.
    pub fn forget_agent(&mut self) {
        self.running_tools.clear();
        self.plans = Plans::default();
        self.beside.clear();
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
        let seq = self.next_seq;
        self.entries.push(Entry { seq, frame });
        self.next_seq += 1;
        self.stems.note(request_id);
        match message {
            ServerMessage::ToolUse(call) => {
                self.plans.called(call);
                // Ids repeat: this is another call.
                self.beside.remove(&*call.tool_use_id);
                let parent = call.parent_tool_use_id.as_deref().map(str::to_owned);
                let running = Running { executor: call.executor, parent, seq };
                self.running_tools.insert(call.tool_use_id.to_string(), running);
            }
            ServerMessage::ToolResult(result) => {
                self.plans.done(&result.tool_use_id);
                self.running_tools.remove(&*result.tool_use_id);
            }
            ServerMessage::AssistantMessageRetracted(retracted) => {
                for call in &retracted.tool_use_ids {
                    self.running_tools.remove(call);
                }
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
        let stem = turn.as_deref().filter(|_| !self.is_beside(parent_of(message)));
        self.append(id, stem, message);
        self.turn = turn;
    }
}

/// The call that began the subagent which says this.
fn parent_of<'m>(message: &'m ServerMessage<'_>) -> Option<&'m str> {
    match message {
        ServerMessage::AssistantMessageStart(start) => start.parent_tool_use_id.as_deref(),
        ServerMessage::AssistantMessageDelta(delta) => delta.parent_tool_use_id.as_deref(),
        ServerMessage::AssistantMessageComplete(complete) => complete.parent_tool_use_id.as_deref(),
        ServerMessage::ToolUse(call) => call.parent_tool_use_id.as_deref(),
        ServerMessage::ToolResult(result) => result.parent_tool_use_id.as_deref(),
        ServerMessage::PermissionRequest(request) => request.parent_tool_use_id.as_deref(),
        ServerMessage::AssistantMessageRetracted(retracted) => retracted.parent_tool_use_id.as_deref(),
        _ => None,
    }
}
