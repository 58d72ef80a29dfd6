//! Server → client: what the model says, as it says it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::{Json, Text, shape};

/// `assistant_message_start` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssistantMessageStart<'a> {
    /// The model that speaks; `<synthetic>` for the agent's own error texts.
    pub model: Cow<'a, str>,
    /// Set on messages of a subagent: the tool use that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
}

/// `assistant_message_delta` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssistantMessageDelta<'a> {
    /// The piece.
    pub delta: Delta<'a>,
    /// As in the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
}

/// A piece of a message of the model.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "delta_type", rename_all = "snake_case")]
pub enum Delta<'a> {
    /// Text; a message's text is these, joined.
    Text {
        /// The piece.
        text: Text<'a>,
    },
    /// Thinking.
    Thinking {
        /// The piece.
        thinking: Text<'a>,
    },
    /// A tool call, whole; sent once its input is complete.
    ToolUse {
        /// The call's id.
        tool_use_id: Cow<'a, str>,
        /// The tool.
        tool_name: Cow<'a, str>,
        /// Its input, an object.
        #[schemars(with = "shape::AnyObject")]
        tool_input: Json<'a>,
    },
    /// A piece of a tool call's input, as JSON text that is complete only when joined.
    ToolInput {
        /// The call's id.
        tool_use_id: Cow<'a, str>,
        /// The tool.
        tool_name: Cow<'a, str>,
        /// The piece.
        partial_json: Text<'a>,
    },
}

/// By hand: serde's tagged enums buffer, and what is buffered can hold no raw JSON.
impl<'de> Deserialize<'de> for Delta<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Kind {
            Text,
            Thinking,
            ToolUse,
            ToolInput,
        }

        #[derive(Deserialize)]
        struct Fields<'a> {
            delta_type: Kind,
            text: Option<Text<'a>>,
            thinking: Option<Text<'a>>,
            tool_use_id: Option<Cow<'a, str>>,
            tool_name: Option<Cow<'a, str>>,
            tool_input: Option<Json<'a>>,
            partial_json: Option<Text<'a>>,
        }

        fn needed<T, E: Error>(field: Option<T>, name: &'static str) -> Result<T, E> {
            field.ok_or_else(|| E::missing_field(name))
        }

        let fields = Fields::deserialize(deserializer)?;
        Ok(match fields.delta_type {
            Kind::Text => Self::Text { text: needed(fields.text, "text")? },
            Kind::Thinking => Self::Thinking { thinking: needed(fields.thinking, "thinking")? },
            Kind::ToolUse => Self::ToolUse {
                tool_use_id: needed(fields.tool_use_id, "tool_use_id")?,
                tool_name: needed(fields.tool_name, "tool_name")?,
                tool_input: needed(fields.tool_input, "tool_input")?,
            },
            Kind::ToolInput => Self::ToolInput {
                tool_use_id: needed(fields.tool_use_id, "tool_use_id")?,
                tool_name: needed(fields.tool_name, "tool_name")?,
                partial_json: needed(fields.partial_json, "partial_json")?,
            },
        })
    }
}

/// `assistant_message_complete` event.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct AssistantMessageComplete<'a> {
    /// The API's stop reason, `interrupted`, or `abandoned`: a part of the message is void, and an
    /// [`AssistantMessageRetracted`] says what stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Cow<'a, str>>,
    /// The API's usage object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::AnyObject>")]
    pub usage: Option<Json<'a>>,
    /// As in the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
}

/// `assistant_message_retracted` event: the agent takes a message back, or a part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssistantMessageRetracted<'a> {
    /// The `id` of the message.
    pub message_id: Cow<'a, str>,
    /// The text of it that stands, instead of its text deltas joined; empty: none.
    pub kept: Cow<'a, str>,
    /// The thinking of it that stands; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_thinking: Option<Cow<'a, str>>,
    /// Calls of it that will never come.
    pub tool_use_ids: Vec<String>,
    /// Why.
    pub reason: RetractionReason,
    /// As in the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
}

/// Why a message is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetractionReason {
    /// Its stream broke; the model is asked again, or the turn fails.
    Retry,
    /// The model refused to go on.
    Refusal,
    /// Another message replaces it.
    Superseded,
}
