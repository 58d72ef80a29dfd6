//! Whether a client tool's `input_schema` is a JSON Schema that a model's API will take.
//!
//! A bad one is found out only when the first turn fails, for ever: so it is refused at `session_start`. Checked is the
//! structure (draft 2020-12, the keywords that shape a schema), not every rule of every vocabulary.

use serde_json::Value;

use super::path::{Invalid, quoted};
use crate::protocol::Json;

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Checks a tool's schema: an object schema with `"type": "object"`.
pub(super) fn check(schema: &Json<'_>) -> Result<(), Invalid> {
    if !schema.is_object() {
        return Err(Invalid::new("", "is not an object"));
    }
    let value: Value = super::path::read(schema.get())?;
    if value.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Invalid::new("type", "is not \"object\""));
    }
    // The Messages API takes these anywhere but here.
    if let Some(keyword) =
        ["anyOf", "oneOf", "allOf"].into_iter().find(|keyword| value.get(keyword).is_some())
    {
        return Err(Invalid::new(keyword, "cannot stand at the top of a tool's schema"));
    }
    self::schema(&value)
}

/// Recursion is bounded: the frame's depth was checked before.
fn schema(value: &Value) -> Result<(), Invalid> {
    let fields = match value {
        Value::Bool(_) => return Ok(()),
        Value::Object(fields) => fields,
        _ => return Err(Invalid::new("", "is not a schema (an object or a boolean)")),
    };
    for (keyword, value) in fields {
        let checked = match keyword.as_str() {
            "type" => types(value),
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                schemas_by_name(value)
            }
            "items"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "unevaluatedItems"
            | "contains"
            | "propertyNames"
            | "not"
            | "if"
            | "then"
            | "else" => schema(value),
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => schemas(value),
            "required" => names(value),
            "enum" => kind(value.is_array(), "an array"),
            "pattern" | "$ref" | "$id" | "title" | "description" | "format" => {
                kind(value.is_string(), "a string")
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                kind(value.is_u64(), "a whole number, 0 or more")
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                kind(value.is_number(), "a number")
            }
            "uniqueItems" => kind(value.is_boolean(), "a boolean"),
            _ => Ok(()),
        };
        checked.map_err(|invalid| invalid.under(keyword))?;
    }
    Ok(())
}

fn kind(is: bool, what: &str) -> Result<(), Invalid> {
    if is { Ok(()) } else { Err(Invalid::new("", format!("is not {what}"))) }
}

fn types(value: &Value) -> Result<(), Invalid> {
    let one = |value: &Value| match value.as_str() {
        Some(name) if TYPES.contains(&name) => Ok(()),
        Some(name) => Err(Invalid::new("", format!("names the unknown type {}", quoted(name)))),
        None => Err(Invalid::new("", "is not a type's name")),
    };
    match value {
        Value::Array(several) if several.is_empty() => Err(Invalid::new("", "is empty")),
        Value::Array(several) => several.iter().try_for_each(one),
        value => one(value),
    }
}

fn schemas_by_name(value: &Value) -> Result<(), Invalid> {
    let Value::Object(fields) = value else { return kind(false, "an object") };
    fields.iter().try_for_each(|(name, value)| schema(value).map_err(|invalid| invalid.under(name)))
}

fn schemas(value: &Value) -> Result<(), Invalid> {
    match value {
        Value::Array(several) if !several.is_empty() => several
            .iter()
            .enumerate()
            .try_for_each(|(at, value)| schema(value).map_err(|invalid| invalid.under(&format!("[{at}]")))),
        _ => kind(false, "an array of schemas"),
    }
}

fn names(value: &Value) -> Result<(), Invalid> {
    let strings = value.as_array().is_some_and(|names| names.iter().all(Value::is_string));
    kind(strings, "an array of names")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::protocol::Json;

    fn verdict(schema: &str) -> String {
        let schema = Json::parse(schema.to_owned()).expect("test schemas are JSON");
        check(&schema).map_or_else(|invalid| invalid.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn good_schemas_pass() {
        for schema in [
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{},"required":[]}"#,
            r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,
                "properties":{"a":{"type":["string","null"],"minLength":1},"b":{"anyOf":[{"type":"integer"},true]},
                "c":{"type":"array","items":{"$ref":"#/$defs/x"}}},"required":["a"],"$defs":{"x":{"enum":[1,"a"]}},"x-own":7}"##,
        ] {
            assert_eq!(verdict(schema), "ok", "{schema}");
        }
    }

    #[test]
    fn bad_schemas_are_named_by_path() {
        for (schema, expected) in [
            ("[]", "the frame: is not an object"),
            ("{}", "`type` is not \"object\""),
            (r#"{"type":"string"}"#, "`type` is not \"object\""),
            (r#"{"type":"object","oneOf":[{}]}"#, "`oneOf` cannot stand at the top of a tool's schema"),
            (r#"{"type":"object","properties":[]}"#, "`properties` is not an object"),
            (
                r#"{"type":"object","properties":{"a":{"type":"strin"}}}"#,
                "`properties.a.type` names the unknown type \"strin\"",
            ),
            (r#"{"type":"object","required":"a"}"#, "`required` is not an array of names"),
            (
                r#"{"type":"object","properties":{"a":{"anyOf":[{},3]}}}"#,
                "`properties.a.anyOf[1]` is not a schema (an object or a boolean)",
            ),
        ] {
            assert_eq!(verdict(schema), expected, "{schema}");
        }
    }
}
