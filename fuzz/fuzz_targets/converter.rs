//! Whatever lines an agent writes: the converter ends, what it emits is JSON, and the model's messages are well nested.
#![no_main]

use std::collections::HashSet;

use claude_ws::converter::{Converter, ConverterOptions};
use claude_ws::protocol::encode::{Encoder, Header};
use claude_ws::protocol::{EventSink, MessageId, ServerMessage};
use libfuzzer_sys::fuzz_target;

struct Sink {
    encoder: Encoder,
    next: u64,
    /// Messages that have begun and not ended, by id.
    open: HashSet<u64>,
}

impl EventSink for Sink {
    fn next_id(&mut self) -> MessageId {
        self.next += 1;
        MessageId(self.next)
    }

    fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>) {
        match message {
            ServerMessage::AssistantMessageStart(_) => assert!(self.open.insert(id.0), "started twice"),
            ServerMessage::AssistantMessageDelta(_) => assert!(self.open.contains(&id.0), "a delta outside"),
            ServerMessage::AssistantMessageComplete(_) => assert!(self.open.remove(&id.0), "completed twice"),
            _ => {}
        }
        let header = Header { id: id.into(), request_id: None, seq: Some(1), timestamp: Some(1) };
        let frame = self.encoder.encode(&header, message);
        let value: serde_json::Value = serde_json::from_str(&frame).expect("an event is JSON");
        assert!(value["type"].is_string());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut converter = Converter::new(ConverterOptions { agent_events: true, ..ConverterOptions::default() });
    let mut sink = Sink { encoder: Encoder::new("s"), next: 0, open: HashSet::new() };
    for line in bytes.split(|byte| *byte == b'\n') {
        let _ = converter.line(line, &mut sink);
    }
    converter.close_open(Some("interrupted"), &mut sink);
    assert!(sink.open.is_empty(), "a message stays open");
});
