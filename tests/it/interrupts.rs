//! An interrupt at any moment; the next message works.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, Lab, Server, Turn};

on_both_clis![
    while_starting,
    before_the_first_token,
    in_the_middle_of_text,
    in_the_middle_of_thinking_and_twice,
    with_a_prompt_open,
    with_a_tool_running,
    with_nothing_running,
    and_resume,
];

/// Interrupts; checks what comes of it.
async fn interrupt(client: &mut Client, id: &str) -> Turn {
    let interrupt = client.send(json!({"type": "interrupt", "reason": "the test says so"})).await;
    let interrupted = client.answer(&interrupt, "interrupted").await;
    assert_eq!(interrupted["outcome"], "interrupted");
    assert!(interrupted["seq"].is_u64(), "an event");
    let turn = client.finish(id).await.ended("interrupted");
    assert!(turn.events.iter().any(|event| event["id"] == interrupted["id"]), "before the result");
    client.status("idle").await;
    turn
}

async fn still_works(client: &mut Client) {
    let turn = client.turn("echo still here").await.succeeded();
    assert_eq!(turn.text(), "still here");
}

async fn while_starting(lab: &Lab) {
    let server = lab.server().await;
    // The session is a moment old: its process is not there yet.
    let mut client = server.session(json!({})).await;
    let id = client.say("echo never said").await;
    let turn = interrupt(&mut client, &id).await;
    assert_eq!(turn.text(), "");
    still_works(&mut client).await;
    assert!(
        server.model().requests().iter().all(|request| !request.user_text.contains("never said")),
        "it never reached the model"
    );
}

async fn before_the_first_token(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("hello").await.succeeded();
    // Right after it was sent: the agent may not have begun the turn.
    let id = client.say("hang").await;
    interrupt(&mut client, &id).await;
    // When the model was asked and does not answer.
    let id = client.say("hang").await;
    let asked = server.model().requests().len();
    server
        .model()
        .request_where(|request| request.number > asked as u64 && request.user_text == "hang")
        .await;
    interrupt(&mut client, &id).await;
    still_works(&mut client).await;
}

async fn in_the_middle_of_text(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("stall").await;
    let mut text = String::new();
    while text != "I begin, and then I" {
        text += client.some_text().await["delta"]["text"].as_str().unwrap();
    }
    let turn = interrupt(&mut client, &id).await;
    assert_eq!(turn.text(), text, "nothing missing, nothing doubled");
    assert_eq!(turn.one("assistant_message_complete")["stop_reason"], "interrupted");
    still_works(&mut client).await;
    let id = client.say("slow").await;
    client.some_text().await;
    let turn = interrupt(&mut client, &id).await;
    assert!("Line 1 of 120.\nLine 2 of".starts_with(&turn.text()), "{}", turn.text());
    still_works(&mut client).await;
}

async fn in_the_middle_of_thinking_and_twice(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("think").await;
    client.until("thinking", |message| message["delta"]["delta_type"] == "thinking").await;
    // Two at once stop one turn; each gets an answer.
    let first = client.send(json!({"type": "interrupt"})).await;
    let second = client.send(json!({"type": "interrupt"})).await;
    // In either order: the second finds the turn at its end, where it comes late.
    let mut unanswered = vec![first, second];
    while !unanswered.is_empty() {
        let answer = client.expect("interrupted").await;
        unanswered.retain(|id| answer["request_id"] != **id);
    }
    let turn = client.finish(&id).await;
    assert!(["interrupted", "success"].contains(&turn.result["subtype"].as_str().unwrap()));
    still_works(&mut client).await;
}

async fn with_a_prompt_open(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for prompts in [1, 2] {
        let id = client.say(["", "touch no.txt", "two"][prompts]).await;
        let mut open = Vec::new();
        for _ in 0..prompts {
            open.push(client.prompt().await);
        }
        let turn = interrupt(&mut client, &id).await;
        let resolved = turn.of_type("permission_resolved");
        assert_eq!(resolved.len(), prompts);
        for resolved in resolved {
            assert_eq!(
                (&resolved["decision"], &resolved["reason"]),
                (&json!("cancelled"), &json!("interrupt"))
            );
        }
        let late = client.allow(&open[0]).await;
        assert_eq!(client.answer(&late, "error").await["code"], "unknown_request");
        still_works(&mut client).await;
    }
    assert!(!server.workspace().join("no.txt").exists());
}

/// Waits until there is such a file.
async fn appears(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn runs_long(client: &mut Client, server: &Server) -> String {
    let id = client.say("long").await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    appears(&server.workspace().join("long-running")).await;
    id
}

async fn with_a_tool_running(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = runs_long(&mut client, &server).await;
    let sleeps = || lab.processes().into_iter().filter(|line| line.ends_with(": sleep 300 ")).count();
    // The tool's last process, itself: one that its shell forks while the CLI ends the shell is missed by 2.1.330.
    while sleeps() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let turn = interrupt(&mut client, &id).await;
    assert!(turn.of_type("status_update").iter().any(|update| update["status"] == "executing_tool"));
    // The tool's processes go too; the CLI may say that the turn is over while they do.
    let gone = async {
        while sleeps() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    assert!(gone.is_ok(), "the tool is still running: {:#?}", lab.processes());
    still_works(&mut client).await;
}

async fn with_nothing_running(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for _ in 0..2 {
        let answer = client.ask(json!({"type": "interrupt"}), "interrupted").await;
        assert_eq!(answer["outcome"], "nothing_running");
        assert!(answer["seq"].is_null(), "a reply");
        still_works(&mut client).await;
    }
}

async fn and_resume(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let nothing = client.ask(json!({"type": "resume"}), "warning").await;
    assert_eq!(nothing["code"], "nothing_to_resume");
    let id = client.say("stall").await;
    client.some_text().await;
    interrupt(&mut client, &id).await;
    let resume = client.send(json!({"type": "resume"})).await;
    let turn = client.finish(&resume).await.succeeded();
    assert_eq!(turn.text(), "I go on where I was stopped, and now I am done.");
    let nothing = client.ask(json!({"type": "resume"}), "warning").await;
    assert_eq!(nothing["code"], "nothing_to_resume");
    // A turn that was interrupted before the agent got it goes on from its beginning.
    let mut late = server.connect().await;
    late.session = "late".into();
    late.start(json!({})).await;
    let id = late.say("echo said after all").await;
    interrupt(&mut late, &id).await;
    let resume = late.send(json!({"type": "resume"})).await;
    let turn = late.finish(&resume).await.succeeded();
    assert_eq!(turn.text(), "said after all");
}
