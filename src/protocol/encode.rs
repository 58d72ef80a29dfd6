//! Server messages as JSON text: each is encoded once, whoever reads it.
//!
//! Deltas, which are nearly all of the traffic, are written by template; everything else by serde, with the common fields
//! spliced in. Frames share chunks of memory, so that a small one costs no allocation of its own. This module may assume that
//! [`Text::Token`](super::Text::Token) and [`Json`] hold valid JSON; it knows nothing of what messages mean.
//!
//! JSON allows escapes that no string can hold: a lone surrogate (`\ud800`). The agent makes them where it cuts a text inside
//! a pair, and strict parsers refuse the whole frame. They are replaced by `\ufffd`.

use bytes::{BufMut, BytesMut};
use tokio_tungstenite::tungstenite::Utf8Bytes;

mod text;

use super::{
    AssistantMessageDelta, Delta, Executor, Json, MessageId, ServerMessage, Subagent, ToolResult, ToolUse,
};
use text::{Output, repair_surrogates, text_size, write_number, write_string, write_text};

/// First chunk of an encoder, bytes; each further one is twice as large, up to [`LAST_CHUNK`].
const FIRST_CHUNK: usize = 1024;
/// Largest chunk that frames share, bytes. A chunk is freed when the last of its frames is.
const LAST_CHUNK: usize = 16 * 1024;
/// More than the common fields and a delta's frame need besides the ids, bytes.
const HEADROOM: usize = 320;

/// The common fields of a message, besides `type` and `session_id`.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// `id`.
    pub id: Id<'a>,
    /// `request_id`, if any.
    pub request_id: Option<&'a str>,
    /// `seq`, on session events.
    pub seq: Option<u64>,
    /// `timestamp`, Unix milliseconds, on session events and heartbeats.
    pub timestamp: Option<u64>,
}

/// A message's `id`.
#[derive(Debug, Clone, Copy)]
pub enum Id<'a> {
    /// An event's (`msg-7`).
    Message(MessageId),
    /// Any other.
    Text(&'a str),
}

impl From<MessageId> for Id<'_> {
    fn from(id: MessageId) -> Self {
        Self::Message(id)
    }
}

impl<'a> From<&'a str> for Id<'a> {
    fn from(id: &'a str) -> Self {
        Self::Text(id)
    }
}

/// Encodes the messages of one session, or of one connection.
///
/// ```
/// use claude_ws::protocol::encode::{Encoder, Header};
/// use claude_ws::protocol::{Cancelled, MessageId, ServerMessage};
///
/// let mut encoder = Encoder::new("s-1");
/// let header = Header { id: MessageId(7).into(), request_id: None, seq: Some(3), timestamp: Some(1) };
/// let frame = encoder.encode(&header, &ServerMessage::Cancelled(Cancelled { target_id: "u-1".into() }));
/// let json = r#"{"type":"cancelled","target_id":"u-1","id":"msg-7","session_id":"s-1","seq":3,"timestamp":1}"#;
/// assert_eq!(frame.as_str(), json);
/// ```
#[derive(Debug)]
pub struct Encoder {
    /// `,"session_id":"…"`, ready to be copied.
    session: Vec<u8>,
    ids: Ids,
    buffer: BytesMut,
    chunk: usize,
}

