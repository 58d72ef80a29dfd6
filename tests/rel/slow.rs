//! Clients that do not read: they cost nobody anything, and lose nothing.

use serde_json::json;

use crate::harness::{Client, Lab, peak_memory, sockets, text_of, wait};

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
