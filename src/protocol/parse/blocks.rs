//! Content blocks: what of them must be right, so that no agent chokes on it.
//!
//! Claude Code passes a block on as it comes: one of the known kinds whose own field is not there makes 2.1.197 exit and lets
//! 2.1.330 wait for ever. One of a kind that the API does not know, or does not take from a user, stays in the conversation, and the API
//! refuses every later turn: so it is refused here, unless the operator knows that the API has more (`--allow-unknown-blocks`).

use serde_json::Value;
use serde_json::value::RawValue;

use super::path::{Invalid, quoted, read};

/// Where blocks hold others.
const INNER: &str = "content";

/// What the Messages API takes from a user.
const USERS: [&str; 6] = ["container_upload", "document", "image", "search_result", "text", "tool_result"];
/// What it takes within a `tool_result` besides.
const REFERENCE: &str = "tool_reference";

/// What becomes of blocks of other kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// They are passed on.
    Pass,
    /// They are refused.
    Refused,
}

/// Counts content blocks, each an object with a `type` and what the API wants of that type. `field` names the array.
pub(super) fn content_blocks(field: &str, json: &str, others: Others) -> Result<usize, Invalid> {
    let blocks: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|_| Invalid::new(field, "is not an array"))?;
    for (at, block) in blocks.iter().enumerate() {
        content_block(block.get(), others).map_err(|invalid| invalid.under(&format!("{field}[{at}]")))?;
    }
    Ok(blocks.len())
}

fn content_block(json: &str, others: Others) -> Result<(), Invalid> {
    typed(json)?;
    let block: Value = serde_json::from_str(json).map_err(|_| {
        Invalid::new("", "holds an escape that is no character, or a number that is too large")
    })?;
    if others == Others::Refused && block["type"] == REFERENCE {
        return Err(refused(REFERENCE));
    }
    known_block(&block, others)
}

/// An object that says its type.
fn typed(json: &str) -> Result<(), Invalid> {
    #[derive(serde::Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }

    if !json.starts_with('{') {
        return Err(Invalid::new("", "is not an object"));
    }
    let typed: Typed = read(json)?;
    if typed.kind.is_empty() { Err(Invalid::new("type", "is empty")) } else { Ok(()) }
}

/// Whether it is a block that the API takes from a user: a text that merely looks like one is left alone.
pub(crate) fn is_users_block(block: &Value) -> bool {
    block["type"].as_str().is_some_and(|kind| USERS.contains(&kind))
        && known_block(block, Others::Refused).is_ok()
}

fn known_block(block: &Value, others: Others) -> Result<(), Invalid> {
    match block["type"].as_str() {
        Some("text") => string(block, "text"),
        // A tool of the front end's may also give MCP's own form.
        Some("image") if others == Others::Pass && block["source"].is_null() && block["data"].is_string() => {
            string(block, "mimeType")
        }
        Some("image" | "document") => {
            source(&block["source"], others).map_err(|invalid| invalid.under("source"))
        }
        Some("search_result") => {
            string(block, "source")?;
            string(block, "title")?;
            list(block, INNER, others)
        }
        Some("tool_result") => {
            string(block, "tool_use_id")?;
            if block[INNER].is_null() || block[INNER].is_string() {
                Ok(())
            } else {
                list(block, INNER, others)
            }
        }
        Some("container_upload") => string(block, "file_id"),
        Some(REFERENCE) => string(block, "tool_name"),
        Some(other) if others == Others::Refused => Err(refused(other)),
        _ => Ok(()),
    }
}

fn refused(kind: &str) -> Invalid {
    let known = USERS.join(", ");
    let kind = quoted(kind);
    Invalid::new(
        "type",
        format!(
            "is {kind}, which the Messages API does not take from a user ({known}) and would refuse each later turn for; a server passes it on with --allow-unknown-blocks"
        ),
    )
}

/// Where an image or a document comes from.
fn source(source: &Value, others: Others) -> Result<(), Invalid> {
    match source {
        Value::Null => return Err(Invalid::new("", "is missing")),
        Value::Object(_) => string(source, "type")?,
        _ => return Err(Invalid::new("", "is not an object")),
    }
    match source["type"].as_str() {
        Some("base64" | "text") => {
            string(source, "media_type")?;
            string(source, "data")
        }
        Some("url") => string(source, "url"),
        Some("file") => string(source, "file_id"),
        Some(INNER) if source[INNER].is_string() => Ok(()),
        Some(INNER) => list(source, INNER, others),
        _ => Err(Invalid::new("type", "is not one of base64, content, file, text, url")),
    }
}

fn string(object: &Value, field: &str) -> Result<(), Invalid> {
    match &object[field] {
        Value::String(_) => Ok(()),
        Value::Null => Err(Invalid::new(field, "is missing")),
        _ => Err(Invalid::new(field, "is not a string")),
    }
}

/// Blocks within a block.
fn list(object: &Value, field: &str, others: Others) -> Result<(), Invalid> {
    let blocks = object[field].as_array().ok_or_else(|| Invalid::new(field, "is not an array"))?;
    for (at, block) in blocks.iter().enumerate() {
        let checked = if block.is_object() {
            string(block, "type").and_then(|()| known_block(block, others))
        } else {
            Err(Invalid::new("", "is not an object"))
        };
        checked.map_err(|invalid| invalid.under(&format!("{field}[{at}]")))?;
    }
    Ok(())
}
