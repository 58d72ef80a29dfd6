//! Filled-in forms of elicitations, held against their schema.
//!
//! The agent passes on whatever it is given. What is plainly not what was asked for (a missing property, another type, another choice) is
//! refused here, so that the person can correct it; finer rules (lengths, formats, ranges) are the server's to hold.

use serde_json::{Map, Value};

use crate::protocol::Json;
use crate::session::words;

/// What of `content` does not fit, as a sentence for the client; `None`: it may be sent.
pub(super) fn misfit(schema: Option<&Json<'_>>, content: &Json<'_>) -> Option<String> {
    let Ok(content) = content.to::<Map<String, Value>>() else {
        return Some("`content` is not an object".to_owned());
    };
    let schema: Value = schema.and_then(|schema| schema.to().ok()).unwrap_or_default();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !content.contains_key(name) {
            return Some(format!("`content` lacks {}, which the form requires", words::quoted(name)));
        }
    }
    let problem = |(name, value): (&String, &Value)| {
        let problem = problem_of(&schema["properties"][name], value)?;
        Some(format!("`content`: {} {problem}", words::quoted(name)))
    };
    content.iter().find_map(problem)
}

/// What is wrong with a value, as the end of a sentence. What the schema does not say is not held against it.
fn problem_of(property: &Value, value: &Value) -> Option<&'static str> {
    let expected = match &property["type"] {
        Value::String(kind) => Some(kind.as_str()),
        _ => None,
    };
    let wrong = match expected {
        Some("string") if !value.is_string() => "is not a string",
        Some("number") if !value.is_number() => "is not a number",
        Some("integer") if !is_whole(value) => "is not a whole number",
        Some("boolean") if !value.is_boolean() => "is not a boolean",
        Some("array") if !value.is_array() => "is not an array",
        _ => "",
    };
    if !wrong.is_empty() {
        return Some(wrong);
    }
    let is_offered = match value.as_array() {
        Some(values) => values.iter().all(|value| offers(&property["items"], value)),
        None => offers(property, value),
    };
    if is_offered { None } else { Some("is not one of the choices") }
}

/// Whether the choices have that value; where there are none, any will do.
fn offers(property: &Value, value: &Value) -> bool {
    if let Some(choices) = property["enum"].as_array() {
        return choices.contains(value);
    }
    let titled = property["oneOf"].as_array().or_else(|| property["anyOf"].as_array());
    titled.is_none_or(|choices| {
        choices.iter().any(|choice| choice.get("const").is_none_or(|choice| choice == value))
    })
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_passes_and_what_does_not_is_named() {
        let schema = json!({"type":"object","required":["name"],"properties":{
            "name":{"type":"string"},"age":{"type":"integer","minimum":1},"share":{"type":"number"},"ok":{"type":"boolean"},
            "pet":{"type":"string","enum":["cat","dog"]},
            "hero":{"type":"string","oneOf":[{"const":"h1","title":"One"},{"const":"h2","title":"Two"}]},
            "fish":{"type":"array","items":{"anyOf":[{"const":"f1","title":"Tuna"}]}},
            "plain":{"type":"array","items":{"type":"string","enum":["a","b"]}},
            "loose":{"type":["string","null"]}}});
        let schema = Json::of(&schema).unwrap();
        let check = |content: Value| misfit(Some(&schema), &Json::of(&content).unwrap());
        let all = json!({"name":"x","age":3.0,"share":1,"ok":false,"pet":"cat","hero":"h2","fish":["f1"],
            "plain":["a","b"],"loose":"y","unknown":true});
        assert_eq!(check(all), None);
        for (content, problem) in [
            (json!({}), "lacks \"name\""),
            (json!({"name":1}), "\"name\" is not a string"),
            (json!({"name":"x","age":1.5}), "\"age\" is not a whole number"),
            (json!({"name":"x","share":"1"}), "\"share\" is not a number"),
            (json!({"name":"x","ok":"yes"}), "\"ok\" is not a boolean"),
            (json!({"name":"x","pet":"cow"}), "\"pet\" is not one of the choices"),
            (json!({"name":"x","hero":"One"}), "\"hero\" is not one of the choices"),
            (json!({"name":"x","fish":"f1"}), "\"fish\" is not an array"),
            (json!({"name":"x","fish":["f2"]}), "\"fish\" is not one of the choices"),
            (json!({"name":"x","plain":["a","c"]}), "\"plain\" is not one of the choices"),
        ] {
            let said = check(content).unwrap_or_default();
            assert!(said.contains(problem), "{said}: not {problem}");
        }
    }

    #[test]
    fn a_schema_that_says_nothing_takes_anything() {
        let content = Json::of(&json!({"x":1})).unwrap();
        assert_eq!(misfit(None, &content), None);
        for odd in [json!({"properties":7,"required":"x"}), json!({"properties":{"x":[]}})] {
            assert_eq!(misfit(Some(&Json::of(&odd).unwrap()), &content), None);
        }
    }
}
