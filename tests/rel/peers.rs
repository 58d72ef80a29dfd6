//! Peers that are slow, silent or gone, and crowds of them: gone in time, and nothing of them is left.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Gateway, Lab, Raw, children, descriptors, frame, sockets, wait};

fn wait_for_sockets(gateway: &Gateway, wanted: usize) {
    wait("the sockets to be closed", || match sockets(gateway.pid()) {
        now if now <= wanted => Ok(()),
        now => Err(format!("{now}, {wanted} wanted")),
    });
}

#[test]
fn request_heads() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--header-timeout", "400ms", "--max-header-bytes", "8192"]);
    let idle = sockets(gateway.pid());
    // 0: it came too slowly on a busy machine, and the socket was closed.
    wait("431", || match gateway.upgrade(&[("X-Long", &"x".repeat(9000))]) {
        0 => Err("no answer".to_owned()),
        431 => Ok(()),
        status => panic!("{status}"),
    });
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
    let gateway = lab.gateway(&["--heartbeat", "1s"]);
    let idle = sockets(gateway.pid());
    let mut silent = gateway.client().fall_silent();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    let close = [0x88, 0x0f, 0xa0];
    let found = said.windows(4).any(|bytes| [bytes[0], bytes[2], bytes[3]] == close);
    assert!(found, "a close frame with 4000");
    // Who answers the pings stays, and hears the server's heartbeat.
    let mut lively = gateway.client();
    for _ in 0..3 {
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
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..50 {
                    gateway.client().send(json!({"type": "session_start", "last_seq": 0}));
                }
            });
        }
    });
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

/// Both ways: the server says it and pings, and answers the client's.
#[test]
fn heartbeats_go_in_both_directions() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--heartbeat", "1500ms"]);
    let mut peer = Raw::upgraded(&gateway, "").unwrap();
    peer.say(&frame(0x81, br#"{"type":"heartbeat","id":"mine"}"#));
    let (mut answered, mut pings, mut beats) = (false, 0, 0);
    while !answered || pings < 2 || beats < 2 {
        match peer.next().expect("an open connection") {
            (0x89, payload) => {
                pings += 1;
                peer.say(&frame(0x8A, &payload));
            }
            (0x81, text) => {
                let message: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(message["type"], "heartbeat");
                assert!(message["timestamp"].as_u64().is_some_and(|time| time > 1_700_000_000_000));
                match message["request_id"].as_str() {
                    None => beats += 1,
                    Some(id) => answered = id == "mine",
                }
            }
            other => panic!("{other:?}"),
        }
    }
    gateway.stop();
}

/// Sockets, connections and tasks are counted, and what counts them comes back to what it was.
#[test]
fn everything_that_was_counted_returns_to_zero() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--heartbeat", "1s", "--header-timeout", "600ms", "--session-grace", "0s"]);
    let mut first = gateway.client();
    first.start(json!({}));
    assert_eq!(first.turn("hello")["subtype"], "success");
    drop(first);
    lab.wait_for_no_processes();
    // The socket that asks counts too.
    let at_rest = || {
        gateway.wait_for_metric("claude_ws_connections", 0);
        gateway.wait_for_metric("claude_ws_sockets", 1);
        gateway.wait_for_metric("claude_ws_tasks", 1);
    };
    at_rest();
    let silent: Vec<_> = (0..10).map(|_| gateway.client().fall_silent()).collect();
    let unfinished: Vec<_> = (0..10)
        .map(|_| {
            let mut socket = gateway.socket();
            socket.write_all(b"GET /ws HTTP/1.1\r\nUpgr").unwrap();
            socket
        })
        .collect();
    let mute: Vec<_> = (0..10).map(|_| gateway.socket()).collect();
    let gone: Vec<_> = (0..10).map(|_| gateway.client()).collect();
    for client in gone {
        drop(client);
    }
    // All of the others stay on their side.
    gateway.wait_for_metric("claude_ws_closes_total{code=\"4000\"}", 10);
    gateway.wait_for_metric("claude_ws_closes_total{code=\"1006\"}", 11);
    at_rest();
    drop((silent, unfinished, mute));
    gateway.stop();
}

/// Descriptors run out: what is open goes on, nothing spins, and when there are some again all is as before.
#[test]
fn descriptors_that_run_out_come_back() {
    let lab = Lab::new();
    let gateway = lab.options(&["--header-timeout", "10min"]).max_descriptors(80).start();
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    // More than there can be; some wait in the backlog, the last of them with a request.
    let crowd: Vec<_> = (0..100).map(|_| gateway.socket()).collect();
    gateway.wait_for_log("cannot accept connections");
    let mut waiting = gateway.socket();
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    for _ in 0..20 {
        assert_eq!(client.turn("hello")["subtype"], "success", "the connection that was there goes on");
    }
    // An agent needs descriptors too: an honest answer, and the gateway lives.
    client.send(json!({"type": "session_start", "session_id": "poor"}));
    let id = client.send(json!({"type": "user_message", "session_id": "poor", "content": "hello"}));
    assert_eq!(client.answer(&id, "result")["error_code"], "agent_unavailable");
    drop(crowd);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    gateway.wait_for_log("accepting connections again");
    let mut newcomer = gateway.client();
    newcomer.start(json!({"session_id": "rich"}));
    newcomer.send(json!({"type": "user_message", "session_id": "rich", "content": "hello"}));
    assert_eq!(newcomer.expect("result")["subtype"], "success");
    // It waited longer from time to time: some hundred would be a second of trying all the time.
    let errors = gateway.metric("claude_ws_accept_errors_total");
    assert!((1..300).contains(&errors), "{errors}");
    gateway.stop();
}
