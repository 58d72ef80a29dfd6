//! Rule 4 of the protocol: messages nest, and their text is told once. Whatever the order of the lines.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::lines::{any_text, assistant, block, delta, result, start, stop, stream, text, turn_end};
use super::recorder::{Recorder, convert};
use crate::converter::{Converter, ConverterOptions};
use crate::protocol::ServerMessage;

fn run(lines: &[String]) -> Recorder {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let recorder = convert(&lines, false);
    recorder.check();
    recorder
}

/// How much of a message the agent tells twice, or at all.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent")]
struct Telling {
    streamed: bool,
    /// Pieces that are lost at each block's end.
    lost: usize,
    finished: bool,
    /// The `assistant` lines come after `message_stop`.
    late: bool,
    stopped: bool,
}

/// The lines of one message, and its text.
fn message(
    parent: Option<&str>,
    id: &str,
    blocks: &[Vec<String>],
    telling: &Telling,
) -> (Vec<String>, String) {
    let mut lines = Vec::new();
    let mut after = Vec::new();
    let whole: String = blocks.iter().flatten().map(String::as_str).collect();
    if telling.streamed {
        lines.push(start(parent, id));
    }
    for (index, pieces) in (0..).zip(blocks) {
        if telling.streamed {
            lines.push(block(parent, index, &json!({"type": "text", "text": ""})));
            // What was lost of a block can only be told where its finished form comes before the next block.
            let lost = if telling.finished && !telling.late { telling.lost } else { 0 };
            let told = pieces.len().saturating_sub(lost);
            lines.extend(pieces[..told].iter().map(|piece| text(parent, index, piece)));
        }
        if telling.finished || !telling.streamed {
            let line = assistant(parent, id, &json!([{"type": "text", "text": pieces.concat()}]));
            if telling.late { after.push(line) } else { lines.push(line) }
        }
        if telling.streamed {
            lines.push(stream(parent, &json!({"type": "content_block_stop", "index": index})));
        }
    }
    if telling.streamed && telling.stopped {
        lines.extend(stop(parent, Some("end_turn")));
    }
    lines.extend(after);
    (lines, whole)
}

fn any_telling() -> impl Strategy<Value = Telling> {
    (any::<bool>(), 0..3_usize, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(streamed, lost, finished, late, stopped)| Telling { streamed, lost, finished, late, stopped },
    )
}

fn any_blocks() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(any_text(), 0..4), 1..4)
}

type Messages = Vec<(Vec<Vec<String>>, Telling)>;

proptest! {
    #[test]
    fn the_text_of_each_thread_is_its_deltas_joined(
        threads in prop::collection::vec(prop::collection::vec((any_blocks(), any_telling()), 1..4), 1..4),
        order in prop::collection::vec(0..4_usize, 60),
    ) {
        let threads: Vec<Messages> = threads;
        let parents = [None, Some("toolu_a"), Some("toolu_b"), Some("toolu_c")];
        let mut queues = Vec::new();
        let mut wanted = Vec::new();
        for (parent, messages) in parents.iter().zip(&threads) {
            let mut lines = Vec::new();
            let mut said = String::new();
            for (number, (blocks, telling)) in messages.iter().enumerate() {
                let (more, text) = message(*parent, &format!("msg_{number}"), blocks, telling);
                lines.extend(more);
                // Left without an end for another one, it has broken.
                let is_void = telling.streamed && !telling.stopped && !telling.finished;
                if !is_void || number + 1 == messages.len() {
                    said += &text;
                }
            }
            lines.reverse();
            queues.push(lines);
            wanted.push((*parent, said));
        }
        let mut lines = Vec::new();
        for index in order.iter().cycle() {
            let waiting: Vec<usize> = (0..queues.len()).filter(|at| !queues[*at].is_empty()).collect();
            if waiting.is_empty() { break; }
            lines.extend(queues[waiting[index % waiting.len()]].pop());
        }
        let mut recorder = run(&lines);
        for (parent, said) in wanted {
            prop_assert_eq!(recorder.said(parent), said);
        }
        // Nothing is left open once the session closes it.
        let mut converter = Converter::new(ConverterOptions::default());
        recorder.events.clear();
        for line in &lines {
            converter.line(line.as_bytes(), &mut recorder).expect("a good line");
        }
        converter.close_open(Some("interrupted"), &mut recorder);
        prop_assert_eq!(recorder.open(), 0);
    }

    #[test]
    fn any_lines_in_any_order_nest(lines in prop::collection::vec(any_line(), 0..40)) {
        run(&lines);
    }
}

