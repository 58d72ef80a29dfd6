//! Reads server frames, for Rust clients and tests. The gateway itself never does.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::path::{self, Invalid};
use super::{FrameError, within_depth};
use crate::protocol::{ErrorCode, ServerFrame, ServerMessage};

/// How deep a server's frame may nest. An agent's JSON is passed on as it is, so this is what `serde_json` reads.
const DEPTH: usize = 127;

#[derive(Deserialize)]
struct Common {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    session_id: String,
    request_id: Option<String>,
    seq: Option<u64>,
    timestamp: Option<u64>,
}

impl ServerFrame<'static> {
    /// Reads one frame of the server. `unknown_type` is no fault: a newer server may send types that this crate does not
    /// know, and clients skip them.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        let refused = |code, message| FrameError { code, message, request_id: None, session_id: None };
        if !within_depth(text, DEPTH) {
            return Err(refused(
                ErrorCode::InvalidMessage,
                format!("the frame nests deeper than {DEPTH} levels"),
            ));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            return Err(refused(ErrorCode::InvalidJson, format!("the frame is not JSON: {error}")));
        }
        if !text.trim_start().starts_with('{') {
            return Err(refused(ErrorCode::InvalidJson, "the frame is not a JSON object".to_owned()));
        }
        let invalid = |invalid: Invalid| refused(ErrorCode::InvalidMessage, invalid.to_string());
        let common: Common = path::read(text).map_err(invalid)?;
        let Some(message) = server_message(&common.kind, text).map_err(invalid)? else {
            return Err(FrameError::unknown_type(&common.kind));
        };
        Ok(Self {
            message,
            id: Cow::Owned(common.id),
            session_id: Cow::Owned(common.session_id),
            request_id: common.request_id.map(Cow::Owned),
            seq: common.seq,
            timestamp: common.timestamp,
        })
    }
}

fn server_message(kind: &str, text: &str) -> Result<Option<ServerMessage<'static>>, Invalid> {
    fn read<T: DeserializeOwned, M>(text: &str, message: fn(T) -> M) -> Result<Option<M>, Invalid> {
        path::read(text).map(|body| Some(message(body)))
    }

    match kind {
        "user_message" => read(text, ServerMessage::UserMessage),
        "assistant_message_start" => read(text, ServerMessage::AssistantMessageStart),
        "assistant_message_delta" => read(text, ServerMessage::AssistantMessageDelta),
        "assistant_message_complete" => read(text, ServerMessage::AssistantMessageComplete),
        "assistant_message_retracted" => read(text, ServerMessage::AssistantMessageRetracted),
        "tool_use" => read(text, ServerMessage::ToolUse),
        "tool_result" => read(text, ServerMessage::ToolResult),
        "permission_request" => read(text, ServerMessage::PermissionRequest),
        "permission_resolved" => read(text, ServerMessage::PermissionResolved),
        "elicitation_request" => read(text, ServerMessage::ElicitationRequest),
        "elicitation_resolved" => read(text, ServerMessage::ElicitationResolved),
        "status_update" => read(text, ServerMessage::StatusUpdate),
        "interrupted" => read(text, ServerMessage::Interrupted),
        "cancelled" => read(text, ServerMessage::Cancelled),
        "config_updated" => read(text, ServerMessage::ConfigUpdated),
        "task_update" => read(text, ServerMessage::TaskUpdate),
        "conversation_reset" => read(text, ServerMessage::ConversationReset),
        "result" => read(text, ServerMessage::Result),
        "warning" => read(text, ServerMessage::Warning),
        "error" => read(text, ServerMessage::Error),
        "session_ended" => read(text, ServerMessage::SessionEnded),
        "agent_event" => read(text, ServerMessage::AgentEvent),
        "session_info" => read(text, ServerMessage::SessionInfo),
        "session_list" => read(text, ServerMessage::SessionList),
        "new_session" => read(text, ServerMessage::NewSession),
        "config_response" => read(text, ServerMessage::ConfigResponse),
        "task_output" => read(text, ServerMessage::TaskOutput),
        "result_read" => read(text, ServerMessage::ResultRead),
        "heartbeat" => read(text, ServerMessage::Heartbeat),
        _ => Ok(None),
    }
}
