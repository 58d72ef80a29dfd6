//! Every limit on messages, connections and sessions, hit by its flag and with its answer; and that what was taken comes back.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Gateway, Lab, Raw, frame, sockets, wait};

/// The text of a message whose field is changed.
fn changed(mut message: Value, change: Value) -> String {
    message.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    message.to_string()
}

/// The code of the `error` that answers this, or the type of what else does.
fn answered(client: &mut Client, text: String) -> String {
    client.frame(Message::text(text));
    // The `session_info` that comes when an agent is known answers nothing.
    let answer = client.until(|message| {
        message["type"] == "error" || message.get("seq").is_none() && message.get("request_id").is_some()
    });
    answer["code"].as_str().or(answer["type"].as_str()).unwrap().to_owned()
}

#[test]
fn frames() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-message-bytes", "10000", "--max-frame-rate", "0"]);
    let mut client = gateway.client();
    assert_eq!(answered(&mut client, "{".to_owned()), "invalid_json");
    assert_eq!(answered(&mut client, "{\"type\":\"nonsense\",\"id\":\"1\"}".to_owned()), "unknown_type");
    client.frame(Message::binary(vec![1, 2, 3]));
    assert_eq!(client.expect("error")["code"], "unsupported_frame");
    client.frame(Message::text("x".repeat(10_001)));
    assert_eq!(client.closed(), 1009);

    let mut client = gateway.client();
    for _ in 0..101 {
        client.frame(Message::text("no message"));
    }
    assert_eq!(client.closed(), 1008, "more than 100 bad frames in a row");
    // A good one between them begins the count anew.
    let mut client = gateway.client();
    for _ in 0..3 {
        for _ in 0..100 {
            assert_eq!(answered(&mut client, "no message".to_owned()), "invalid_json");
        }
        assert_eq!(answered(&mut client, r#"{"type":"session_list","id":"1"}"#.to_owned()), "session_list");
    }
    gateway.stop();
}

#[test]
fn depth_ids_and_metadata() {
    let lab = Lab::new();
    let gateway =
        lab.gateway(&["--max-json-depth", "20", "--max-frame-rate", "0", "--max-message-bytes", "1000000"]);
    let mut client = gateway.client();
    // The frame itself is the first level.
    for (levels, code) in [(19, "session_list"), (20, "invalid_message"), (100_000, "invalid_message")] {
        let nested = format!(
            "{{\"type\":\"session_list\",\"id\":\"1\",\"x\":{}{}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        );
        assert_eq!(answered(&mut client, nested), code, "{levels}");
    }
    let start = json!({"type": "session_start", "id": "1", "session_id": "s"});
    let entries = |count: usize| -> Value {
        (0..count).map(|at| (at.to_string(), Value::from("x"))).collect::<serde_json::Map<_, _>>().into()
    };
    let list = |count: usize| vec!["Read"; count];
    let (good, bad) = ("session_info", "invalid_message");
    for (change, code) in [
        (json!({"id": "i".repeat(128)}), good),
        (json!({"id": "ü".repeat(128)}), good),
        (json!({"id": "i".repeat(129)}), bad),
        (json!({"id": ""}), bad),
        (json!({"id": 1}), bad),
        (json!({"id": null}), bad),
        (json!({"session_id": "s".repeat(128)}), good),
        (json!({"session_id": "s".repeat(129)}), bad),
        (json!({"session_id": "AZaz09_.:-"}), good),
        (json!({"session_id": "a/b"}), bad),
        (json!({"session_id": "ü"}), bad),
        (json!({"session_id": ""}), bad),
        (json!({"metadata": entries(64), "session_id": "m1"}), good),
        (json!({"metadata": entries(65)}), bad),
        (json!({"metadata": {"k".repeat(128): "v".repeat(4096)}, "session_id": "m2"}), good),
        (json!({"metadata": {"k".repeat(129): "v"}}), bad),
        (json!({"metadata": {"k": "v".repeat(4097)}}), bad),
        (json!({"metadata": {"k": 1}}), bad),
        (json!({"max_turns": 0}), bad),
        (json!({"max_turns": 1001}), bad),
        (json!({"allowed_tools": list(1025)}), bad),
        (json!({"model": "m".repeat(4097)}), bad),
        (json!({"client_tools": [{"name": "t".repeat(65), "description": "d", "input_schema": {}}]}), bad),
        (
            json!({"mcp_servers": [{"name": "m".repeat(129), "command": "/bin/true", "args": [], "env": []}]}),
            bad,
        ),
    ] {
        let message = changed(start.clone(), change);
        assert_eq!(answered(&mut client, message.clone()), code, "{message:.200}");
    }
    gateway.stop();
}

#[test]
fn frames_a_second() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-frame-rate", "2"]);
    let mut client = gateway.client();
    let sent: Vec<_> = (0..60).map(|_| client.send(json!({"type": "session_list"}))).collect();
    let mut refused = 0;
    for id in &sent {
        // Answers come in order, refusals too, and each names its message.
        let answer = client.next();
        assert_eq!(answer["request_id"], **id);
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "rate_limited");
            refused += 1;
        }
    }
    assert!(refused > 0);
    for _ in 0..300 {
        client.send(json!({"type": "session_list"}));
    }
    assert_eq!(client.closed(), 1008);
    // Pings are frames too; they get no warning.
    let mut pinging = Raw::upgraded(&gateway, "").unwrap();
    pinging.say(&frame(0x89, b"").repeat(1000));
    assert_eq!(pinging.close_code(), Some(1008));
    gateway.wait_for_metric("claude_ws_closes_total{code=\"1008\"}", 2);
    gateway.stop();
}