/// Any line of a small world: few ids, so that they clash.
fn any_line() -> impl Strategy<Value = String> {
    let parent = || select(vec![None, None, Some("toolu_1"), Some("toolu_2")]);
    let id = || select(vec!["msg_1", "msg_2", ""]);
    let index = || select(vec![0_u64, 1]);
    let tool = || select(vec!["toolu_1", "toolu_2", "toolu_3"]);
    let tool_block =
        |id: &str| json!({"type": "tool_use", "id": id, "name": "Bash", "input": {"command": "ls"}});
    prop_oneof![
        (parent(), id()).prop_map(|(parent, id)| start(parent, id)),
        (parent(), index(), tool()).prop_map(move |(parent, index, tool)| block(
            parent,
            index,
            &tool_block(tool)
        )),
        (parent(), index()).prop_map(|(parent, index)| block(
            parent,
            index,
            &json!({"type": "text", "text": "t"})
        )),
        (parent(), index()).prop_map(|(parent, index)| block(
            parent,
            index,
            &json!({"type": "server_tool_use"})
        )),
        (parent(), index(), any_text()).prop_map(|(parent, index, said)| text(parent, index, &said)),
        (parent(), index()).prop_map(|(parent, index)| delta(
            parent,
            index,
            &json!({"type": "input_json_delta", "partial_json": "{\"a"}),
        )),
        (parent(), index()).prop_map(|(parent, index)| delta(
            parent,
            index,
            &json!({"type": "thinking_delta", "thinking": "hm"}),
        )),
        parent().prop_map(|parent| stop(parent, None)[1].clone()),
        parent().prop_map(|parent| stop(parent, Some("end_turn"))[0].clone()),
        (parent(), id(), any_text()).prop_map(|(parent, id, said)| assistant(
            parent,
            id,
            &json!([{"type": "text", "text": said}])
        )),
        (parent(), id(), tool()).prop_map(move |(parent, id, tool)| assistant(
            parent,
            id,
            &json!([tool_block(tool)])
        )),
        (parent(), tool()).prop_map(|(parent, tool)| result(parent, tool, &json!("done"))),
        tool().prop_map(|tool| json!({"type": "control_request", "request_id": "r", "request":
            {"subtype": "can_use_tool", "tool_name": "Bash", "input": {}, "tool_use_id": tool}})
        .to_string()),
        Just(turn_end()),
        Just(
            json!({"type": "control_response", "response": {"subtype": "success", "request_id": "stop"}})
                .to_string()
        ),
        any::<u8>()
            .prop_map(|kind| json!({"type": format!("kind {kind}"), "event": [], "message": 1}).to_string()),
    ]
}

#[test]
fn a_finished_block_gives_only_what_was_not_streamed() {
    let blocks = json!([{"type": "text", "text": "Hello, world"}]);
    let recorder =
        run(&[start(None, "m"), text(None, 0, "Hello"), assistant(None, "m", &blocks), turn_end()]);
    assert_eq!(recorder.said(None), "Hello, world");
    assert_eq!(recorder.open(), 0);
}

