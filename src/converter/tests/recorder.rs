//! A sink that keeps what it is given, and judges it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::converter::owned::into_owned;
use crate::converter::{Converter, ConverterOptions, Outcome, turn_result};
use crate::protocol::{Delta, EventSink, MessageId, ServerMessage};

/// Everything that was emitted, in order.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) events: Vec<(MessageId, ServerMessage<'static>)>,
    next: u64,
}

impl EventSink for Recorder {
    fn next_id(&mut self) -> MessageId {
        let id = MessageId(self.next);
        self.next += 1;
        id
    }

    fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>) {
        self.events.push((id, into_owned(message).expect("an event of the converter")));
    }
}

impl Recorder {
    /// One line an event.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (id, message) in &self.events {
            let json = serde_json::to_string(message).expect("events serialize");
            writeln!(text, "{id} {json}").expect("a string takes all");
        }
        text
    }

    /// What was handed on untouched.
    pub(super) fn agent_events(&self) -> Vec<serde_json::Value> {
        self.events
            .iter()
            .filter_map(|(_, message)| match message {
                ServerMessage::AgentEvent(event) => event.event.to().ok(),
                _ => None,
            })
            .collect()
    }

    /// The joined text deltas of one thread.
    pub(super) fn said(&self, parent: Option<&str>) -> String {
        self.events
            .iter()
            .filter_map(|(_, message)| match message {
                ServerMessage::AssistantMessageDelta(piece)
                    if piece.parent_tool_use_id.as_deref() == parent =>
                {
                    match &piece.delta {
                        Delta::Text { text } => Some(text.decode().into_owned()),
                        _ => None,
                    }
                }
                _ => None,
            })
            .collect()
    }

    /// Rules 4 and 5: panics if messages are not well nested per parent, or a tool's events are out of order.
    pub(super) fn check(&self) {
        let mut open: HashMap<Option<String>, MessageId> = HashMap::new();
        let mut seen = HashSet::new();
        let (mut used, mut done) = (HashSet::new(), HashSet::new());
        for (id, message) in &self.events {
            match message {
                ServerMessage::AssistantMessageStart(start) => {
                    assert!(seen.insert(*id), "{id} starts twice");
                    let before = open.insert(start.parent_tool_use_id.clone().map(Into::into), *id);
                    assert_eq!(before, None, "{id} starts inside another");
                }
                ServerMessage::AssistantMessageDelta(piece) => {
                    let parent = piece.parent_tool_use_id.clone().map(Into::into);
                    assert_eq!(open.get(&parent), Some(id), "a delta outside its message");
                }
                ServerMessage::AssistantMessageComplete(complete) => {
                    let parent = complete.parent_tool_use_id.clone().map(Into::into);
                    assert_eq!(open.remove(&parent), Some(*id), "a complete outside its message");
                }
                ServerMessage::ToolUse(tool) => {
                    assert!(used.insert(tool.tool_use_id.clone()), "{} is used twice", tool.tool_use_id);
                    assert!(
                        !done.contains(&tool.tool_use_id),
                        "{} is used after its result",
                        tool.tool_use_id
                    );
                }
                ServerMessage::ToolResult(result) => {
                    done.insert(result.tool_use_id.clone());
                }
                // What is over is forgotten with its turn.
                ServerMessage::Result(_) => {
                    used.retain(|id| !done.contains(id));
                    done.clear();
                }
                _ => {}
            }
        }
    }

    /// What is left open.
    pub(super) fn open(&self) -> usize {
        let count = |is: fn(&ServerMessage<'_>) -> bool| {
            self.events.iter().filter(|(_, message)| is(message)).count()
        };
        count(|message| matches!(message, ServerMessage::AssistantMessageStart(_)))
            - count(|message| matches!(message, ServerMessage::AssistantMessageComplete(_)))
    }
}

/// Converts lines as a session does, which marks interrupts when it hears of them.
pub(super) fn convert(lines: &[&str], agent_events: bool) -> Recorder {
    let mut recorder = Recorder::default();
    let mut converter = Converter::new(ConverterOptions { agent_events });
    for line in lines {
        match converter.line(line.as_bytes(), &mut recorder).expect("a recorded line is good") {
            Outcome::ControlResponse(response) if response.request_id == "stop" => {
                converter.mark_interrupted();
            }
            Outcome::Result(result) => {
                recorder.event(&ServerMessage::Result(Box::new(turn_result(&result))));
            }
            _ => {}
        }
    }
    recorder
}
