//! Peers that break WebSocket or HTTP: each gets its close code or status, in bounded time, and costs no memory.

use std::io::{Read, Write};

use crate::harness::{Gateway, Lab, Raw, descriptors, frame, peak_memory, sockets, wait};

const HEARTBEAT: &[u8] = br#"{"type":"heartbeat","id":"before"}"#;

/// The header of a frame that says it is so long, and a byte of it.
fn announced(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0xFF];
    bytes.extend(len.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.push(b'x');
    bytes
}

/// What a peer sends, and the code that it gets.
fn violations() -> Vec<(&'static str, Vec<u8>, u16)> {
    let close = |code: u16| frame(0x88, &code.to_be_bytes());
    vec![
        ("no UTF-8", frame(0x81, &[0xFF]), 1007),
        ("half a character at the end", frame(0x81, &[0xC3]), 1007),
        ("a surrogate", frame(0x81, &[0xED, 0xA0, 0x80]), 1007),
        ("an overlong slash", frame(0x81, &[0xC0, 0xAF]), 1007),
        ("no UTF-8 over two fragments", [frame(0x01, &[0xF0, 0x9F]), frame(0x80, b"x")].concat(), 1007),
        ("no UTF-8, and the message never ends", frame(0x01, &[0xFF]), 1007),
        ("no UTF-8 in a close frame", frame(0x88, &[3, 232, 0xFF]), 1007),
        ("reserved bit 1", frame(0xC1, b"x"), 1002),
        ("reserved bit 2", frame(0xA1, b"x"), 1002),
        ("reserved bit 3", frame(0x91, b"x"), 1002),
        ("a reserved bit in a ping", frame(0xC9, b""), 1002),
        ("reserved data opcode 3", frame(0x83, b"x"), 1002),
        ("reserved data opcode 7", frame(0x87, b""), 1002),
        ("reserved control opcode 11", frame(0x8B, b"x"), 1002),
        ("reserved control opcode 15", frame(0x8F, b""), 1002),
        ("no mask", vec![0x81, 1, b'x'], 1002),
        ("no mask, empty", vec![0x89, 0], 1002),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), 1002),
        ("a close frame of 126 bytes", frame(0x88, &[0; 126]), 1002),
        ("a ping in fragments", frame(0x09, b"x"), 1002),
        ("a close frame in fragments", frame(0x08, &[3, 232]), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        ("a message within a message", [frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002),
        ("a close frame of one byte", frame(0x88, &[3]), 1002),
        ("close 0", close(0), 1002),
        ("close 999", close(999), 1002),
        ("close 1004", close(1004), 1002),
        ("close 1005", close(1005), 1002),
        ("close 1006", close(1006), 1002),
        ("close 1015", close(1015), 1002),
        ("close 1016", close(1016), 1002),
        ("close 2999", close(2999), 1002),
        ("close 65535", close(65_535), 1002),
        ("2^63 bytes", announced(0x82, 1 << 63), 1009),
        ("2^64 - 1 bytes", announced(0x81, u64::MAX), 1009),
        ("a byte too many", announced(0x82, 10_001), 1009),
        ("a byte too many in two fragments", [frame(0x02, &[0; 10_000]), frame(0x80, b"x")].concat(), 1009),
        (
            "2^64 - 1 bytes in the second fragment",
            [frame(0x02, b"x"), announced(0x80, u64::MAX)].concat(),
            1009,
        ),
        ("endless empty fragments", [frame(0x01, b""), frame(0x00, b"").repeat(140_000)].concat(), 1009),
        ("endless fragments", [frame(0x02, b""), frame(0x00, b"x").repeat(10_001)].concat(), 1009),
    ]
}

fn wait_for_rest(gateway: &Gateway, before: usize) {
    wait("the descriptors", || match descriptors(gateway.pid()) {
        now if now <= before => Ok(()),
        now => Err(format!("{now}, {before} before")),
    });
}

