//! `permission_update`: the session's rules, applied by the agent's own matcher while it runs.

use serde_json::{Value, json};

use crate::harness::{Client, Lab};

on_both_clis![
    rules_come_and_go,
    denied_by_a_rule,
    modes,
    directories,
    rules_survive_a_new_process,
    rules_of_the_start_are_revoked,
    rules_of_an_answer_are_revoked,
    more_rules_than_an_argument_holds,
];

fn rules(kind: &str, behavior: &str, content: &str) -> Value {
    json!({"type": kind, "behavior": behavior, "rules": [{"toolName": "Bash", "ruleContent": content}]})
}

async fn update(client: &mut Client, updates: Value) -> Value {
    client.ask(json!({"type": "permission_update", "updates": updates}), "config_updated").await["config"]
        .clone()
}

/// Whether that message makes the agent ask; a prompt is denied.
async fn asks(client: &mut Client, text: &str) -> bool {
    let id = client.say(text).await;
    let seen = client
        .until("a prompt or the result", |message| {
            message["type"] == "permission_request"
                || (message["type"] == "result" && message["request_id"] == *id)
        })
        .await;
    let asked = seen["type"] == "permission_request";
    if asked {
        client.decide(&seen, "deny", json!({})).await;
    }
    client.finish(&id).await.succeeded();
    asked
}

async fn rules_come_and_go(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    assert!(asks(&mut client, "touch a").await);
    let config = update(&mut client, json!([rules("addRules", "allow", "touch:*")])).await;
    assert_eq!(config["allowed_tools"], json!(["Bash(touch:*)"]));
    assert!(!asks(&mut client, "touch a").await);
    assert!(server.workspace().join("a").exists());
    assert!(asks(&mut client, "run mkdir b").await, "the rule is for touch only");
    update(&mut client, json!([rules("removeRules", "allow", "touch:*")])).await;
    assert!(asks(&mut client, "touch c").await, "removed: it asks again");
    update(&mut client, json!([rules("addRules", "allow", "touch:*")])).await;
    update(&mut client, json!([rules("replaceRules", "allow", "mkdir:*")])).await;
    assert!(asks(&mut client, "touch d").await, "replaced: it asks again");
    assert!(!asks(&mut client, "run mkdir e").await);
    assert!(server.workspace().join("e").exists());
}

async fn denied_by_a_rule(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("hello").await.succeeded();
    update(&mut client, json!([rules("addRules", "deny", "touch:*")])).await;
    let turn = client.turn("touch a").await.succeeded();
    assert!(turn.of_type("permission_request").is_empty());
    assert_eq!(turn.one("tool_result")["is_error"], true);
    update(&mut client, json!([rules("removeRules", "deny", "touch:*"), rules("addRules", "ask", "echo:*")]))
        .await;
    assert!(asks(&mut client, "run echo harmless").await, "a rule that makes it ask");
    assert!(asks(&mut client, "touch a").await);
}

async fn modes(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    assert!(asks(&mut client, "write a.txt").await);
    let config = update(&mut client, json!([{"type": "setMode", "mode": "acceptEdits"}])).await;
    assert_eq!(config["permission_mode"], "auto");
    assert!(!asks(&mut client, "write a.txt").await);
    assert!(server.workspace().join("a.txt").exists());
    let config = update(&mut client, json!([{"type": "setMode", "mode": "manual"}])).await;
    assert_eq!(config["permission_mode"], "manual");
    assert!(asks(&mut client, "write b.txt").await);
    let bypass =
        json!({"type": "permission_update", "updates": [{"type": "setMode", "mode": "bypassPermissions"}]});
    assert_eq!(client.ask(bypass, "error").await["code"], "forbidden");
    assert!(asks(&mut client, "write b.txt").await);
}

async fn directories(lab: &Lab) {
    let server = lab.server().await;
    let (work, other) = (server.workspace().join("work"), server.workspace().join("other"));
    for directory in [&work, &other] {
        std::fs::create_dir(directory).unwrap();
    }
    std::fs::write(other.join("seen.txt"), "what is in it").unwrap();
    let read = format!("read {}", other.join("seen.txt").display());
    let mut client = server.session(json!({"cwd": work})).await;
    assert!(asks(&mut client, &read).await);
    update(&mut client, json!([{"type": "addDirectories", "directories": [other]}])).await;
    assert!(!asks(&mut client, &read).await, "a directory that was added");
    update(&mut client, json!([{"type": "removeDirectories", "directories": [other]}])).await;
    assert!(asks(&mut client, &read).await, "and taken out again");
    let outside = json!({"type": "permission_update", "updates": [{"type": "addDirectories", "directories": ["/etc"]}]});
    assert_eq!(client.ask(outside, "error").await["code"], "forbidden");
    // From the start.
    client.session = "with".into();
    client.start(json!({"cwd": work, "add_dirs": [other]})).await;
    assert!(!asks(&mut client, &read).await);
}

