//! Encoded frames mean what serde would write.

use std::borrow::Cow;

use crate::protocol::Text;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::protocol::{
    AgentEvent, AssistantMessageComplete, AssistantMessageStart, Cancelled, Executor, Json, ResultSubtype,
    ServerFrame, ServerHeartbeat, ToolResult, ToolUse, TurnResult, Warning, WarningCode,
};

/// A string, and whether it goes as a token.
fn any_text() -> impl Strategy<Value = (String, bool)> {
    (
        prop_oneof!["[ -~]{0,20}", any::<String>(), "[\"\\\\/\n\u{0}\u{1f}\u{2028}\u{fffd}😀ud8]{0,20}"],
        any::<bool>(),
    )
}

/// Calls `check` with a message that is made of those strings.
fn with_message(kind: usize, texts: &[(String, bool)], check: impl FnOnce(ServerMessage<'_>)) {
    let raw: Vec<Box<RawValue>> =
        texts.iter().map(|(text, _)| serde_json::value::to_raw_value(text).expect("JSON")).collect();
    let text = |at: usize| match &texts[at] {
        (_, true) => Text::Token(raw[at].get()),
        (text, false) => Text::from(text.as_str()),
    };
    let word = |at: usize| Cow::Borrowed(texts[at].0.as_str());
    let parent = || texts[3].1.then(|| word(3));
    let json = || Json::of(&(texts[2].0.as_str(), [1, 2], Some("x"))).expect("JSON");
    let delta = |delta| {
        ServerMessage::AssistantMessageDelta(AssistantMessageDelta { delta, parent_tool_use_id: parent() })
    };
    check(match kind {
        0 => delta(Delta::Text { text: text(0) }),
        1 => delta(Delta::Thinking { thinking: text(0) }),
        2 => delta(Delta::ToolInput { tool_use_id: word(0), tool_name: word(1), partial_json: text(2) }),
        3 => delta(Delta::ToolUse { tool_use_id: word(0), tool_name: word(1), tool_input: json() }),
        4 => ServerMessage::AssistantMessageStart(AssistantMessageStart {
            model: word(0),
            parent_tool_use_id: parent(),
        }),
        5 => ServerMessage::AssistantMessageComplete(AssistantMessageComplete {
            stop_reason: Some(word(0)),
            usage: Some(json()),
            parent_tool_use_id: parent(),
        }),
        6 => ServerMessage::ToolUse(ToolUse {
            tool_use_id: word(0),
            tool_name: word(1),
            tool_input: json(),
            parent_tool_use_id: parent(),
            agent: texts[0].1.then(|| Subagent {
                task_id: texts[1].1.then(|| word(1)),
                kind: word(2),
                description: word(3),
            }),
            executor: Executor::Agent,
        }),
        7 => ServerMessage::ToolResult(ToolResult {
            tool_use_id: word(0),
            content: text(1),
            is_error: true,
            blocks: Some(json()),
            parent_tool_use_id: parent(),
            task_id: texts[0].1.then(|| word(2)),
            truncated: texts[1].1,
            total_bytes: texts[1].1.then_some(7),
        }),
        8 => ServerMessage::Result(Box::new(TurnResult {
            subtype: ResultSubtype::Error,
            duration_ms: 1,
            duration_api_ms: 2,
            num_turns: 3,
            is_error: true,
            error: Some(word(0)),
            error_code: None,
            result: Some(text(1)),
            total_cost_usd: Some(0.25),
            usage: Some(json()),
            stop_reason: None,
            permission_denials: None,
            origin: None,
        })),
        9 => ServerMessage::Warning(Warning { code: WarningCode::ApiRetry, message: word(0) }),
        10 => ServerMessage::AgentEvent(AgentEvent { event: json() }),
        11 => ServerMessage::Cancelled(Cancelled { target_id: word(0) }),
        _ => ServerMessage::Heartbeat(ServerHeartbeat::default()),
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn a_frame_means_what_serde_writes(
        kind in 0..13_usize,
        texts in prop::collection::vec(any_text(), 4),
        session: String,
        id in prop_oneof![any::<u64>().prop_map(Ok), any::<String>().prop_map(Err)],
        request_id: Option<String>,
        seq: Option<u64>,
        timestamp: Option<u64>,
    ) {
        let mut encoder = Encoder::new(&session);
        with_message(kind, &texts, |message| {
            let id: Result<u64, String> = id;
            let header = Header {
                id: match &id { Ok(number) => MessageId(*number).into(), Err(id) => id.as_str().into() },
                request_id: request_id.as_deref(),
                seq,
                timestamp,
            };
            let frames = [encoder.encode(&header, &message), encoder.encode(&header, &message)];
            let wanted = serde_json::to_value(ServerFrame {
                message,
                id: match &id { Ok(number) => format!("msg-{number}").into(), Err(id) => id.into() },
                session_id: session.as_str().into(),
                request_id: request_id.as_deref().map(Cow::Borrowed),
                seq,
                timestamp,
            });
            for frame in frames {
                let value: Value = serde_json::from_str(&frame).expect("JSON");
                assert_eq!(&value, wanted.as_ref().expect("serializes"));
            }
        });
    }

    #[test]
    fn lone_surrogates_become_replacement_characters(units in prop::collection::vec(
        prop_oneof![0..0x80_u16, 0xd7f0..0xe010_u16, Just(u16::from(b'\\')), Just(u16::from(b'u')), any::<u16>()], 0..24)) {
        let token = units.iter().fold(String::from("\""), |token, unit| token + &match unit {
            0x5c => r"\\".to_owned(),
            0x20..0x7f if *unit != 0x22 => char::from(u8::try_from(*unit).expect("ASCII")).to_string(),
            _ => format!("\\u{unit:04x}"),
        }) + "\"";
        let raw = RawValue::from_string(token).expect("JSON");
        let text = Text::Token(raw.get());
        let frame = Encoder::new("s").encode(&HEADER, &ServerMessage::AssistantMessageDelta(AssistantMessageDelta {
            delta: Delta::Text { text },
            parent_tool_use_id: None,
        }));
        let value: Value = serde_json::from_str(&frame).expect("strict JSON");
        let wanted = String::from_utf16_lossy(&units);
        prop_assert_eq!(value["delta"]["text"].as_str(), Some(wanted.as_str()));
    }
}

const HEADER: Header<'static> = Header { id: Id::Text("x"), request_id: None, seq: Some(1), timestamp: None };

#[test]
fn frames_of_one_chunk_stay_as_they_are() {
    let mut encoder = Encoder::new("s");
    let texts: Vec<String> = (0..200).map(|number| format!("{number} ").repeat(number)).collect();
    let frames: Vec<Utf8Bytes> = texts
        .iter()
        .map(|text| {
            let delta = Delta::Text { text: Text::from(text.as_str()) };
            let message = AssistantMessageDelta { delta, parent_tool_use_id: None };
            encoder.encode(&HEADER, &ServerMessage::AssistantMessageDelta(message))
        })
        .collect();
    for (text, frame) in texts.iter().zip(frames) {
        let value: Value = serde_json::from_str(&frame).expect("JSON");
        assert_eq!(value["delta"]["text"].as_str(), Some(text.as_str()));
    }
}

/// Clients' parsers gave up over it, and with it over the whole frame.
#[test]
fn json_that_is_too_deep_is_told_as_text() {
    let nested = |depth: usize| Json::parse("[".repeat(depth) + &"]".repeat(depth)).unwrap();
    let header = Header { id: "msg-1".into(), request_id: None, seq: Some(1), timestamp: Some(1) };
    let frame = |json: Json<'static>| {
        let event = ServerMessage::AgentEvent(AgentEvent { event: json.clone() });
        let result = ServerMessage::ToolResult(ToolResult {
            tool_use_id: "t".into(),
            content: "".into(),
            is_error: false,
            blocks: Some(json),
            parent_tool_use_id: None,
            task_id: None,
            truncated: false,
            total_bytes: None,
        });
        [event, result].map(|message| Encoder::new("s").encode(&header, &message))
    };
    for (depth, as_text) in [(crate::protocol::MAX_DEPTH, false), (crate::protocol::MAX_DEPTH + 1, true)] {
        let json = nested(depth);
        for frame in frame(json.clone()) {
            assert_eq!(frame.contains(&format!(":{}", json.get())), !as_text, "{depth}");
            assert_eq!(frame.contains(&format!(":\"{}\"", json.get())), as_text, "{depth}");
        }
    }
}