#[test]
fn each_gets_its_close_code_and_the_server_ends_the_connection() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-message-bytes", "10000", "--ephemeral"]);
    let idle = sockets(gateway.pid());
    // The peers stay, and answer nothing: it is the server that must let go.
    let mut peers = Vec::new();
    for (what, bytes, code) in violations() {
        let mut peer = Raw::upgraded(&gateway, "").unwrap();
        peer.say(&frame(0x81, HEARTBEAT));
        let (_, answer) = peer.next().expect(what);
        assert!(String::from_utf8_lossy(&answer).contains("before"), "{what}");
        peer.say(&bytes);
        assert_eq!(peer.close_code(), Some(code), "{what}");
        peers.push(peer);
    }
    wait("the sockets to be closed", || match sockets(gateway.pid()) {
        now if now <= idle => Ok(()),
        now => Err(format!("{now}, {idle} wanted")),
    });
    for code in [1002_u16, 1007, 1009] {
        let wanted: Vec<_> = violations().into_iter().filter(|(_, _, expected)| *expected == code).collect();
        gateway.wait_for_metric(&format!("claude_ws_closes_total{{code=\"{code}\"}}"), wanted.len());
    }
    gateway.stop();
}

/// What is right up to the limit stays right.
#[test]
fn what_is_just_within_the_limits_passes() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-message-bytes", "10000", "--ephemeral"]);
    let mut peer = Raw::upgraded(&gateway, "").unwrap();
    let mut text = br#"{"type":"heartbeat","id":"long","x":""#.to_vec();
    text.resize(9_998, b'x');
    text.extend(b"\"}");
    let (first, rest) = text.split_at(5_000);
    for bytes in [
        frame(0x81, &text),
        [frame(0x01, first), frame(0x89, &[0; 125]), frame(0x00, b""), frame(0x80, rest)].concat(),
    ] {
        peer.say(&bytes);
        loop {
            let (first, payload) = peer.next().unwrap();
            if first == 0x81 {
                assert!(String::from_utf8_lossy(&payload).contains("\"long\""));
                break;
            }
            assert_eq!(first, 0x8A, "the pong");
        }
    }
    peer.say(&frame(0x88, &1000_u16.to_be_bytes()));
    assert_eq!(peer.close_code(), Some(1000));
    let mut peer = Raw::upgraded(&gateway, "").unwrap();
    peer.say(&frame(0x88, b""));
    assert_eq!(peer.close_code(), Some(1005));
    gateway.stop();
}

/// With the default limits. Lengths that are announced, violations without end, and a peer that goes on after its close.
#[test]
fn they_cost_no_memory() {
    const PEERS: usize = 200;
    let lab = Lab::new();
    let gateway = lab.gateway(&["--ephemeral"]);
    let round = |peers: usize| {
        let mut held = Vec::new();
        for number in 0..peers {
            let mut peer = Raw::upgraded(&gateway, "").unwrap();
            peer.say(&match number % 4 {
                0 => announced(0x82, 8 << 20),
                1 => announced(0x82, 1 << 63),
                2 => [frame(0x01, b""), frame(0x00, b"").repeat(140_000)].concat(),
                _ => [frame(0xC1, b"x"), vec![b'x'; 1 << 20]].concat(),
            });
            held.push(peer);
        }
        for (number, mut peer) in held.into_iter().enumerate() {
            if number % 4 != 0 {
                // A reset may have overtaken the close frame of a peer that did not stop.
                peer.close_code();
            }
        }
    };
    let before = descriptors(gateway.pid());
    round(8);
    let peak = peak_memory(gateway.pid());
    round(PEERS);
    let grown = peak_memory(gateway.pid()) - peak;
    println!("{PEERS} peers: the peak of memory grew by {} KiB", grown / 1024);
    assert!(grown < 16 << 20, "{grown} bytes");
    wait_for_rest(&gateway, before);
    gateway.stop();
}

