//! Clients that do not read: they cost nobody anything, and lose nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Client, Lab, Raw, frame, peak_memory, sockets, text_of, wait};

/// Nobody is to be given up for silence here.
const PATIENT: [&str; 4] = ["--heartbeat", "1h", "--send-timeout", "1h"];

/// Some 16 MB of events: more than every socket buffer, window and queue together.
const FLOOD: &str = "!deltas 10000 400; deltas 10000 400; deltas 10000 400";
const FLOOD_BYTES: usize = 30_000 * 400;

fn events_after(client: &mut Client, id: &str) -> Vec<serde_json::Value> {
    client.answer(id, "result");
    client.events.clone()
}

#[test]
fn a_client_that_never_reads_costs_little_and_gets_everything_in_the_end() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[&PATIENT[..], &["--log-window", "262144"]].concat());
    let mut slow = gateway.client();
    slow.start(json!({}));
    let mut quick = gateway.client();
    quick.start(json!({}));
    let warm = quick.turn("!deltas 10000 400");
    assert_eq!(warm["subtype"], "success");
    let before = peak_memory(gateway.pid());
    let id = quick.say(FLOOD);
    // While the slow one reads nothing at all.
    let all = events_after(&mut quick, &id);
    let grown = peak_memory(gateway.pid()) - before.min(peak_memory(gateway.pid()));
    println!("the peak of memory grew by {} KiB", grown / 1024);
    assert!(grown < 24 << 20, "{grown} bytes");
    let same = events_after(&mut slow, &id);
    assert_eq!(text_of(same.iter().filter(|event| event["request_id"] == *id)).len(), FLOOD_BYTES);
    assert!(same == all, "both saw the same events");
    gateway.stop();
}

#[test]
fn without_a_store_who_falls_out_of_the_window_is_told_of_the_gap() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[&PATIENT[..], &["--ephemeral", "--log-window", "65536"]].concat());
    let mut slow = gateway.client();
    slow.start(json!({}));
    let mut quick = gateway.client();
    quick.start(json!({}));
    let before = peak_memory(gateway.pid());
    let id = quick.say(FLOOD);
    quick.answer(&id, "result");
    println!("the peak of memory grew by {} KiB", (peak_memory(gateway.pid()) - before) / 1024);
    let warning = slow.expect("warning");
    assert_eq!((&warning["code"], warning.get("seq")), (&json!("gap"), None));
    let last_before = slow.events.last().unwrap()["seq"].as_u64().unwrap();
    slow.answer(&id, "result");
    let seqs: Vec<_> = slow.events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|two| two[0] < two[1]));
    let next = seqs.iter().find(|seq| **seq > last_before).unwrap();
    assert!(*next > last_before + 1, "there was a gap");
    assert!(warning["message"].as_str().unwrap().contains(&next.to_string()), "{warning}");
    gateway.stop();
}

#[test]
fn a_socket_that_takes_no_byte_is_closed_after_the_send_timeout() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--heartbeat", "1h", "--send-timeout", "700ms"]);
    let idle = sockets(gateway.pid());
    let mut stuck = gateway.client();
    stuck.start(json!({}));
    let socket = stuck.fall_silent();
    let mut quick = gateway.client();
    quick.start(json!({}));
    let id = quick.say(FLOOD);
    quick.answer(&id, "result");
    drop(quick);
    wait("the stuck connection's end", || match sockets(gateway.pid()) {
        now if now == idle => Ok(()),
        now => Err(format!("{now} sockets, {idle} at first")),
    });
    drop(socket);
    gateway.stop();
}

/// A proxy to `to` for one connection, through which answers come at so many bytes a second.
fn slow_link(to: SocketAddr, rate: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(to).unwrap();
        let (mut up, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut up, &mut to_server));
        let (mut down, mut to_client) = (server, client);
        let mut some = vec![0; rate / 100];
        while let Ok(len @ 1..) = down.read(&mut some) {
            if to_client.write_all(&some[..len]).is_err() {
                return;
            }
            std::thread::sleep(
                Duration::from_secs(1) * u32::try_from(len).unwrap() / u32::try_from(rate).unwrap(),
            );
        }
    });
    address
}

/// Closed with 4000 after two heartbeats, it came back with its `last_seq` and got the same from the beginning, for ever.
#[test]
fn a_large_event_arrives_over_a_slow_link() {
    const BYTES: usize = 6_000_000;
    let lab = Lab::new();
    let gateway = lab.gateway(&["--heartbeat", "1s"]);
    let mut slow = Client::connect_with(slow_link(gateway.address, BYTES / 4), &[]).unwrap();
    slow.start(json!({}));
    let id = slow.say(&format!("!giant {BYTES}"));
    let mut announced = 0;
    while !slow.events.iter().any(|event| event["type"] == "result") {
        let message = slow.message().unwrap_or_else(|code| panic!("closed with {code}"));
        announced = announced.max(message["incoming_bytes"].as_u64().unwrap_or(0));
    }
    assert_eq!(slow.text(&id).len(), BYTES);
    assert!(announced > BYTES as u64, "{announced}");
    gateway.stop();
}

