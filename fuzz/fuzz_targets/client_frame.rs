//! Whatever a client sends: the frame parser ends, and its refusals are fit to be sent.
#![no_main]

use claude_ws::protocol::encode::{Encoder, Header};
use claude_ws::protocol::parse::{FrameLimits, client_frame};
use claude_ws::protocol::{ErrorMessage, ServerMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = client_frame(text, &FrameLimits::default()) {
        let session = error.session_id.unwrap_or_default();
        let message = ErrorMessage { code: error.code, message: error.message.into() };
        let header = Header { id: "r-1".into(), request_id: error.request_id.as_deref(), seq: None, timestamp: None };
        let frame = Encoder::new(&session).encode(&header, &ServerMessage::Error(message));
        let _: serde_json::Value = serde_json::from_str(&frame).expect("the refusal is JSON");
    }
});
