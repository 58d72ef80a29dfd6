//! Permission prompts and questions, from asked to answered.

use serde_json::{Value, json};

use crate::harness::{Lab, Server, Turn};

on_both_clis![
    allow_and_edit,
    deny,
    deny_and_interrupt,
    allow_always,
    updated_permissions_instead,
    two_prompts_in_reverse_order,
    questions,
    anyone_attached_may_answer,
];

#[track_caller]
fn resolved<'a>(turn: &'a Turn, prompt: &Value) -> &'a Value {
    let all = turn.of_type("permission_resolved");
    all.into_iter().find(|message| message["permission_id"] == prompt["id"]).expect("the prompt was resolved")
}

/// Files below `dir` whose names say that they hold settings.
fn settings_files(dir: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(settings_files(&path));
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("settings")) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[track_caller]
fn no_settings_written(server: &Server) {
    assert_eq!(settings_files(&server.workspace()), [""; 0]);
    assert_eq!(settings_files(server.config_dir()), [""; 0]);
}

async fn allow_and_edit(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("touch made.txt").await;
    let prompt = client.prompt().await;
    assert_eq!(prompt["tool_name"], "Bash");
    assert_eq!(prompt["tool_input"]["command"], "touch made.txt");
    assert_eq!(prompt["context"]["risk_level"], "medium");
    assert!(!prompt["context"]["description"].as_str().unwrap().is_empty());
    assert!(!prompt["context"]["suggestions"].as_array().unwrap().is_empty());
    assert!(!server.workspace().join("made.txt").exists(), "nothing runs before the answer");
    client.status("waiting_permission").await;
    let answer = client.allow(&prompt).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(server.workspace().join("made.txt").exists());
    let resolved = resolved(&turn, &prompt);
    assert_eq!((&resolved["decision"], &resolved["reason"]), (&json!("allow"), &json!("client")));
    assert_eq!(resolved["request_id"], *answer);
    assert_eq!(turn.one("tool_use")["executor"], "agent");
    assert_eq!(turn.one("tool_use")["tool_use_id"], prompt["tool_use_id"]);
    assert_eq!(turn.one("tool_result")["is_error"], false);
    assert_eq!(turn.one("tool_result")["request_id"], *id);
    let late = client.allow(&prompt).await;
    assert_eq!(client.answer(&late, "error").await["code"], "unknown_request");

    let id = client.say("touch shown.txt").await;
    let prompt = client.prompt().await;
    let mut input = prompt["tool_input"].clone();
    input["command"] = "touch edited.txt && echo edited-indeed".into();
    client.decide(&prompt, "allow", json!({"updated_input": input})).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.tool_result().contains("edited-indeed"), "{}", turn.tool_result());
    assert!(server.workspace().join("edited.txt").exists());
    assert!(!server.workspace().join("shown.txt").exists());
}

async fn deny(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("touch no.txt").await;
    let prompt = client.prompt().await;
    let explanation = "Not here: \"use the staging server\" – 😀";
    client.decide(&prompt, "deny", json!({"explanation": explanation})).await;
    let turn = client.finish(&id).await.succeeded();
    let request = server
        .model()
        .request_where(|request| request.tool_results.iter().any(|result| result.text.contains(explanation)));
    request.await;
    assert!(!server.workspace().join("no.txt").exists());
    assert_eq!(turn.one("tool_result")["is_error"], true);
    assert_eq!(resolved(&turn, &prompt)["decision"], "deny");
    assert_eq!(turn.result["permission_denials"][0]["tool_name"], "Bash");
    // Without an explanation, and by `cancel`.
    let id = client.say("touch no.txt").await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "deny", json!({})).await;
    client.finish(&id).await.succeeded();
    let id = client.say("touch no.txt").await;
    let prompt = client.prompt().await;
    let cancel = client.send(json!({"type": "cancel", "target_id": prompt["id"]})).await;
    assert_eq!(client.answer(&cancel, "cancelled").await["target_id"], prompt["id"]);
    let turn = client.finish(&id).await.succeeded();
    assert_eq!(resolved(&turn, &prompt)["decision"], "deny");
    assert!(!server.workspace().join("no.txt").exists());
}

async fn deny_and_interrupt(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("touch no.txt").await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "deny", json!({"explanation": "stop", "interrupt": true})).await;
    let turn = client.finish(&id).await.ended("interrupted");
    assert_eq!(resolved(&turn, &prompt)["decision"], "deny");
    client.turn("hello").await.succeeded();
}

