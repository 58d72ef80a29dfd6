//! `/metrics` says what happened: every figure that `docs/metrics.md` lists for sessions, turns, agents and clients, against
//! what was done.

use std::collections::HashMap;
use std::io::{Read, Write};

use serde_json::json;

use crate::harness::{Gateway, Lab, wait};

/// Nobody is to be given up for silence here.
const PATIENT: [&str; 4] = ["--heartbeat", "1h", "--send-timeout", "1h"];

/// What one scrape gives: value by name and labels, without the prefix.
struct Page(HashMap<String, f64>);

impl Page {
    fn of(gateway: &Gateway) -> Self {
        let mut socket = gateway.socket();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", gateway.address);
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let samples = answer.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("claude_ws_")?.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The value of a sample; 0 where it is not there, as Prometheus' `increase` sees it.
    #[track_caller]
    fn says(&self, name: &str, value: f64) {
        let found = self.0.get(name).copied().unwrap_or_default();
        assert!((found - value).abs() < f64::EPSILON, "{name} is {found}, not {value}");
    }

    fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name}"))
    }
}

/// Scrapes until these samples have these values.
fn settle(gateway: &Gateway, wanted: &[(&str, f64)]) -> Page {
    wait("the metrics", || {
        let page = Page::of(gateway);
        let differs = |(name, value): &&(&str, f64)| (page.get(name) - value).abs() > f64::EPSILON;
        match wanted.iter().find(differs) {
            None => Ok(page),
            Some((name, value)) => Err(format!("{name} is {}, not {value}", page.get(name))),
        }
    })
}

#[test]
fn turns_events_errors_and_bytes() {
    let lab = Lab::new();
    let gateway = lab.gateway(&PATIENT);
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("!sleep 300; text slow")["subtype"], "success");
    assert_eq!(client.turn("!unknown; unknown; text strange")["subtype"], "success");
    let hanging = client.say("!hang");
    let queued = client.say("never");
    client.send(json!({"type": "cancel", "target_id": queued}));
    client.answer(&queued, "result");
    client.send(json!({"type": "interrupt"}));
    client.answer(&hanging, "result");
    assert_eq!(client.turn("!crash 3")["error_code"], "agent_exited");
    assert_eq!(client.turn("!api-error no")["error_code"], "api_error");
    client.until(|message| message["type"] == "status_update" && message["status"] == "idle");
    client.ask(json!({"type": "tool_result", "tool_use_id": "none", "content": ""}), "error");
    client.ask(json!({"type": "sing"}), "error");
    client.ask(json!({"type": "sing"}), "error");
    let last = client.ask(json!({"type": "session_info"}), "session_info")["last_seq"].as_f64().unwrap();

    lab.wait_for_commit("s", client.events.last().unwrap()["seq"].as_u64().unwrap());
    let page = settle(&gateway, &[("store_backlog_bytes", 0.0)]);
    for (outcome, count) in [
        ("success", 2.0),
        ("interrupted", 1.0),
        ("cancelled", 1.0),
        ("agent_exited", 1.0),
        ("api_error", 1.0),
    ] {
        page.says(&format!("turns_total{{outcome=\"{outcome}\"}}"), count);
    }
    // The cancelled one never began.
    page.says("turn_seconds_count", 5.0);
    page.says("turn_seconds_bucket{le=\"7200.0\"}", 5.0);
    assert!(page.get("turn_seconds_sum") >= 0.3);
    // The model spoke in three of them: slow, strange, and the failed call's text.
    page.says("first_event_seconds_count", 3.0);
    assert!(page.get("first_event_seconds_sum") >= 0.3);

    page.says("events_total", last);
    for (code, count) in [("unknown_request", 1.0), ("unknown_type", 2.0)] {
        page.says(&format!("errors_total{{code=\"{code}\"}}"), count);
    }
    for kind in ["brand_new_kind", "system/brand_new_subtype", "control_request/brand_new_request"] {
        page.says(&format!("unknown_agent_messages_total{{kind=\"{kind}\"}}"), 2.0);
    }
    page.says("agent_starts_total{outcome=\"started\"}", 2.0);
    page.says("agent_start_seconds_count", 2.0);
    assert!(page.get("store_commits_total") >= 1.0);
    page.says("store_commit_failures_total", 0.0);
    assert!(page.get("store_commit_seconds_total") > 0.0);
    page.says("store_failing", 0.0);
    page.says("store_lost_events", 0.0);
    assert!(page.get("log_memory_bytes") > 0.0);

    page.says("upgrades_total", 1.0);
    let (sent, received) = (page.get("sent_bytes_total"), page.get("received_bytes_total"));
    let events: usize = client.events.iter().map(|event| event.to_string().len()).sum();
    assert!(sent >= f64::from(u32::try_from(events).unwrap()), "{sent} bytes for {events} of events");
    assert!(received >= 600.0 && page.get("frames_received_total") >= 13.0, "{received}");
    assert!(page.get("frames_sent_total") >= f64::from(u32::try_from(client.events.len()).unwrap()));
    gateway.stop();
}

