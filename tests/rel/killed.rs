//! `kill -9` of the gateway: what was committed is there again, what was running has its end, nothing runs on.

use std::collections::HashMap;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Lab, wait};

/// A message of a subagent that begins and stays open.
const OPEN_MESSAGE: &str = r#"raw {"type":"stream_event","event":{"type":"message_start","message":{"id":"msg_sub","type":"message","role":"assistant","model":"m","content":[],"usage":{}}},"parent_tool_use_id":"toolu_sub","session_id":"x","uuid":"u"}"#;

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}

fn results_of<'a>(events: &'a [Value], id: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == "result" && event["request_id"] == id).collect()
}

#[test]
fn what_was_committed_comes_back_and_what_was_running_ends() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    let done = client.say("one");
    client.answer(&done, "result");
    let running = client.say(&format!("!text Working; {OPEN_MESSAGE}; ask Bash {{\"command\":\"ls\"}}"));
    let prompt = client.expect("permission_request");
    let queued = [client.say("two"), client.say("!args")];
    client.answer(&queued[1], "user_message");
    let seen = client.events.clone();
    lab.wait_for_commit("s", seq(seen.last().unwrap()));
    gateway.kill();
    lab.wait_for_no_processes();

    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let list = client.list();
    assert_eq!((list.len(), &list[0]["status"]), (1, &json!("dormant")));
    // From the middle of what was seen.
    let from = seen.len() / 2;
    let info = client.start(json!({"last_seq": seq(&seen[from]), "epoch": epoch}));
    assert_eq!((&info["replay"], &info["created"]), (&json!("ok"), &json!(false)));
    client.answer(&queued[1], "result");
    let (replayed, after) = client.events.split_at(seen.len() - from - 1);
    assert_eq!(replayed, &seen[from + 1..]);

    // What was running has each its one end.
    let ended = results_of(after, &running);
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0]["subtype"], &ended[0]["error_code"]), (&json!("error"), &json!("agent_exited")));
    let resolved: Vec<_> = after.iter().filter(|event| event["type"] == "permission_resolved").collect();
    assert_eq!(resolved.len(), 1);
    assert_eq!(
        (&resolved[0]["permission_id"], &resolved[0]["decision"]),
        (&prompt["id"], &json!("cancelled"))
    );
    let open = seen
        .iter()
        .find(|event| {
            event["type"] == "assistant_message_start" && event["parent_tool_use_id"] == "toolu_sub"
        })
        .unwrap();
    let complete: Vec<_> = after
        .iter()
        .filter(|event| event["type"] == "assistant_message_complete" && event["id"] == open["id"])
        .collect();
    assert_eq!(complete.len(), 1);
    assert_eq!(complete[0]["stop_reason"], "interrupted");

    // What was queued ran, in the same conversation, and is not run again.
    for id in &queued {
        let results = results_of(after, id);
        assert_eq!((results.len(), &results[0]["subtype"]), (1, &json!("success")));
    }
    assert!(client.text(&queued[1]).contains("--resume="), "{}", client.text(&queued[1]));
    for id in [&done, &running, &queued[0]] {
        let answer = client.ask(json!({"type": "user_message", "id": id, "content": "again"}), "warning");
        assert_eq!(answer["code"], "duplicate_message");
    }
    assert!(client.hear("!args").contains("--resume="));
    assert_eq!(results_of(&client.events, &running).len(), 1);
    gateway.stop();
}

