//! With the real CLI, whose transcripts and parent's death are its own.

use serde_json::json;

use crate::harness::{Lab, wait};

/// As in `killed`, and the conversation is really the same: the model is asked with what was said before.
#[test]
fn a_killed_gateways_conversation_goes_on() {
    let lab = Lab::new();
    let gateway = lab.options(&["--demo"]).real_claude().start();
    let mut client = gateway.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    assert_eq!(client.turn("hello")["subtype"], "success");
    let running = client.say("touch before-the-kill");
    let prompt = client.expect("permission_request");
    let queued = client.say("echo after the kill");
    client.answer(&queued, "user_message");
    let last = client.events.last().unwrap()["seq"].clone();
    lab.wait_for_commit("s", last.as_u64().unwrap());
    let begin = std::time::Instant::now();
    gateway.kill();
    lab.wait_for_no_processes();
    println!("gone after {:?}", begin.elapsed());

    let gateway = lab.options(&["--demo"]).real_claude().start();
    let mut client = gateway.client();
    let info = client.start(json!({"last_seq": last, "epoch": epoch}));
    assert_eq!(info["replay"], "ok");
    assert_eq!(client.answer(&running, "result")["error_code"], "agent_exited");
    assert_eq!(client.answer(&queued, "result")["subtype"], "success");
    assert_eq!(client.text(&queued), "after the kill");
    let resolved = client.events.iter().find(|event| event["type"] == "permission_resolved").unwrap();
    assert_eq!(resolved["permission_id"], prompt["id"]);
    // No new conversation was begun for want of the old one.
    assert!(!client.events.iter().any(|event| event["code"] == "agent_restarted"));
    assert!(!lab.path("work").join("before-the-kill").exists());
    gateway.stop();
}

#[test]
fn a_drain_interrupts_the_running_turn_and_leaves_nothing() {
    let lab = Lab::new();
    let mut gateway = lab.options(&["--demo", "--drain", "300ms"]).real_claude().start();
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say("slow");
    client.until(|message| message["delta"]["text"].is_string());
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(client.answer(&id, "result")["subtype"], "interrupted");
    assert_eq!(client.closed(), 1001);
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.log());
    assert!(lab.agent_processes().is_empty(), "{:#?}", lab.agent_processes());
}

/// The same conversation after sleep: the CLI itself refuses to resume what it does not know.
#[test]
fn an_agent_sleeps_and_wakes_in_the_same_conversation() {
    let lab = Lab::new();
    let gateway = lab.options(&["--demo", "--agent-idle", "100ms"]).real_claude().start();
    let mut client = gateway.client();
    client.start(json!({}));
    for _ in 0..2 {
        assert_eq!(client.turn("hello")["subtype"], "success");
        wait("sleep", || match lab.agent_processes() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:#?}")),
        });
    }
    assert_eq!(client.hear("echo still here"), "still here");
    assert!(!client.events.iter().any(|event| event["type"] == "warning"), "{:?}", client.events);
    gateway.stop();
}
