//! `config_update` and `config_query`.

use serde_json::json;

use crate::harness::{Client, Lab};

on_both_clis![while_it_runs, by_an_unseen_restart, refused_changes];

async fn configure(client: &mut Client, config: serde_json::Value) -> serde_json::Value {
    client.ask(json!({"type": "config_update", "config": config}), "config_updated").await["config"].clone()
}

async fn while_it_runs(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("hello").await.succeeded();
    let process = lab.processes();
    let config = configure(&mut client, json!({"model": "claude-test-model-1"})).await;
    assert_eq!(config["model"], "claude-test-model-1");
    let turn = client.turn("hello").await.succeeded();
    assert_eq!(turn.one("assistant_message_start")["model"], "claude-test-model-1");
    server.model().request_where(|request| request.model == "claude-test-model-1").await;
    let config = configure(&mut client, json!({"permission_mode": "auto"})).await;
    assert_eq!(
        (&config["permission_mode"], &config["model"]),
        (&json!("auto"), &json!("claude-test-model-1"))
    );
    client.turn("write w.txt").await.succeeded();
    assert!(server.workspace().join("w.txt").exists(), "not asked about");
    configure(&mut client, json!({"max_thinking_tokens": 2000, "permission_mode": "default"})).await;
    let id = client.say("write w2.txt").await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    client.finish(&id).await.succeeded();
    assert_eq!(lab.processes(), process, "the same process all along");
    let config = client.ask(json!({"type": "config_query"}), "config_response").await["config"].clone();
    assert_eq!(config["max_thinking_tokens"], 2000);
    assert_eq!(config["permission_mode"], "manual");
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["model"], "claude-test-model-1");
}

async fn by_an_unseen_restart(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("echo before").await.succeeded();
    let process = lab.processes();
    let config = configure(&mut client, json!({"max_turns": 2})).await;
    assert_eq!(config["max_turns"], 2);
    let turn = client.turn("loop").await.failed("max_turns");
    assert_eq!(turn.of_type("tool_result").len(), 2);
    assert_ne!(lab.processes(), process, "another process");
    assert!(client.got().iter().all(|message| message["type"] != "warning"), "that nobody is told of");
    // While a turn runs: it is not disturbed, the next one has it.
    let id = client.say("touch a").await;
    let prompt = client.prompt().await;
    configure(&mut client, json!({"max_turns": 1})).await;
    client.allow(&prompt).await;
    client.finish(&id).await.succeeded();
    client.turn("loop").await.failed("max_turns");
    configure(&mut client, json!({"max_turns": 30})).await;
    // The conversation goes on: the model is sent what was said before.
    client.turn("echo after").await.succeeded();
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["num_turns"], 5);
    // Before the process is up: the first turn has it.
    let mut other = server.connect().await;
    other.session = "other".into();
    other.start(json!({})).await;
    configure(&mut other, json!({"max_turns": 1})).await;
    other.turn("loop").await.failed("max_turns");
}

async fn refused_changes(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let bypass = json!({"type": "config_update", "config": {"permission_mode": "bypass", "model": "never"}});
    assert_eq!(client.ask(bypass.clone(), "error").await["code"], "forbidden");
    client.turn("hello").await.succeeded();
    assert_eq!(client.ask(bypass, "error").await["code"], "forbidden");
    let config = client.ask(json!({"type": "config_query"}), "config_response").await["config"].clone();
    assert_eq!(config["permission_mode"], "manual");
    assert!(config["model"].is_null());
    let mut other = server.connect().await;
    let start = json!({"type": "session_start", "session_id": "b", "permission_mode": "bypass"});
    assert_eq!(other.ask(start, "error").await["code"], "forbidden");
    let list = other.ask(json!({"type": "session_list"}), "session_list").await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1, "nothing was made");
}
