//! The agent's messages as protocol messages, and a client's content as the agent's input.
//!
//! The only room that knows both vocabularies. [`Converter`] takes the agent's stdout line by line and emits session events
//! into an [`EventSink`]; what only the session can decide (prompts, the end of a turn) comes back as an [`Outcome`]. It does
//! no I/O, reads no clock, and knows nothing of queues, prompts or sockets.

mod input;
mod notice;
mod owned;
mod sdk;
mod stream;
mod tasks;
mod template;
#[cfg(test)]
mod tests;
mod tools;
mod turn;

use std::borrow::Cow;

use crate::agent::wire::{self, BadLine, Message};
use crate::protocol::{AgentEvent, EventSink, Json, RetractionReason, ServerMessage, Subagent};

pub use input::{SdkInput, agent_mode, protocol_to_sdk_input, user_content, user_content_within};
pub use sdk::sdk_to_protocol;
pub use tasks::{Schedule, TaskNews, TaskStart};
pub use tools::CLIENT_TOOL_PREFIX;
pub use turn::turn_result;

use stream::Streams;
use template::Template;
use tools::Tools;

/// Unknown messages that are remembered between two calls of [`Converter::take_unknown`].
const MAX_UNKNOWN: usize = 16;

/// How a session wants its messages converted.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConverterOptions {
    /// Hand on messages that have no form of their own in the protocol, as `agent_event`.
    pub agent_events: bool,
}

/// Turns one agent's lines into session events.
///
/// It holds what a stream needs to be told once and only once: per subagent, the message that is open and how much of each
/// block was streamed. Feed it the lines in the order they came.
#[derive(Debug, Default)]
pub struct Converter {
    options: ConverterOptions,
    template: Template,
    streams: Streams,
    tools: Tools,
    interrupted: bool,
    /// Kinds of messages that are not known here and were not asked for yet.
    unknown: Vec<String>,
}