impl Encoder {
    /// An encoder for a session; `""` where no session applies.
    pub fn new(session_id: &str) -> Self {
        let mut session = Vec::from(br#","session_id":"#);
        write_string(&mut session, session_id);
        Self { session, ids: Ids::default(), buffer: BytesMut::new(), chunk: FIRST_CHUNK / 2 }
    }

    /// One flat JSON object. Messages whose serialization fails (none of this crate's does) become an `error` `internal`.
    pub fn encode(&mut self, header: &Header<'_>, message: &ServerMessage<'_>) -> Utf8Bytes {
        // The common fields are made from strings; only what comes behind them can hold escapes of others.
        let body = match message {
            ServerMessage::AssistantMessageDelta(delta) => self.delta(header, delta),
            ServerMessage::ToolUse(tool) => self.tool_use(header, tool),
            ServerMessage::ToolResult(result) => self.tool_result(header, result),
            other => self.whole(header, other),
        };
        repair_surrogates(self.buffer.get_mut(body..).unwrap_or_default());
        let frame = self.buffer.split().freeze();
        Utf8Bytes::try_from(frame).unwrap_or_else(|_| {
            log::error!("an encoded frame was not UTF-8");
            Utf8Bytes::from_static(
                r#"{"type":"error","code":"internal","message":"encoding failed","id":"","session_id":""}"#,
            )
        })
    }

    /// Gives back the memory that is kept for frames to come; for sessions that go to sleep.
    pub fn release(&mut self) {
        self.buffer = BytesMut::new();
        self.chunk = FIRST_CHUNK / 2;
        self.ids = Ids::default();
    }

    /// Makes room for a frame of about `size` bytes.
    fn reserve(&mut self, size: usize) {
        if self.buffer.capacity() >= size {
            return;
        }
        self.chunk = (self.chunk * 2).min(LAST_CHUNK);
        // A frame that would fill most of a chunk gets memory of its own, so that the chunk's neighbours do not pin it.
        self.buffer = BytesMut::with_capacity(if size > self.chunk / 2 { size } else { self.chunk });
    }

    /// Begins a frame of a type with all its common fields; where its body begins.
    fn begin(&mut self, kind: &[u8], header: &Header<'_>, content: usize) -> usize {
        self.reserve(HEADROOM + self.session.len() + header.request_id.map_or(0, str::len) + content);
        self.buffer.put_slice(br#"{"type":""#);
        self.buffer.put_slice(kind);
        self.buffer.put_u8(b'"');
        self.common(header);
        self.buffer.len()
    }

    /// Writes a subagent's id, and ends the frame.
    fn end(&mut self, parent: Option<&str>) {
        if let Some(parent) = parent {
            self.field(br#","parent_tool_use_id":"#, parent);
        }
        self.buffer.put_u8(b'}');
    }

    fn json(&mut self, json: &Json<'_>) {
        if json.is_too_deep() {
            write_string(&mut self.buffer, json.get());
        } else {
            self.buffer.put_slice(json.get().as_bytes());
        }
    }

    fn field(&mut self, key: &[u8], value: &str) {
        self.buffer.put_slice(key);
        write_string(&mut self.buffer, value);
    }

    fn delta(&mut self, header: &Header<'_>, message: &AssistantMessageDelta<'_>) -> usize {
        let parent = message.parent_tool_use_id.as_deref();
        let content = parent.map_or(0, str::len)
            + match &message.delta {
                Delta::Text { text } | Delta::Thinking { thinking: text } => text_size(text),
                Delta::ToolUse { tool_use_id, tool_name, tool_input } => {
                    tool_use_id.len() + tool_name.len() + tool_input.get().len()
                }
                Delta::ToolInput { tool_use_id, tool_name, partial_json } => {
                    tool_use_id.len() + tool_name.len() + text_size(partial_json)
                }
            };
        let body = self.begin(b"assistant_message_delta", header, content);
        match &message.delta {
            Delta::Text { text } => {
                self.buffer.put_slice(br#","delta":{"delta_type":"text","text":"#);
                write_text(&mut self.buffer, text);
            }
            Delta::Thinking { thinking } => {
                self.buffer.put_slice(br#","delta":{"delta_type":"thinking","thinking":"#);
                write_text(&mut self.buffer, thinking);
            }
            Delta::ToolUse { tool_use_id, tool_name, tool_input } => {
                self.field(br#","delta":{"delta_type":"tool_use","tool_use_id":"#, tool_use_id);
                self.field(br#","tool_name":"#, tool_name);
                self.buffer.put_slice(br#","tool_input":"#);
                self.json(tool_input);
            }
            Delta::ToolInput { tool_use_id, tool_name, partial_json } => {
                self.field(br#","delta":{"delta_type":"tool_input","tool_use_id":"#, tool_use_id);
                self.field(br#","tool_name":"#, tool_name);
                self.buffer.put_slice(br#","partial_json":"#);
                write_text(&mut self.buffer, partial_json);
            }
        }
        self.buffer.put_u8(b'}');
        self.end(parent);
        body
    }

    fn tool_use(&mut self, header: &Header<'_>, tool: &ToolUse<'_>) -> usize {
        let parent = tool.parent_tool_use_id.as_deref();
        let content = tool.tool_use_id.len() + tool.tool_name.len() + parent.map_or(0, str::len);
        let body = self.begin(b"tool_use", header, content + tool.tool_input.get().len());
        self.field(br#","tool_use_id":"#, &tool.tool_use_id);
        self.field(br#","tool_name":"#, &tool.tool_name);
        self.buffer.put_slice(br#","tool_input":"#);
        self.json(&tool.tool_input);
        self.buffer.put_slice(match tool.executor {
            Executor::Agent => br#","executor":"agent""#.as_slice(),
            Executor::Client => br#","executor":"client""#,
        });
        if let Some(agent) = &tool.agent {
            self.agent(agent);
        }
        self.end(parent);
        body
    }

    fn tool_result(&mut self, header: &Header<'_>, result: &ToolResult<'_>) -> usize {
        let parent = result.parent_tool_use_id.as_deref();
        let blocks = result.blocks.as_ref();
        let size = blocks.map_or(0, |blocks| blocks.get().len());
        let content = result.tool_use_id.len() + parent.map_or(0, str::len) + size;
        let body = self.begin(b"tool_result", header, content + text_size(&result.content));
        self.field(br#","tool_use_id":"#, &result.tool_use_id);
        self.buffer.put_slice(br#","content":"#);
        write_text(&mut self.buffer, &result.content);
        self.buffer.put_slice(if result.is_error { br#","is_error":true"# } else { br#","is_error":false"# });
        if let Some(blocks) = blocks {
            self.buffer.put_slice(br#","blocks":"#);
            self.json(blocks);
        }
        if let Some(task) = &result.task_id {
            self.field(br#","task_id":"#, task);
        }
        if result.truncated {
            self.buffer.put_slice(br#","truncated":true"#);
        }
        if let Some(bytes) = result.total_bytes {
            self.buffer.put_slice(br#","total_bytes":"#);
            write_number(&mut self.buffer, bytes);
        }
        self.end(parent);
        body
    }

    fn agent(&mut self, agent: &Subagent<'_>) {
        self.field(br#","agent":{"type":"#, &agent.kind);
        self.field(br#","description":"#, &agent.description);
        if let Some(task) = &agent.task_id {
            self.field(br#","task_id":"#, task);
        }
        self.buffer.put_u8(b'}');
    }

    fn whole(&mut self, header: &Header<'_>, message: &ServerMessage<'_>) -> usize {
        // How long it gets is not known beforehand: `BytesMut` grows, at most doubling.
        self.reserve(HEADROOM + self.session.len() + size_hint(message));
        if let Err(error) = serde_json::to_writer(Output(&mut self.buffer), message) {
            log::error!("a message could not be encoded: {error}");
            self.buffer.clear();
            self.buffer.put_slice(br#"{"type":"error","code":"internal","message":"encoding failed"}"#);
        }
        // Every message is an object with at least its `type`, so a comma may follow.
        self.buffer.truncate(self.buffer.len() - 1);
        self.common(header);
        self.buffer.put_u8(b'}');
        0
    }

    fn common(&mut self, header: &Header<'_>) {
        self.ids.update(header, &self.session);
        let out = &mut self.buffer;
        out.put_slice(&self.ids.text);
        if let Some(seq) = header.seq {
            out.put_slice(br#","seq":"#);
            write_number(out, seq);
        }
        if let Some(timestamp) = header.timestamp {
            out.put_slice(br#","timestamp":"#);
            write_number(out, timestamp);
        }
    }
}

/// The common fields that stay the same for a message's deltas: `id`, `session_id`, `request_id`, as they are written.
#[derive(Debug, Default)]
struct Ids {
    of: Option<MessageId>,
    request_id: Option<String>,
    text: Vec<u8>,
}

impl Ids {
    #[inline]
    fn update(&mut self, header: &Header<'_>, session: &[u8]) {
        let known = matches!(header.id, Id::Message(id) if self.of == Some(id));
        if !known || self.request_id.as_deref() != header.request_id {
            self.write(header, session);
        }
    }

    fn write(&mut self, header: &Header<'_>, session: &[u8]) {
        self.text.clear();
        self.text.put_slice(br#","id":"#);
        match header.id {
            Id::Message(id) => {
                self.of = Some(id);
                self.text.put_slice(b"\"msg-");
                write_number(&mut self.text, id.0);
                self.text.put_u8(b'"');
            }
            Id::Text(id) => {
                self.of = None;
                write_string(&mut self.text, id);
            }
        }
        self.text.put_slice(session);
        if let Some(request_id) = header.request_id {
            self.text.put_slice(br#","request_id":"#);
            write_string(&mut self.text, request_id);
        }
        if self.request_id.as_deref() != header.request_id {
            self.request_id = header.request_id.map(str::to_owned);
        }
    }
}

/// A guess at a message's length, for those that can be long.
fn size_hint(message: &ServerMessage<'_>) -> usize {
    match message {
        ServerMessage::UserMessage(event) => event.content.get().len(),
        ServerMessage::PermissionRequest(request) => request.tool_input.get().len() + 1024,
        ServerMessage::AssistantMessageRetracted(message) => message.kept.len() + 512,
        ServerMessage::Result(result) => result.result.as_ref().map_or(0, text_size) + 1024,
        ServerMessage::AgentEvent(event) => event.event.get().len(),
        _ => 256,
    }
}

#[cfg(test)]
mod tests;
