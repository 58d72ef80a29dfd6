//! Events about permission prompts.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decision, Json, Subagent, shape};

/// How dangerous a tool call is held to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Reads.
    Low,
    /// Anything else.
    #[default]
    Medium,
    /// The agent itself flagged it.
    High,
}

/// What a person needs to decide.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PermissionContext<'a> {
    /// What the call does, in words.
    pub description: Cow<'a, str>,
    /// How dangerous it is held to be.
    pub risk_level: RiskLevel,
    /// The agent's suggestions of rules, as it made them: a menu, not a bundle.
    #[schemars(with = "Vec<shape::AgentRuleUpdate>")]
    pub suggestions: Vec<Json<'a>>,
    /// Why the agent asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The path that made the agent ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_path: Option<Cow<'a, str>>,
}

/// `permission_request` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionRequest<'a> {
    /// The tool.
    pub tool_name: Cow<'a, str>,
    /// The input it would run with.
    #[schemars(with = "shape::AnyObject")]
    pub tool_input: Json<'a>,
    /// The call.
    pub tool_use_id: Cow<'a, str>,
    /// Set on prompts of a subagent: the tool use that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Cow<'a, str>>,
    /// The subagent that asks, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Subagent<'a>>,
    /// What a person needs to decide.
    pub context: PermissionContext<'a>,
}

/// How a prompt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Allowed this once.
    Allow,
    /// Denied.
    Deny,
    /// Allowed for the session.
    AllowAlways,
    /// Nobody decided; the question went away.
    Cancelled,
}

impl From<Decision> for Resolution {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow => Self::Allow,
            Decision::Deny => Self::Deny,
            Decision::AllowAlways => Self::AllowAlways,
        }
    }
}

/// Who or what ended a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedBy {
    /// A client answered.
    Client,
    /// The turn was interrupted.
    Interrupt,
    /// The session ended.
    SessionEnded,
    /// `--permission-timeout` ran out.
    Timeout,
    /// The agent took it back, or died.
    Agent,
    /// An earlier `allow_always` covers it; of prompts only.
    Rule,
}

/// `permission_resolved` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionResolved<'a> {
    /// The `id` of the `permission_request`.
    pub permission_id: Cow<'a, str>,
    /// How it ended.
    pub decision: Resolution,
    /// Who ended it.
    pub reason: ResolvedBy,
}
