//! Rule 4 where the agent takes something back or says it again: no text stands twice.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::lines::{assistant, block, delta, result, start, stop, text, turn_end};
use super::recorder::{Recorder, convert};
use crate::protocol::{Delta, RetractionReason, ServerMessage};

fn run(lines: &[String]) -> Recorder {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let recorder = convert(&lines, false);
    recorder.check();
    recorder
}

/// A line with more fields.
fn with(line: &str, more: &Value) -> String {
    let mut line: Value = serde_json::from_str(line).expect("JSON");
    line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    line.to_string()
}

/// An `assistant` line that has a `uuid`.
fn said(id: &str, uuid: &str, words: &str) -> String {
    with(&assistant(None, id, &json!([{"type": "text", "text": words}])), &json!({"uuid": uuid}))
}

/// `message_stop` of a stream that broke.
fn abandoned(id: &str, from: usize) -> String {
    let mark = json!({"abandoned_blocks": {"api_message_id": id, "from_block_index": from}});
    with(&stop(None, None)[1], &mark)
}

fn asked_again(more: &Value) -> String {
    let line = json!({"type": "user", "isSynthetic": true, "message": {"role": "user", "content":
        [{"type": "text", "text": "Please retry."}]}});
    with(&line.to_string(), more)
}

fn tool(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "Bash", "input": {"command": "ls"}})
}

/// How a message of the model ends.
#[derive(Debug, Clone)]
enum Fate {
    Whole,
    /// The stream breaks in this block, or after it where it is the last piece; newer versions say so.
    Broken {
        block: Index,
        told: bool,
    },
    /// The model refuses to go on; newer versions say so once more.
    Refused {
        told: bool,
    },
    /// These of its lines are replaced: the agent says so when it asks again, or when the next line comes, or both.
    Replaced {
        lines: Vec<bool>,
        asked: bool,
        then: bool,
    },
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Whole),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(block, told)| Fate::Broken { block, told }),
        1 => any::<bool>().prop_map(|told| Fate::Refused { told }),
        2 => (prop::collection::vec(any::<bool>(), 4), any::<bool>(), any::<bool>())
            .prop_map(|(lines, asked, then)| Fate::Replaced { lines, asked, then }),
    ]
}

fn any_blocks() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec("[a-zä😀\"]{1,6}", 1..4), 1..4)
}

/// The main thread's lines, and what stands of them in the end.
fn main_thread(messages: &[(Vec<Vec<String>>, Fate)]) -> (Vec<String>, String) {
    let (mut lines, mut stands) = (Vec::new(), String::new());
    let mut supersedes: Vec<String> = Vec::new();
    for (number, (blocks, fate)) in messages.iter().enumerate() {
        let id = format!("msg_{number}");
        let uuid = |index: usize| format!("{number}-{index}");
        let broken = match fate {
            Fate::Broken { block, .. } => Some(block.index(blocks.len())),
            _ => None,
        };
        lines.push(start(None, &id));
        let mut words = Vec::new();
        for (index, pieces) in blocks.iter().enumerate() {
            let at = index as u64;
            lines.push(block(None, at, &json!({"type": "text", "text": ""})));
            lines.extend(pieces.iter().map(|piece| text(None, at, piece)));
            if broken == Some(index) {
                break;
            }
            let replaces = std::mem::take(&mut supersedes);
            let line = said(&id, &uuid(index), &pieces.concat());
            lines.push(if replaces.is_empty() {
                line
            } else {
                with(&line, &json!({"supersedes": replaces}))
            });
            words.push(pieces.concat());
        }
        match fate {
            Fate::Whole => lines.extend(stop(None, Some("end_turn"))),
            Fate::Broken { told, .. } => {
                if *told {
                    lines.push(abandoned(&id, words.len()));
                }
            }
            Fate::Refused { told } => {
                lines.extend(stop(None, Some("refusal")));
                words.clear();
                if *told {
                    lines.push(asked_again(&json!({"refusal_retry": true, "refused_message_id": id})));
                }
            }
            Fate::Replaced { lines: gone, asked, then } => {
                lines.extend(stop(None, Some("tool_use")));
                let uuids: Vec<String> = (0..words.len()).filter(|at| gone[*at]).map(uuid).collect();
                if *asked {
                    lines.push(asked_again(&json!({"retracted_message_uuids": uuids})));
                } else if *then {
                    supersedes = uuids;
                }
                if *asked || *then {
                    let mut at = 0;
                    words.retain(|_| {
                        at += 1;
                        !gone[at - 1]
                    });
                }
                // Where nothing follows that could say it, it stands.
            }
        }
        stands += &words.concat();
    }
    // What nothing was left to replace is told by a last line.
    lines.push(with(&said("msg_last", "last", "."), &json!({"supersedes": supersedes})));
    lines.push(turn_end());
    (lines, stands + ".")
}

