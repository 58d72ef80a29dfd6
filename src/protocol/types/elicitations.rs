//! Elicitations: an MCP server asks a person for something, by a form or by a page to visit.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, ResolvedBy, shape};

/// How the person is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ElicitationMode {
    /// By filling in what `schema` describes.
    Form,
    /// By visiting `url`.
    Url,
}

/// `elicitation_request` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ElicitationRequest<'a> {
    /// The MCP server that asks.
    pub server: Cow<'a, str>,
    /// What it says.
    pub message: Cow<'a, str>,
    /// How to answer.
    pub mode: ElicitationMode,
    /// In mode `form`: a JSON Schema of an object whose properties are strings, numbers, booleans or choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::AnyObject>")]
    pub schema: Option<Json<'a>>,
    /// In mode `url`: the page. It is the server's: show it before anybody goes there, and follow only `http` and `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Cow<'a, str>>,
    /// A heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Cow<'a, str>>,
}

/// What a person does with it, in MCP's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ElicitationAction {
    /// Answers it.
    Accept,
    /// Says no.
    Decline,
    /// Says nothing: it was closed, or went away.
    Cancel,
}

/// `elicitation_resolved` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ElicitationResolved<'a> {
    /// The `id` of the `elicitation_request`.
    pub elicitation_id: Cow<'a, str>,
    /// What the server was told.
    pub action: ElicitationAction,
    /// Who ended it.
    pub reason: ResolvedBy,
}

/// `elicitation_response`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ElicitationResponse {
    /// The `id` of the `elicitation_request`.
    #[schemars(length(min = 1))]
    pub request_id: String,
    /// The answer.
    pub action: ElicitationAction,
    /// With `accept`: what was filled in, by property: strings, numbers, booleans, arrays of strings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shape::AnyObject>")]
    pub content: Option<Json<'static>>,
}
