//! What a large line of the agent costs, and what happens where there is no memory for it.

use std::process::Command;

use serde_json::json;

use crate::harness::{Lab, peak_memory};

const LINE: u64 = 60_000_000;
/// Three times the line (measured: 171 MiB), and some.
const COST: u64 = 190 << 20;

/// It was 230 MiB: the store made three copies of its own.
#[test]
fn a_line_of_60_megabytes_costs_190_mebibytes_at_most() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    client.hear("!text hello");
    let before = peak_memory(gateway.pid());
    let id = client.say(&format!("!giant {LINE}"));
    let seq = client.answer(&id, "result")["seq"].as_u64().unwrap();
    let texts = client.events.iter().map(|event| event["delta"]["text"].as_str().unwrap_or_default().len());
    assert_eq!(texts.max(), Some(usize::try_from(LINE).unwrap()));
    lab.wait_for_commit("s", seq);
    let grown = peak_memory(gateway.pid()) - before;
    println!("the peak grew by {} MiB", grown >> 20);
    assert!(grown <= COST, "the peak grew by {} MiB", grown >> 20);
    gateway.stop();
}

/// An allocation that fails ends the process.
#[test]
fn a_line_that_memory_is_not_left_for_is_passed_over() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agent-line", "134217728"]);
    let mut client = gateway.client();
    client.start(json!({}));
    client.hear("!text hello");
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let size = size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024;
    let limit = format!("--as={}", size + (48 << 20));
    let pid = gateway.pid().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    let id = client.say("!giant 100000000");
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    let skipped = client.events.iter().find(|event| event["code"] == "agent_line_skipped");
    assert!(skipped.unwrap()["message"].as_str().unwrap().contains("of 100000"), "{skipped:?}");
    assert_eq!(client.hear("!text and on"), "and on");
    gateway.stop();
}
