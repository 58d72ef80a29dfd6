//! Holds `docs/protocol.md` against the code: each type has a section that names its fields, and examples that are true.

use std::collections::BTreeMap;

use serde_json::Value;

use super::parse::{FrameLimits, client_frame};
use super::schema::protocol_schema;
use super::schema::tests::validator;
use super::{ClientMessage, ErrorCode, ServerFrame, ServerMessage, WarningCode};

const DOCS: &str = include_str!("../../docs/protocol.md");
const CLIENT: &str = "Client → server";
const SERVER: [&str; 2] = ["Server → client: session events", "Server → client: replies"];

/// The text under a `## ` heading.
fn chapter(name: &str) -> &'static str {
    let start = DOCS.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no chapter {name}")).1;
    start.split_once("\n## ").map_or(start, |(text, _)| text)
}

/// The sections of a chapter, by the type that is their heading.
fn sections(chapter_name: &str) -> BTreeMap<&'static str, &'static str> {
    let sections = chapter(chapter_name).split("\n### `").skip(1);
    sections.map(|section| section.split_once("`\n").expect("a heading is one type")).collect()
}

fn server_sections() -> BTreeMap<&'static str, &'static str> {
    SERVER.into_iter().flat_map(sections).collect()
}

/// The `json` blocks of a section.
fn examples(section: &str) -> Vec<Value> {
    let blocks = section.split("```json\n").skip(1);
    let texts = blocks.map(|block| block.split_once("\n```").expect("blocks are closed").0);
    texts.map(|text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))).collect()
}

fn sorted(kinds: &[&'static str]) -> Vec<&'static str> {
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable();
    kinds
}

#[test]
fn every_type_has_a_section_and_every_section_a_type() {
    assert_eq!(sections(CLIENT).into_keys().collect::<Vec<_>>(), sorted(ClientMessage::TYPES));
    assert_eq!(server_sections().into_keys().collect::<Vec<_>>(), sorted(ServerMessage::TYPES));
}

#[test]
fn every_client_example_is_one_of_its_type() {
    let validator = validator("ClientMessage");
    for (kind, section) in sections(CLIENT) {
        assert!(!examples(section).is_empty(), "{kind} has no example");
        for example in examples(section) {
            let frame = client_frame(&example.to_string(), &FrameLimits::default());
            let frame = frame.unwrap_or_else(|error| panic!("{example}: {error}"));
            assert_eq!(frame.message.kind(), kind);
            let errors: Vec<_> = validator.iter_errors(&example).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{example}: {errors:?}");
        }
    }
}

#[test]
fn every_server_example_is_one_of_its_type_and_survives_a_round() {
    let validator = validator("ServerMessage");
    for (kind, section) in server_sections() {
        assert!(!examples(section).is_empty(), "{kind} has no example");
        for example in examples(section) {
            let frame =
                ServerFrame::parse(&example.to_string()).unwrap_or_else(|error| panic!("{example}: {error}"));
            assert_eq!(frame.message.kind(), kind);
            assert_eq!(serde_json::to_value(&frame).expect("frames serialise"), example);
            let errors: Vec<_> = validator.iter_errors(&example).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{example}: {errors:?}");
        }
    }
}

#[test]
fn every_field_is_named_in_its_section() {
    let schema = protocol_schema();
    let common = ["type", "id", "session_id", "request_id", "seq", "timestamp"];
    let check = |side: &str, sections: BTreeMap<&str, &str>| {
        for definition in schema["$defs"].as_object().expect("definitions").values() {
            let title = definition["title"].as_str().unwrap_or_default();
            let Some(kind) = definition["properties"]["type"]["const"].as_str() else { continue };
            if !title.starts_with(side) {
                continue;
            }
            let fields = definition["properties"].as_object().expect("a message has properties").keys();
            for field in fields.filter(|field| !common.contains(&field.as_str())) {
                assert!(
                    sections[kind].contains(&format!("`{field}`")),
                    "{title}: `{field}` is not in the docs"
                );
            }
        }
    };
    check("Client", sections(CLIENT));
    check("Server", server_sections());
}

/// The names that an enum of codes has on the wire, from its schema.
fn codes<T: schemars::JsonSchema>() -> Vec<String> {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    variants.iter().filter_map(|variant| variant["const"].as_str().map(str::to_owned)).collect()
}

#[test]
fn every_code_has_a_row() {
    for (name, codes) in [("Error codes", codes::<ErrorCode>()), ("Warning codes", codes::<WarningCode>())] {
        assert!(codes.len() > 10, "{codes:?}");
        for code in codes {
            assert!(chapter(name).contains(&format!("\n| `{code}` |")), "{name}: {code}");
        }
    }
}
