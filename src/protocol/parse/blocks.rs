//! Content blocks: what of them must be right, so that no agent chokes on it.
//!
//! Claude Code passes a block on as it comes: one of the known kinds whose own field is not there makes 2.1.197 exit and lets
//! 2.1.330 wait for ever. Kinds that are not known here are not looked into: tomorrow's API has more.

use serde_json::Value;
use serde_json::value::RawValue;

use super::path::{Invalid, read};

/// Where blocks hold others.
const INNER: &str = "content";

/// Counts content blocks, each an object with a `type` and what the API wants of that type. `field` names the array.
pub(super) fn content_blocks(field: &str, json: &str) -> Result<usize, Invalid> {
    let blocks: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|_| Invalid::new(field, "is not an array"))?;
    for (at, block) in blocks.iter().enumerate() {
        content_block(block.get()).map_err(|invalid| invalid.under(&format!("{field}[{at}]")))?;
    }
    Ok(blocks.len())
}

fn content_block(json: &str) -> Result<(), Invalid> {
    typed(json)?;
    let block: Value = serde_json::from_str(json).map_err(|_| {
        Invalid::new("", "holds an escape that is no character, or a number that is too large")
    })?;
    known_block(&block)
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
    let kinds = ["text", "image", "document", "search_result", "tool_result"];
    block["type"].as_str().is_some_and(|kind| kinds.contains(&kind)) && known_block(block).is_ok()
}

fn known_block(block: &Value) -> Result<(), Invalid> {
    match block["type"].as_str() {
        Some("text") => string(block, "text"),
        // A tool of the front end's may also give MCP's own form.
        Some("image") if block["source"].is_null() && block["data"].is_string() => string(block, "mimeType"),
        Some("image" | "document") => source(&block["source"]).map_err(|invalid| invalid.under("source")),
        Some("search_result") => {
            string(block, "source")?;
            string(block, "title")?;
            list(block, INNER)
        }
        Some("tool_result") => {
            string(block, "tool_use_id")?;
            if block[INNER].is_null() || block[INNER].is_string() { Ok(()) } else { list(block, INNER) }
        }
        _ => Ok(()),
    }
}

/// Where an image or a document comes from.
fn source(source: &Value) -> Result<(), Invalid> {
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
        Some(INNER) => list(source, INNER),
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
fn list(object: &Value, field: &str) -> Result<(), Invalid> {
    let blocks = object[field].as_array().ok_or_else(|| Invalid::new(field, "is not an array"))?;
    for (at, block) in blocks.iter().enumerate() {
        let checked = if block.is_object() {
            string(block, "type").and_then(|()| known_block(block))
        } else {
            Err(Invalid::new("", "is not an object"))
        };
        checked.map_err(|invalid| invalid.under(&format!("{field}[{at}]")))?;
    }
    Ok(())
}