/// The default, with a client that does nothing but talk, and one that keeps within it.
#[test]
fn frames_a_second_by_default() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--ephemeral"]);
    let mut client = gateway.client();
    for _ in 0..500 {
        client.send(json!({"type": "heartbeat"}));
    }
    for _ in 0..500 {
        assert_eq!(client.message().unwrap()["type"], "heartbeat");
    }
    let mut flood = Raw::upgraded(&gateway, "").unwrap();
    flood.say(&frame(0x81, br#"{"type":"heartbeat"}"#).repeat(100_000));
    assert_eq!(flood.close_code(), Some(1008));
    gateway.stop();
}

#[test]
fn connections() {
    let lab = Lab::new();
    for flag in ["--max-connections", "--max-connections-per-address"] {
        let gateway = lab.gateway(&["--ephemeral", flag, "3"]);
        let idle = sockets(gateway.pid());
        let held: Vec<_> = (0..3).map(|_| gateway.client()).collect();
        let refusal = Raw::upgraded(&gateway, "").err().unwrap();
        assert!(refusal.starts_with("HTTP/1.1 503 "), "{flag}: {refusal}");
        assert!(refusal.contains("retry-after: ") && refusal.contains("connection: close"), "{refusal}");
        assert_eq!(gateway.http("/healthz", &[]).0, 200, "full is not dead");
        drop(held);
        wait("the sockets to be closed", || match sockets(gateway.pid()) {
            now if now <= idle => Ok(()),
            now => Err(format!("{now}, {idle} wanted")),
        });
        drop(gateway.client());
        gateway.stop();
    }
}

#[test]
fn connections_of_one_address_behind_a_proxy() {
    let lab = Lab::new();
    let from = |address: &'static str| [("X-Forwarded-For", address)];
    let gateway = lab.gateway(&["--trusted-proxy", "127.0.0.1", "--max-connections-per-address", "2"]);
    let connect =
        |gateway: &Gateway, address: &'static str| Client::connect_with(gateway.address, &from(address));
    let held = [connect(&gateway, "192.0.2.1").unwrap(), connect(&gateway, "192.0.2.1").unwrap()];
    assert_eq!(connect(&gateway, "192.0.2.1").err(), Some(503));
    assert_eq!(connect(&gateway, "6.6.6.6, 192.0.2.1").err(), Some(503), "what the client says before it");
    let other = connect(&gateway, "192.0.2.2").unwrap();
    // A whole /64 counts as one.
    let v6 = [connect(&gateway, "2001:db8::1").unwrap(), connect(&gateway, "2001:db8::2").unwrap()];
    assert_eq!(connect(&gateway, "2001:db8::3").err(), Some(503));
    drop((held, other, v6));
    wait("the place", || connect(&gateway, "192.0.2.1").map(drop).map_err(|status| status.to_string()));
    gateway.wait_for_log("[192.0.2.1] closed");
    gateway.stop();

    // Nobody else is believed.
    for more in [&[][..], &["--trusted-proxy", "10.0.0.0/8"]] {
        let gateway = lab.gateway(&[&["--max-connections-per-address", "2"], more].concat());
        let held = [connect(&gateway, "192.0.2.1").unwrap(), connect(&gateway, "192.0.2.2").unwrap()];
        assert_eq!(connect(&gateway, "192.0.2.3").err(), Some(503));
        drop(held);
        gateway.wait_for_log("[127.0.0.1] closed");
        assert!(!gateway.log().contains("192.0.2."), "{}", gateway.log());
        gateway.stop();
    }
}

#[test]
fn bytes_that_come_in_from_all_together() {
    const SIZE: usize = 1 << 20;
    let lab = Lab::new();
    let size = SIZE.to_string();
    let gateway =
        lab.gateway(&["--max-message-bytes", &size, "--max-inbound-bytes", "3500000", "--heartbeat", "1h"]);
    let message =
        frame(0x81, format!("{{\"type\":\"heartbeat\",\"x\":\"{}\"}}", "x".repeat(SIZE - 100)).as_bytes());
    let (most, end) = message.split_at(SIZE - 1000);
    let mut held: Vec<_> = (0..3).map(|_| Raw::upgraded(&gateway, "").unwrap()).collect();
    for peer in &mut held {
        peer.say(most);
    }
    wait("the bytes", || match gateway.metric("claude_ws_inbound_bytes") {
        now if now > 3_000_000 => Ok(()),
        now => Err(now.to_string()),
    });
    let mut refused = Raw::upgraded(&gateway, "").unwrap();
    refused.say(most);
    assert_eq!(refused.close_code(), Some(1013));
    // Small ones pass, and those that were on their way.
    gateway.client().start(json!({}));
    for peer in &mut held {
        peer.say(end);
        assert_eq!(peer.next().unwrap().0, 0x81);
    }
    gateway.wait_for_metric("claude_ws_inbound_bytes", 0);
    gateway.stop();
}

#[test]
fn sessions_attached_clients_and_queues() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[
        "--max-sessions-per-owner",
        "2",
        "--max-attached",
        "2",
        "--max-queue",
        "2",
        "--drain",
        "0s",
    ]);
    let mut client = gateway.client();
    client.start(json!({"session_id": "s"}));
    client.start(json!({"session_id": "t"}));
    let answer = client.ask(json!({"type": "session_start", "session_id": "u"}), "session_info");
    assert_eq!(answer["code"], "capacity");
    client.send(json!({"type": "session_end", "session_id": "t"}));
    client.expect("session_ended");
    // It counts until its last events are stored.
    wait("the place", || {
        match client.ask(json!({"type": "session_start", "session_id": "u"}), "session_info") {
            answer if answer["created"] == true => Ok(()),
            answer => Err(answer.to_string()),
        }
    });

    let mut second = gateway.client();
    second.start(json!({}));
    let mut third = gateway.client();
    let answer = third.ask(json!({"type": "session_start"}), "session_info");
    assert_eq!(answer["code"], "capacity");
    drop(second);
    wait("the place", || match third.ask(json!({"type": "session_start"}), "session_info") {
        answer if answer["type"] == "session_info" => Ok(()),
        answer => Err(answer.to_string()),
    });

    let running = client.say("!hang");
    client.answer(&running, "user_message");
    let queued = [client.say("a"), client.say("b")];
    let answer = client.ask(json!({"type": "user_message", "content": "c"}), "result");
    assert_eq!(answer["code"], "queue_full");
    client.send(json!({"type": "interrupt"}));
    for id in &queued {
        assert_eq!(client.answer(id, "result")["subtype"], "success");
    }
    gateway.stop();
}