/// What came while it could not look is looked at before anybody is given up.
#[test]
fn a_gateway_that_stood_still_closes_nobody_for_it() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--heartbeat", "1s"]);
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.ask(json!({"type": "session_list"}), "session_list");
    }
    gateway.signal(Signal::STOP);
    let asked: Vec<_> =
        clients.iter_mut().map(|client| client.send(json!({"type": "session_list"}))).collect();
    // Two heartbeats and more.
    std::thread::sleep(Duration::from_millis(2500));
    gateway.signal(Signal::CONT);
    for (client, id) in clients.iter_mut().zip(asked) {
        client.answer(&id, "session_list");
    }
    gateway.stop();
}

/// 12 MiB became 736.
#[test]
fn a_peer_that_pings_and_never_reads_costs_no_memory() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[&PATIENT[..], &["--max-frame-rate", "0"]].concat());
    let before = peak_memory(gateway.pid());
    let mut peer = Raw::upgraded(&gateway, "").unwrap();
    peer.0.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let pings = frame(0x89, &[b'p'; 125]).repeat(1000);
    let mut said = 0;
    // Until nothing is taken any more.
    while peer.0.write_all(&pings).is_ok() {
        said += pings.len();
        assert!(said < 200 << 20, "it is read on and on");
    }
    let grown = peak_memory(gateway.pid()) - before;
    println!("{} KiB of pings, and the peak of memory grew by {} KiB", said / 1024, grown / 1024);
    assert!(grown < 16 << 20, "{grown} bytes");
    gateway.stop();
}

/// A result that was cut for a client, and its pages, joined.
fn read_in_pages(client: &mut Client, event: &serde_json::Value) -> String {
    let (mut whole, mut offset) = (String::new(), json!(0));
    while !offset.is_null() {
        let page = json!({"type": "result_read", "tool_use_id": event["tool_use_id"], "seq": event["seq"],
            "offset": offset, "max_bytes": 300_000});
        let mut page = client.ask(page, "result_read");
        assert_eq!(
            (&page["offset"], &page["total_bytes"]),
            (&json!(whole.len()), &event["total_bytes"]),
            "{page}"
        );
        whole.push_str(page["content"].as_str().unwrap());
        offset = page["next_offset"].take();
    }
    whole
}

fn only_result(client: &Client) -> &serde_json::Value {
    let mut results = client.events.iter().filter(|event| event["type"] == "tool_result");
    let result = results.next().unwrap();
    assert_eq!(results.next(), None);
    result
}

/// Whoever comes back over a slow link asks for less, and does not get the same 20 MB from the beginning again.
#[test]
fn a_long_result_comes_cut_to_who_wants_it_so_and_in_pages() {
    const BYTES: usize = 2_000_000;
    let lab = Lab::new();
    // What does not fit the window is read from the store.
    let gateway = lab.gateway(&["--log-window", "65536"]);
    let mut plain = gateway.client();
    plain.start(json!({}));
    let mut modest = gateway.client();
    modest.start(json!({"max_content_bytes": 5000}));
    let id = plain.say(&format!("!gives {BYTES}; text done"));
    plain.answer(&id, "result");
    let whole = only_result(&plain);
    let content = whole["content"].as_str().unwrap().to_owned();
    assert!(content.len() > BYTES - 4 && whole.get("truncated").is_none(), "{} bytes", content.len());

    modest.answer(&id, "result");
    let live = only_result(&modest).clone();
    let beginning = live["content"].as_str().unwrap();
    assert!(content.starts_with(beginning) && (4997..=5000).contains(&beginning.len()));
    assert_eq!((&live["truncated"], &live["total_bytes"]), (&json!(true), &json!(content.len())));
    assert_eq!((&live["id"], &live["seq"]), (&whole["id"], &whole["seq"]));
    assert!(read_in_pages(&mut modest, &live) == content, "the pages are the whole");

    // Another connection, and the wish in `config`: the replay is cut too, and who wishes nothing still gets all.
    let mut again = gateway.client();
    again.start(json!({"last_seq": 0, "config": {"max_content_bytes": 5000}}));
    again.answer(&id, "result");
    assert!(*only_result(&again) == live, "the replay is as it was live");
    let mut all = gateway.client();
    all.start(json!({"last_seq": 0}));
    all.answer(&id, "result");
    assert!(only_result(&all) == whole);

    let wrong = json!({"type": "result_read", "tool_use_id": "toolu_none", "seq": live["seq"]});
    assert_eq!(modest.ask(wrong, "result_read")["code"], "unknown_request");
    let wrong = json!({"type": "result_read", "tool_use_id": live["tool_use_id"], "seq": 100_000});
    assert_eq!(modest.ask(wrong, "result_read")["code"], "unknown_request");
    let little = modest.ask(json!({"type": "session_start", "max_content_bytes": 1023}), "session_info");
    assert_eq!(little["code"], "invalid_message", "{little}");

    // After its end, from the store.
    modest.ask(json!({"type": "session_end"}), "session_ended");
    assert!(read_in_pages(&mut all, &live) == content, "the same after the end");
    gateway.stop();
}
