//! Shapes of JSON that is passed on as it is: never built, only named in the schema.

#![expect(dead_code, reason = "only the schemas are used")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

/// Any JSON object.
pub(super) type AnyObject = BTreeMap<String, Value>;

/// A content block of the Messages API: `text`, `image`, `document` …; its other fields are the API's.
#[derive(JsonSchema)]
pub(super) struct ContentBlock {
    /// What kind of block it is.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    kind: String,
}

/// What a user says: text, or content blocks. A string that holds a JSON array of blocks counts as those blocks.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(super) enum Content {
    /// Text.
    Text(#[schemars(length(min = 1))] String),
    /// Content blocks.
    Blocks(#[schemars(length(min = 1))] Vec<ContentBlock>),
}

/// What a client says about a tool: its result, or the answers to a question.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(super) enum ToolContent {
    /// Text.
    Text(String),
    /// Content blocks.
    Blocks(Vec<ContentBlock>),
    /// Answers to an `AskUserQuestion`, by question.
    Answers(AnyObject),
}

/// A change of permission rules in the agent's own form (`addRules`, `addDirectories`, `setMode` …).
#[derive(JsonSchema)]
pub(super) struct AgentRuleUpdate {
    /// What kind of change it is.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    kind: String,
}