/// Half of a flood: what was given out more than 100 ms before the kill is there (10 times that, for a busy machine), and a client
/// that saw more than that misses nothing of what follows.
#[test]
fn a_kill_in_a_flood_loses_the_last_moment_at_most() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    let running = client.say("!deltas 1000000 100 4000");
    while client.events.len() < 6000 {
        client.next();
    }
    gateway.kill();
    while client.read().is_ok() {}
    let seen = client.events;

    let gateway = lab.gateway(&[]);
    let mut early = gateway.client();
    let info = early.start(json!({"last_seq": 0, "epoch": epoch}));
    assert_eq!(info["replay"], "ok");
    early.answer(&running, "result");
    let mut late = gateway.client();
    let last_seen = seq(seen.last().unwrap());
    let info = late.start(json!({"last_seq": last_seen, "epoch": epoch}));
    late.answer(&running, "result");

    let kept: HashMap<u64, &Value> = early.events.iter().map(|event| (seq(event), event)).collect();
    let time = |event: &Value| event["timestamp"].as_u64().unwrap();
    let last = seen.iter().map(time).max().unwrap();
    let lost: Vec<_> = seen.iter().filter(|event| !kept.contains_key(&seq(event))).collect();
    let loss = lost.first().map_or(0, |event| last - time(event));
    println!("lost: {} of {} events, the last {loss} ms", lost.len(), seen.len());
    assert!(loss <= 1000, "{loss} ms were lost");
    assert!(early.events.windows(2).all(|two| seq(&two[0]) < seq(&two[1])));
    for event in &seen {
        assert!(kept.get(&seq(event)).is_none_or(|kept| *kept == event));
    }
    // Who has read what was lost begins anew.
    let is_lost = !kept.contains_key(&last_seen);
    assert_eq!(info["replay"], if is_lost { "reset" } else { "ok" });
    let missed: Vec<_> = early.events.iter().filter(|event| is_lost || seq(event) > last_seen).collect();
    assert_eq!(missed, late.events.iter().collect::<Vec<_>>());
    gateway.stop();
}

/// 15 of 16 such messages were gone: the same id ran a second time, and no `result` ever came of the first.
#[test]
fn a_message_that_was_accepted_outlives_a_kill_in_the_next_moment() {
    let lab = Lab::new();
    let (mut epoch, mut last) = (Value::Null, 0);
    let mut messages: Vec<String> = Vec::new();
    for round in 0..6 {
        let gateway = lab.gateway(&[]);
        let mut client = gateway.client();
        let from = if round == 0 { json!({}) } else { json!({"last_seq": last, "epoch": epoch}) };
        let info = client.start(from);
        assert_eq!(info["replay"], if round == 0 { "none" } else { "ok" }, "in round {round}");
        epoch = info["epoch"].clone();
        if let Some(before) = messages.last() {
            // Once, whatever had become of its turn.
            client.answer(before, "result");
            let again = json!({"type": "user_message", "id": before, "content": "again"});
            assert_eq!(client.ask(again, "warning")["code"], "duplicate_message");
        }
        let id = client.say("hello");
        client.until(|message| message["type"] == "user_message" && message["request_id"] == *id);
        last = seq(client.events.last().unwrap());
        gateway.kill();
        messages.push(id);
        lab.wait_for_no_processes();
    }
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    assert_eq!(client.start(json!({"last_seq": 0, "epoch": epoch}))["replay"], "ok");
    client.answer(messages.last().unwrap(), "result");
    for id in &messages {
        let said = client
            .events
            .iter()
            .filter(|event| event["type"] == "user_message" && event["request_id"] == *id);
        assert_eq!((said.count(), results_of(&client.events, id).len()), (1, 1), "{id}");
    }
    gateway.stop();
}

/// The first who came back was told `ok`, and of a second result: what ends with its coming got numbers behind the lost ones.
#[test]
fn the_first_who_comes_back_is_told_that_its_view_was_lost() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    let id = client.say("hello");
    client.answer(&id, "result");
    let last = seq(client.events.last().unwrap());
    gateway.kill();
    lab.wait_for_no_processes();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    // The kill may have come after the commit: then there is nothing to be told of.
    let info = client.start(json!({"last_seq": last, "epoch": epoch}));
    let again = gateway.client().start(json!({"last_seq": last, "epoch": epoch}))["replay"].clone();
    assert_eq!(info["replay"], again, "the first is told what all are told");
    // In a place that was lost for certain.
    assert_eq!(gateway.client().start(json!({"last_seq": 500, "epoch": epoch}))["replay"], "reset");
    gateway.stop();
}

