//! One owner, many doors: a client may be attached at any gateway.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, come_back};
use crate::harness::Client;
use crate::proxy::Proxy;
use crate::transcript::{exact, orderly, plain, whole};

#[test]
fn a_client_at_the_wrong_gateway_sees_and_does_the_same() {
    let cluster = Cluster::new();
    let (owner, door) = (cluster.node("a", &[]), cluster.node("b", &[]));
    let (mut here, mut there) = (owner.client(), door.client());
    assert_eq!(here.start(json!({}))["created"], true);
    assert_eq!(here.hear("hello"), "echo: hello");
    // Attached at the wrong gateway, from the beginning.
    let info = there.start(json!({"last_seq": 0}));
    assert_eq!((&info["created"], &info["replay"]), (&json!(false), &json!("ok")));
    while there.events.len() < here.events.len() {
        there.next();
    }
    assert_eq!(there.events, here.events);
    // A turn that is begun there, with a prompt that is answered there, and text live at both.
    let id = there.say("!think Hm; deltas 20 8; ask Bash {\"command\":\"ls\"}; text Done now");
    let prompt = there.expect("permission_request");
    assert_eq!(here.expect("permission_request"), prompt);
    there.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    assert_eq!(there.answer(&id, "result")["subtype"], "success");
    here.answer(&id, "result");
    // First answer wins, wherever it comes from.
    let late = json!({"type": "permission_response", "request_id": prompt["id"], "decision": "deny"});
    let late = there.ask(late, "nothing");
    assert_eq!(late["code"], "unknown_request");
    // The same id is not run twice, wherever it comes from.
    let again = json!({"type": "user_message", "id": id, "content": "again"});
    assert_eq!(there.ask(again, "warning")["code"], "duplicate_message");
    // The queue, and an interrupt.
    let (running, queued) = (there.say("!hang"), there.say("queued"));
    here.answer(&queued, "user_message");
    let cancelled = here.say("never");
    there.answer(&cancelled, "user_message");
    there.send(json!({"type": "cancel", "target_id": cancelled}));
    assert_eq!(there.answer(&cancelled, "result")["subtype"], "cancelled");
    there.send(json!({"type": "interrupt"}));
    assert_eq!(there.answer(&running, "result")["subtype"], "interrupted");
    assert_eq!(there.answer(&queued, "result")["subtype"], "success");
    here.answer(&queued, "result");
    for client in [&mut here, &mut there] {
        client.until(|message| message["type"] == "status_update" && message["status"] == "idle");
    }
    assert_eq!(there.events, here.events);
    orderly(&here.events);
    // The end, by the door; both hear of it, and nobody is closed.
    let id = there.send(json!({"type": "session_end", "reason": "done"}));
    let ended = there.answer(&id, "session_ended");
    assert_eq!(here.expect("session_ended"), ended);
    for client in [&mut here, &mut there] {
        assert_eq!(client.ask(json!({"type": "config_query"}), "config_response")["code"], "session_ended");
    }
    assert!(cluster.overlaps().is_empty());
    owner.stop();
    door.stop();
}

/// The cut is made where the client is, and the pages come from the owner.
#[test]
fn a_long_result_comes_cut_at_the_wrong_gateway_too() {
    let cluster = Cluster::new();
    let (owner, door) = (cluster.node("a", &[]), cluster.node("b", &[]));
    let (mut here, mut there) = (owner.client(), door.client());
    here.start(json!({}));
    there.start(json!({"max_content_bytes": 2000}));
    let id = here.say("!gives 100000; text done");
    let result = |client: &mut Client| {
        client.answer(&id, "result");
        client.events.iter().find(|event| event["type"] == "tool_result").unwrap().clone()
    };
    let (whole, cut) = (result(&mut here), result(&mut there));
    let content = whole["content"].as_str().unwrap();
    assert_eq!((&cut["truncated"], &cut["total_bytes"]), (&json!(true), &json!(content.len())));
    let beginning = cut["content"].as_str().unwrap();
    assert!(beginning.len() <= 2000 && content.starts_with(beginning));
    let page = json!({"type": "result_read", "tool_use_id": cut["tool_use_id"], "seq": cut["seq"],
        "offset": beginning.len(), "max_bytes": 200_000});
    let page = there.ask(page, "result_read");
    assert!(
        page["content"] == content[beginning.len()..],
        "{} bytes",
        page["content"].as_str().unwrap_or("").len()
    );
    assert_eq!(page.get("next_offset"), None);
    owner.stop();
    door.stop();
}