#[test]
fn sessions_are_counted_by_owner() {
    let lab = Lab::new();
    let file = lab.path("tokens");
    std::fs::write(&file, "alice:alice-token\nbob:bob-token\n").unwrap();
    let flags = ["--auth-token-file", file.to_str().unwrap(), "--max-sessions-per-owner", "1"];
    let gateway = lab.gateway(&flags);
    let connect = |token: &str| {
        Client::connect_with(gateway.address, &[("Authorization", &format!("Bearer {token}"))]).unwrap()
    };
    let (mut alice, mut bob) = (connect("alice-token"), connect("bob-token"));
    assert_eq!(alice.start(json!({"session_id": "a"}))["created"], true);
    let start = json!({"type": "session_start", "session_id": "b"});
    assert_eq!(alice.ask(start.clone(), "session_info")["code"], "capacity");
    assert_eq!(bob.ask(start, "session_info")["created"], true);
    gateway.stop();
}

#[test]
fn fragments_of_a_message() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--ephemeral", "--max-fragments", "5"]);
    let message = |fragments: usize| {
        let text = br#"{"type":"heartbeat"}"#;
        let between = frame(0x00, b"").repeat(fragments - 2);
        [frame(0x01, text), between, frame(0x80, b"")].concat()
    };
    let mut peer = Raw::upgraded(&gateway, "").unwrap();
    peer.say(&message(5));
    assert_eq!(peer.next().unwrap().0, 0x81);
    peer.say(&message(6));
    assert_eq!(peer.close_code(), Some(1009));
    gateway.stop();
}

