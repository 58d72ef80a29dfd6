//! The SDK's message types as protocol messages, for those who embed the library.

use claude_agent_sdk::Message;

use super::owned::into_owned;
use super::{Converter, ConverterOptions, Outcome, turn_result};
use crate::protocol::{EventSink, MessageId, ServerFrame, ServerMessage};

/// Converts one message of the SDK, on its own, as its line would be: the same code as for the agent's lines.
///
/// Ids count from `msg-0`. A message without a form in the protocol gives nothing, neither does `system/init`. A stream event
/// gives at most what it alone says; to follow a stream, feed a [`Converter`].
///
/// ```
/// use claude_ws::converter::sdk_to_protocol;
/// use claude_ws::protocol::ServerMessage;
/// use serde_json::json;
///
/// let message: claude_agent_sdk::Message = serde_json::from_value(json!({
///     "type": "assistant",
///     "message": {"model": "claude", "content": [{"type": "text", "text": "Hello"}]}
/// }))?;
/// let frames = sdk_to_protocol(&message, "s-1");
/// assert!(matches!(frames[0].message, ServerMessage::AssistantMessageStart(_)));
/// assert!(matches!(frames[1].message, ServerMessage::AssistantMessageDelta(_)));
/// assert!(matches!(frames[2].message, ServerMessage::AssistantMessageComplete(_)));
/// assert!(frames.iter().all(|frame| frame.id == "msg-0" && frame.session_id == "s-1"));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn sdk_to_protocol(message: &Message, session_id: &str) -> Vec<ServerFrame<'static>> {
    let mut frames = Frames { session_id, list: Vec::new(), next: 0 };
    // Every message of the SDK is plain data with string keys, so it serializes.
    let Ok(line) = serde_json::to_vec(message) else { return frames.list };
    let mut converter = Converter::new(ConverterOptions::default());
    if let Ok(Outcome::Result(result)) = converter.line(&line, &mut frames) {
        frames.event(&ServerMessage::Result(Box::new(turn_result(&result))));
    }
    match message {
        // Finished blocks are all there is.
        Message::Assistant { .. } => converter.close_open(None, &mut frames),
        // A delta is a piece of a message that began before.
        Message::StreamEvent { event, .. } if event["type"] != "message_start" => {
            frames.list.retain(|frame| !matches!(frame.message, ServerMessage::AssistantMessageStart(_)));
        }
        _ => {}
    }
    frames.list
}

/// Collects events as frames.
struct Frames<'a> {
    session_id: &'a str,
    list: Vec<ServerFrame<'static>>,
    next: u64,
}

impl EventSink for Frames<'_> {
    fn next_id(&mut self) -> MessageId {
        let id = MessageId(self.next);
        self.next += 1;
        id
    }

    fn emit(&mut self, id: MessageId, message: &ServerMessage<'_>) {
        let Some(message) = into_owned(message) else { return };
        self.list.push(ServerFrame {
            message,
            id: id.to_string().into(),
            session_id: self.session_id.to_owned().into(),
            request_id: None,
            seq: None,
            timestamp: None,
        });
    }
}