proptest! {
    #[test]
    fn no_text_stands_twice(
        messages in prop::collection::vec((any_blocks(), any_fate()), 1..5),
        repeats in prop::collection::vec((any::<Index>(), any::<Index>()), 0..4),
        noise in prop::collection::vec((any::<Index>(), select(vec![0, 1, 2])), 0..8),
    ) {
        let (mut lines, stands) = main_thread(&messages);
        // Finished lines that the agent says once more, as another message, when nothing else is being said.
        for (which, _) in &repeats {
            let told: Vec<String> = lines.iter().filter(|line| line.contains("\"uuid\":\"") && line.contains("\"assistant\"")).cloned().collect();
            let again = which.get(&told).replace("\"id\":\"msg_", "\"id\":\"copy_");
            lines.insert(lines.len() - 1, again);
        }
        let subagent = [
            assistant(Some("toolu_a"), "other", &json!([{"type": "text", "text": "subagent"}])),
            json!({"type": "system", "subtype": "thinking_tokens"}).to_string(),
            json!({"type": "system", "subtype": "api_retry", "attempt": 1}).to_string(),
        ];
        for (place, which) in &noise {
            lines.insert(place.index(lines.len()), subagent[*which].clone());
        }
        let recorder = run(&lines);
        prop_assert_eq!(recorder.said(None), stands);
        prop_assert_eq!(recorder.open(), 0);
    }
}

