//! All limits at once: every kind of bad peer side by side, and memory stays bounded.

use std::collections::BTreeSet;
use std::sync::Barrier;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::harness::{Gateway, Lab, Raw, frame, peak_memory, wait};

const MESSAGE: usize = 256 << 10;

/// Small enough that a round of bad peers hits each.
const LIMITS: [&str; 36] = [
    "--max-connections",
    "48",
    "--max-message-bytes",
    "262144",
    "--max-inbound-bytes",
    "1000000",
    "--max-queue",
    "4",
    "--max-sessions-per-owner",
    "6",
    "--max-attached",
    "3",
    "--max-agents",
    "2",
    "--max-waiting",
    "2",
    "--max-frame-rate",
    "100",
    "--max-json-depth",
    "20",
    "--max-header-bytes",
    "8192",
    "--header-timeout",
    "500ms",
    "--heartbeat",
    "500ms",
    "--send-timeout",
    "1s",
    "--log-window",
    "65536",
    "--max-agent-line",
    "100000",
    "--interrupt-timeout",
    "1s",
    "--drain",
    "0s",
];

/// What all of them together must have been told.
const OUTCOMES: [&str; 14] = [
    "431",
    "503",
    "1008",
    "1009",
    "1013",
    "4000",
    "agent_line_skipped",
    "agent_unavailable",
    "capacity",
    "invalid_json",
    "invalid_message",
    "queue_full",
    "rate_limited",
    "unsupported_frame",
];

struct Crowd<'a> {
    gateway: &'a Gateway,
    told: Mutex<BTreeSet<String>>,
    sent: Mutex<usize>,
}

fn text(message: &Value) -> Vec<u8> {
    frame(0x81, message.to_string().as_bytes())
}

