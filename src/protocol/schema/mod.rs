//! The JSON Schema (draft 2020-12) of both directions, made from the Rust types.
//!
//! `$defs/ClientMessage` and `$defs/ServerMessage` are what one text frame may be: strict about types and required fields,
//! open to new fields. The committed form is `docs/protocol.schema.json`; a test fails when it is stale, and
//! `UPDATE_SCHEMA=1 cargo test --lib protocol::schema` writes it anew.

mod messages;
mod tidy;

#[cfg(test)]
pub(super) mod tests;

use serde_json::{Map, Value, json};

use crate::protocol::VERSION;

/// The schema as committed, for whoever serves it.
pub const PROTOCOL_SCHEMA: &str = include_str!("../../../docs/protocol.schema.json");

/// The schema, made anew.
pub fn protocol_schema() -> Value {
    let (client, mut client_types) = messages::client();
    let (server, server_types) = messages::server();
    let mut client = Value::Object(client);
    // A type that both directions know by one name but in two forms (what is optional to send is not to receive) gets
    // a name of its own on the client's side.
    for name in client_types.keys().cloned().collect::<Vec<_>>() {
        if server_types.get(&name).is_some_and(|other| *other != client_types[&name]) {
            let new = format!("{name}Input");
            tidy::rename(&mut client, &name, &new);
            client_types.values_mut().for_each(|schema| tidy::rename(schema, &name, &new));
            let schema = client_types.remove(&name).unwrap_or_default();
            client_types.insert(new, schema);
        }
    }
    let client = if let Value::Object(client) = client { client } else { Map::new() };

    let mut definitions = Map::new();
    definitions.insert("ClientMessage".to_owned(), one_of("Any frame that a client may send.", &client));
    definitions.insert("ServerMessage".to_owned(), one_of("Any frame that the server may send.", &server));
    definitions.extend(client);
    definitions.extend(server);
    definitions.extend(client_types);
    definitions.extend(server_types);
    definitions.values_mut().for_each(tidy::strip);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("claude-ws wire protocol, version {VERSION}"),
        "description": "One text frame of the WebSocket, in either direction. Validate against `#/$defs/ClientMessage` \
            or `#/$defs/ServerMessage`. Unknown fields are allowed and ignored.",
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": definitions,
    })
}

fn one_of(description: &str, messages: &Map<String, Value>) -> Value {
    let references: Vec<_> = messages.keys().map(|name| json!({"$ref": format!("#/$defs/{name}")})).collect();
    json!({"description": description, "oneOf": references})
}
