//! A sink that keeps what it is given, and judges it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::converter::owned::into_owned;
use crate::converter::{Converter, ConverterOptions, Outcome, turn_result};
use crate::protocol::{Delta, EventSink, MessageId, RetractionReason, ServerMessage};

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

    /// What stands of one thread's text: each message's text deltas joined, or what was kept of it.
    pub(super) fn said(&self, parent: Option<&str>) -> String {
        let mut messages: Vec<(String, String)> = Vec::new();
        for (id, message) in &self.events {
            match message {
                ServerMessage::AssistantMessageStart(start)
                    if start.parent_tool_use_id.as_deref() == parent =>
                {
                    messages.push((id.to_string(), String::new()));
                }
                ServerMessage::AssistantMessageDelta(piece) => {
                    let id = id.to_string();
                    if let Delta::Text { text } = &piece.delta
                        && let Some((_, said)) = messages.iter_mut().rfind(|(message, _)| *message == id)
                    {
                        *said += &text.decode();
                    }
                }
                ServerMessage::AssistantMessageRetracted(retracted) => {
                    let told = messages.iter_mut().rfind(|(message, _)| *message == retracted.message_id);
                    if let Some((_, said)) = told {
                        *said = retracted.kept.clone().into_owned();
                    }
                }
                _ => {}
            }
        }
        messages.into_iter().map(|(_, said)| said).collect()
    }

    /// What was taken back: message, text that stands, calls, reason.
    pub(super) fn retracted(&self) -> Vec<(&str, &str, &[String], RetractionReason)> {
        self.events
            .iter()
            .filter_map(|(_, message)| match message {
                ServerMessage::AssistantMessageRetracted(gone) => {
                    Some((&*gone.message_id, &*gone.kept, &*gone.tool_use_ids, gone.reason))
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
                    // An id that has its result may name another call.
                    let is_over = done.remove(&tool.tool_use_id);
                    let is_new = used.insert(tool.tool_use_id.clone());
                    assert!(is_new || is_over, "{} is used twice", tool.tool_use_id);
                }
                ServerMessage::AssistantMessageRetracted(gone) => {
                    let message = seen.iter().find(|id: &&MessageId| id.to_string() == gone.message_id);
                    let message = message.expect("a message that was told");
                    assert!(
                        !open.values().any(|open| open == message),
                        "{message} is taken back while it is open"
                    );
                    for call in &gone.tool_use_ids {
                        used.remove(&**call);
                    }
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