#[test]
fn bytes_of_queues_and_open_prompts() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-queue-bytes", "1000", "--max-prompts", "2", "--drain", "0s"]);
    let mut client = gateway.client();
    client.start(json!({}));
    let running = client.say("!hang");
    client.answer(&running, "user_message");
    let say = |size: usize| json!({"type": "user_message", "content": "x".repeat(size)});
    // One always finds room.
    let first = client.send(say(5000));
    client.answer(&first, "user_message");
    assert_eq!(client.ask(say(1), "user_message")["code"], "queue_full");
    client.send(json!({"type": "interrupt"}));
    assert_eq!(client.answer(&first, "result")["subtype"], "success");

    let asking = client.say("!asks 3");
    let prompts = [client.expect("permission_request"), client.expect("permission_request")];
    for prompt in &prompts {
        client.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    }
    assert_eq!(client.answer(&asking, "result")["subtype"], "success");
    let asked = client.events.iter().filter(|event| event["type"] == "permission_request").count();
    assert_eq!(asked, 2);
    assert!(gateway.log().contains("too many prompts are open"));
    gateway.stop();
}

#[test]
fn bytes_that_wait_for_an_agent_that_does_not_read() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agent-input", "10000", "--interrupt-timeout", "500ms"]);
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say("!text now; deaf");
    client.until(|message| message["delta"]["text"] == "now");
    // More than the pipe takes.
    let rules = json!([{"type": "addRules", "behavior": "allow",
        "rules": [{"toolName": "Bash", "ruleContent": "x".repeat(4000)}]}]);
    for _ in 0..60 {
        client.send(json!({"type": "permission_update", "updates": rules}));
    }
    let result = client.answer(&id, "result");
    assert_eq!(result["error_code"], "agent_exited", "{result}");
    assert_eq!(client.turn("hello")["subtype"], "success");
    gateway.stop();
}