#[test]
fn a_stream_that_breaks_in_its_first_block_leaves_nothing() {
    for told in [true, false] {
        let mut lines = vec![start(None, "a"), block(None, 0, &json!({"type": "text", "text": ""}))];
        lines.push(text(None, 0, "Hello, "));
        if told {
            lines.push(abandoned("a", 0));
        }
        lines.push(said("b", "u", "Hello, world"));
        lines.push(turn_end());
        let recorder = run(&lines);
        assert_eq!(recorder.said(None), "Hello, world");
        assert_eq!(recorder.retracted(), [("msg-0", "", [].as_slice(), RetractionReason::Retry)]);
        let ends = recorder.events.iter().filter_map(|(_, event)| match event {
            ServerMessage::AssistantMessageComplete(end) => Some(end.stop_reason.as_deref()),
            _ => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [Some("abandoned"), None]);
    }
}

#[test]
fn thinking_that_ends_without_a_reason_has_broken() {
    // As 2.1.197 ends it where an `error` event comes.
    let thinking = |text: &str| delta(None, 0, &json!({"type": "thinking_delta", "thinking": text}));
    let mut lines = vec![
        start(None, "a"),
        block(None, 0, &json!({"type": "thinking", "thinking": ""})),
        thinking("I th"),
        stop(None, None)[1].clone(),
        start(None, "b"),
        thinking("I think"),
        assistant(None, "b", &json!([{"type": "thinking", "thinking": "I think"}])),
    ];
    lines.extend(stop(None, Some("end_turn")));
    assert_eq!(run(&lines).retracted(), [("msg-0", "", [].as_slice(), RetractionReason::Retry)]);
}

#[test]
fn what_was_finished_before_the_stream_broke_stands() {
    for told in [true, false] {
        let thinking = json!([{"type": "thinking", "thinking": "hm"}]);
        let mut lines = vec![start(None, "a"), block(None, 0, &json!({"type": "thinking", "thinking": ""}))];
        lines.push(delta(None, 0, &json!({"type": "thinking_delta", "thinking": "hm"})));
        lines.push(assistant(None, "a", &thinking));
        lines.push(block(None, 1, &json!({"type": "text", "text": ""})));
        lines.push(text(None, 1, "First."));
        lines.push(said("a", "u", "First."));
        lines.push(block(None, 2, &json!({"type": "text", "text": ""})));
        lines.push(text(None, 2, "half"));
        if told {
            lines.push(abandoned("a", 2));
        }
        lines.push(turn_end());
        let recorder = run(&lines);
        assert_eq!(recorder.said(None), "First.");
        let gone = recorder.events.iter().find_map(|(_, event)| match event {
            ServerMessage::AssistantMessageRetracted(gone) => Some(gone),
            _ => None,
        });
        let gone = gone.expect("a part is void");
        assert_eq!((&*gone.kept, gone.kept_thinking.as_deref()), ("First.", Some("hm")));
    }
}

#[test]
fn a_stream_that_breaks_between_blocks_takes_nothing_back() {
    let lines =
        [start(None, "a"), text(None, 0, "First."), said("a", "u", "First."), abandoned("a", 1), turn_end()];
    let recorder = run(&lines);
    assert_eq!(recorder.said(None), "First.");
    assert_eq!(recorder.retracted(), []);
}

#[test]
fn a_call_whose_input_was_cut_will_never_come() {
    for told in [true, false] {
        let piece = delta(None, 1, &json!({"type": "input_json_delta", "partial_json": "{\"comm"}));
        let mut lines = vec![start(None, "a"), text(None, 0, "I call."), said("a", "u", "I call.")];
        lines.extend([block(None, 1, &tool("call_0")), piece]);
        if told {
            lines.push(abandoned("a", 1));
        }
        // The next attempt counts from the beginning.
        lines.extend([start(None, "b"), assistant(None, "b", &json!([tool("call_0")]))]);
        lines.extend(stop(None, Some("tool_use")));
        lines.extend([result(None, "call_0", &json!("done")), turn_end()]);
        let recorder = run(&lines);
        let calls = ["call_0".to_owned()];
        assert_eq!(recorder.retracted(), [("msg-0", "I call.", calls.as_slice(), RetractionReason::Retry)]);
        let uses = |event: &&ServerMessage<'_>| matches!(event, ServerMessage::ToolUse(_));
        assert_eq!(recorder.events.iter().map(|(_, event)| event).filter(uses).count(), 1);
    }
}

#[test]
fn an_interrupt_takes_nothing_back() {
    let interrupt =
        json!({"type": "control_response", "response": {"subtype": "success", "request_id": "stop"}});
    let lines =
        [start(None, "a"), text(None, 0, "half"), interrupt.to_string(), abandoned("a", 0), turn_end()];
    let recorder = run(&lines);
    assert_eq!((recorder.said(None).as_str(), recorder.retracted().len()), ("half", 0));
    // Newer versions say what there was as finished.
    let half = with(&said("a", "u", "half"), &json!({"aborted": true}));
    let recorder = run(&[start(None, "a"), text(None, 0, "half"), half, abandoned("a", 1), turn_end()]);
    assert_eq!((recorder.said(None).as_str(), recorder.retracted().len()), ("half", 0));
}

#[test]
fn a_message_that_is_told_after_all_is_told_whole() {
    let lines = [
        start(None, "a"),
        text(None, 0, "Hel"),
        said("b", "u-1", "API Error: "),
        said("a", "u-2", "Hello"),
        turn_end(),
    ];
    assert_eq!(run(&lines).said(None), "API Error: Hello");
}

#[test]
fn a_refused_message_is_taken_back_once_and_the_report_of_it_stands() {
    // As 2.1.197 says it: the report comes before the message's end.
    let mut lines = vec![start(None, "a"), text(None, 0, "I will"), said("a", "u-1", "I will")];
    let report = json!({"message": {"id": "r", "model": "<synthetic>", "stop_reason": "refusal",
        "content": [{"type": "text", "text": "API Error: refused"}]}});
    lines.push(with(&said("r", "u-2", ""), &report));
    lines.extend(stop(None, Some("refusal")));
    lines.push(turn_end());
    let recorder = run(&lines);
    assert_eq!(recorder.said(None), "API Error: refused");
    assert_eq!(recorder.retracted(), [("msg-0", "", [].as_slice(), RetractionReason::Refusal)]);
    // As newer versions say it, when they give up: the report names the message.
    lines[3] = with(&lines[3], &json!({"refused_message_id": "a"}));
    assert_eq!(run(&lines).retracted(), recorder.retracted());
    // A call that it had made reports all the same.
    let call = with(&assistant(None, "a", &json!([tool("t")])), &json!({"uuid": "u-3"}));
    let mut lines = vec![start(None, "a"), text(None, 0, "I call"), said("a", "u-1", "I call"), call];
    lines.extend(stop(None, Some("refusal")));
    lines.push(result(None, "t", &json!("Interrupted")));
    lines.push(asked_again(&json!({"refused_message_id": "a", "refusal_retry": true})));
    lines.extend([said("b", "u-4", "No."), turn_end()]);
    let recorder = run(&lines);
    assert_eq!(recorder.said(None), "No.");
    assert_eq!(recorder.retracted(), [("msg-0", "", [].as_slice(), RetractionReason::Refusal)]);
}

#[test]
fn a_call_of_a_line_that_is_replaced_will_never_come() {
    let call = with(&assistant(None, "a", &json!([tool("t")])), &json!({"uuid": "u-2"}));
    let mut lines = vec![start(None, "a"), text(None, 0, "I call."), said("a", "u-1", "I call."), call];
    lines.extend(stop(None, Some("tool_use")));
    let fallback = json!({"type": "system", "subtype": "model_refusal_fallback", "content": "Another model answers",
        "retracted_message_uuids": ["u-1", "nobody's"]});
    lines.push(asked_again(&json!({"retracted_message_uuids": ["u-2"]})));
    lines.push(fallback.to_string());
    lines.push(turn_end());
    let recorder = run(&lines);
    let calls = ["t".to_owned()];
    assert_eq!(
        recorder.retracted(),
        [
            ("msg-0", "I call.", calls.as_slice(), RetractionReason::Superseded),
            ("msg-0", "", [].as_slice(), RetractionReason::Refusal),
        ]
    );
}

#[test]
fn what_a_compaction_keeps_is_not_told_again_whoever_told_it_first() {
    let boundary = json!({"type": "system", "subtype": "compact_boundary", "compact_metadata":
        {"trigger": "manual", "preserved_messages": {"uuids": ["kept"], "all_uuids": ["kept", "hidden"]}}});
    // The process that said it is gone; this one has only read it.
    let lines = [
        boundary.to_string(),
        said("copy", "kept", "## Context Usage"),
        said("new", "fresh", "news"),
        turn_end(),
    ];
    let recorder = run(&lines);
    assert_eq!(recorder.said(None), "news");
    // The set is the turn's; a line is new where nobody has said it.
    let lines = [boundary.to_string(), turn_end(), said("late", "kept", "told")];
    assert_eq!(run(&lines).said(None), "told");
}

#[test]
fn an_id_that_is_used_again_after_its_result_is_another_call() {
    let round = |id: &str| {
        vec![
            start(None, id),
            block(None, 0, &tool("call_0")),
            delta(None, 0, &json!({"type": "input_json_delta", "partial_json": "{}"})),
            assistant(None, id, &json!([tool("call_0")])),
            json!({"type": "control_request", "request_id": id, "request": {"subtype": "can_use_tool",
                "tool_name": "Bash", "input": {}, "tool_use_id": "call_0"}})
            .to_string(),
            stop(None, Some("tool_use"))[1].clone(),
            result(None, "call_0", &json!(id)),
        ]
    };
    let recorder = run(&[round("a"), round("b"), vec![turn_end()]].concat());
    let kinds: Vec<&str> = recorder
        .events
        .iter()
        .map(|(_, event)| match event {
            ServerMessage::AssistantMessageDelta(piece) => match piece.delta {
                Delta::ToolUse { .. } => "call",
                _ => "piece",
            },
            other => other.kind(),
        })
        .collect();
    let one =
        ["assistant_message_start", "piece", "call", "tool_use", "assistant_message_complete", "tool_result"];
    assert_eq!(kinds, [one.as_slice(), &one, &["result"]].concat());
}

#[test]
fn what_the_agent_says_of_itself_is_known() {
    use crate::converter::{Converter, ConverterOptions};
    let mut converter = Converter::new(ConverterOptions::default());
    let mut recorder = Recorder::default();
    for line in [
        json!({"type": "system", "subtype": "notification", "text": "Look at this"}),
        json!({"type": "system", "subtype": "model_fallback", "trigger": "overloaded", "original_model": "a",
            "fallback_model": "b", "content": "Switched to b"}),
        json!({"type": "system", "subtype": "model_fallback", "original_model": "a", "fallback_model": "b"}),
        json!({"type": "system", "subtype": "model_refusal_no_fallback", "content": ""}),
        json!({"type": "system", "subtype": "background_tasks_changed", "tasks": []}),
        json!({"type": "system", "subtype": "conversation_reset"}),
        json!({"type": "system", "subtype": "session_title_changed"}),
        json!({"type": "system", "subtype": "commands_changed", "commands": []}),
        json!({"type": "command_lifecycle", "state": "queued"}),
    ] {
        converter.line(line.to_string().as_bytes(), &mut recorder).expect("a good line");
    }
    assert_eq!(converter.take_unknown(), [""; 0]);
    let told: Vec<(String, String)> = std::mem::take(&mut recorder.events)
        .into_iter()
        .map(|(_, event)| match event {
            ServerMessage::Warning(warning) => (
                serde_json::to_value(warning.code).expect("a code").as_str().expect("a name").to_owned(),
                warning.message.into_owned(),
            ),
            other => panic!("{other:?}"),
        })
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(code, text)| (code.as_str(), text.as_str())).collect();
    assert_eq!(
        told,
        [
            ("agent_notice", "Look at this"),
            ("model_fallback", "Switched to b"),
            ("model_fallback", "b answers instead of a")
        ]
    );
    converter.line(br#"{"type":"system","subtype":"tomorrow"}"#, &mut recorder).expect("a good line");
    assert_eq!(converter.take_unknown(), ["system/tomorrow"]);
}