/// What a line asks of the session. All events that the line itself gives have been emitted by then.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Nothing.
    Converted,
    /// Nothing; it was a delta, as nearly all are while the model writes.
    Streamed,
    /// A turn begins; the agent tells what it is.
    Init(Box<wire::Init<'a>>),
    /// The agent's permission mode, by its own name: it has changed within a turn.
    Mode(Cow<'a, str>),
    /// What happened to tasks.
    Tasks(Vec<TaskNews>),
    /// The model is asked: it hears now of what has happened.
    Requesting {
        /// As in [`Mode`](Self::Mode), where the line says that too.
        mode: Option<Cow<'a, str>>,
    },
    /// The agent shortens its context.
    Compacting,
    /// It has come to an end with that.
    Compacted(Compaction<'a>),
    /// What becomes of a user message that the agent was sent.
    Lifecycle(wire::CommandLifecycle<'a>),
    /// A turn is over. What was open on the main thread has been closed.
    Result(Box<wire::ResultMessage<'a>>),
    /// The agent wants something. Before a question about a tool, the tool's `tool_use` has been emitted.
    ControlRequest(Box<wire::ControlRequest<'a>>),
    /// The agent answers a control request.
    ControlResponse(wire::ControlResponse<'a>),
    /// The agent takes a control request back.
    ControlCancel(wire::ControlCancel<'a>),
}

/// What came of a compaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compaction<'a> {
    /// The context is shorter now.
    Done,
    /// It is as it was; why, in the agent's words.
    Failed(Cow<'a, str>),
}

impl Converter {
    /// A converter for a new agent process.
    pub fn new(options: ConverterOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Converts one line of the agent's stdout (without its newline).
    ///
    /// # Errors
    /// The line is no JSON object. It changed nothing: log it and go on with the next.
    ///
    /// ```
    /// use claude_ws::converter::{Converter, ConverterOptions};
    /// use claude_ws::protocol::{EventSink, MessageId, ServerMessage};
    ///
    /// struct Print(u64);
    /// impl EventSink for Print {
    ///     fn next_id(&mut self) -> MessageId {
    ///         self.0 += 1;
    ///         MessageId(self.0)
    ///     }
    ///     fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>) {
    ///         println!("{id}: {}", serde_json::to_string(message).unwrap());
    ///     }
    /// }
    ///
    /// let mut converter = Converter::new(ConverterOptions::default());
    /// let line = br#"{"type":"stream_event","event":{"type":"content_block_delta","index":0,
    ///     "delta":{"type":"text_delta","text":"Hello"}},"parent_tool_use_id":null}"#;
    /// converter.line(line, &mut Print(0))?;
    /// # Ok::<(), claude_ws::agent::wire::BadLine>(())
    /// ```
    pub fn line<'a>(&mut self, line: &'a [u8], sink: &mut impl EventSink) -> Result<Outcome<'a>, BadLine> {
        let cut_off = self.cut_off();
        if let Some(delta) = self.template.delta(line) {
            let template::Delta { parent, index, piece, token } = delta;
            let told = self.streams.delta(parent, Some(index), piece, token, cut_off, sink);
            if !told && self.options.agent_events {
                hand_on(line, sink);
            }
            return Ok(Outcome::Streamed);
        }
        self.parsed_line(line, sink)
    }

    /// [`line`](Self::line) without its short way for deltas: for benchmarks and tests.
    #[doc(hidden)]
    pub fn parsed_line<'a>(
        &mut self,
        line: &'a [u8],
        sink: &mut impl EventSink,
    ) -> Result<Outcome<'a>, BadLine> {
        let message = wire::parse(line)?;
        Ok(self.message(line, message, sink))
    }

    /// Closes every open message, with this stop reason where the message itself has none.
    pub fn close_open(&mut self, stop_reason: Option<&str>, sink: &mut impl EventSink) {
        self.streams.close_all(stop_reason, sink);
    }

    /// From now until the next result, messages that end without a stop reason are `interrupted`.
    pub fn mark_interrupted(&mut self) {
        self.interrupted = true;
    }

    /// Nothing of what was interrupted will come: it had not begun.
    pub fn forget_interrupt(&mut self) {
        self.interrupted = false;
    }

    /// The subagent of that id, and the call that began it.
    pub fn agent(&self, agent_id: &str) -> Option<(&str, Option<Subagent<'_>>)> {
        self.tools.agent(agent_id)
    }

    /// Kinds of messages that came and are not known here, for metrics; at most a few of them since the last call.
    pub fn take_unknown(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unknown)
    }

    fn unknown(&mut self, kind: String) {
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push(kind);
        }
    }

    /// The stop reason of messages that end without one.
    fn cut_off(&self) -> Option<&'static str> {
        self.interrupted.then_some("interrupted")
    }

    fn message<'a>(
        &mut self,
        line: &'a [u8],
        message: Message<'a>,
        sink: &mut impl EventSink,
    ) -> Outcome<'a> {
        let cut_off = self.cut_off();
        let mut outcome = None;
        let told = match message {
            Message::StreamEvent(event) => self.streams.event(&event, cut_off, &mut self.tools, sink),
            Message::Assistant(assistant) => {
                self.streams.finished(&assistant, cut_off, &mut self.tools, sink)
            }
            Message::User(user) => {
                self.streams.user_spoke(user.parent_tool_use_id.as_deref(), cut_off, sink);
                self.taken_back(&user, sink);
                let (told, news) = self.tool_results(&user, sink);
                outcome = (!news.is_empty()).then_some(Outcome::Tasks(news));
                told
            }
            Message::System(system) => {
                let subtype = system.subtype.text().unwrap_or_default();
                self.system_takes_back(&system, sink);
                let news = self.tools.news(&system);
                let told = news.is_some() || notice::system(&system, sink);
                outcome =
                    news.map_or_else(|| notice::outcome(&system), |news| Some(Outcome::Tasks(vec![news])));
                if subtype == "task_notification" {
                    self.streams.subagent_done(&system.tool_use_id.text().unwrap_or_default(), cut_off, sink);
                }
                if !told && !subtype.starts_with("task_") && !notice::is_passed_over(&subtype) {
                    self.unknown(format!("system/{subtype}"));
                }
                told
            }
            Message::RateLimit(limit) => notice::rate_limit(&limit, sink),
            Message::ToolProgress(_) => false,
            Message::Unknown { kind } => {
                if !notice::is_known(&kind) {
                    self.unknown(kind);
                }
                false
            }
            Message::Init(init) => return Outcome::Init(init),
            Message::Result(result) => {
                self.turn_over(&result, sink);
                return Outcome::Result(result);
            }
            Message::ControlRequest(request) => {
                self.tools.before_prompt(&request, sink);
                return Outcome::ControlRequest(request);
            }
            Message::ControlResponse(response) => return Outcome::ControlResponse(response),
            Message::ControlCancel(cancel) => return Outcome::ControlCancel(cancel),
            Message::Lifecycle(news) => return Outcome::Lifecycle(news),
            // The id in it is not the conversation's; the next `init` tells.
            Message::ConversationReset => true,
        };
        if !told && self.options.agent_events {
            hand_on(line, sink);
        }
        outcome.unwrap_or(Outcome::Converted)
    }

    fn tool_results(
        &mut self,
        user: &wire::UserMessage<'_>,
        sink: &mut impl EventSink,
    ) -> (bool, Vec<TaskNews>) {
        let mut news = Vec::new();
        if user.is_replay {
            return (false, news);
        }
        let mut all = !user.body.content.is_empty();
        for block in &user.body.content {
            if block.kind.get() == "tool_result" {
                // The result of a subagent's start ends the subagent, unless it goes on in the background: then its next
                // line opens a message of its own.
                self.streams.subagent_done(block.tool_use_id.get(), self.cut_off(), sink);
                let parent = user.parent_tool_use_id.as_deref();
                news.extend(self.tools.result(block, user.tool_use_result, parent, sink));
            } else {
                all = false;
            }
        }
        (all, news)
    }

    /// The agent asks the model again; what is void of the first answer is told.
    fn taken_back(&mut self, user: &wire::UserMessage<'_>, sink: &mut impl EventSink) {
        if user.is_replay {
            return;
        }
        let reason = match &user.refused_message_id {
            Some(refused) => {
                self.streams.refused(refused, &mut self.tools, sink);
                RetractionReason::Refusal
            }
            None => RetractionReason::Superseded,
        };
        self.streams.retract_lines(wire::strings(user.retracted), reason, &mut self.tools, sink);
    }

    /// Another model answers what one has refused; or a compaction keeps lines that it will say again.
    fn system_takes_back(&mut self, system: &wire::SystemMessage<'_>, sink: &mut impl EventSink) {
        let retracted = system.retracted.0.iter().filter_map(|line| line.text());
        self.streams.retract_lines(retracted, RetractionReason::Refusal, &mut self.tools, sink);
        let kept = &system.compact_metadata.preserved;
        self.streams.preserve(kept.uuids.0.iter().chain(&kept.all_uuids.0).filter_map(|line| line.text()));
    }

    fn turn_over(&mut self, result: &wire::ResultMessage<'_>, sink: &mut impl EventSink) {
        if self.interrupted || result.was_aborted() {
            self.streams.close_all(Some("interrupted"), sink);
        } else {
            self.streams.close_turn(&mut self.tools, sink);
        }
        self.streams.forget();
        self.tools.turn_over();
        self.interrupted = false;
    }
}

/// `agent_event`: the line as it is.
fn hand_on(line: &[u8], sink: &mut impl EventSink) {
    if let Ok(event) = serde_json::from_slice(line).map(Json::borrowed) {
        sink.event(&ServerMessage::AgentEvent(AgentEvent { event }));
    }
}
