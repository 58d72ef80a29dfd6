//! The corpus, and a session in mid-turn that takes its lines: what the benches share.

use std::hint::black_box;
use std::path::Path;

use claude_ws::converter::{Converter, ConverterOptions, Outcome, turn_result};
use claude_ws::protocol::encode::{Encoder, Header};
use claude_ws::protocol::{EventSink, MessageId, ServerMessage};

/// The kinds, and how many of each a turn has.
pub(crate) const KINDS: [(&str, usize); 7] = [
    ("text_delta", 200),
    ("thinking_delta", 0),
    ("tool_input_delta", 0),
    ("text_block", 3),
    ("tool_input", 2),
    ("tool_result", 1),
    ("result", 1),
];

/// The recorded lines of a kind.
pub(crate) fn corpus(kind: &str) -> Vec<Vec<u8>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lines").join(format!("{kind}.jsonl"));
    let text = std::fs::read_to_string(path).expect("the corpus");
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// Those of a turn.
pub(crate) fn mix() -> Vec<Vec<u8>> {
    KINDS.iter().flat_map(|(kind, count)| corpus(kind).into_iter().cycle().take(*count)).collect()
}

/// A session's sink without the log: every event becomes a frame.
pub(crate) struct Frames {
    encoder: Encoder,
    next: u64,
    pub(crate) bytes: usize,
}

impl EventSink for Frames {
    fn next_id(&mut self) -> MessageId {
        self.next += 1;
        MessageId(self.next)
    }

    fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>) {
        self.next += 1;
        let header = Header {
            id: id.into(),
            request_id: Some("3f0c7d5e-user-message"),
            seq: Some(self.next),
            timestamp: Some(1_767_225_600_000),
        };
        self.bytes += black_box(self.encoder.encode(&header, message)).len();
    }
}

/// A session in mid-turn.
pub(crate) struct Ours {
    pub(crate) converter: Converter,
    pub(crate) frames: Frames,
}

impl Ours {
    /// One that has not heard of any message.
    pub(crate) fn new() -> Self {
        let frames =
            Frames { encoder: Encoder::new("0e0a9d60-5e0c-4b7d-9c61-7a3f5f8d2f11"), next: 0, bytes: 0 };
        Self { converter: Converter::new(ConverterOptions::default()), frames }
    }

    /// Begins a message with a text, a thinking and a tool block, so that deltas have a place.
    pub(crate) fn begin(&mut self, lines: &[Vec<u8>]) {
        let index = |line: &[u8]| {
            let text = String::from_utf8_lossy(line);
            let digits = text.split("\"index\":").nth(1).map_or("0", |rest| &rest[..1]);
            digits.to_owned()
        };
        let Some(line) = lines.iter().find(|line| line.starts_with(b"{\"type\":\"stream_event\"")) else {
            return;
        };
        for event in [
            r#"{"type":"message_start","message":{"id":"msg_1","model":"m"}}"#.to_owned(),
            format!(
                r#"{{"type":"content_block_start","index":{},"content_block":{}}}"#,
                index(line),
                if line.windows(16).any(|bytes| bytes == b"input_json_delta") {
                    r#"{"type":"tool_use","id":"toolu_5beb44e652384aae","name":"Write"}"#
                } else if line.windows(14).any(|bytes| bytes == b"thinking_delta") {
                    r#"{"type":"thinking","thinking":""}"#
                } else {
                    r#"{"type":"text","text":""}"#
                }
            ),
        ] {
            self.line(format!(r#"{{"type":"stream_event","event":{event}}}"#).as_bytes(), true);
        }
    }

    /// Takes one line; `short`: with the short way for deltas.
    pub(crate) fn line(&mut self, line: &[u8], short: bool) {
        let converted = if short {
            self.converter.line(line, &mut self.frames)
        } else {
            self.converter.parsed_line(line, &mut self.frames)
        };
        if let Ok(Outcome::Result(result)) = &converted {
            self.frames.event(&ServerMessage::Result(Box::new(turn_result(result))));
        }
    }
}
