//! Events of logs, as a connection writes them.

use super::*;
use crate::log::Entry;

fn log(session: &str, window: usize) -> Arc<EventLog> {
    EventLog::new(session.into(), "e".to_owned(), window, None)
}

fn append(log: &EventLog, seqs: impl IntoIterator<Item = u64>, size: usize) {
    let name = log.key().to_string();
    let entry = |seq| Entry { seq, frame: format!("{name} {seq} {}", "z".repeat(size)).into() };
    log.append(&mut seqs.into_iter().map(entry).collect());
}

async fn event(link: &mut Test) -> String {
    let text = link.hear().await;
    text.trim_end_matches('z').trim_end().to_owned()
}

#[tokio::test(start_paused = true)]
async fn events_come_after_the_reply_that_announces_them_and_until_the_detach() {
    let one = log("one", 1 << 20);
    append(&one, 1..=3, 0);
    let mut link =
        start(Probe { logs: vec![Arc::clone(&one)], ..Probe::default() }, Settings::default(), 1 << 20);
    link.say("attach one").await;
    for expected in ["attached one", "one 1", "one 2", "one 3"] {
        assert_eq!(event(&mut link).await, expected);
    }
    append(&one, [5], 0);
    assert_eq!(event(&mut link).await, "one 5");
    assert_eq!(one.cursors(), 1);
    link.say("detach one").await;
    assert_eq!(event(&mut link).await, "detached one");
    assert_eq!(one.cursors(), 0);
    append(&one, [6], 0);
    link.say("end").await;
    assert_eq!(event(&mut link).await, "end");
    // Attached twice is attached once.
    link.say("attach one").await;
    link.say("attach one").await;
    append(&one, [7], 0);
    let mut sevens = 0;
    link.say("quiet").await;
    link.say("mark").await;
    loop {
        let text = event(&mut link).await;
        sevens += usize::from(text == "one 7");
        if text == "mark" && one.cursors() == 1 {
            break;
        }
    }
    assert!(sevens <= 2);
    link.send(CLOSE, []).await;
    while link.next().await.is_some() {}
    link.end().await;
    assert_eq!(one.cursors(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_busy_session_does_not_starve_another() {
    let (busy, calm) = (log("busy", 1 << 24), log("calm", 1 << 20));
    append(&busy, 1..=400, 10_000);
    append(&calm, [1], 0);
    let logs = vec![Arc::clone(&busy), Arc::clone(&calm)];
    let mut link = start(Probe { logs, ..Probe::default() }, Settings::default(), 4096);
    link.say("attach busy").await;
    link.say("attach calm").await;
    let mut before = 0;
    loop {
        match event(&mut link).await.as_str() {
            "calm 1" => break,
            text if text.starts_with("busy") => before += 1,
            _ => {}
        }
    }
    assert!(before < 50, "{before} events of the busy session came first");
}

#[tokio::test(start_paused = true)]
async fn who_fell_out_of_the_window_is_told_so_in_place() {
    let one = log("one", 4096);
    let mut link =
        start(Probe { logs: vec![Arc::clone(&one)], ..Probe::default() }, Settings::default(), 1 << 20);
    append(&one, [1], 0);
    link.say("attach one").await;
    assert_eq!(event(&mut link).await, "attached one");
    assert_eq!(event(&mut link).await, "one 1");
    // One by one: a single batch would be kept for who had read everything.
    for seq in 2..=100 {
        append(&one, [seq], 1000);
    }
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "one 100") {
        seen.push(event(&mut link).await);
    }
    let gap = seen.iter().position(|text| text.starts_with("gap one ")).expect("a notice");
    let first = seen[gap].trim_start_matches("gap one ").to_owned();
    assert_eq!(seen[gap + 1], format!("one {first}"));
    assert!(first.parse::<u64>().unwrap() > 90);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_events_is_written_before_1001() {
    let one = log("one", 1 << 20);
    let mut link =
        start(Probe { logs: vec![Arc::clone(&one)], ..Probe::default() }, Settings::default(), 4096);
    link.say("attach one").await;
    assert_eq!(event(&mut link).await, "attached one");
    append(&one, 1..=200, 1000);
    link.going_away.cancel();
    for seq in 1..=200 {
        assert_eq!(event(&mut link).await, format!("one {seq}"));
    }
    link.expect_close(1001).await;
    link.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_log_lets_its_cursors_go() {
    let one = log("one", 1 << 20);
    let mut link =
        start(Probe { logs: vec![Arc::clone(&one)], ..Probe::default() }, Settings::default(), 4096);
    link.say("attach one").await;
    assert_eq!(event(&mut link).await, "attached one");
    append(&one, [1], 0);
    one.close();
    assert_eq!(event(&mut link).await, "one 1");
    link.say("after").await;
    assert_eq!(event(&mut link).await, "after");
    assert_eq!(one.cursors(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_moved_closes_the_connection_after_its_last_event() {
    let (one, other) = (log("one", 1 << 20), log("other", 1 << 20));
    let logs = vec![Arc::clone(&one), Arc::clone(&other)];
    let mut link = start(Probe { logs, ..Probe::default() }, Settings::default(), 1 << 20);
    link.say("attach one").await;
    link.say("attach other").await;
    assert_eq!(event(&mut link).await, "attached one");
    assert_eq!(event(&mut link).await, "attached other");
    append(&one, [1], 0);
    one.close_moved();
    assert_eq!(event(&mut link).await, "one 1");
    let (opcode, payload) = link.next().await.unwrap();
    assert_eq!(
        (opcode, &payload[..2], &payload[2..]),
        (CLOSE, &1012_u16.to_be_bytes()[..], &b"session moved; reconnect"[..])
    );
}
