//! Tools that the front end runs, subagents, and the agent's own messages.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::Lab;

on_both_clis![
    client_tools,
    client_tools_that_fail,
    a_long_result_comes_cut,
    one_subagent,
    subagents_interleave,
    agent_events,
    plan_mode
];

fn offered() -> Value {
    json!([
        {"name": "lookup", "description": "Looks things up", "input_schema": {
            "type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}},
        {"name": "paint", "description": "Paints", "input_schema": {"type": "object", "properties": {}}},
    ])
}

async fn client_tools(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({"client_tools": offered()})).await;
    let id = client.say(r#"client lookup {"key":"the \"key\" – 😀"}"#).await;
    let call = client.expect("tool_use").await;
    assert_eq!((&call["executor"], &call["tool_name"]), (&json!("client"), &json!("mcp__client__lookup")));
    assert_eq!(call["tool_input"], json!({"key": "the \"key\" – 😀"}));
    client.status("executing_tool").await;
    let result = |content: Value| json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": content});
    client.send(result(json!("it \"is\"\u{2028}here 😀"))).await;
    let turn = client.finish(&id).await.succeeded();
    assert_eq!(turn.tool_result(), "it \"is\"\u{2028}here 😀");
    assert!(turn.of_type("permission_request").is_empty(), "who runs the tool decides by running it");
    assert!(turn.text().contains("it \"is\"\u{2028}here 😀"), "the model has it: {}", turn.text());
    assert_eq!(client.ask(result(json!("again")), "error").await["code"], "unknown_request");
    // At once: the client learns of the call before the agent makes it. A second answer is one too many all the same.
    let id = client.say(r#"client lookup {"key":"quick"}"#).await;
    let call = client.expect("tool_use").await;
    let result = json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": "quick"});
    client.send(result.clone()).await;
    assert_eq!(client.ask(result, "error").await["code"], "unknown_request");
    assert_eq!(client.finish(&id).await.succeeded().tool_result(), "quick");
    // Blocks.
    let id = client.say("client paint {}").await;
    let call = client.expect("tool_use").await;
    let png =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==";
    let blocks = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}]);
    client.send(json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": blocks})).await;
    let turn = client.finish(&id).await.succeeded();
    // The newer version adds a text of its own about the image.
    assert!(turn.tool_result().starts_with("one\ntwo"), "{}", turn.tool_result());
    let blocks = turn.one("tool_result")["blocks"].as_array().unwrap().clone();
    assert!(blocks.iter().any(|block| block["type"] == "image"), "{blocks:?}");
    // Two at once, answered the other way round.
    let calls = r#"tool [{"name":"mcp__client__lookup","input":{"key":"a"}},{"name":"mcp__client__lookup","input":{"key":"b"}}]"#;
    let id = client.say(calls).await;
    let (first, second) = (client.expect("tool_use").await, client.expect("tool_use").await);
    for call in [&second, &first] {
        let text = format!("the value of {}", call["tool_input"]["key"].as_str().unwrap());
        client
            .send(json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": text}))
            .await;
    }
    let turn = client.finish(&id).await.succeeded();
    for call in [first, second] {
        let results = turn.of_type("tool_result");
        let result = results.iter().find(|result| result["tool_use_id"] == call["tool_use_id"]).unwrap();
        assert_eq!(
            result["content"],
            format!("the value of {}", call["tool_input"]["key"].as_str().unwrap())
        );
    }
}

async fn a_long_result_comes_cut(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({"client_tools": offered(), "max_content_bytes": 1024})).await;
    let id = client.say(r#"client lookup {"key":"long"}"#).await;
    let call = client.expect("tool_use").await;
    let whole: String = (0..400).map(|line| format!("{line} \"😀\"\n")).collect();
    client.send(json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": whole})).await;
    let turn = client.finish(&id).await.succeeded();
    let cut = turn.one("tool_result");
    assert_eq!((&cut["truncated"], &cut["total_bytes"]), (&json!(true), &json!(whole.len())));
    let mut read = cut["content"].as_str().unwrap().to_owned();
    assert!((1021..=1024).contains(&read.len()), "{}", read.len());
    loop {
        let page = json!({"type": "result_read", "tool_use_id": cut["tool_use_id"], "seq": cut["seq"],
            "offset": read.len(), "max_bytes": 2000});
        let page = client.ask(page, "result_read").await;
        read.push_str(page["content"].as_str().unwrap());
        if page.get("next_offset").is_none() {
            break;
        }
    }
    assert_eq!(read, whole);
}

async fn client_tools_that_fail(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({"client_tools": offered()})).await;
    let id = client.say(r#"client lookup {"key":"k"}"#).await;
    let call = client.expect("tool_use").await;
    let failed = json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": "no such key", "is_error": true});
    client.send(failed).await;
    let turn = client.finish(&id).await.succeeded();
    assert_eq!(turn.one("tool_result")["is_error"], true);
    assert!(turn.tool_result().contains("no such key"));
    // Interrupted while it waits; a late result finds nobody.
    let id = client.say(r#"client lookup {"key":"k"}"#).await;
    let call = client.expect("tool_use").await;
    client.status("executing_tool").await;
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.ended("interrupted");
    let late = json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": "late"});
    assert_eq!(client.ask(late, "error").await["code"], "unknown_request");
    client.turn("hello").await.succeeded();
    // Input that does not fit the schema.
    let id = client.say("client lookup {}").await;
    let call = client.expect("tool_use").await;
    let got = client.until("a result of the tool or time to give one", |message| {
        message["type"] == "tool_result" || message["status"] == "executing_tool"
    });
    got.await;
    client
        .send(json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": "fine by me"}))
        .await;
    client.finish(&id).await.succeeded();
}

async fn one_subagent(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("subagent").await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(server.workspace().join("made-by-subagent").exists());
    let uses = turn.of_type("tool_use");
    let agent =
        uses.iter().find(|call| ["Agent", "Task"].contains(&call["tool_name"].as_str().unwrap())).unwrap();
    let bash = uses.iter().find(|call| call["tool_name"] == "Bash").unwrap();
    assert_eq!(bash["parent_tool_use_id"], agent["tool_use_id"]);
    assert!(agent["parent_tool_use_id"].is_null());
    let results = turn.of_type("tool_result");
    let result = results.iter().find(|result| result["tool_use_id"] == bash["tool_use_id"]).unwrap();
    assert_eq!(result["parent_tool_use_id"], agent["tool_use_id"]);
    assert!(turn.result["result"].as_str().unwrap().starts_with("The subagent said: "));
}

async fn subagents_interleave(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("subagents").await;
    let mut prompts = vec![client.prompt().await, client.prompt().await];
    prompts.reverse();
    for prompt in &prompts {
        client.allow(prompt).await;
    }
    let turn = client.finish(&id).await.succeeded();
    let uses = turn.of_type("tool_use").into_iter();
    let parents: HashSet<_> = uses
        .filter(|call| call["tool_name"] == "Read")
        .map(|call| call["parent_tool_use_id"].to_string())
        .collect();
    assert_eq!(parents.len(), 2, "each read is its own subagent's");
    assert!(!parents.contains("null"));
    // What the main thread says is not mixed with what they say.
    let main = turn
        .of_type("assistant_message_delta")
        .into_iter()
        .filter(|delta| delta["parent_tool_use_id"].is_null());
    let text: String = main.filter_map(|delta| delta["delta"]["text"].as_str()).collect();
    assert!(text.starts_with("The subagents said: "), "{text}");
    assert_eq!(turn.result["result"], *text);
}

async fn agent_events(lab: &Lab) {
    let server = lab.server().await;
    let mut with = server.session(json!({"agent_events": true})).await;
    let turn = with.turn("think").await.succeeded();
    let events = turn.of_type("agent_event");
    assert!(!events.is_empty());
    assert!(events.iter().all(|event| event["event"]["type"].is_string()), "whole messages of the agent");
    let mut without = server.connect().await;
    without.session = "without".into();
    without.start(json!({"agent_events": false})).await;
    let turn = without.turn("think").await.succeeded();
    assert!(turn.of_type("agent_event").is_empty());
}

async fn plan_mode(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({"permission_mode": "plan"})).await;
    let id = client.say("plan").await;
    let prompt = client.prompt().await;
    assert_eq!(prompt["tool_name"], "ExitPlanMode");
    client.allow(&prompt).await;
    client.finish(&id).await.succeeded();
    let turn = client.turn("hello").await.succeeded();
    let config = client.ask(json!({"type": "config_query"}), "config_response").await["config"].clone();
    assert_ne!(config["permission_mode"], "plan", "left, and the gateway knows; {:?}", turn.result);
}
