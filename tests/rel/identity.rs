//! Which conversation a session is in, and with which settings, over everything that replaces an agent's process.

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Lab};

/// The conversation that the agent was started with.
fn resumed(client: &mut Client) -> String {
    let args = client.hear("!args");
    args.split("--resume=").nth(1).unwrap_or_else(|| panic!("not resumed: {args}"))[..36].to_owned()
}

/// Another conversation than the one before it, and its id.
fn cleared(client: &mut Client) -> String {
    assert_eq!(client.turn("/clear")["subtype"], "success");
    let mut resets = client.events.iter().filter(|event| event["type"] == "conversation_reset");
    assert_eq!(resets.next_back().unwrap()["reason"], "clear");
    let env = client.hear("!session");
    assert_eq!(env.len(), 36, "{env}");
    env
}

fn taken_up(lab: &Lab, seen: &[Value]) -> (Gateway, Client) {
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let last = seen.last().unwrap()["seq"].clone();
    assert_eq!(client.start(json!({"last_seq": last}))["replay"], "ok");
    (gateway, client)
}

/// It was the one before `/clear`: the model was sent what it should not know, and not what it should.
#[test]
fn a_cleared_conversation_survives_a_drain_and_a_kill() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    client.hear("the word is ALPHA");
    let mut conversation = cleared(&mut client);
    let mut seen = std::mem::take(&mut client.events);
    gateway.stop();
    let (mut gateway, mut client) = taken_up(&lab, &seen);
    assert_eq!(resumed(&mut client), conversation);
    for kill in [true, false] {
        conversation = cleared(&mut client);
        seen = std::mem::take(&mut client.events);
        lab.wait_for_commit("s", seen.last().unwrap()["seq"].as_u64().unwrap());
        if kill {
            gateway.kill();
            lab.wait_for_no_processes();
        } else {
            gateway.stop();
        }
        (gateway, client) = taken_up(&lab, &seen);
        assert_eq!(resumed(&mut client), conversation);
    }
    gateway.stop();
}

/// Another session takes the only slot.
#[test]
fn a_cleared_conversation_survives_another_session() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agents", "1"]);
    let mut client = gateway.client();
    client.start(json!({}));
    client.hear("the word is ALPHA");
    let conversation = cleared(&mut client);
    let mut other = gateway.client();
    other.start(json!({"session_id": "other"}));
    let turn = other.send(json!({"type": "user_message", "session_id": "other", "content": "hello"}));
    assert_eq!(other.answer(&turn, "result")["subtype"], "success");
    assert_eq!(resumed(&mut client), conversation);
    gateway.stop();
}

/// The next process was started with the old ones.
#[test]
fn a_model_and_an_effort_that_a_command_chose_survive_a_drain() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({"model": "claude-first", "effort": "high"}));
    assert!(client.hear("!args").contains("--effort=high"));
    client.turn("/model claude-second");
    client.turn("/effort low");
    // At once: what the agent answers is still learned.
    let seen = std::mem::take(&mut client.events);
    gateway.stop();
    let (gateway, mut client) = taken_up(&lab, &seen);
    let args = client.hear("!args");
    assert!(args.contains("--model=claude-second") && args.contains("--effort=low"), "{args}");
    let info = client.ask(json!({"type": "session_info"}), "session_info");
    assert_eq!((&info["model"], &info["effort"]), (&json!("claude-second"), &json!("low")));
    gateway.stop();
}
