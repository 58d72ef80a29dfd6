//! Checks of single values, used by `body`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::FrameLimits;
use super::blocks::{Others, content_blocks};
use super::path::{Invalid, brief, quoted};
use crate::protocol::{Json, Position};

/// What a `session_start` says besides the options.
pub(super) fn position(position: &Position) -> Result<(), Invalid> {
    let least = Position::MIN_CONTENT_BYTES;
    match position.max_content_bytes {
        Some(bytes) if bytes < least => {
            Err(Invalid::new("max_content_bytes", format!("is less than {least}")))
        }
        _ => Ok(()),
    }
}

/// Checks that depend on limits.
pub(super) struct Checker<'l> {
    pub(super) limits: &'l FrameLimits,
}

impl Checker<'_> {
    pub(super) fn list<T>(&self, field: &str, list: &[T]) -> Result<(), Invalid> {
        let most = self.limits.list_entries;
        if list.len() > most { Err(too_many(field, most)) } else { Ok(()) }
    }

    /// Something with a name: not empty, of bounded length.
    pub(super) fn name(&self, field: &str, name: &str) -> Result<(), Invalid> {
        if name.is_empty() {
            return Err(Invalid::new(field, "is empty"));
        }
        longest(field, name, self.limits.name)
    }

    /// A path: a name that an operating system takes.
    pub(super) fn path(&self, field: &str, path: &str) -> Result<(), Invalid> {
        self.name(field, path)?;
        no_nul(field, path)
    }

    /// A name that ends up among a program's arguments, where it must not pass for a flag.
    pub(super) fn argument(&self, field: &str, argument: &str) -> Result<(), Invalid> {
        self.path(field, argument)?;
        if argument.starts_with('-') { Err(Invalid::new(field, "begins with `-`")) } else { Ok(()) }
    }

    pub(super) fn arguments(&self, field: &str, list: Option<&[String]>) -> Result<(), Invalid> {
        let list = list.unwrap_or_default();
        self.list(field, list)?;
        list.iter().enumerate().try_for_each(|(at, entry)| self.argument(&format!("{field}[{at}]"), entry))
    }

    pub(super) fn metadata(&self, metadata: &BTreeMap<String, String>) -> Result<(), Invalid> {
        if metadata.len() > self.limits.metadata_entries {
            return Err(too_many("metadata", self.limits.metadata_entries));
        }
        for (key, value) in metadata {
            longest("metadata", key, self.limits.metadata_key).map_err(|invalid| Invalid {
                problem: format!("has a key that {}", invalid.problem),
                ..invalid
            })?;
            longest("metadata", value, self.limits.metadata_value).map_err(|invalid| Invalid {
                problem: format!("has under {} a value that {}", quoted(key), invalid.problem),
                ..invalid
            })?;
        }
        Ok(())
    }
}

pub(super) fn too_many(field: &str, most: usize) -> Invalid {
    Invalid::new(field, format!("has more than {most} entries"))
}

pub(super) fn longest(field: &str, text: &str, most: usize) -> Result<(), Invalid> {
    match text.chars().nth(most) {
        Some(_) => Err(Invalid::new(field, format!("is longer than {most} characters"))),
        None => Ok(()),
    }
}

pub(super) fn no_nul(field: &str, text: &str) -> Result<(), Invalid> {
    if text.contains('\0') { Err(Invalid::new(field, "holds a NUL character")) } else { Ok(()) }
}

pub(super) fn absolute(field: &str, path: &str) -> Result<(), Invalid> {
    if path.starts_with('/') { Ok(()) } else { Err(Invalid::new(field, "is not an absolute path")) }
}

pub(super) fn max_turns(turns: Option<u32>) -> Result<(), Invalid> {
    match turns {
        None | Some(1..=1000) => Ok(()),
        Some(_) => Err(Invalid::new("max_turns", "is not between 1 and 1000")),
    }
}

/// A short name that people see.
pub(super) fn identifier(field: &str, name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::new(field, "is empty"));
    }
    longest(field, name, 128)?;
    if name.contains(char::is_control) {
        Err(Invalid::new(field, "holds a control character"))
    } else {
        Ok(())
    }
}

pub(super) fn tool_name(name: &str) -> Result<(), Invalid> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Invalid::new("name", "is not 1 to 64 of A-Z a-z 0-9 _ -"))
    }
}

/// `user_message.content`: a string or content blocks, and not nothing. `unknown`: blocks of types that are not known here may pass.
pub(super) fn user_content(content: &Json<'_>, unknown: bool) -> Result<(), Invalid> {
    let others = if unknown { Others::Pass } else { Others::Refused };
    let json = content.get();
    match json.as_bytes().first() {
        Some(b'"') if json == "\"\"" => Err(Invalid::new("content", "is empty")),
        Some(b'"') => characters(json),
        Some(b'[') if content_blocks("content", json, others)? == 0 => {
            Err(Invalid::new("content", "is empty"))
        }
        Some(b'[') => Ok(()),
        _ => Err(Invalid::new("content", "is neither a string nor an array of content blocks")),
    }
}

/// `tool_result.content`: as above, or an object of answers; a tool may well have nothing to say. Its blocks may be of MCP's kinds, too: what
/// the agent does not know of them fails the call, and nothing later.
pub(super) fn tool_content(content: &Json<'_>) -> Result<(), Invalid> {
    let json = content.get();
    match json.as_bytes().first() {
        Some(b'"') => characters(json),
        Some(b'[') => content_blocks("content", json, Others::Pass).map(|_| ()),
        Some(b'{') => Ok(()),
        _ => Err(Invalid::new("content", "is neither a string nor an array of content blocks nor an object")),
    }
}

/// What MCP takes for a filled-in form: an object of strings, numbers, booleans, and arrays of strings.
pub(super) fn flat(field: &str, content: &Json<'_>) -> Result<(), Invalid> {
    if !content.is_object() {
        return Err(Invalid::new(field, "is not an object"));
    }
    let fields: Map<String, Value> = content.to().map_err(|_| {
        Invalid::new(field, "holds an escape that is no character, or a number that is too large")
    })?;
    for (name, value) in &fields {
        let is_flat = match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => true,
            Value::Array(values) => values.iter().all(Value::is_string),
            Value::Null | Value::Object(_) => false,
        };
        if !is_flat {
            let problem =
                "is no string, number, boolean or array of strings; leave out what was not filled in";
            return Err(Invalid::new(format!("{field}.{}", brief(name)), problem));
        }
    }
    Ok(())
}

/// Refuses what is a JSON string but no text: half of a surrogate pair.
fn characters(token: &str) -> Result<(), Invalid> {
    if !token.contains("\\u") || serde_json::from_str::<String>(token).is_ok() {
        return Ok(());
    }
    Err(Invalid::new("content", "holds an escape that is no character"))
}
