//! Rule 4 where the agent takes something back, or says it again: what stands, stands once, live and in a replay.

use serde_json::{Value, json};

use crate::harness::{Cli, Client, Lab, Server, Turn, standing};

on_all_clis![
    a_stream_that_breaks,
    a_stream_that_breaks_after_a_finished_block,
    what_the_model_refuses,
    what_another_message_replaces,
    what_a_compaction_repeats,
    an_id_that_is_used_again,
];

const ANSWER: &str = "One two three four five six.";
const LS: &str = "echo listed";

fn rule(words: &str, turns: &Value) -> Value {
    json!({"when": {"equals": words}, "turns": turns})
}

/// The answer to what the agent itself asks.
fn rule_about(words: &str, answer: &str) -> Value {
    json!({"when": {"contains": words}, "turns": [{"blocks": [says(answer)]}]})
}

fn script(rules: &[Value]) -> Value {
    json!({"pace": {"chunk": 6}, "rules": rules, "default": {"turns": [{"blocks": [{"type": "text", "text": "You said: {user_text}"}]}]}})
}

fn says(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn calls(id: &str, name: &str, input: &Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": input})
}

fn ls(id: &str) -> Value {
    calls(id, "Bash", &json!({"command": LS, "description": "List"}))
}

/// What of a turn is taken back: the text that stands, the calls, the reason.
fn retracted(turn: &Turn) -> Vec<(&str, Vec<&str>, &str)> {
    let text = |value: &'_ Value| value.as_str().unwrap().to_owned().leak() as &str;
    let all = turn.of_type("assistant_message_retracted").into_iter();
    all.map(|gone| {
        let calls = gone["tool_use_ids"].as_array().unwrap();
        (text(&gone["kept"]), calls.iter().map(text).collect(), text(&gone["reason"]))
    })
    .collect()
}

/// The ends of the messages that were taken back.
fn ends(turn: &Turn) -> Vec<&Value> {
    let gone = turn.of_type("assistant_message_retracted");
    let is_gone = |end: &&&Value| gone.iter().any(|gone| gone["message_id"] == end["id"]);
    let ends = turn.of_type("assistant_message_complete");
    ends.iter().filter(is_gone).map(|end| &end["stop_reason"]).collect()
}

fn events(messages: &[Value]) -> Vec<&Value> {
    messages.iter().filter(|message| message["seq"].is_u64()).collect()
}

/// Who comes later sees the same conversation.
async fn replay_says_the_same(server: &Server, client: &mut Client) {
    client.status("idle").await;
    let live = client.got();
    let live = events(&live);
    let mut late = server.connect().await;
    late.start(json!({"last_seq": 0})).await;
    late.until("the last event", |message| message["seq"] == live.last().unwrap()["seq"]).await;
    let replayed = late.got();
    let replayed = events(&replayed);
    for kind in ["text", "thinking"] {
        assert_eq!(standing(replayed.iter().copied(), kind), standing(live.iter().copied(), kind));
    }
    assert_eq!(replayed, live);
}

async fn a_stream_that_breaks(lab: &Lab) {
    let broken = |block: &Value, how: &str, deltas: u64, thinking: bool| {
        let mut blocks = vec![json!({"type": "thinking", "thinking": "I think about it"})];
        blocks.truncate(usize::from(thinking));
        blocks.push(block.clone());
        json!([{"blocks": blocks, "break": {"block": 0, "how": how, "deltas": deltas}}, {"blocks": [says("Done.")]}])
    };
    let server = lab
        .scripted_server(&script(&[
            rule("cut", &broken(&says(ANSWER), "cut", 3, false)),
            rule("error", &broken(&says(ANSWER), "error", 3, false)),
            rule("nothing", &broken(&says(ANSWER), "cut", 0, false)),
            rule("thinking", &broken(&says(ANSWER), "error", 2, true)),
            rule("call", &broken(&ls("call_0"), "cut", 2, false)),
        ]))
        .await;
    let mut client = server.session(json!({})).await;
    for words in ["cut", "error", "nothing"] {
        let turn = client.turn(words).await.succeeded();
        assert_eq!(turn.text(), ANSWER, "{words}");
        assert_eq!(retracted(&turn), [("", vec![], "retry")], "{words}");
        assert_eq!(ends(&turn), ["abandoned"], "{words}");
        assert_eq!(turn.result["result"], ANSWER);
    }
    let turn = client.turn("thinking").await.succeeded();
    assert_eq!((turn.text().as_str(), retracted(&turn)), (ANSWER, vec![("", vec![], "retry")]));
    assert_eq!(turn.thinking(), "I think about it");
    // The input of a call: the call comes with the second answer, here with the same id.
    let turn = client.turn("call").await.succeeded();
    assert_eq!(retracted(&turn), [("", vec!["call_0"], "retry")]);
    assert_eq!(turn.one("tool_use")["tool_input"]["command"], LS);
    assert_eq!(turn.one("tool_result")["tool_use_id"], "call_0");
    assert_eq!(turn.text(), "Done.");
    replay_says_the_same(&server, &mut client).await;
}

async fn a_stream_that_breaks_after_a_finished_block(lab: &Lab) {
    let then = json!({"blocks": [says("And on.")]});
    let second = |block: Value, deltas: Value| {
        let mut broken = json!({"blocks": [says("First."), block], "break": {"block": 1, "deltas": deltas}});
        if broken["break"]["deltas"].is_null() {
            broken["break"] = json!({"block": 0});
        }
        json!([broken, then])
    };
    let server = lab
        .scripted_server(&script(&[
            rule("between", &second(says("second"), Value::Null)),
            rule("text", &second(says("second half"), json!(1))),
            rule("call", &second(ls("call_7"), json!(2))),
            rule(
                "after a call",
                &json!([{"blocks": [says("First."), ls("call_8")], "break": {"block": 1}}, then]),
            ),
        ]))
        .await;
    let mut client = server.session(json!({})).await;
    // Newer versions have the model go on; the older one says that the answer may not be complete.
    let is_old = lab.cli == Some(Cli::Old);
    let sorry = |text: String| {
        let (first, rest) = text.split_at("First.".len());
        assert!(rest == "And on." && !is_old || rest.starts_with("API Error") && is_old, "{text}");
        first.to_owned()
    };
    for (words, gone) in [
        ("between", vec![]),
        ("text", vec![("First.", vec![], "retry")]),
        ("call", vec![("First.", vec!["call_7"], "retry")]),
    ] {
        let turn = client.turn(words).await;
        let turn = if is_old { turn.failed("api_error") } else { turn.succeeded() };
        assert_eq!(sorry(turn.text()), "First.", "{words}");
        assert_eq!(retracted(&turn), gone, "{words}");
        assert_eq!(turn.of_type("tool_use").len(), 0, "{words}");
    }
    // A call that was complete is made, in all versions, whatever they say of the rest.
    let turn = client.turn("after a call").await.succeeded();
    assert_eq!(retracted(&turn), []);
    assert_eq!(turn.one("tool_result")["tool_use_id"], "call_8");
    assert!(
        turn.text().starts_with("First.API Error") && turn.text().ends_with("And on."),
        "{}",
        turn.text()
    );
    replay_says_the_same(&server, &mut client).await;
}

async fn what_the_model_refuses(lab: &Lab) {
    let refused = |text: &str| json!({"blocks": [says(text)], "stop_reason": "refusal"});
    let server = lab
        .scripted_server(&script(&[
            rule("once", &json!([refused("I was going to"), {"blocks": [says("No.")]}])),
            rule("twice", &json!([refused("I was going to"), refused("And again")])),
        ]))
        .await;
    let mut client = server.session(json!({})).await;
    let gone = ("", vec![], "refusal");
    // Newer versions ask the model once more; the older one gives up at once.
    let turn = client.turn("once").await;
    if lab.cli == Some(Cli::Old) {
        let turn = turn.failed("api_error");
        assert!(turn.text().starts_with("API Error"), "{}", turn.text());
        assert_eq!(retracted(&turn), std::slice::from_ref(&gone));
    } else {
        let turn = turn.succeeded();
        assert_eq!((turn.text().as_str(), retracted(&turn)), ("No.", vec![gone.clone()]));
        assert_eq!(ends(&turn), ["abandoned"]);
    }
    let turn = client.turn("twice").await.failed("api_error");
    let refusals = if lab.cli == Some(Cli::Old) { 1 } else { 2 };
    assert_eq!(retracted(&turn), vec![gone; refusals]);
    assert!(turn.text().starts_with("API Error"), "{}", turn.text());
    replay_says_the_same(&server, &mut client).await;
}

async fn what_another_message_replaces(lab: &Lab) {
    let no_call = json!({"blocks": [says("I call a tool.")], "break": {"how": "no_call"}});
    let server =
        lab.scripted_server(&script(&[rule("call", &json!([no_call, {"blocks": [says("Done.")]}]))])).await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn("call").await.succeeded();
    if lab.cli == Some(Cli::Old) {
        // Both stay in its conversation, so both stand.
        assert_eq!((turn.text().as_str(), retracted(&turn)), ("I call a tool.Done.", vec![]));
    } else {
        let gone = vec![("", vec![], "superseded")];
        assert_eq!((turn.text().as_str(), retracted(&turn)), ("I call a tool.", gone));
    }
    replay_says_the_same(&server, &mut client).await;
}

async fn what_a_compaction_repeats(lab: &Lab) {
    let server = lab.scripted_server(&script(&[])).await;
    let mut client = server.session(json!({"max_turns": 20})).await;
    client.turn("one").await.succeeded();
    for max_turns in [None, Some(30)] {
        client.turn("two").await.succeeded();
        let context = client.turn("/context").await.succeeded();
        assert!(context.text().contains("Context Usage"), "{}", context.text());
        if let Some(max_turns) = max_turns {
            // Another process, which never said it itself, repeats it all the same.
            let update = json!({"type": "config_update", "config": {"max_turns": max_turns}});
            client.ask(update, "config_updated").await;
        }
        let turn = client.turn("/compact").await.succeeded();
        assert!(turn.of_type("warning").iter().any(|warning| warning["code"] == "context_compacted"));
        assert_eq!(turn.text(), "", "{max_turns:?}");
        assert_eq!(turn.of_type("assistant_message_start").len(), 0, "{max_turns:?}");
    }
    let turn = client.turn("three").await.succeeded();
    assert_eq!(turn.text(), "You said: three");
    replay_says_the_same(&server, &mut client).await;
}

async fn an_id_that_is_used_again(lab: &Lab) {
    let touch = |file: &str| {
        let input = json!({"command": format!("touch {file}"), "description": "Create"});
        json!({"blocks": [calls("call_0", "Bash", &input)]})
    };
    let clock =
        |zone: &str| json!({"blocks": [calls("call_1", "mcp__client__clock", &json!({"zone": zone}))]});
    // Claude Code makes the second call, and leaves it and its result out of what it then asks the model.
    let server = lab
        .scripted_server(&script(&[
            rule("touch", &json!([touch("a"), touch("b")])),
            rule("clock", &json!([clock("UTC"), clock("CET")])),
            rule_about("(no content)", "Done."),
        ]))
        .await;
    let tool = json!({"name": "clock", "description": "The time", "input_schema": {"type": "object", "properties": {}}});
    let mut client = server.session(json!({"client_tools": [tool]})).await;
    let id = client.say("touch").await;
    for file in ["a", "b"] {
        let prompt = client.prompt().await;
        assert_eq!(prompt["tool_use_id"], "call_0");
        assert_eq!(prompt["tool_input"]["command"], format!("touch {file}"));
        client.allow(&prompt).await;
    }
    let turn = client.finish(&id).await.succeeded();
    for kind in ["tool_use", "permission_request", "permission_resolved", "tool_result"] {
        assert_eq!(turn.of_type(kind).len(), 2, "{kind}");
    }
    let commands: Vec<&Value> =
        turn.of_type("tool_use").iter().map(|call| &call["tool_input"]["command"]).collect();
    assert_eq!(commands, ["touch a", "touch b"]);
    assert!(server.workspace().join("b").exists());
    // A tool of the client's own, answered as soon as the call is told.
    let id = client.say("clock").await;
    for (zone, time) in [("UTC", "noon"), ("CET", "one")] {
        let call = client.expect("tool_use").await;
        assert_eq!((&call["tool_input"]["zone"], &call["tool_use_id"]), (&json!(zone), &json!("call_1")));
        client.send(json!({"type": "tool_result", "tool_use_id": "call_1", "content": time})).await;
        let result = client.expect("tool_result").await;
        assert_eq!(result["content"], time);
    }
    let turn = client.finish(&id).await.succeeded();
    assert_eq!(turn.text(), "Done.");
    assert!(!client.got().iter().any(|message| message["type"] == "error"));
    replay_says_the_same(&server, &mut client).await;
}
