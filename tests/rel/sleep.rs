//! Few processes, many sessions.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::{Lab, wait};

fn agents(lab: &Lab) -> usize {
    lab.agent_processes().iter().filter(|process| process.command.contains("--print")).count()
}

#[test]
fn a_thousand_sessions_share_four_agents() {
    let sessions: usize = std::env::var("REL_SESSIONS").map_or(1000, |number| number.parse().unwrap());
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agents", "4", "--max-frame-rate", "0", "--max-waiting", "2000"]);
    let mut client = gateway.client();
    let (done, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(agents(&lab), Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        for session in 0..sessions {
            let id = format!("session-{session}");
            client.send(json!({"type": "session_start", "session_id": id}));
            client.send(json!({"type": "user_message", "session_id": id, "content": format!("I am {id}")}));
        }
        let mut answered = HashSet::new();
        while answered.len() < sessions {
            let result = client.expect("result");
            assert_eq!(result["subtype"], "success", "{result}");
            let session = result["session_id"].as_str().unwrap().to_owned();
            assert!(answered.insert(session));
        }
        // Whoever sleeps wakes up, and is the same.
        for session in (0..sessions).step_by(sessions / 10) {
            let id = format!("session-{session}");
            let turn = client.send(json!({"type": "user_message", "session_id": id, "content": "!args"}));
            client.answer(&turn, "result");
            assert!(client.text(&turn).contains("--resume="));
        }
        done.store(true, Ordering::Relaxed);
    });
    println!(
        "{sessions} sessions, {} starts, at most {} agents at once",
        gateway.starts(),
        most.load(Ordering::Relaxed)
    );
    assert!(most.load(Ordering::Relaxed) <= 4);
    assert!(client.list().len() == sessions);
    gateway.stop();
}

#[test]
fn model_mode_and_rules_survive_sleep() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--agent-idle", "100ms"]);
    let mut client = gateway.client();
    client.start(json!({}));
    let first = client.hear("!args");
    let conversation = first.split("--session-id=").nth(1).unwrap()[..36].to_owned();
    let update = json!({"model": "claude-other", "permission_mode": "auto"});
    client.ask(json!({"type": "config_update", "config": update}), "config_updated");
    let rule = json!([{"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "ls:*"}], "behavior": "allow"}]);
    let updated = client.ask(json!({"type": "permission_update", "updates": rule}), "config_updated");
    assert_eq!(updated["type"], "config_updated", "{updated}");
    lab.wait_for_no_processes();
    let args = client.hear("!args");
    for wanted in
        [&format!("--resume={conversation}"), "--model=claude-other", "--permission-mode=acceptEdits"]
    {
        assert!(args.contains(wanted), "{wanted} is not in {args}");
    }
    // Rules do not stand where everybody on the machine can read them.
    let settings = args.split("--settings=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let settings = std::fs::read_to_string(settings).unwrap();
    assert!(settings.contains("Bash(ls:*)"), "{settings}");
    gateway.stop();
}

#[test]
fn a_message_without_a_slot_waits_in_order_and_says_so() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agents", "1"]);
    let mut client = gateway.client();
    let say = |session: &str, content: &str| json!({"type": "user_message", "session_id": session, "content": content});
    client.start(json!({"session_id": "busy"}));
    let busy = client.send(say("busy", "!hang"));
    client.until(|message| message["type"] == "session_info" && message["agent"]["state"] == "running");
    let mut waiting = Vec::new();
    for session in ["b", "c"] {
        client.send(json!({"type": "session_start", "session_id": session}));
        waiting.push(client.send(say(session, "hello")));
        let told = client
            .until(|message| message["message"].as_str().is_some_and(|text| text.contains("agent slot")));
        assert_eq!((&told["type"], &told["session_id"]), (&json!("status_update"), &json!(session)));
    }
    client.send(json!({"type": "interrupt", "session_id": "busy"}));
    assert_eq!(client.answer(&busy, "result")["subtype"], "interrupted");
    for id in &waiting {
        assert_eq!(client.answer(id, "result")["subtype"], "success");
    }
    gateway.stop();
}

#[test]
fn past_max_waiting_a_message_fails() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[
        "--max-agents",
        "1",
        "--max-waiting",
        "1",
        "--interrupt-timeout",
        "1s",
        "--drain",
        "0s",
    ]);
    let mut client = gateway.client();
    let say = |session: &str| json!({"type": "user_message", "session_id": session, "content": "!hang"});
    client.start(json!({"session_id": "busy"}));
    client.send(say("busy"));
    client.until(|message| message["type"] == "session_info" && message["agent"]["state"] == "running");
    client.start(json!({"session_id": "waits"}));
    client.send(say("waits"));
    client.until(|message| message["message"].as_str().is_some_and(|text| text.contains("agent slot")));
    client.start(json!({"session_id": "refused"}));
    let id = client.send(say("refused"));
    let result = client.answer(&id, "result");
    assert_eq!((&result["subtype"], &result["error_code"]), (&json!("error"), &json!("agent_unavailable")));
    assert!(result["error"].as_str().unwrap().contains("--max-waiting"), "{result}");
    gateway.stop();
}

/// A resting agent that is told to sleep just as it gets work stays; the slot must still be asked for again when it rests.
#[test]
fn a_waiting_session_is_not_forgotten_when_the_sleeper_stays_awake() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agents", "1", "--max-frame-rate", "0"]);
    let mut one = gateway.client();
    let mut two = gateway.client();
    for round in 0..20 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        one.start(json!({"session_id": a}));
        one.send(json!({"type": "user_message", "session_id": a, "content": "hello"}));
        one.expect("result");
        // The wish for the slot and the work for who holds it cross.
        two.send(json!({"type": "session_start", "session_id": b}));
        two.send(json!({"type": "user_message", "session_id": b, "content": "hello"}));
        for _ in 0..3 {
            one.send(json!({"type": "user_message", "session_id": a, "content": "hello"}));
        }
        two.expect("result");
        for _ in 0..3 {
            one.expect("result");
        }
    }
    wait("rest", || if agents(&lab) <= 1 { Ok(()) } else { Err(String::new()) });
    gateway.stop();
}
