//! Messages against `docs/protocol.schema.json`.

use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::Value;

/// What the schema finds wrong with a message of the server's.
pub(super) fn problem(message: &Value) -> Option<String> {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    static VALIDATORS: Mutex<Option<HashMap<String, &'static Validator>>> = Mutex::new(None);
    let schema = SCHEMA.get_or_init(|| {
        serde_json::from_str(include_str!("../../../docs/protocol.schema.json")).expect("the schema is JSON")
    });
    let name = definition(message["type"].as_str()?);
    if schema["$defs"][&name].is_null() {
        return Some(format!("there is no definition {name}"));
    }
    let validator = *VALIDATORS.lock().get_or_insert_default().entry(name).or_insert_with_key(|name| {
        let mut one = schema.clone();
        one.as_object_mut().expect("an object").retain(|key, _| key.starts_with('$'));
        one["$ref"] = format!("#/$defs/{name}").into();
        // Once a type, for as long as the tests run.
        Box::leak(Box::new(jsonschema::validator_for(&one).expect("a valid schema")))
    });
    validator.validate(message).err().map(|error| format!("{error} at {}", error.instance_path()))
}

/// `assistant_message_start` → `ServerAssistantMessageStart`.
fn definition(kind: &str) -> String {
    let mut name = "Server".to_owned();
    for word in kind.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}
