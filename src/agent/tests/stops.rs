//! How an agent is stopped: the ladder, rung by rung.

use tokio::time::timeout;

use crate::agent::*;

use super::running::{PATIENCE, launch, start, start_with};

#[tokio::test]
async fn a_conversation_and_an_orderly_end_of_an_idle_agent() {
    let mut running = start("").await;
    running.agent().send(control::initialize("init-1", &[], true)).unwrap();
    running.until("init-1").await;
    running.say("hi\u{2028}there");
    running.until("\"subtype\":\"success\",\"total_cost_usd\"").await;
    running.agent().stop(Stop::Orderly);
    let (exit, running) = running.end().await;
    assert_eq!(
        exit,
        Exit {
            code: Some(0),
            signal: None,
            stderr: String::new(),
            killed: false,
            requested: true,
            unread_lines: 0
        }
    );
    assert!(running.text().contains("echo: hi"));
}

#[tokio::test]
async fn an_orderly_stop_interrupts_a_running_turn() {
    let mut running = start("").await;
    running.say("!text a; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.killed, exit.requested), (Some(1), false, true));
    assert!(running.text().contains("aborted_streaming"));
}

#[tokio::test]
async fn after_a_stop_nothing_is_sent() {
    let mut running = start("").await;
    running.agent().stop(Stop::Now);
    loop {
        if running.agent().send(control::interrupt("x", false)) == Err(SendError::Closed) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let exit = loop {
        if let Some(exit) = running.next().await {
            break exit;
        }
    };
    assert_eq!((exit.signal, exit.killed), (Some(9), true));
    running.nothing_left().await;
}

#[tokio::test]
async fn one_that_ignores_the_interrupt_gets_sigterm() {
    let mut running = start(r#"{"ignore":["interrupt"]}"#).await;
    running.say("!text a; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.killed), (Some(15), true));
}

#[tokio::test]
async fn one_that_ignores_sigterm_too_is_killed() {
    let mut running = start(r#"{"ignore":["interrupt","sigterm","close"]}"#).await;
    running.say("!text a; grandchild; grandchild-stdout; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.killed), (Some(9), true));
}

#[tokio::test]
async fn one_that_never_reads_is_stopped_and_its_queue_is_bounded() {
    let mut launch = launch("");
    launch.limits.stdin_queue_bytes = 100_000;
    let mut running = start_with(launch).await;
    running.say("!ignore sigterm; text deaf; deaf");
    running.until("deaf").await;
    let line = vec![b'\n'; 10_000];
    let full = (0..1_000_000).any(|_| running.agent().send(line.clone().into()) == Err(SendError::Full));
    assert!(full, "a queue without a bound");
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.killed), (Some(9), true));
}

#[tokio::test]
async fn now_escalates_an_orderly_stop() {
    let mut launch = launch(r#"{"ignore":["interrupt","sigterm","close"]}"#);
    launch.limits.ladder.finish = PATIENCE * 10;
    let mut running = start_with(launch).await;
    running.say("!text a; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    running.agent().stop(Stop::Now);
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!(exit.signal, Some(9));
}

#[tokio::test]
async fn dropping_the_agent_kills_and_sweeps() {
    let mut running = start("").await;
    running.say("!grandchild; text a; hang");
    running.until("text_delta").await;
    running.agent = None;
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.requested), (Some(9), true));
}

#[tokio::test]
async fn dropping_the_receiver_kills_and_sweeps() {
    let mut running = start("").await;
    running.say("!grandchild-stdout; text a; hang");
    running.until("text_delta").await;
    running.output = None;
    running.tracker.close();
    timeout(PATIENCE, running.tracker.wait()).await.expect("tasks are left");
    running.nothing_left().await;
}
