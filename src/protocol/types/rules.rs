//! Changes of a session's permission rules, in the agent's own form.

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::{PermissionMode, read};

/// One change of a session's permission rules, in the agent's own form.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum RuleUpdate {
    /// Adds rules.
    AddRules(RuleSet),
    /// Replaces all rules of that behavior.
    ReplaceRules(RuleSet),
    /// Removes rules.
    RemoveRules(RuleSet),
    /// Sets the permission mode.
    SetMode {
        /// The mode.
        mode: PermissionMode,
    },
    /// Adds working directories.
    AddDirectories {
        /// Absolute paths.
        directories: Vec<String>,
    },
    /// Removes working directories that were added.
    RemoveDirectories {
        /// Absolute paths.
        directories: Vec<String>,
    },
}

/// Rules of one behavior.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSet {
    /// The rules.
    #[serde(deserialize_with = "read::objects")]
    pub rules: Vec<Rule>,
    /// What they say.
    #[serde(default, deserialize_with = "read::or_default")]
    pub behavior: RuleBehavior,
}

/// One permission rule: a tool, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `Bash`, `Read`, `mcp__server__tool` …
    #[serde(alias = "tool_name")]
    pub tool_name: String,
    /// `git:*`, a path pattern …; absent: the whole tool.
    #[serde(default, alias = "rule_content", skip_serializing_if = "Option::is_none")]
    pub rule_content: Option<String>,
}

/// What a rule says.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RuleBehavior {
    /// Without asking.
    #[default]
    Allow,
    /// Never.
    Deny,
    /// Always ask.
    Ask,
}

/// By hand, so that an error names the very field (serde's tagged enums lose the path).
impl<'de> Deserialize<'de> for RuleUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        enum Kind {
            AddRules,
            ReplaceRules,
            RemoveRules,
            SetMode,
            AddDirectories,
            RemoveDirectories,
        }

        #[derive(Deserialize)]
        struct Fields {
            #[serde(rename = "type")]
            kind: Kind,
            #[serde(default, deserialize_with = "read::optional_objects")]
            rules: Option<Vec<Rule>>,
            behavior: Option<RuleBehavior>,
            mode: Option<PermissionMode>,
            directories: Option<Vec<String>>,
        }

        fn rules<E: Error>(fields: Fields) -> Result<RuleSet, E> {
            let rules = fields.rules.ok_or_else(|| E::missing_field("rules"))?;
            Ok(RuleSet { rules, behavior: fields.behavior.unwrap_or_default() })
        }

        fn directories<E: Error>(fields: Fields) -> Result<Vec<String>, E> {
            fields.directories.ok_or_else(|| E::missing_field("directories"))
        }

        let fields: Fields = read::object(deserializer)?;
        Ok(match fields.kind {
            Kind::AddRules => Self::AddRules(rules(fields)?),
            Kind::ReplaceRules => Self::ReplaceRules(rules(fields)?),
            Kind::RemoveRules => Self::RemoveRules(rules(fields)?),
            Kind::SetMode => {
                Self::SetMode { mode: fields.mode.ok_or_else(|| D::Error::missing_field("mode"))? }
            }
            Kind::AddDirectories => Self::AddDirectories { directories: directories(fields)? },
            Kind::RemoveDirectories => Self::RemoveDirectories { directories: directories(fields)? },
        })
    }
}
