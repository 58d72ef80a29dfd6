//! Recorded streams, and the events they give. `INSTA_UPDATE=always cargo test golden` writes them anew.

use std::path::Path;

use serde_json::{Value, json};

use super::recorder::{Recorder, convert};
use crate::protocol::encode::{Encoder, Header};
use crate::protocol::schema::protocol_schema;
use crate::protocol::{MessageId, ServerMessage};

fn schema_of_server_messages() -> jsonschema::Validator {
    let mut schema = protocol_schema();
    schema.as_object_mut().expect("an object").remove("anyOf");
    schema["$ref"] = json!("#/$defs/ServerMessage");
    jsonschema::draft202012::new(&schema).expect("a valid schema")
}

/// As they go out to clients.
fn frames(recorder: &Recorder) -> Vec<Value> {
    let mut encoder = Encoder::new("recorded");
    let mut seq = 0;
    let mut frame = |(id, message): &(MessageId, ServerMessage<'_>)| {
        seq += 1;
        let header = Header { id: (*id).into(), request_id: Some("a"), seq: Some(seq), timestamp: Some(1) };
        serde_json::from_str(&encoder.encode(&header, message)).expect("JSON")
    };
    recorder.events.iter().map(&mut frame).collect()
}

#[test]
fn recorded_streams_give_the_golden_events() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let schema = schema_of_server_messages();
    let mut count = 0;
    for version in ["2.1.197", "2.1.330", "2.1.332"] {
        let folder = root.join("streams").join(version);
        let mut files: Vec<_> =
            folder.read_dir().expect("fixtures").map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        for file in files {
            let stream = std::fs::read_to_string(&file).expect("a stream");
            let lines: Vec<&str> = stream.lines().collect();
            let recorder = convert(&lines, false);
            recorder.check();
            assert_eq!(recorder.open(), 0, "{} leaves a message open", file.display());
            for frame in frames(&convert(&lines, true)) {
                let problems: Vec<_> =
                    schema.iter_errors(&frame).map(|problem| problem.to_string()).collect();
                assert!(problems.is_empty(), "{}: {frame}: {problems:?}", file.display());
            }
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            insta::with_settings!({
                snapshot_path => root.join("golden").join(version),
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, {
                insta::assert_snapshot!(name, recorder.text());
            });
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} streams were found");
}
