//! The conversation is the one that the agent is in, and the settings those that it works with, whatever replaces its process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cli, Client, Lab, Server};

on_all_clis![
    a_cleared_conversation_survives_every_new_process,
    a_clear_is_told_and_costs_are_counted_on,
    commands_that_change_settings_hold_over_new_processes,
    effort_is_a_setting,
    a_plans_end_holds_over_new_processes,
];

/// Waits until no agent runs.
async fn sleeps(lab: &Lab) {
    while lab.processes().iter().any(|process| process.contains("--print")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the model was sent with the last message.
fn said(server: &Server) -> Vec<String> {
    server.model().requests().last().unwrap().said.clone()
}

fn resets(client: &Client) -> Vec<Value> {
    client.got().into_iter().filter(|message| message["type"] == "conversation_reset").collect()
}

/// It was sent the conversation before, and nobody was told.
async fn a_cleared_conversation_survives_every_new_process(lab: &Lab) {
    let server = lab.server_with(|config| config.times.agent_idle = Duration::from_millis(200)).await;
    let mut client = server.session(json!({})).await;
    client.turn("the word is ALPHA").await.succeeded();
    client.turn("/clear").await.succeeded();
    client.turn("the word is BETA").await.succeeded();
    // Idle for long.
    sleeps(lab).await;
    assert!(knows_only_beta(&mut client, &server).await);
    // A setting that needs another process.
    client.ask(json!({"type": "config_update", "config": {"max_turns": 7}}), "config_updated").await;
    assert!(knows_only_beta(&mut client, &server).await);
    // Killed in mid-turn.
    let id = client.say("stall").await;
    client.some_text().await;
    for process in lab.processes().iter().filter(|process| process.contains("--print")) {
        let pid = process.split(':').next().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    client.finish(&id).await.failed("agent_exited");
    assert!(knows_only_beta(&mut client, &server).await);
    // Cleared once more, by the first message of a process, which is gone before there is another one.
    sleeps(lab).await;
    client.turn("/clear").await.succeeded();
    sleeps(lab).await;
    client.turn("the word is GAMMA").await.succeeded();
    let said = said(&server);
    assert!(!said.iter().any(|text| text.contains("BETA")), "{said:?}");
    assert_eq!(resets(&client).len(), 2);
    let warnings: Vec<_> = client.got().into_iter().filter(|message| message["type"] == "warning").collect();
    assert!(warnings.iter().all(|warning| !warning["message"].as_str().unwrap().contains("transcript")));
}

async fn knows_only_beta(client: &mut Client, server: &Arc<Server>) -> bool {
    client.turn("what is the word").await.succeeded();
    let said = said(server);
    said.iter().any(|text| text.contains("BETA")) && !said.iter().any(|text| text.contains("ALPHA"))
}

async fn a_clear_is_told_and_costs_are_counted_on(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let cost = async |client: &mut Client| {
        let info = client.ask(json!({"type": "session_info"}), "session_info").await;
        info["total_cost_usd"].as_f64().unwrap()
    };
    client.turn("hello").await.succeeded();
    let one = cost(&mut client).await;
    client.turn("hello").await.succeeded();
    let two = cost(&mut client).await;
    let id = client.say("/clear").await;
    let turn = client.finish(&id).await.succeeded();
    let reset = turn.one("conversation_reset");
    assert_eq!((&reset["reason"], &reset["request_id"]), (&json!("clear"), &json!(id)));
    assert!((cost(&mut client).await - two).abs() < 1e-9);
    client.turn("hello").await.succeeded();
    let three = cost(&mut client).await;
    // One turn's worth: nothing was lost, nothing is counted twice. (The cache makes turns differ.)
    assert!(three - two > one / 4.0 && three - two < one * 4.0, "{one} {two} {three}");
    assert_eq!(resets(&client).len(), 1);
}

async fn commands_that_change_settings_hold_over_new_processes(lab: &Lab) {
    let server = lab.server_with(|config| config.times.agent_idle = Duration::from_millis(300)).await;
    let mut client = server.session(json!({"model": "sonnet", "effort": "high"})).await;
    client.turn("hello").await.succeeded();
    let before = server.model().requests().last().unwrap().clone();
    assert_eq!(before.effort.as_deref(), Some("high"));
    client.turn("/model haiku").await.succeeded();
    client.turn("/effort low").await.succeeded();
    if lab.cli == Some(Cli::Old) {
        // That version has no such commands, and says so.
        client.turn("hello").await.succeeded();
        assert_eq!(server.model().requests().last().unwrap().model, before.model);
        return;
    }
    let config = client
        .until("the effort", |message| {
            message["type"] == "config_updated" && message["config"]["effort"] == "low"
        })
        .await["config"]
        .clone();
    let model = config["model"].as_str().unwrap().to_owned();
    assert!(model.contains("haiku"), "{model}");
    for asleep in [false, true] {
        if asleep {
            sleeps(lab).await;
        }
        client.turn("hello").await.succeeded();
        let request = server.model().requests().last().unwrap().clone();
        assert_eq!((&request.model, request.effort.as_deref()), (&model, Some("low")));
        let info = client.ask(json!({"type": "session_info"}), "session_info").await;
        assert_eq!((&info["model"], &info["effort"]), (&json!(model), &json!("low")));
    }
}

async fn effort_is_a_setting(lab: &Lab) {
    let server = lab.server_with(|config| config.times.agent_idle = Duration::from_millis(300)).await;
    let mut client = server.session(json!({"effort": "low"})).await;
    let effort = async |client: &mut Client| {
        client.turn("hello").await.succeeded();
        server.model().requests().last().unwrap().effort.clone()
    };
    assert_eq!(effort(&mut client).await.as_deref(), Some("low"));
    for level in ["max", "xhigh"] {
        let update = json!({"type": "config_update", "config": {"effort": level}});
        assert_eq!(client.ask(update, "config_updated").await["config"]["effort"], level);
        assert_eq!(effort(&mut client).await.as_deref(), Some(level));
    }
    // Rules are told by the same request; they leave it as it is.
    let rule = json!([{"type": "addRules", "behavior": "deny", "rules": [{"toolName": "WebFetch"}]}]);
    client.ask(json!({"type": "permission_update", "updates": rule}), "config_updated").await;
    assert_eq!(effort(&mut client).await.as_deref(), Some("xhigh"));
    sleeps(lab).await;
    assert_eq!(effort(&mut client).await.as_deref(), Some("xhigh"));
    let update = json!({"type": "config_update", "config": {"effort": null}});
    assert!(client.ask(update, "config_updated").await["config"]["effort"].is_null());
    let own = effort(&mut client).await;
    assert!(["medium", "high"].contains(&own.as_deref().unwrap()), "{own:?}");
    for wrong in [json!("most"), json!(3)] {
        let update = json!({"type": "config_update", "config": {"effort": wrong}});
        assert_eq!(client.ask(update, "error").await["code"], "invalid_message");
    }
}

async fn a_plans_end_holds_over_new_processes(lab: &Lab) {
    let server = lab.server_with(|config| config.times.agent_idle = Duration::from_millis(200)).await;
    let mut client = server.session(json!({"permission_mode": "plan"})).await;
    let id = client.say("plan").await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    let turn = client.finish(&id).await.succeeded();
    let updates = turn.of_type("config_updated");
    let mode = updates.last().expect("the mode changed")["config"]["permission_mode"].clone();
    assert_ne!(mode, "plan");
    sleeps(lab).await;
    // Edits are not refused: the plan's mode is over in the next process too.
    let id = client.say("touch made.txt").await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    client.finish(&id).await.succeeded();
    assert!(server.workspace().join("made.txt").exists());
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["permission_mode"], mode);
}
