//! The short way for deltas and the parser mean the same, on every input.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::lines::{any_text, block, start};
use super::recorder::Recorder;
use crate::converter::template::Template;
use crate::converter::{Converter, ConverterOptions, Outcome};

/// Converts one line both ways, after the same beginning, and compares.
fn compare(line: &[u8]) -> Result<(), TestCaseError> {
    let known = r#"{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"known"}},"session_id":"s","parent_tool_use_id":null,"uuid":"u"}"#;
    let convert = |short: bool| {
        let mut recorder = Recorder::default();
        let mut converter = Converter::new(ConverterOptions { agent_events: true });
        let beginning = [
            start(None, "msg_1"),
            block(None, 0, &json!({"type": "text", "text": ""})),
            block(None, 1, &json!({"type": "thinking", "thinking": ""})),
            block(None, 2, &json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}})),
        ];
        for line in &beginning {
            converter.parsed_line(line.as_bytes(), &mut recorder).expect("a good line");
        }
        // The line, one that makes its surroundings known, and the line again.
        let mut ends = Vec::new();
        for line in [line, known.as_bytes(), line] {
            let end = if short {
                converter.line(line, &mut recorder)
            } else {
                converter.parsed_line(line, &mut recorder)
            };
            // The long way does not say that it was a delta.
            ends.push(end.map(|outcome| match outcome {
                Outcome::Streamed => "Converted".to_owned(),
                other => format!("{other:?}"),
            }));
        }
        (ends, recorder.text())
    };
    prop_assert_eq!(convert(true), convert(false));
    Ok(())
}

/// A string token, written in one of the ways that JSON allows.
fn any_token() -> impl Strategy<Value = String> {
    let escaped = any_text().prop_map(|text| {
        text.encode_utf16().fold(String::from("\""), |mut token, unit| {
            write!(token, "\\u{unit:04X}").expect("a string takes all");
            token
        }) + "\""
    });
    prop_oneof![
        4 => any_text().prop_map(|text| json!(text).to_string()),
        2 => escaped,
        1 => select(vec![r#""\ud83d""#, r#""\ud83d\ude00""#, r#""\x""#, r#""\u12""#, "\"", "null", "1", "{}", r#"["a"]"#])
            .prop_map(str::to_owned),
        1 => any_text().prop_map(|text| format!("\"{text}\"")),
    ]
}

/// Lines near the known shapes, on either side of the border.
fn any_line() -> impl Strategy<Value = String> {
    let kinds = select(vec![
        ("text_delta", "text"),
        ("thinking_delta", "thinking"),
        ("input_json_delta", "partial_json"),
        ("signature_delta", "signature"),
        ("text_delta", "thinking"),
    ]);
    let index =
        select(vec!["0", "1", "2", "7", "00", "01", "-1", "1.0", "12345", "1e1", "null", "\"0\"", "999", ""]);
    let parent = select(vec!["null", "\"toolu_9\"", "\"\"", "\"a\\u0041\"", "7", "\"é\"", "{}", "\"a\nb\""]);
    let end = select(vec![
        "}",
        r#","api_message_id":"msg_1"}"#,
        r#","thinking_display":"updates","api_message_id":"msg_1"}"#,
        r#","api_message_id":"msg_1","thinking_display":"updates"}"#,
        r#","type":"assistant"}"#,
        r#","event":null}"#,
        r#","parent_tool_use_id":"other"}"#,
        r#","new":[1,{"type":"x"}]} "#,
        "} x",
        "",
    ]);
    (kinds, any_token(), index, parent, end, any::<bool>(), any_text()).prop_map(
        |((kind, field), token, index, parent, end, api_order, uuid)| {
            let event = if api_order {
                format!(r#""type":"content_block_delta","index":{index},"delta":{{"type":"{kind}","{field}":{token}}}"#)
            } else {
                format!(r#""delta":{{"{field}":{token},"type":"{kind}"}},"index":{index},"type":"content_block_delta""#)
            };
            let uuid = if uuid.len() % 3 == 0 { uuid } else { "0b-1c".to_owned() };
            format!(
                r#"{{"type":"stream_event","event":{{{event}}},"session_id":"s","parent_tool_use_id":{parent},"uuid":"{uuid}"{end}"#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn near_the_known_shapes(line in any_line()) {
        compare(line.as_bytes())?;
    }

    #[test]
    fn with_a_byte_changed(line in any_line(), at: Index, byte: u8, kind in 0..3) {
        let mut line = line.into_bytes();
        let at = at.index(line.len());
        match kind {
            0 => line[at] = byte,
            1 => line.insert(at, byte),
            _ => { line.remove(at); }
        }
        compare(&line)?;
    }

    #[test]
    fn on_anything(line: Vec<u8>) {
        compare(&line)?;
    }
}

#[test]
fn recorded_deltas_go_the_short_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/streams");
    let mut short = 0;
    for version in ["2.1.197", "2.1.330", "2.1.332"] {
        for file in root.join(version).read_dir().expect("fixtures") {
            let stream = std::fs::read_to_string(file.expect("a file").path()).expect("a stream");
            for line in stream.lines().filter(|line| line.contains("content_block_delta")) {
                compare(line.as_bytes()).expect("agreement");
                let taken = Template::default().delta(line.as_bytes()).is_some();
                assert!(taken || line.contains("signature_delta"), "not taken: {line}");
                short += usize::from(taken);
            }
        }
    }
    assert!(short > 500, "only {short}");
}
