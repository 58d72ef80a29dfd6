//! What the CLI asks for beside the conversation: titles, summaries, small judgements.
//!
//! They get something harmless that fits, and no rule is played for them.

use serde_json::{Value, json};

use super::{asked::Asked, text::contains_ignore_case};

/// How the CLI asks for the summary of a conversation, tools and all.
const COMPACTION: &str = "your task is to create a detailed summary";
/// What a user may write after `/compact` that rules of the script answer (an error, silence).
const BY_RULE: [&str; 2] = ["stall the summary", "refuse the summary"];
/// What stands for any text.
const ANY_TEXT: &str = "Demo";

/// The answer, if this is such a request: it has no tools, or a schema to follow, or wants a summary.
pub(super) fn answer(asked: &Asked) -> Option<String> {
    if let Some(schema) = &asked.schema {
        return Some(sample(schema, 8).to_string());
    }
    let by_rule = BY_RULE.iter().any(|words| contains_ignore_case(&asked.user_text, words));
    if asked.user_text.len() > 1000 && contains_ignore_case(&asked.user_text, COMPACTION) && !by_rule {
        return Some("<summary>\nThe user tried the scripted model.\n</summary>".into());
    }
    asked.tools.is_empty().then(|| ANY_TEXT.into())
}

/// The simplest value that a schema allows, for the parts of JSON Schema that the CLI uses.
fn sample(schema: &Value, depth: usize) -> Value {
    if let Some(first) = schema["enum"].get(0).or_else(|| schema.get("const")) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") if depth > 0 => {
            let fields = schema["properties"].as_object();
            let filled =
                fields.into_iter().flatten().map(|(key, field)| (key.clone(), sample(field, depth - 1)));
            Value::Object(filled.collect())
        }
        Some("object") => json!({}),
        Some("array") => json!([]),
        Some("boolean") => json!(false),
        Some("number" | "integer") => json!(0),
        Some("null") => Value::Null,
        _ => json!(ANY_TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(user_text: &str) -> Asked {
        Asked { user_text: user_text.into(), tools: vec!["Bash".into()], ..Asked::default() }
    }

    #[test]
    fn a_conversation_is_none() {
        assert_eq!(answer(&asked("hello")), None);
    }

    #[test]
    fn a_schema_is_followed() {
        let schema = json!({"type": "object", "properties": {
            "title": {"type": "string"}, "ok": {"type": "boolean"}, "kind": {"enum": ["x"]}}});
        let answered = answer(&Asked { schema: Some(schema), ..asked("hello") });
        assert_eq!(answered.unwrap(), r#"{"kind":"x","ok":false,"title":"Demo"}"#);
    }

    #[test]
    fn a_compaction_gets_a_summary() {
        let long = format!("{}Your task is to create a detailed summary of it.", "x".repeat(1000));
        assert!(answer(&asked(&long)).unwrap().contains("<summary>"));
        assert_eq!(answer(&asked("Your task is to create a detailed summary")), None);
    }
}