#[test]
fn connections_and_sessions_by_state() {
    let lab = Lab::new();
    let gateway = lab.gateway(&PATIENT);
    let mut first = gateway.client();
    let mut second = gateway.client();
    for (session, content) in [("idle", None), ("thinks", Some("!hang")), ("asks", Some("!asks 2"))] {
        first.start(json!({"session_id": session}));
        if let Some(content) = content {
            first.send(json!({"type": "user_message", "session_id": session, "content": content}));
        }
    }
    second.start(json!({"session_id": "over"}));
    second.ask(json!({"type": "session_end", "session_id": "over"}), "session_ended");
    let page = settle(
        &gateway,
        &[
            ("sessions{state=\"idle\"}", 1.0),
            ("sessions{state=\"thinking\"}", 1.0),
            ("sessions{state=\"waiting_permission\"}", 1.0),
            // One that has ended is the store's alone.
            ("sessions{state=\"resting\"}", 0.0),
            ("prompts_open", 2.0),
            ("connections", 2.0),
            // The scrape's own socket too; that of the scrape before may not be gone yet.
            ("sockets", 3.0),
        ],
    );
    page.says("upgrades_total", 2.0);
    drop(second);
    settle(&gateway, &[("connections", 1.0), ("closes_total{code=\"1006\"}", 1.0)]);
    assert_eq!(gateway.http("/nothing", &[]).0, 404);
    settle(&gateway, &[("http_refusals_total", 1.0)]);
    first.send(json!({"type": "interrupt", "session_id": "thinks"}));
    first.send(json!({"type": "interrupt", "session_id": "asks"}));
    settle(&gateway, &[("sessions{state=\"idle\"}", 3.0), ("prompts_open", 0.0)]);
    gateway.stop();
}

#[test]
fn open_prompts_and_their_age() {
    let lab = Lab::new();
    let gateway = lab.gateway(&PATIENT);
    let mut client = gateway.client();
    client.start(json!({}));
    Page::of(&gateway).says("oldest_prompt_age_seconds", 0.0);
    let turn = client.say("!ask Bash {\"command\":\"ls\"}");
    let prompt = client.expect("permission_request");
    settle(&gateway, &[("prompts_open", 1.0)]);
    let page = wait("a second to pass", || {
        let page = Page::of(&gateway);
        if page.get("oldest_prompt_age_seconds") >= 1.0 { Ok(page) } else { Err("it is younger".to_owned()) }
    });
    page.says("prompts_open", 1.0);
    page.says("sessions{state=\"waiting_permission\"}", 1.0);
    client.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    client.answer(&turn, "result");
    settle(&gateway, &[("prompts_open", 0.0), ("oldest_prompt_age_seconds", 0.0)]);
    gateway.stop();
}

#[test]
fn the_lag_of_the_slowest_reader() {
    let lab = Lab::new();
    let gateway = lab.gateway(&PATIENT);
    let mut slow = gateway.client();
    slow.start(json!({}));
    let mut quick = gateway.client();
    quick.start(json!({}));
    settle(&gateway, &[("slowest_reader_lag_events", 0.0)]);
    // Some 16 MB: more than every socket buffer between them.
    let turn = quick.say("!deltas 10000 400; deltas 10000 400; deltas 10000 400");
    quick.answer(&turn, "result");
    let lag = Page::of(&gateway).get("slowest_reader_lag_events");
    assert!(lag > 1000.0 && lag < 31_000.0, "{lag}");
    slow.answer(&turn, "result");
    settle(&gateway, &[("slowest_reader_lag_events", 0.0)]);
    gateway.stop();
}

#[test]
fn agents_by_state_the_warm_ones_too() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[&PATIENT[..], &["--max-agents", "2", "--warm-agents", "1"]].concat());
    let page = settle(&gateway, &[("agents{state=\"warm\"}", 1.0), ("agents{state=\"starting\"}", 0.0)]);
    page.says("agent_slots", 2.0);
    page.says("agent_slots_free", 1.0);
    page.says("agents{state=\"running\"}", 0.0);
    page.says("agent_starts_total{outcome=\"started\"}", 1.0);
    page.says("agent_start_seconds_count", 1.0);

    let mut client = gateway.client();
    let hang = |session: &str| json!({"type": "user_message", "session_id": session, "content": "!hang"});
    client.start(json!({"session_id": "one"}));
    client.send(hang("one"));
    // The session took the warm one, and another took its place.
    let page = settle(&gateway, &[("agents{state=\"running\"}", 1.0), ("agents{state=\"warm\"}", 1.0)]);
    page.says("agent_starts_total{outcome=\"adopted\"}", 1.0);
    page.says("agent_starts_total{outcome=\"started\"}", 2.0);
    page.says("agent_slots_free", 0.0);

    for session in ["two", "three", "four"] {
        client.start(json!({"session_id": session}));
        if session != "four" {
            client.send(hang(session));
        }
    }
    let page = settle(
        &gateway,
        &[
            ("agents{state=\"running\"}", 2.0),
            ("agents{state=\"waiting\"}", 1.0),
            ("agents{state=\"stopped\"}", 1.0),
            ("agents{state=\"warm\"}", 0.0),
        ],
    );
    page.says("agent_slot_waiters", 1.0);
    page.says("agent_slots_free", 0.0);
    for session in ["one", "two", "three"] {
        client.send(json!({"type": "session_end", "session_id": session}));
    }
    settle(&gateway, &[("agent_slot_waiters", 0.0), ("agents{state=\"warm\"}", 1.0)]);
    gateway.stop();
}
