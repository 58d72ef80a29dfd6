//! The orderly end, and the hasty one.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Lab, wait};

fn drains(signal: Signal) {
    let lab = Lab::new();
    let mut gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let mut idle = gateway.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    assert_eq!(gateway.http("/readyz", &[]).0, 200);
    let id = client.say("!grandchild; ask Bash {\"command\":\"ls\"}; text Done");
    let prompt = client.expect("permission_request");
    gateway.signal(signal);
    wait("the drain", || match gateway.http("/readyz", &[]).0 {
        503 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(gateway.upgrade(&[]), 503);
    assert_eq!(gateway.http("/healthz", &[]).0, 200);
    // What was begun goes on, prompts included; nothing new begins.
    let refused = client.ask(json!({"type": "session_start", "session_id": "new"}), "session_info");
    assert_eq!(refused["code"], "agent_unavailable");
    client.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    assert_eq!((client.closed(), idle.closed()), (1001, 1001));
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.log());
    assert!(lab.agent_processes().is_empty(), "{:#?}", lab.agent_processes());

    let seen = client.events;
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    assert_eq!(client.start(json!({"last_seq": 0, "epoch": epoch}))["replay"], "ok");
    while client.events.len() < seen.len() {
        client.next();
    }
    assert_eq!(client.events, seen);
    gateway.stop();
}

#[test]
fn sigterm_lets_the_running_turn_finish() {
    drains(Signal::TERM);
}

#[test]
fn sigint_does_the_same() {
    drains(Signal::INT);
}

#[test]
fn after_the_drain_time_turns_are_interrupted() {
    let lab = Lab::new();
    let mut gateway = lab.gateway(&["--drain", "300ms", "--interrupt-timeout", "300ms"]);
    let mut client = gateway.client();
    let mut turns = Vec::new();
    for (session, message) in [
        ("a", "!text I begin; hang"),
        ("b", "!asks 2"),
        ("c", "!text I begin; ignore interrupt; ignore sigterm; ignore close; hang"),
    ] {
        client.start(json!({"session_id": session}));
        turns.push(client.send(json!({"type": "user_message", "session_id": session, "content": message})));
        client.until(|message| {
            message["session_id"] == session
                && (message["delta"]["text"] == "begin" || message["type"] == "permission_request")
        });
    }
    turns.push(client.send(json!({"type": "user_message", "session_id": "a", "content": "queued"})));
    client.answer(&turns[3], "user_message");
    gateway.signal(Signal::TERM);
    assert_eq!(client.closed(), 1001);
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.log());
    assert!(lab.agent_processes().is_empty(), "{:#?}", lab.agent_processes());
    for id in &turns {
        let results: Vec<_> = client
            .events
            .iter()
            .filter(|event| event["type"] == "result" && event["request_id"] == **id)
            .map(|event| event["subtype"].as_str().unwrap())
            .collect();
        assert_eq!(results.len(), 1, "{id}: {results:?}");
        assert_ne!(results[0], "error");
    }
    let resolved = client.events.iter().filter(|event| event["type"] == "permission_resolved").count();
    assert_eq!(resolved, 2);
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_nothing_behind() {
    let lab = Lab::new();
    let mut gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say("!grandchild; ignore interrupt; ignore sigterm; ignore close; text I begin; hang");
    let begun = client.until(|message| message["delta"]["text"] == "begin");
    lab.wait_for_commit("s", begun["seq"].as_u64().unwrap());
    gateway.signal(Signal::TERM);
    gateway.wait_for_log("draining");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(1));
    assert!(lab.agent_processes().is_empty(), "{:#?}", lab.agent_processes());
    // As after a kill: the turn has its end when the session is taken up again.
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({"last_seq": 0}));
    assert_eq!(client.answer(&id, "result")["subtype"], "error");
    gateway.stop();
}
