//! The script's shape: what a demo-script file may say (`docs/demo-script.md` is its manual).
//!
//! Plain data, checked once when it is read; nothing here knows HTTP or the Messages API.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value, from_value};

use super::text::Pattern;

/// A whole script: rules that are tried from top to bottom, and what is said when none fits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What `{script}` stands for in texts.
    #[serde(default = "default_name")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) pace: Pace,
    pub(super) rules: Vec<Rule>,
    /// Plays when no rule fits.
    pub(super) default: Rule,
}

/// How fast text is streamed.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pace {
    /// Characters in one delta; never splits a character. 0 is taken as 1.
    pub(super) chunk: Option<usize>,
    /// Milliseconds of silence before each delta but the first.
    pub(super) delay_ms: Option<u64>,
}

impl Pace {
    /// This pace, with what it leaves open taken from `outer`.
    pub(super) fn or(self, outer: Self) -> Self {
        Self { chunk: self.chunk.or(outer.chunk), delay_ms: self.delay_ms.or(outer.delay_ms) }
    }
}

/// What the user may say, and the model's turns that answer it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default)]
    pub(super) when: OneOrMany<Matcher>,
    /// One line for `{help}`; rules without it are not listed.
    pub(super) help: Option<String>,
    /// Turn n answers after n tool rounds; the last turn done, the model says "Done.".
    pub(super) turns: Vec<Turn>,
    /// Begin again with the first turn instead (only a limit such as `max_turns` ends that).
    #[serde(default)]
    pub(super) repeat: bool,
}

/// When a rule applies.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Matcher {
    /// The whole text, less outer white space, whatever its ASCII case.
    Equals(String),
    /// Somewhere in the text, whatever its ASCII case.
    Contains(String),
    /// Literal text with `{name}` captures.
    Pattern(Pattern),
    /// The message holds at least this many images.
    Images(usize),
}

/// One answer of the model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    #[serde(default)]
    pub(super) blocks: Vec<Block>,
    pub(super) stop_reason: Option<String>,
    pub(super) usage: Option<Usage>,
    /// Milliseconds of silence before the first byte of the answer.
    #[serde(default)]
    pub(super) wait_ms: u64,
    /// Answer with this error instead (for good, or `times` times).
    pub(super) error: Option<ApiError>,
    /// After the blocks (or, without blocks, before anything at all): silence until the client leaves.
    #[serde(default)]
    pub(super) hang: bool,
    /// The stream of the answer does not come to its end.
    #[serde(rename = "break")]
    pub(super) breaks: Option<Break>,
}

/// Where and how an answer's stream breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Break {
    /// In this block (from 0); none: in the last one.
    pub(super) block: Option<usize>,
    /// After so many of its deltas; none: when it is finished, and before anything else comes.
    pub(super) deltas: Option<usize>,
    #[serde(default)]
    pub(super) how: Ending,
    /// So many answers to the same request break; the next one is whole.
    #[serde(default = "once")]
    pub(super) times: u32,
}

/// What a client sees of a broken stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ending {
    /// The connection is cut.
    #[default]
    Cut,
    /// An `error` event (`overloaded_error`), then the orderly end of the body.
    Error,
    /// The stream is whole, and says `tool_use` although no tool is called.
    NoCall,
}

fn once() -> u32 {
    1
}

/// One content block of an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Block {
    Text {
        text: String,
        /// How often the text is said; `{n}` in it counts from 1. A number, or a template that gives one.
        repeat: Option<Count>,
        chunk: Option<usize>,
        delay_ms: Option<u64>,
    },
    Thinking {
        thinking: String,
        chunk: Option<usize>,
        delay_ms: Option<u64>,
    },
    ToolUse {
        /// The first of these that the agent offers (else the first).
        name: OneOrMany<String>,
        #[serde(default)]
        input: Value,
        /// A template that gives the input as JSON text, instead of `input`.
        input_json: Option<String>,
        /// A template that gives the call's id, instead of one of its own.
        id: Option<String>,
    },
    /// A template that gives `{"name":…,"input":{…}}`, or an array of those, as JSON text.
    ToolCalls {
        json: String,
    },
}

/// A number, or a template that gives one.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Count {
    Fixed(usize),
    Template(String),
}

/// Token counts that the answer reports.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Usage {
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
}

/// An error answer of the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiError {
    /// HTTP status, 400–599.
    pub(super) status: u16,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) message: String,
    /// After this many errors for the same request the blocks are played.
    pub(super) times: Option<u32>,
    /// Seconds that the client is told to wait before it tries again.
    pub(super) retry_after: Option<u32>,
}