/// Heads that this side and a proxy in front of it might read differently, and what is no HTTP at all.
#[test]
fn heads_that_can_be_read_in_two_ways_are_refused() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--ephemeral", "--header-timeout", "1s"]);
    let host = format!("Host: {}\r\n", gateway.address);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let hidden = format!("GET /healthz HTTP/1.1\r\n{host}X-Hidden: yes\r\n\r\n");
    let get = |lines: &str| format!("GET /metrics HTTP/1.1\r\n{host}{lines}\r\n{hidden}");
    let ws = |lines: &str| format!("GET /ws HTTP/1.1\r\n{host}{upgrade}{lines}\r\n");
    let path = |path: &str| format!("GET {path} HTTP/1.1\r\n{host}{upgrade}\r\n");
    for (what, head, status) in [
        ("two lengths", get("Content-Length: 0\r\nContent-Length: 3\r\n"), 400),
        ("a list of lengths", get("Content-Length: 0, 3\r\n"), 400),
        ("a signed length", get("Content-Length: +3\r\n"), 400),
        ("a length over 64 bits", get("Content-Length: 18446744073709551616\r\n"), 400),
        ("another coding", get("Transfer-Encoding: xchunked\r\n"), 400),
        ("chunked not last", get("Transfer-Encoding: chunked, identity\r\n"), 400),
        ("a blank before the colon", get("Transfer-Encoding : chunked\r\n"), 400),
        ("a folded line", get("X: a\r\n b\r\n"), 400),
        ("NUL", get("X: a\0b\r\n"), 400),
        ("a bare CR", get("X: a\rY: b\r\n"), 400),
        ("two hosts", format!("GET /metrics HTTP/1.1\r\n{host}{host}\r\n"), 400),
        ("no host", "GET /metrics HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "another host in the target",
            format!("GET http://evil.example/metrics HTTP/1.1\r\n{host}\r\n"),
            403,
        ),
        ("CONNECT", format!("CONNECT evil.example:80 HTTP/1.1\r\n{host}\r\n"), 403),
        ("HTTP/0.9", "GET /healthz\r\n\r\n".to_owned(), 400),
        ("HTTP/2.0", format!("GET /healthz HTTP/2.0\r\n{host}\r\n"), 400),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\x03\x03".to_owned(), 400),
        ("a handshake with a body", ws("Content-Length: 4\r\n"), 400),
        ("a handshake with a chunked body", ws("Transfer-Encoding: chunked\r\n"), 400),
        ("POST", format!("POST /ws HTTP/1.1\r\n{host}{upgrade}\r\n"), 405),
        ("//ws", path("//ws"), 404),
        ("/ws/", path("/ws/"), 404),
        ("/./ws", path("/./ws"), 404),
        ("/%77s", path("/%77s"), 404),
        ("/WS", path("/WS"), 404),
        ("150 lines", get(&"A: b\r\n".repeat(150)), 431),
        ("a long target", format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(70_000)), 431),
    ] {
        let answer = wait(what, || {
            let mut socket = gateway.socket();
            let _ = socket.write_all(head.as_bytes());
            let mut answer = Vec::new();
            // The end (of itself, or after the header's time), or a reset; what matters is that it comes.
            let _ = socket.read_to_end(&mut answer);
            // Nothing: this side was too slow, on a busy machine.
            let answer = String::from_utf8_lossy(&answer).into_owned();
            if answer.is_empty() { Err("no answer".to_owned()) } else { Ok(answer) }
        });
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "{what}: the hidden request was answered: {answer}"
        );
    }
    // A body that hides a request is not read as one.
    let body = format!("POST /metrics HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{hidden}", hidden.len());
    let mut socket = gateway.socket();
    let _ = socket.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(String::from_utf8_lossy(&answer).matches("HTTP/1.1").count() <= 1);
    gateway.wait_for_metric("claude_ws_sockets", 1);
    gateway.stop();
}
