//! `/readyz`: why no session could be served; `/healthz` and those who are connected are not concerned.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::harness::{Gateway, Lab, wait};
use crate::locate::fake_claude;

/// Waits until `/readyz` says no, and that its reason has this in it.
fn not_ready(gateway: &Gateway, reason: &str) {
    wait(reason, || match gateway.http("/readyz", &[]) {
        (503, answer) if answer.contains("application/json") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let body = gateway.body("/readyz");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(reason), "{message}");
    assert_eq!(gateway.http("/healthz", &[]).0, 200);
}

fn ready(gateway: &Gateway) {
    wait("readiness", || match gateway.http("/readyz", &[]) {
        (200, _) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn not_while_no_agent_starts() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    ready(&gateway);
    lab.script(&json!({"start": ["refuse 1 No luck"]}));
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("hello")["error_code"], "agent_unavailable");
    not_ready(&gateway, "did not start");
    assert!(
        !gateway.body("/readyz").contains("No luck"),
        "what is said to everybody says nothing of the inside"
    );
    // Everybody may still connect, and try.
    lab.script(&json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    ready(&gateway);
    gateway.stop();
}

/// Nobody has to ask for a session first.
#[test]
fn not_without_claude() {
    let lab = Lab::new();
    let claude = lab.path("claude");
    fs::hard_link(fake_claude(), &claude).or_else(|_| fs::copy(fake_claude(), &claude).map(drop)).unwrap();
    let gateway = lab.options(&[]).claude(claude.clone()).start();
    ready(&gateway);
    fs::rename(&claude, lab.path("away")).unwrap();
    not_ready(&gateway, "Claude Code");
    assert!(!gateway.body("/readyz").contains(lab.path("").to_str().unwrap()), "no paths");
    let mut client = gateway.client();
    client.start(json!({}));
    let result = client.turn("hello");
    assert_eq!(result["error_code"], "agent_unavailable", "{result}");
    fs::rename(lab.path("away"), &claude).unwrap();
    assert_eq!(client.turn("hello")["subtype"], "success");
    ready(&gateway);
    gateway.stop();
}

#[test]
fn not_while_the_store_fails() {
    let lab = Lab::new();
    let gateway = lab.options(&["--log-window", "65536"]).max_file_kib(600).start();
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say("!deltas 20000 200; text end");
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    not_ready(&gateway, "store");
    let lifted = Command::new("prlimit")
        .args(["--pid", &gateway.pid().to_string(), "--fsize=unlimited"])
        .status()
        .unwrap();
    assert!(lifted.success());
    assert_eq!(client.turn("hello")["subtype"], "success");
    ready(&gateway);
    gateway.stop();
}

#[test]
fn not_while_draining() {
    let lab = Lab::new();
    let mut gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say("!ask Bash {\"command\":\"ls\"}");
    let prompt = client.expect("permission_request");
    gateway.signal(rustix::process::Signal::TERM);
    not_ready(&gateway, "going");
    client.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    assert_eq!(client.closed(), 1001);
    assert_eq!(gateway.ended().code(), Some(0));
}
