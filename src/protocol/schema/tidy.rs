//! Small changes to schemas after schemars has made them.

use serde_json::{Value, json};

/// Makes every reference to `$defs/old` one to `$defs/new`.
pub(super) fn rename(schema: &mut Value, old: &str, new: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = fields.get_mut("$ref")
                && reference.as_str().and_then(|path| path.strip_prefix("#/$defs/")) == Some(old)
            {
                *reference = Value::String(format!("#/$defs/{new}"));
            }
            fields.values_mut().for_each(|value| rename(value, old, new));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, old, new)),
        _ => {}
    }
}

/// Takes `null` out of what may stand in optional fields: the server leaves absent what is not there.
pub(super) fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Lets `null` stand in every optional field: for a client it is a way to say "absent".
pub(super) fn with_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let required = fields.get("required").cloned().unwrap_or_default();
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                let is_required = |name: &str| {
                    required.as_array().is_some_and(|names| names.iter().any(|known| known == name))
                };
                let optional =
                    properties.iter_mut().filter(|(name, _)| *name != "type" && !is_required(name));
                optional.for_each(|(_, property)| make_nullable(property));
            }
            fields.values_mut().for_each(with_null);
        }
        Value::Array(values) => values.iter_mut().for_each(with_null),
        _ => {}
    }
}

fn make_nullable(property: &mut Value) {
    let Value::Object(fields) = property else { return };
    let nothing = json!({"type": "null"});
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        if !choices.contains(&nothing) {
            choices.push(nothing);
        }
    } else if let Some(reference) = fields.remove("$ref") {
        fields.insert("anyOf".to_owned(), json!([{"$ref": reference}, nothing]));
    } else if let Some(Value::String(name)) = fields.get("type") {
        let types = json!([name, "null"]);
        fields.insert("type".to_owned(), types);
    }
}

/// Takes out what says nothing: `format` of Rust's integers, `default: null`, and defaults that only mirror `serde(default)`.
pub(super) fn strip(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let rust = |format: &Value| {
                matches!(
                    format.as_str(),
                    Some("uint" | "uint8" | "uint16" | "uint32" | "uint64" | "int32" | "int64" | "double")
                )
            };
            if fields.get("format").is_some_and(rust) {
                fields.remove("format");
            }
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                // Links of rustdoc.
                *text = text.replace("[`", "`").replace("`]", "`");
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}