/// A value, or a list of values.
#[derive(Debug, Clone)]
pub(super) enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

/// Not `#[serde(untagged)]`, whose errors do not say what is wrong.
impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_array() { from_value(value).map(Self::Many) } else { from_value(value).map(Self::One) }
            .map_err(D::Error::custom)
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::Many(many) => many,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

/// Why a script was not taken. The text names the place.
#[derive(Debug, thiserror::Error)]
#[error("demo script: {0}")]
pub struct ScriptError(String);

impl ScriptError {
    fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

fn default_name() -> String {
    "demo".into()
}

impl Script {
    /// Reads and checks a script.
    pub fn from_json(json: &str) -> Result<Self, ScriptError> {
        let script: Self = serde_json::from_str(json).map_err(ScriptError::new)?;
        for (index, rule) in script.rules.iter().enumerate() {
            if rule.when.as_slice().is_empty() {
                return Err(ScriptError::new(format_args!(
                    "rules[{index}] has no `when`; it would never play"
                )));
            }
            rule.check().map_err(|what| ScriptError::new(format_args!("rules[{index}]: {what}")))?;
        }
        script.default.check().map_err(|what| ScriptError::new(format_args!("default: {what}")))?;
        Ok(script)
    }

    /// The script that `--demo` plays: something for each message of the protocol; `help` lists it.
    ///
    /// # Panics
    /// Never: a test reads the same constant.
    pub fn builtin() -> Self {
        Self::from_json(include_str!("builtin.json")).expect("the built-in script is checked by a test")
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        if self.turns.is_empty() {
            return Err("`turns` is empty".into());
        }
        for (index, turn) in self.turns.iter().enumerate() {
            turn.check().map_err(|what| format!("turns[{index}]: {what}"))?;
        }
        Ok(())
    }
}

impl Turn {
    fn check(&self) -> Result<(), String> {
        if let Some(error) = &self.error {
            if !(400..=599).contains(&error.status) {
                return Err(format!("error.status {} is not between 400 and 599", error.status));
            }
            if error.times.is_some() && self.blocks.is_empty() {
                return Err("error.times needs `blocks` to play afterwards".into());
            }
        } else if self.blocks.is_empty() && !self.hang {
            return Err("one of `blocks`, `error` or `hang` is needed".into());
        }
        if let Some(Break { block, .. }) = self.breaks
            && block.unwrap_or(0) >= self.blocks.len()
        {
            return Err("break.block names no block of this turn".into());
        }
        for (index, block) in self.blocks.iter().enumerate() {
            if let Block::ToolUse { name, input, input_json, .. } = block {
                if name.as_slice().is_empty() {
                    return Err(format!("blocks[{index}].name is empty"));
                }
                if input_json.is_some() && !input.is_null() {
                    return Err(format!("blocks[{index}]: either `input` or `input_json`"));
                }
                if !input.is_null() && !input.is_object() {
                    return Err(format!("blocks[{index}].input is not an object"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_script_is_valid() {
        let script = Script::builtin();
        assert!(script.rules.iter().filter(|rule| rule.help.is_some()).count() > 15);
    }

    #[test]
    fn errors_name_the_place() {
        let message = |json: &str| Script::from_json(json).unwrap_err().to_string();
        let default = r#""default":{"turns":[{"hang":true}]}"#;
        assert!(message("{").contains("line 1"));
        assert!(message(r#"{"rules":[]}"#).contains("default"));
        assert!(message(&format!(r#"{{"rules":[],"nonsense":1,{default}}}"#)).contains("nonsense"));
        assert!(
            message(&format!(r#"{{"rules":[{{"turns":[{{"hang":true}}]}}],{default}}}"#))
                .contains("rules[0]")
        );
        let empty =
            format!(r#"{{"rules":[{{"when":{{"equals":"a"}},"turns":[{{"hang":true}},{{}}]}}],{default}}}"#);
        assert!(message(&empty).contains("rules[0]: turns[1]"));
        let status =
            r#"{"rules":[],"default":{"turns":[{"error":{"status":200,"type":"x","message":"y"}}]}}"#;
        assert!(message(status).contains("400 and 599"));
    }

    #[test]
    fn a_pattern_is_checked_when_it_is_read() {
        let script = r#"{"rules":[{"when":{"pattern":"{a}{b}"},"turns":[{"hang":true}]}],
            "default":{"turns":[{"hang":true}]}}"#;
        assert!(Script::from_json(script).unwrap_err().to_string().contains("pattern"));
    }
}