#[test]
fn agents_of_a_killed_gateway_end_by_themselves() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    for (session, message) in [
        ("a", "!hang"),
        ("b", "!grandchild; hang"),
        ("c", "!grandchild; ignore sigterm; ignore close; hang"),
        ("d", "!deltas 100000000 100 1000"),
    ] {
        client.start(json!({"session_id": session}));
        client.send(json!({"type": "user_message", "session_id": session, "content": message}));
    }
    // Four agents, and the two that left home.
    wait("the agents", || {
        if lab.agent_processes().len() == 6 { Ok(()) } else { Err(format!("{:#?}", lab.processes())) }
    });
    let begin = std::time::Instant::now();
    gateway.kill();
    lab.wait_for_no_processes();
    println!("gone after {:?}", begin.elapsed());
}

/// With the guard killed too, something is left: the next start ends it before it serves, and nothing that is another gateway's.
#[test]
fn the_next_start_sweeps_what_is_left_of_its_own() {
    let lab = Lab::new();
    let other = lab.options(&[]).data("other").start();
    let mut client = other.client();
    client.start(json!({}));
    client.say("!grandchild; hang");
    wait("the other's agent", || if lab.agent_processes().len() == 2 { Ok(()) } else { Err(String::new()) });
    let others: Vec<_> = lab.agent_processes().iter().map(|process| process.pid).collect();

    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    client.say("!grandchild; ignore sigterm; ignore close; hang");
    wait("the agent", || if lab.agent_processes().len() == 4 { Ok(()) } else { Err(String::new()) });
    for (child, _) in crate::harness::children(gateway.pid()) {
        if child.command.contains("claude-ws-guard") {
            child.signal(Signal::KILL);
        }
    }
    gateway.kill();
    assert_eq!(lab.agent_processes().len(), 4, "without its guard something is left");
    let gateway = lab.gateway(&[]);
    let left: Vec<_> = lab.agent_processes().iter().map(|process| process.pid).collect();
    assert_eq!(left, others);
    assert!(gateway.log().contains("ended 2 processes of an earlier run"), "{}", gateway.log());
    other.kill();
    gateway.stop();
    lab.wait_for_no_processes();
}

/// Its turn had begun, but there was no agent yet that could have heard of it: it ended with an error.
#[test]
fn a_message_that_waited_for_its_agent_is_run_after_the_restart() {
    let lab = Lab::new();
    lab.script(&json!({"ignore": ["initialize"]}));
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    let messages = [client.say("one"), client.say("two")];
    let accepted = client.answer(&messages[1], "user_message");
    lab.wait_for_commit("s", seq(&accepted));
    gateway.kill();
    lab.wait_for_no_processes();

    lab.script(&json!({}));
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({"last_seq": 0}));
    client.answer(&messages[1], "result");
    for id in &messages {
        let results = results_of(&client.events, id);
        assert_eq!((results.len(), &results[0]["subtype"]), (1, &json!("success")), "{results:?}");
    }
    assert_eq!(client.text(&messages[0]), "echo: one");
    gateway.stop();
}

/// It was there again, `dormant`: the end was stored only when the agent was gone.
#[test]
fn a_session_that_was_ended_does_not_come_back() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say("!ignore interrupt; ignore close; ignore sigterm; text begun; hang");
    client.until(|message| message["delta"]["text"] == "begun");
    client.send(json!({"type": "session_end"}));
    let result = client.answer(&id, "result");
    lab.wait_for_commit("s", seq(&result));
    assert_eq!(lab.processes().len(), 1, "its agent is still there");
    gateway.kill();
    lab.wait_for_no_processes();

    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let list = client.list();
    assert_eq!((list.len(), &list[0]["status"]), (1, &json!("ended")));
    let answer = client.ask(json!({"type": "session_start"}), "error");
    assert_eq!(answer["code"], "session_ended");
    gateway.stop();
}
