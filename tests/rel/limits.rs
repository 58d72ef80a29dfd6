//! Every limit, hit; and that what was taken comes back.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Gateway, Lab, children, descriptors, sockets, wait};

fn wait_for_sockets(gateway: &Gateway, wanted: usize) {
    wait("the sockets to be closed", || match sockets(gateway.pid()) {
        now if now <= wanted => Ok(()),
        now => Err(format!("{now}, {wanted} wanted")),
    });
}

#[test]
fn frames() {
    let lab = Lab::new();
    let gateway =
        lab.gateway(&["--max-message-bytes", "10000", "--max-json-depth", "20", "--max-frame-rate", "0"]);
    let mut client = gateway.client();
    let mut code = |text: String| {
        client.frame(Message::text(text));
        client.expect("error")["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code("{".to_owned()), "invalid_json");
    assert_eq!(
        code(format!("{{\"type\":\"heartbeat\",\"x\":{}{}}}", "[".repeat(30), "]".repeat(30))),
        "invalid_message"
    );
    assert_eq!(code("{\"type\":\"nonsense\",\"id\":\"1\"}".to_owned()), "unknown_type");
    let start = |more: Value| {
        let mut message = json!({"type": "session_start", "id": "1", "session_id": "s"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message.to_string()
    };
    assert_eq!(code(start(json!({"id": "i".repeat(129)}))), "invalid_message");
    assert_eq!(code(start(json!({"session_id": "s".repeat(129)}))), "invalid_message");
    assert_eq!(code(start(json!({"session_id": "a/b"}))), "invalid_message");
    let entries: serde_json::Map<String, Value> = (0..65).map(|at| (at.to_string(), "x".into())).collect();
    assert_eq!(code(start(json!({"metadata": entries}))), "invalid_message");
    client.frame(Message::binary(vec![1, 2, 3]));
    assert_eq!(client.expect("error")["code"], "unsupported_frame");
    client.frame(Message::text("x".repeat(10_001)));
    assert_eq!(client.closed(), 1009);

    let mut client = gateway.client();
    for _ in 0..101 {
        client.frame(Message::text("no message"));
    }
    assert_eq!(client.closed(), 1008, "more than 100 bad frames in a row");
    gateway.stop();
}

#[test]
fn frames_a_second() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-frame-rate", "20"]);
    let mut client = gateway.client();
    let mut refused = 0;
    for _ in 0..60 {
        client.send(json!({"type": "session_list"}));
    }
    for _ in 0..60 {
        let answer = client.next();
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
    gateway.stop();
}

#[test]
fn connections() {
    let lab = Lab::new();
    for flag in ["--max-connections", "--max-connections-per-address"] {
        let gateway = lab.gateway(&["--ephemeral", flag, "3"]);
        let idle = sockets(gateway.pid());
        let held: Vec<_> = (0..3).map(|_| gateway.client()).collect();
        assert_eq!(gateway.upgrade(&[]), 503, "{flag}");
        drop(held);
        wait_for_sockets(&gateway, idle);
        drop(gateway.client());
        gateway.stop();
    }
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
fn request_heads() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--header-timeout", "400ms", "--max-header-bytes", "8192"]);
    let idle = sockets(gateway.pid());
    assert_eq!(gateway.upgrade(&[("X-Long", &"x".repeat(9000))]), 431);
    // Half a handshake, a byte of one, nothing at all, and one that comes in drops.
    let mut open = Vec::new();
    for said in ["GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgr", "G", ""] {
        let mut socket = gateway.socket();
        socket.write_all(said.as_bytes()).unwrap();
        open.push(socket);
    }
    let mut drops = gateway.socket();
    let dropping = std::thread::spawn(move || {
        while drops.write_all(b"G").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    for mut socket in open {
        let mut rest = Vec::new();
        // The end, or a reset; what matters is that it comes.
        let _ = socket.read_to_end(&mut rest);
    }
    dropping.join().unwrap();
    wait_for_sockets(&gateway, idle);
    gateway.stop();
}

#[test]
fn a_silent_peer_is_closed_with_4000() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--heartbeat", "200ms"]);
    let idle = sockets(gateway.pid());
    let mut silent = gateway.client().fall_silent();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    let close = [0x88, 0x0f, 0xa0];
    let found = said.windows(4).any(|bytes| [bytes[0], bytes[2], bytes[3]] == close);
    assert!(found, "a close frame with 4000");
    // Who answers the pings stays, and hears the server's heartbeat.
    let mut lively = gateway.client();
    for _ in 0..5 {
        assert_eq!(lively.message().unwrap()["type"], "heartbeat");
    }
    drop(lively);
    drop(silent);
    wait_for_sockets(&gateway, idle);
    gateway.stop();
}

/// The threads and descriptors that a gateway has at rest.
fn at_rest(gateway: &Gateway) -> (usize, usize) {
    (descriptors(gateway.pid()), children(gateway.pid()).len())
}

#[test]
fn a_thousand_reconnects_start_no_process() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    let events = client.events.len();
    let before = at_rest(&gateway);
    for _ in 0..1000 {
        let mut client = gateway.client();
        client.send(json!({"type": "session_start", "last_seq": 0}));
    }
    // The last one of all gets all there is.
    let mut last = gateway.client();
    last.start(json!({"last_seq": 0}));
    while last.events.len() < events {
        last.next();
    }
    drop(last);
    assert_eq!(gateway.starts(), 1);
    wait("rest", || match at_rest(&gateway) {
        now if now.0 <= before.0 && now.1 <= before.1 => Ok(()),
        now => Err(format!("{now:?}, {before:?} before")),
    });
    gateway.stop();
}

#[test]
fn strangers_that_come_and_go_leave_nothing() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agents", "4"]);
    let mut watcher = gateway.client();
    let mut most = 0;
    for stranger in 0..200 {
        let mut client = gateway.client();
        client.send(json!({"type": "session_start", "session_id": format!("stranger-{stranger}")}));
        if stranger % 20 == 0 {
            most = most.max(lab.agent_processes().len());
        }
    }
    // Sessions that never ran a turn go with their last connection.
    wait("an empty list", || match watcher.list() {
        list if list.is_empty() => Ok(()),
        list => Err(format!("{} sessions", list.len())),
    });
    lab.wait_for_no_processes();
    println!("{} starts for 200 strangers, at most {most} processes at once", gateway.starts());
    assert!(most <= 4, "{most}");
    gateway.stop();
}
