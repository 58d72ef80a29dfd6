//! What a delta may allocate: nothing but its share of the output buffer.
//!
//! A binary of its own, because it counts for the whole process; one test, so that nothing else runs.

use std::alloc::System;

use claude_ws::converter::{Converter, ConverterOptions};
use claude_ws::protocol::encode::{Encoder, Header};
use claude_ws::protocol::{EventSink, MessageId, ServerMessage};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Frames {
    encoder: Encoder,
    next: u64,
    bytes: usize,
}

impl EventSink for Frames {
    fn next_id(&mut self) -> MessageId {
        self.next += 1;
        MessageId(self.next)
    }

    fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>) {
        let header =
            Header { id: id.into(), request_id: Some("user-1"), seq: Some(self.next), timestamp: Some(1) };
        self.bytes += self.encoder.encode(&header, message).len();
    }
}

#[test]
fn a_delta_allocates_nothing_but_the_shared_output_buffer() {
    let mut frames = Frames { encoder: Encoder::new("session"), next: 0, bytes: 0 };
    let mut converter = Converter::new(ConverterOptions::default());
    let start =
        br#"{"type":"stream_event","event":{"type":"message_start","message":{"id":"msg_1","model":"m"}}}"#;
    converter.line(start, &mut frames).expect("a good line");
    let line = br#"{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"some \"text\"\n"}},"session_id":"6612de08-dd86-4810-8fcd-13c5782a792d","parent_tool_use_id":null,"uuid":"26c86d62-66d1-4186-b4a0-65feed1312e6"}"#;
    let spaced = [b" ".as_slice(), line].concat();
    for (name, line) in [("by template", line.as_slice()), ("parsed", &spaced)] {
        // The first one makes the block known and brings the buffer to its size.
        for _ in 0..1000 {
            converter.line(line, &mut frames).expect("a good line");
        }
        frames.bytes = 0;
        let region = Region::new(ALLOCATOR);
        for _ in 0..10_000 {
            converter.line(line, &mut frames).expect("a good line");
        }
        let change = region.change();
        // Two allocations a chunk: the memory, and its counter of users. 16 KiB hold about 80 of these frames.
        let chunks = frames.bytes / (14 * 1024) + 1;
        let count = change.allocations + change.reallocations;
        assert!(count <= 2 * chunks, "{name}: {count} allocations for {chunks} chunks");
    }
}