async fn rules_survive_a_new_process(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("hello").await.succeeded();
    update(&mut client, json!([rules("addRules", "allow", "touch:*")])).await;
    let id = client.say("run mkdir by-answer").await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "allow_always", json!({})).await;
    client.finish(&id).await.succeeded();
    // A change that the agent cannot make while it runs gets a new process.
    client.ask(json!({"type": "config_update", "config": {"max_turns": 20}}), "config_updated").await;
    assert!(!asks(&mut client, "touch a").await);
    assert!(!asks(&mut client, "run mkdir by-answer").await, "the very same call");
}

async fn rules_of_the_start_are_revoked(lab: &Lab) {
    let server = lab.server().await;
    let (work, other) = (server.workspace().join("work"), server.workspace().join("other"));
    for directory in [&work, &other] {
        std::fs::create_dir(directory).unwrap();
    }
    std::fs::write(other.join("seen.txt"), "what is in it").unwrap();
    let read = format!("read {}", other.join("seen.txt").display());
    let start = json!({"cwd": work, "add_dirs": [other],
        "allowed_tools": ["Bash(touch:*)", "Bash(mkdir:*)"], "disallowed_tools": ["Bash(rmdir:*)"]});
    let mut client = server.session(start).await;
    assert!(!asks(&mut client, "touch a").await);
    assert!(!asks(&mut client, &read).await);
    let config = update(&mut client, json!([rules("removeRules", "allow", "touch:*")])).await;
    assert_eq!(config["allowed_tools"], json!(["Bash(mkdir:*)"]));
    assert!(asks(&mut client, "touch b").await, "removed");
    assert!(!asks(&mut client, "run mkdir c").await);
    update(&mut client, json!([{"type": "replaceRules", "behavior": "allow", "rules": []}])).await;
    assert!(asks(&mut client, "run mkdir d").await, "replaced by nothing");
    let config = update(&mut client, json!([{"type": "removeDirectories", "directories": [other]}])).await;
    assert!(config["add_dirs"].is_null());
    assert!(asks(&mut client, &read).await, "taken out");
}

async fn rules_of_an_answer_are_revoked(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("touch a").await;
    let prompt = client.prompt().await;
    let added = json!([rules("addRules", "allow", "touch:*")]);
    client.decide(&prompt, "allow", json!({"updated_permissions": added})).await;
    client.finish(&id).await.succeeded();
    assert!(!asks(&mut client, "touch b").await);
    update(&mut client, json!([rules("removeRules", "allow", "touch:*")])).await;
    assert!(asks(&mut client, "touch c").await, "the rule of an answer is gone");
    // The very same call, allowed always.
    let id = client.say("run mkdir d").await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "allow_always", json!({})).await;
    client.finish(&id).await.succeeded();
    update(&mut client, json!([{"type": "replaceRules", "behavior": "allow", "rules": []}])).await;
    assert!(asks(&mut client, "run mkdir d").await);
}

async fn more_rules_than_an_argument_holds(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let many: Vec<_> = (0..100)
        .map(|number| json!({"toolName": "Bash", "ruleContent": format!("{number}{}:*", "x".repeat(2000))}))
        .collect();
    update(&mut client, json!([{"type": "addRules", "behavior": "allow", "rules": many}])).await;
    update(&mut client, json!([rules("addRules", "allow", "touch:*")])).await;
    // The next process is started with all of them.
    client.ask(json!({"type": "config_update", "config": {"max_turns": 20}}), "config_updated").await;
    assert!(!asks(&mut client, "touch a").await);
    let long = json!([rules("addRules", "allow", &"x".repeat(5000))]);
    let refused = client.ask(json!({"type": "permission_update", "updates": long}), "error").await;
    assert_eq!(refused["code"], "invalid_message");
    assert!(refused["message"].as_str().unwrap().contains("updates[0].rules[0].ruleContent"), "{refused}");
}