#[test]
fn blocks_that_came_first_are_not_streamed_again() {
    let blocks = json!([{"type": "text", "text": "Hello"}]);
    let recorder =
        run(&[assistant(None, "m", &blocks), start(None, "m"), text(None, 0, "Hello"), turn_end()]);
    assert_eq!(recorder.said(None), "Hello");
}

#[test]
fn lines_of_one_message_that_was_not_streamed_share_start_and_complete() {
    let block = |text: &str| json!([{"type": "text", "text": text}]);
    let tool = json!([{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]);
    let parent = Some("toolu_1");
    let lines = [
        assistant(parent, "m", &block("one")),
        assistant(parent, "m", &block("two")),
        assistant(parent, "m", &tool),
        result(parent, "t", &json!("done")),
    ];
    let recorder = run(&lines);
    let is = |kind: fn(&ServerMessage<'_>) -> bool| {
        recorder.events.iter().filter(|(_, event)| kind(event)).count()
    };
    assert_eq!(is(|event| matches!(event, ServerMessage::AssistantMessageStart(_))), 1);
    assert_eq!(is(|event| matches!(event, ServerMessage::AssistantMessageComplete(_))), 1);
    assert!(matches!(recorder.events.last(), Some((_, ServerMessage::ToolResult(_)))));
}

#[test]
fn a_message_without_stop_reason_is_interrupted_once_the_session_says_so() {
    let reason = |marked: bool| {
        let mut recorder = Recorder::default();
        let mut converter = Converter::new(ConverterOptions::default());
        let mut lines = vec![start(None, "m"), text(None, 0, "a")];
        lines.extend(stop(None, None));
        if marked {
            converter.mark_interrupted();
        }
        for line in &lines {
            converter.line(line.as_bytes(), &mut recorder).expect("a good line");
        }
        let mut ends = recorder.events.into_iter().filter_map(|(_, event)| match event {
            ServerMessage::AssistantMessageComplete(complete) => Some(complete.stop_reason),
            _ => None,
        });
        ends.next_back().expect("an end")
    };
    assert_eq!(reason(true).as_deref(), Some("interrupted"));
    assert_eq!(reason(false).as_deref(), Some("abandoned"));
}

#[test]
fn the_aborted_block_of_a_message_that_the_session_closed_is_not_told_again() {
    let mut recorder = Recorder::default();
    let mut converter = Converter::new(ConverterOptions::default());
    for line in [start(None, "m"), text(None, 0, "Hello")] {
        converter.line(line.as_bytes(), &mut recorder).expect("a good line");
    }
    converter.close_open(Some("interrupted"), &mut recorder);
    let line = assistant(None, "m", &json!([{"type": "text", "text": "Hello"}]));
    converter.line(line.as_bytes(), &mut recorder).expect("a good line");
    recorder.check();
    assert_eq!(recorder.said(None), "Hello");
    assert_eq!(recorder.open(), 0);
}

#[test]
fn memory_is_bounded_whatever_the_number_of_subagents() {
    let mut recorder = Recorder::default();
    let mut converter = Converter::new(ConverterOptions::default());
    for number in 0..1000 {
        let line = start(Some(&format!("toolu_{number}")), "m");
        converter.line(line.as_bytes(), &mut recorder).expect("a good line");
    }
    recorder.check();
    assert!(recorder.open() <= 64, "{} are open", recorder.open());
}

#[test]
fn what_has_no_form_is_handed_on_untouched_if_the_session_wants_it() {
    let line = json!({"type": "system", "subtype": "tomorrow", "field": [1, null]}).to_string();
    let signature = delta(None, 0, &json!({"type": "signature_delta", "signature": "c2ln"}));
    let recorder = convert(&[&line, &signature], true);
    let events: Vec<Value> = recorder.agent_events();
    let wanted: Vec<Value> =
        [&line, &signature].map(|line| serde_json::from_str(line).expect("JSON")).into_iter().collect();
    assert_eq!(events, wanted);
    assert!(convert(&[&line, &signature], false).events.is_empty());
}