async fn allow_always(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    // A compound command: the agent's own rule does not stop its next prompt in every version; the gateway does.
    let call = r#"tool {"name":"Bash","input":{"command":"touch a.txt && touch b.txt","description":"d"}}"#;
    let id = client.say(call).await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "allow_always", json!({})).await;
    let turn = client.finish(&id).await.succeeded();
    let resolved = resolved(&turn, &prompt);
    assert_eq!((&resolved["decision"], &resolved["reason"]), (&json!("allow_always"), &json!("client")));
    // The same call again, its keys in another order.
    for call in
        [call, r#"tool {"name":"Bash","input":{"description":"d","command":"touch a.txt && touch b.txt"}}"#]
    {
        let turn = client.turn(call).await.succeeded();
        assert!(turn.of_type("permission_request").is_empty());
        for resolved in turn.of_type("permission_resolved") {
            assert_eq!((&resolved["decision"], &resolved["reason"]), (&json!("allow"), &json!("rule")));
        }
    }
    // Another call is asked about (unless the agent's rule covers it, which `ln` is not).
    let id = client.say("run ln -s nowhere link").await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "deny", json!({})).await;
    client.finish(&id).await.succeeded();
    no_settings_written(&server);
}

async fn updated_permissions_instead(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("touch one.txt").await;
    let prompt = client.prompt().await;
    let rules = json!([{"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "mkdir:*"}],
        "behavior": "allow", "destination": "localSettings"}]);
    client.decide(&prompt, "allow_always", json!({"updated_permissions": rules})).await;
    client.finish(&id).await.succeeded();
    let turn = client.turn("run mkdir made").await.succeeded();
    assert!(turn.of_type("permission_request").is_empty());
    assert!(server.workspace().join("made").exists());
    // The client's choice stands instead of the gateway's.
    let id = client.say("touch one.txt").await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    client.finish(&id).await.succeeded();
    // What the client wants may not reach a file either.
    no_settings_written(&server);
}

async fn two_prompts_in_reverse_order(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("two").await;
    let (first, second) = (client.prompt().await, client.prompt().await);
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["pending_permissions"], json!([first, second]), "whole, oldest first");
    assert_eq!(info["state"], "waiting_permission");
    client.allow(&second).await;
    client.decide(&first, "deny", json!({"explanation": "not the first"})).await;
    let turn = client.finish(&id).await.succeeded();
    let result = |prompt: &Value| {
        let results = turn.of_type("tool_result");
        results.into_iter().find(|result| result["tool_use_id"] == prompt["tool_use_id"]).unwrap().clone()
    };
    assert_eq!(result(&first)["is_error"], true);
    assert!(result(&first)["content"].as_str().unwrap().contains("not the first"));
    assert_eq!(result(&second)["is_error"], false);
    assert_eq!(resolved(&turn, &first)["decision"], "deny");
    assert_eq!(resolved(&turn, &second)["decision"], "allow");
}

async fn questions(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("question").await;
    let prompt = client.prompt().await;
    assert_eq!(prompt["tool_name"], "AskUserQuestion");
    let mut input = prompt["tool_input"].clone();
    input["answers"] = json!({"Which colour do you like?": "Blue"});
    client.decide(&prompt, "allow", json!({"updated_input": input})).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.text().contains("Blue"), "{}", turn.text());

    for content in
        [json!({"Which colour do you like?": "Red"}), json!(r#"{"Which colour do you like?": "Red"}"#)]
    {
        let id = client.say("question").await;
        let prompt = client.prompt().await;
        let answer = json!({"type": "tool_result", "tool_use_id": prompt["tool_use_id"], "content": content});
        let answer = client.send(answer).await;
        let turn = client.finish(&id).await.succeeded();
        assert!(turn.text().contains("Red"), "{}", turn.text());
        assert_eq!(resolved(&turn, &prompt)["request_id"], *answer);
    }
    let late = json!({"type": "tool_result", "tool_use_id": prompt["tool_use_id"], "content": "{}"});
    assert_eq!(client.ask(late, "error").await["code"], "unknown_request");
    // Denied: the explanation is the model's to read.
    let id = client.say("question").await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "deny", json!({"explanation": "ask me later"})).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.text().contains("ask me later"), "{}", turn.text());
}

async fn anyone_attached_may_answer(lab: &Lab) {
    let server = lab.server().await;
    let mut asker = server.session(json!({})).await;
    let id = asker.say("touch shared.txt").await;
    let prompt = asker.prompt().await;
    // The prompt outlives the connection that it was shown to.
    let epoch = asker.got()[0]["epoch"].clone();
    asker.vanish().await;
    let mut other = server.connect().await;
    let info = other.start(json!({})).await;
    assert_eq!(info["replay"], "none");
    assert_eq!(info["pending_permissions"], json!([prompt]));
    let mut third = server.connect().await;
    let info = third.start(json!({"last_seq": 0, "epoch": epoch})).await;
    assert_eq!(info["replay"], "ok");
    let shown = third.prompt().await;
    assert_eq!(shown, prompt);
    other.allow(&shown).await;
    third.expect("permission_resolved").await;
    let late = third.decide(&shown, "deny", json!({})).await;
    assert_eq!(third.answer(&late, "error").await["code"], "unknown_request");
    third.finish(&id).await.succeeded();
    assert!(server.workspace().join("shared.txt").exists());
}