impl Crowd<'_> {
    fn tell(&self, what: impl Into<String>) {
        self.told.lock().insert(what.into());
    }

    /// A connection that has said this; none when there is no place.
    fn says(&self, bytes: &[u8]) -> Option<Raw> {
        match Raw::upgraded(self.gateway, "") {
            Ok(mut peer) => {
                *self.sent.lock() += bytes.len();
                peer.say(bytes);
                Some(peer)
            }
            Err(answer) => {
                self.tell(answer.split(' ').nth(1).unwrap_or("no answer"));
                None
            }
        }
    }

    /// Notes all that a peer is told until the server closes; which it does, since nobody answers its pings.
    fn listen(&self, peer: Option<Raw>) {
        let Some(mut peer) = peer else { return };
        while let Some((first, payload)) = peer.next() {
            if first == 0x88 {
                self.tell(u16::from_be_bytes([payload[0], payload[1]]).to_string());
            } else if first == 0x81 {
                let message: Value = serde_json::from_slice(&payload).unwrap();
                for code in [&message["code"], &message["error_code"]] {
                    if let Some(code) = code.as_str() {
                        self.tell(code);
                    }
                }
            }
        }
    }

    fn talks(&self, bytes: &[u8]) {
        self.listen(self.says(bytes));
    }

    /// Connections that only take places, all that are left.
    fn sit(&self, others: &Barrier) {
        others.wait();
        let sitting: Vec<_> = (0..60).map(|_| self.says(b"")).collect();
        for peer in sitting {
            self.listen(peer);
        }
    }

    /// Heads that are too long, and such that never end.
    fn heads(&self) {
        let mut open = Vec::new();
        for _ in 0..10 {
            let long = format!("X: {}\r\n", "x".repeat(9000));
            if let Err(answer) = Raw::upgraded(self.gateway, &long) {
                self.tell(answer.split(' ').nth(1).unwrap_or("no answer"));
            }
            let mut half = Raw(self.gateway.socket());
            half.say(b"GET /ws HTTP/1.1\r\nX: ");
            half.say(&[b'x'; 4000]);
            open.push(half);
        }
        for mut half in open {
            while half.next().is_some() {}
        }
    }

    /// Messages that never end, and such that are too long.
    fn large(&self) {
        let unfinished = frame(0x81, &vec![b'x'; MESSAGE - 100]);
        let unfinished = &unfinished[..MESSAGE - 200];
        let open: Vec<_> = (0..8).map(|_| self.says(unfinished)).collect();
        self.talks(&frame(0x81, &vec![b'x'; MESSAGE + 1]));
        for peer in open {
            self.listen(peer);
        }
    }

    /// Too many frames, and too many that are none.
    fn floods(&self) {
        let deep = |close: &str| format!("{{\"type\":\"heartbeat\",\"x\":{}{close}", "[".repeat(1000));
        let closed = format!("{}}}", "]".repeat(1000));
        let floods = [
            text(&json!({"type": "session_list", "id": "1"})).repeat(5_000),
            frame(0x89, b"ping").repeat(5_000),
            frame(0x82, b"binary"),
            frame(0x81, b"no message").repeat(90),
            frame(0x81, deep("").as_bytes()),
            frame(0x81, deep(&closed).as_bytes()),
        ];
        // All at once; a closed connection ends each of them.
        let open: Vec<_> = floods.iter().map(|bytes| self.says(bytes)).collect();
        for peer in open {
            self.listen(peer);
        }
    }

    /// More sessions, clients, messages and agents than there may be, and an agent that says a lot to nobody.
    fn sessions(&self, round: usize, arrived: &Barrier) {
        let name = |number: usize| format!("r{round}-{number}");
        let start = |number| {
            text(&json!({"type": "session_start", "id": "s", "session_id": name(number), "last_seq": 0}))
        };
        let say = |number, id: String, content: &str| {
            text(&json!({"type": "user_message", "id": id, "session_id": name(number), "content": content}))
        };
        let mut open = Vec::new();
        for number in 0..8 {
            let busy = "!deltas 3000 400; giant 200000; hang".to_owned();
            // Those that shall come to wait for an agent, or in vain, are too small for others' half-sent messages to shut them out.
            let content = match number {
                0 | 1 => busy,
                2..6 => "hello ".repeat(2_000),
                _ => "hello ".repeat(20_000),
            };
            let mut bytes = start(number);
            for at in 0..8 {
                bytes.extend(say(number, at.to_string(), &content));
            }
            open.push(self.says(&bytes));
        }
        // Readers that never read.
        for _ in 0..8 {
            open.push(self.says(&start(0)));
        }
        arrived.wait();
        for peer in open {
            self.listen(peer);
        }
    }

    /// Somebody who wants nothing bad is served. Who is slow to answer pings in this company is closed for silence, and comes again.
    fn turn(&self) {
        let mut tries = 0;
        wait("a turn", || {
            tries += 1;
            let id = format!("turn-{tries}");
            let mut peer = Raw::upgraded(self.gateway, "")?;
            peer.say(&text(&json!({"type": "session_start", "id": "s", "session_id": "last"})));
            peer.say(&text(
                &json!({"type": "user_message", "id": id, "session_id": "last", "content": "hello"}),
            ));
            while let Some((_, payload)) = peer.next() {
                let Ok(message) = serde_json::from_slice::<Value>(&payload) else { continue };
                if message["type"] == "result" && message["request_id"] == *id {
                    assert_eq!(message["subtype"], "success", "{message}");
                    return Ok(());
                }
            }
            Err("closed".to_owned())
        });
    }

    /// Ends what is there, so that the next round finds the same.
    fn tidy(&self) {
        wait("no session to be open", || {
            let mut peer = Raw::upgraded(self.gateway, "")?;
            peer.say(&text(&json!({"type": "session_list", "id": "1"})));
            while let Some((_, payload)) = peer.next() {
                let Ok(message) = serde_json::from_slice::<Value>(&payload) else { continue };
                if message["type"] != "session_list" {
                    continue;
                }
                let sessions = message["sessions"].as_array().unwrap();
                let open: Vec<_> = sessions.iter().filter(|session| session["status"] != "ended").collect();
                if open.is_empty() {
                    return Ok(());
                }
                for session in &open {
                    let id = &session["session_id"];
                    peer.say(&text(&json!({"type": "session_end", "id": "e", "session_id": id})));
                }
                // Until the server closes for silence: by then they are taken.
                while peer.next().is_some() {}
                return Err(format!("{} sessions", open.len()));
            }
            Err("closed".to_owned())
        });
    }
}

#[test]
fn memory_stays_bounded_under_all_limits_at_once() {
    let lab = Lab::new();
    let gateway = lab.gateway(&LIMITS);
    let crowd = Crowd { gateway: &gateway, told: Mutex::default(), sent: Mutex::default() };
    let mut peaks = Vec::new();
    // What is hit in a round depends on who comes first; all of it is in some.
    let missing = || OUTCOMES.iter().filter(|what| !crowd.told.lock().contains(**what)).collect::<Vec<_>>();
    while peaks.len() < 3 || !missing().is_empty() {
        let round = peaks.len();
        assert!(round < 30, "not hit: {:?}, but {:?}", missing(), crowd.told.lock());
        let arrived = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| crowd.sessions(round, &arrived));
            scope.spawn(|| crowd.large());
            scope.spawn(|| crowd.floods());
            scope.spawn(|| crowd.heads());
            scope.spawn(|| crowd.sit(&arrived));
        });
        crowd.tidy();
        peaks.push(peak_memory(gateway.pid()) >> 20);
    }
    println!("{} MiB sent in {} rounds; peaks in MiB: {peaks:?}", *crowd.sent.lock() >> 20, peaks.len());
    println!("told: {:?}", crowd.told.lock());
    // The sum of what the limits allow: 48 connections of 1 MiB of answers and a message each, and little else.
    assert!(peaks.iter().all(|peak| *peak < 80), "{peaks:?}");
    gateway.wait_for_metric("claude_ws_connections", 0);
    gateway.wait_for_metric("claude_ws_sockets", 1);
    gateway.wait_for_metric("claude_ws_inbound_bytes", 0);
    lab.wait_for_no_processes();
    crowd.turn();
    gateway.stop();
}