/// Every answer and every error, field for field.
#[test]
fn answers_at_the_wrong_gateway_are_those_of_the_owner() {
    let cluster = Cluster::new();
    let (owner, door) = (cluster.node("a", &[]), cluster.node("b", &[]));
    let (mut here, mut there) = (owner.client(), door.client());
    here.start(json!({"metadata": {"a": "b"}}));
    here.turn("hello");
    let questions = [
        json!({"type": "session_info"}),
        json!({"type": "config_query"}),
        json!({"type": "interrupt"}),
        json!({"type": "resume"}),
        json!({"type": "cancel", "target_id": "nothing"}),
        json!({"type": "permission_response", "request_id": "nothing", "decision": "allow"}),
        json!({"type": "tool_result", "tool_use_id": "nothing", "content": ""}),
        json!({"type": "config_update", "config": {"permission_mode": "bypass"}}),
        json!({"type": "user_message"}),
        json!({"type": "user_message", "content": 7}),
        json!({"type": "permission_update", "updates": [{"type": "addDirectories", "directories": ["/"]}]}),
        json!({"type": "session_start", "permission_mode": "plan", "last_seq": 2}),
        json!({"type": "nonsense"}),
    ];
    for question in questions {
        let mut answers: Vec<Value> = Vec::new();
        for client in [&mut here, &mut there] {
            let id = client.send(question.clone());
            let answer = client.until(|message| message["request_id"] == *id && message.get("seq").is_none());
            answers.push(plain(answer));
        }
        assert_eq!(answers[0], answers[1], "{question}");
    }
    // A stranger's session is unknown, wherever it is asked for; so is one that is nowhere.
    let nowhere = json!({"type": "interrupt", "session_id": "nowhere"});
    let answers = [here.ask(nowhere.clone(), "x"), there.ask(nowhere, "x")].map(plain);
    assert_eq!((&answers[0], &answers[0]["code"]), (&answers[1], &json!("unknown_session")));
    // Where it is asked for makes no difference to the list either.
    let mut busy = owner.client();
    busy.start(json!({"session_id": "busy"}));
    busy.send(
        json!({"type": "user_message", "session_id": "busy", "content": "!ask Bash {\"command\":\"ls\"}"}),
    );
    busy.expect("permission_request");
    there.start(json!({"session_id": "theirs"}));
    let lists = [here.list(), there.list()];
    assert_eq!(lists[0], lists[1]);
    let find = |id: &str| lists[0].iter().find(|one| one["session_id"] == id).unwrap();
    assert_eq!(
        (&find("busy")["state"], &find("busy")["pending_permissions"]),
        (&json!("waiting_permission"), &json!(1))
    );
    assert_eq!(find("theirs")["status"], "active");
    assert_eq!(lists[0].len(), 3);
    owner.stop();
    door.stop();
}

#[test]
fn who_comes_and_goes_at_the_wrong_gateway_is_counted_by_the_owner() {
    let cluster = Cluster::new();
    let (owner, door) = (cluster.node("a", &["--session-grace", "1s"]), cluster.node("b", &[]));
    let (mut here, mut there) = (owner.client(), door.client());
    here.start(json!({}));
    there.start(json!({}));
    here.turn("hello");
    drop(here);
    // Only the door's client is left, for longer than the grace.
    there.turn("!sleep 2000");
    there.turn("still there?");
    assert!(!owner.log().contains("session s: dormant"), "{}", owner.log());
    assert_eq!(owner.starts(), 1);
    drop(there);
    owner.wait_for_log("session s: dormant");
    owner.stop();
    door.stop();
}

/// The way by the owner and back costs little more than Redis does.
#[test]
fn a_round_trip_by_another_gateway_is_quick() {
    let cluster = Cluster::new();
    let proxy = Proxy::start(cluster.redis.address());
    let (owner, door) = (cluster.node("a", &[]), cluster.node_behind(&proxy, "b", &[]));
    let (mut here, mut there) = (owner.client(), door.client());
    here.start(json!({}));
    there.start(json!({}));
    let mut measure = |question: Value, answer: &str| {
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let begin = Instant::now();
                there.ask(question.clone(), answer);
                begin.elapsed()
            })
            .collect();
        times.sort_unstable();
        (times[times.len() / 2], times[times.len() * 99 / 100])
    };
    let plain = measure(json!({"type": "config_query"}), "config_response");
    println!("command and answer by the door: p50 {:?}, p99 {:?}", plain.0, plain.1);
    proxy.delay(Duration::from_millis(5));
    let slow = measure(json!({"type": "config_query"}), "config_response");
    println!("the same with 10 ms of network to Redis: p50 {:?}, p99 {:?}", slow.0, slow.1);
    // Generous: the machine may be busy with other things.
    assert!(plain.0 < Duration::from_millis(100), "{plain:?}");
    drop((here, there));
    owner.stop();
    door.stop();
}

/// A client that lags behind the door's window reads from Redis what is there no more.
#[test]
fn a_long_replay_by_the_wrong_gateway_is_exact() {
    let cluster = Cluster::new();
    let args = ["--log-window", "4096"];
    let (owner, door) = (cluster.node("a", &args), cluster.node("b", &args));
    let mut here = owner.client();
    let epoch = here.start(json!({}))["epoch"].clone();
    here.turn("!deltas 2000 40");
    let mut there = door.client();
    there.start(json!({"last_seq": 0, "epoch": epoch}));
    let id = there.say("!deltas 2000 40");
    there.answer(&id, "result");
    here.answer(&id, "result");
    let last = there.events.len();
    exact(&there.events, &here.events[..last]);
    exact(&there.events, &whole(&door, "s"));
    drop((here, there));
    let (client, info) = come_back(&door, "s", &[], &epoch);
    assert_eq!(info["replay"], "ok");
    drop(client);
    owner.stop();
    door.stop();
}
