//! Server messages as JSON text: each is encoded once, whoever reads it.
//!
//! Deltas, which are nearly all of the traffic, are written by template; everything else by serde, with the common fields
//! spliced in. Frames share chunks of memory, so that a small one costs no allocation of its own. This module may assume that
//! [`Text::Token`] and [`Json`](super::Json) hold valid JSON; it knows nothing of what messages mean.
//!
//! JSON allows escapes that no string can hold: a lone surrogate (`\ud800`). The agent makes them where it cuts a text inside
//! a pair, and strict parsers refuse the whole frame. They are replaced by `\ufffd`.

use std::io;
use std::sync::LazyLock;

use bytes::{BufMut, BytesMut};
use memchr::memmem;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{AssistantMessageDelta, Delta, MessageId, ServerMessage, Text};

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
    buffer: BytesMut,
    chunk: usize,
}

impl Encoder {
    /// An encoder for a session; `""` where no session applies.
    pub fn new(session_id: &str) -> Self {
        let mut session = Vec::from(br#","session_id":"#);
        write_string(&mut session, session_id);
        Self { session, buffer: BytesMut::new(), chunk: FIRST_CHUNK / 2 }
    }

    /// One flat JSON object. Messages whose serialization fails (none of this crate's does) become an `error` `internal`.
    pub fn encode(&mut self, header: &Header<'_>, message: &ServerMessage<'_>) -> Utf8Bytes {
        match message {
            ServerMessage::AssistantMessageDelta(delta) => self.delta(header, delta),
            other => self.whole(header, other),
        }
        repair_surrogates(&mut self.buffer);
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

    fn delta(&mut self, header: &Header<'_>, message: &AssistantMessageDelta<'_>) {
        let parent = message.parent_tool_use_id.as_deref();
        let content = match &message.delta {
            Delta::Text { text } | Delta::Thinking { thinking: text } => text_size(text),
            Delta::ToolUse { tool_use_id, tool_name, tool_input } => {
                tool_use_id.len() + tool_name.len() + tool_input.get().len()
            }
            Delta::ToolInput { tool_use_id, tool_name, partial_json } => {
                tool_use_id.len() + tool_name.len() + text_size(partial_json)
            }
        };
        let ids = self.session.len() + header.request_id.map_or(0, str::len) + parent.map_or(0, str::len);
        self.reserve(HEADROOM + content + ids);
        self.buffer.put_slice(br#"{"type":"assistant_message_delta""#);
        self.common(header);
        let out = &mut self.buffer;
        match &message.delta {
            Delta::Text { text } => {
                out.put_slice(br#","delta":{"delta_type":"text","text":"#);
                write_text(out, text);
            }
            Delta::Thinking { thinking } => {
                out.put_slice(br#","delta":{"delta_type":"thinking","thinking":"#);
                write_text(out, thinking);
            }
            Delta::ToolUse { tool_use_id, tool_name, tool_input } => {
                out.put_slice(br#","delta":{"delta_type":"tool_use","tool_use_id":"#);
                write_string(out, tool_use_id);
                out.put_slice(br#","tool_name":"#);
                write_string(out, tool_name);
                out.put_slice(br#","tool_input":"#);
                out.extend_from_slice(tool_input.get().as_bytes());
            }
            Delta::ToolInput { tool_use_id, tool_name, partial_json } => {
                out.put_slice(br#","delta":{"delta_type":"tool_input","tool_use_id":"#);
                write_string(out, tool_use_id);
                out.put_slice(br#","tool_name":"#);
                write_string(out, tool_name);
                out.put_slice(br#","partial_json":"#);
                write_text(out, partial_json);
            }
        }
        out.put_u8(b'}');
        if let Some(parent) = parent {
            out.put_slice(br#","parent_tool_use_id":"#);
            write_string(out, parent);
        }
        out.put_u8(b'}');
    }

    fn whole(&mut self, header: &Header<'_>, message: &ServerMessage<'_>) {
        // How long it gets is not known beforehand: `BytesMut` grows, at most doubling.
        self.reserve(HEADROOM + self.session.len() + size_hint(message));
        if let Err(error) = serde_json::to_writer(Output(&mut self.buffer), message) {
            log::error!("a message could not be encoded: {error}");
            self.buffer.clear();
            self.buffer
                .extend_from_slice(br#"{"type":"error","code":"internal","message":"encoding failed"}"#);
        }
        // Every message is an object with at least its `type`, so a comma may follow.
        self.buffer.truncate(self.buffer.len() - 1);
        self.common(header);
        self.buffer.put_u8(b'}');
    }

    fn common(&mut self, header: &Header<'_>) {
        let out = &mut self.buffer;
        match header.id {
            Id::Message(MessageId(number)) => {
                out.extend_from_slice(br#","id":"msg-"#);
                write_number(out, number);
                out.put_u8(b'"');
            }
            Id::Text(id) => {
                out.extend_from_slice(br#","id":"#);
                write_string(out, id);
            }
        }
        out.extend_from_slice(&self.session);
        if let Some(request_id) = header.request_id {
            out.extend_from_slice(br#","request_id":"#);
            write_string(out, request_id);
        }
        if let Some(seq) = header.seq {
            out.extend_from_slice(br#","seq":"#);
            write_number(out, seq);
        }
        if let Some(timestamp) = header.timestamp {
            out.extend_from_slice(br#","timestamp":"#);
            write_number(out, timestamp);
        }
    }
}

/// A guess at a message's length, for those that can be long.
fn size_hint(message: &ServerMessage<'_>) -> usize {
    match message {
        ServerMessage::UserMessage(event) => event.content.get().len(),
        ServerMessage::ToolUse(tool) => tool.tool_input.get().len() + 256,
        ServerMessage::ToolResult(result) => {
            text_size(&result.content) + result.blocks.as_ref().map_or(0, |blocks| blocks.get().len()) + 256
        }
        ServerMessage::PermissionRequest(request) => request.tool_input.get().len() + 1024,
        ServerMessage::Result(result) => result.result.as_ref().map_or(0, text_size) + 1024,
        ServerMessage::AgentEvent(event) => event.event.get().len(),
        _ => 256,
    }
}

fn text_size(text: &Text<'_>) -> usize {
    match text {
        // Room for some escapes; the buffer grows when there are more.
        Text::Plain(text) => text.len() + text.len() / 8 + 2,
        Text::Token(token) => token.len(),
    }
}

fn write_text(out: &mut BytesMut, text: &Text<'_>) {
    match text {
        Text::Plain(text) => write_string(out, text),
        Text::Token(token) => out.extend_from_slice(token.as_bytes()),
    }
}

/// Writes `text` as a JSON string.
fn write_string(out: &mut impl BufMut, text: &str) {
    // No short circuit, so that it is done many bytes at a time.
    let plain =
        text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'));
    if plain {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        // Writing to memory does not fail, and a string always serializes.
        let _ = serde_json::to_writer(Output(out), text);
    }
}

fn write_number(out: &mut BytesMut, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `io::Write` for a growing buffer.
struct Output<'a, B>(&'a mut B);

impl<B: BufMut> io::Write for Output<'_, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.put_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces the escapes of lone surrogates in JSON text by `\ufffd`, which is as long.
fn repair_surrogates(json: &mut [u8]) {
    static ESCAPE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(br"\u"));
    // Most frames have no backslash at all, and one byte is found faster than two.
    let Some(slash) = memchr::memchr(b'\\', json) else { return };
    let Some(first) = ESCAPE.find(&json[slash..]).map(|offset| slash + offset) else { return };
    // What looks like an escape may be the end of an escaped backslash: start where the row of backslashes begins.
    let mut at = json[..first].iter().rposition(|byte| *byte != b'\\').map_or(0, |before| before + 1);
    while let Some(offset) = memchr::memchr(b'\\', &json[at..]) {
        let escape = at + offset;
        at = match unit(json, escape) {
            Some(0xd800..0xdc00) if matches!(unit(json, escape + 6), Some(0xdc00..0xe000)) => escape + 12,
            Some(0xd800..0xe000) => {
                json[escape + 2..escape + 6].copy_from_slice(b"fffd");
                escape + 6
            }
            _ => escape + 2,
        };
        if at >= json.len() {
            return;
        }
    }
}

/// The UTF-16 unit that the `\uXXXX` at `at` stands for, if there is one.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
