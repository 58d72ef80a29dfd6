//! What agents say and do that they should not.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::agent::*;

use super::running::{launch, marked_processes, start, start_with};

#[tokio::test]
async fn a_crash_is_told_with_its_code_and_the_end_of_stderr() {
    let running = start("").await;
    running.say("!text a; stderr 200000; crash 3");
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.signal, exit.killed, exit.requested), (Some(3), None, false, false));
    assert!(exit.stderr.ends_with("eee\nlast words\n") && exit.stderr.len() <= 8192, "{}", exit.stderr.len());
    assert!(running.text().contains("text_delta"));
}

#[tokio::test]
async fn a_deadly_signal_is_told() {
    let running = start("").await;
    running.say("!half-line; signal 11");
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.signal), (None, Some(11)));
    assert!(running.text().ends_with("msg_half"), "the half line is the last");
}

#[tokio::test]
async fn a_flood_of_stderr_stalls_nothing() {
    let mut running = start("").await;
    running.say("!stderr 20000000; text after the flood");
    running.until("flood").await;
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!(exit.code, Some(0));
    assert!(exit.stderr.ends_with("last words\n"));
}

#[tokio::test]
async fn what_it_leaves_in_sessions_of_its_own_is_swept() {
    let mut running = start("").await;
    running.say("!grandchild; grandchild-stdout; text left; crash 0");
    running.until("left").await;
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.killed), (Some(0), false));
    assert!(running.text().contains("left"));
}

#[tokio::test]
async fn a_stranger_that_holds_stdout_does_not_hold_the_end() {
    let running = start("").await;
    running.say("!unmarked-stdout 3; text kept; crash 5");
    let (exit, running) = running.end().await;
    assert_eq!(exit.code, Some(5));
    assert!(running.text().contains("kept"));
}

#[tokio::test]
async fn one_that_closes_stdout_and_lives_on_is_ended() {
    let running = start(r#"{"ignore":["sigterm","close"]}"#).await;
    running.say("!text kept; close-stdout; hang");
    let (exit, running) = running.end().await;
    assert_eq!((exit.signal, exit.killed, exit.requested), (Some(9), true, false));
    assert!(running.text().contains("kept"));
}

#[tokio::test]
async fn garbage_unknown_and_giant_lines_come_as_they_are_and_longer_ones_are_skipped() {
    let mut launch = launch("");
    launch.limits.max_line = 1 << 20;
    let mut running = start_with(launch).await;
    running.say("!garbage; unknown; giant 900000; text before; giant 3000000; text after");
    running.until("\"after\"").await;
    running.agent().stop(Stop::Orderly);
    let (exit, running) = running.end().await;
    assert_eq!(exit.code, Some(0));
    assert!(running.lines.iter().any(|line| line == b"this is not JSON"));
    assert!(running.lines.iter().any(|line| line.len() > 900_000));
    assert!(matches!(running.skipped[..], [bytes] if bytes > 3_000_000), "{:?}", running.skipped);
}

#[tokio::test]
async fn a_slow_reader_holds_the_agent_back_and_loses_nothing() {
    let mut running = start("").await;
    running.say("!deltas 20000 100; crash 0");
    // The process can write only what the pipe and four batches hold until the first is taken.
    let mut quiet = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..10 {
        quiet.tick().await;
    }
    assert!(!marked_processes(&running.scope).is_empty(), "it wrote 6 MB to nobody");
    while running.next().await.is_none() {}
    let deltas =
        running.lines.iter().filter(|line| memchr::memmem::find(line, b"text_delta").is_some()).count();
    assert_eq!(deltas, 20_000);
}

#[tokio::test]
async fn prompts_and_tool_calls_are_answered_by_their_own_id() {
    let mut running = start("").await;
    running.say("!asks 2; withdraw Bash {}; mcp add {\"a\":1}; text all done");
    let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
    let mut prompts = Vec::new();
    let mut seen = 0;
    let mut withdrawn = false;
    while !running.text().contains("\"text\":\"all done\"") {
        assert_eq!(running.next().await, None);
        for line in running.lines.clone().drain(seen..) {
            let line: Value = serde_json::from_slice(&line).unwrap();
            let id = line["request_id"].as_str().unwrap_or_default().to_owned();
            match line["request"]["subtype"].as_str() {
                Some("can_use_tool") => prompts.push(id),
                Some("mcp_message") => {
                    let answer = raw("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sum\":42}}");
                    running.agent().send(control::mcp_response(&id, &answer)).unwrap();
                }
                _ => withdrawn |= line["type"] == "control_cancel_request",
            }
        }
        seen = running.lines.len();
        if prompts.len() == 2 && !running.text().contains("ran with") {
            running.agent().send(control::allow(&prompts[1], &raw("{\"edited\":true}"), &[])).unwrap();
            running.agent().send(control::deny(&prompts[0], "not that one", false)).unwrap();
        }
    }
    assert!(withdrawn);
    for expected in ["ran with {\\\"edited\\\":true}", "not that one", "{\\\"sum\\\":42}"] {
        assert!(running.text().contains(expected), "{expected}");
    }
}
