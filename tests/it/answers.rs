//! Who answers whom, and what came of it, where the agent does things by itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cli, Client, Lab, Server};

on_all_clis![
    a_tasks_news_and_messages_that_wait_keep_apart,
    a_schedule_and_messages_keep_apart,
    what_came_of_compact,
    servers_that_start_slowly_are_named_and_an_interrupt_takes_effect_at_once,
    why_a_call_was_refused_reaches_the_model,
];

on_the_fake_cli![own_turns_in_every_order];

/// Every turn that ended so far: whose it is, and what its text was.
fn answers(client: &Client) -> Vec<(Option<String>, String)> {
    let got = client.got();
    let results = got.iter().filter(|message| message["type"] == "result");
    results
        .map(|result| {
            let text = result["result"].as_str().unwrap_or_default().to_owned();
            (result["request_id"].as_str().map(str::to_owned), text)
        })
        .collect()
}

/// Deltas and results name the same message.
fn keep_apart(client: &Client) {
    let got = client.got();
    let mut text = String::new();
    let mut of = Vec::new();
    for message in &got {
        match message["type"].as_str() {
            Some("assistant_message_start") if message["parent_tool_use_id"].is_null() => {
                text.clear();
                of.clear();
            }
            Some("assistant_message_delta") if message["parent_tool_use_id"].is_null() => {
                text += message["delta"]["text"].as_str().unwrap_or_default();
                of.push(message["request_id"].clone());
            }
            Some("result") if message["subtype"] == "success" && message["num_turns"] != 0 => {
                assert_eq!(message["result"], text, "{message}");
                assert!(of.iter().all(|id| *id == message["request_id"]), "{of:?}: {message}");
            }
            _ => {}
        }
    }
}

async fn background(client: &mut Client, command: &str) {
    let call = json!({"name": "Bash", "input": {"command": command, "description": "Wait", "run_in_background": true}});
    let id = client.say(format!("tool {call}")).await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    client.finish(&id).await.succeeded();
}

async fn a_tasks_news_and_messages_that_wait_keep_apart(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    background(&mut client, "touch a && sleep 1").await;
    // It ends while this runs; four wait.
    let mut ids = vec![client.say("wait").await];
    for number in 0..4 {
        ids.push(client.say(format!("echo number {number}")).await);
    }
    for id in &ids {
        client.finish(id).await.succeeded();
    }
    let answers = answers(&client);
    for (number, id) in ids[1..].iter().enumerate() {
        assert!(answers.contains(&(Some(id.clone()), format!("number {number}"))), "{answers:?}");
    }
    let is_own = |message: &Value| message["type"] == "result" && message["request_id"].is_null();
    let own = match client.got().into_iter().find(is_own) {
        Some(own) => own,
        None => client.until("the agent's own turn", is_own).await,
    };
    assert_eq!(own["origin"]["kind"], "task");
    keep_apart(&client);
}

/// It is due some time after the next full minute, which only the agent knows.
async fn a_schedule_and_messages_keep_apart(lab: &Lab) {
    if lab.cli == Some(Cli::Old) {
        // It says nothing of messages: there the order decides.
        return;
    }
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let call = json!({"name": "CronCreate", "input": {"cron": "* * * * *", "prompt": "echo the schedule", "recurring": true}});
    client.turn(format!("tool {call}")).await.succeeded();
    let mut said = Vec::new();
    // Messages with short pauses, so that one comes in the very moment.
    while answers(&client).iter().all(|(id, _)| id.is_some()) {
        let text = format!("number {}", said.len());
        let id = client.say(format!("echo {text}")).await;
        client.finish(&id).await.succeeded();
        said.push((Some(id), text));
        let _ = tokio::time::timeout(
            Duration::from_millis(400),
            client.until("the schedule", |message| {
                message["type"] == "result" && message["request_id"].is_null()
            }),
        )
        .await;
    }
    let all = answers(&client);
    let own: Vec<_> = all.iter().filter(|(id, _)| id.is_none()).collect();
    assert_eq!(own, [&(None, "the schedule".to_owned())]);
    for said in said {
        assert!(all.contains(&said), "{said:?} is not in {all:?}");
    }
    keep_apart(&client);
}

async fn what_came_of_compact(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("/compact").await.failed("compact_failed");
    client.status("idle").await;
    for number in 0..4 {
        client.turn(format!("echo {number}")).await.succeeded();
    }
    let turn = client.turn("/compact refuse the summary").await.failed("compact_failed");
    let error = turn.result["error"].as_str().unwrap();
    assert!(error.contains("asked to fail"), "{error}");
    assert!(turn.of_type("status_update").iter().any(|update| update["status"] == "compacting"));
    let id = client.say("/compact stall the summary").await;
    client.status("compacting").await;
    server.model().request_where(|request| request.user_text.contains("stall the summary")).await;
    let interrupt = client.send(json!({"type": "interrupt"})).await;
    assert_eq!(client.answer(&interrupt, "interrupted").await["outcome"], "interrupted");
    client.finish(&id).await.ended("interrupted");
    client.status("idle").await;
    let turn = client.turn("/compact").await.succeeded();
    assert!(turn.of_type("warning").iter().any(|warning| warning["code"] == "context_compacted"));
    assert_eq!(client.turn("echo after").await.succeeded().text(), "after");
}

fn slow_server(seconds: u32) -> Value {
    let answer = r#"python3 -c '
import sys, json
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = {"tools": []}
        if asked["method"] == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
'"#;
    json!({"name": "slowpoke", "command": "sh", "args": ["-c", format!("sleep {seconds}; exec {answer}")]})
}

async fn servers_that_start_slowly_are_named_and_an_interrupt_takes_effect_at_once(lab: &Lab) {
    let server = lab.server_with(|config| config.times.interrupt = Duration::from_mins(1)).await;
    let mut client = server.session(json!({"mcp_servers": [slow_server(8)]})).await;
    let id = client.say("echo never").await;
    let update = client.until("starting", |message| message["status"] == "starting").await;
    assert_eq!(
        (&update["message"], &update["request_id"]),
        (&json!("waiting for MCP servers: slowpoke"), &json!(id))
    );
    let agents = agents(lab);
    let interrupt = client.send(json!({"type": "interrupt"})).await;
    let outcome = client.answer(&interrupt, "interrupted").await["outcome"].clone();
    let turn = client.finish(&id).await;
    if lab.cli == Some(Cli::Old) {
        // It cannot take a message out of its queue: it begins the turn at once, and may come to its end before it hears of the
        // interrupt.
        assert!(outcome == "interrupted" || turn.result["subtype"] == "success", "{outcome} {}", turn.result);
    } else {
        assert_eq!(outcome, "interrupted");
        assert_eq!(turn.ended("interrupted").text(), "");
    }
    let turn = client.turn("echo heard").await.succeeded();
    assert_eq!(turn.text(), "heard");
    assert_eq!(self::agents(lab), agents, "the same process");
    if lab.cli != Some(Cli::Old) {
        assert!(said(&server).iter().all(|text| !text.contains("never")), "it never reached the model");
    }
}

fn agents(lab: &Lab) -> Vec<String> {
    lab.processes().into_iter().filter(|process| process.contains("--print")).collect()
}

fn said(server: &Server) -> Vec<String> {
    server.model().requests().last().unwrap().said.clone()
}

async fn why_a_call_was_refused_reaches_the_model(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("touch no.txt").await;
    let prompt = client.prompt().await;
    client.decide(&prompt, "deny", json!({"interrupt": true, "explanation": "use yes.txt"})).await;
    client.finish(&id).await.ended("interrupted");
    client.turn("echo on").await.succeeded();
    let told = said(&server);
    assert!(told.iter().any(|text| text.contains("use yes.txt")), "{told:?}");
    let times = |told: &[String]| told.iter().filter(|text| text.contains("use yes.txt")).count();
    client.turn("echo once").await.succeeded();
    assert_eq!(times(&said(&server)), times(&told), "once");
}

async fn own_turns_in_every_order(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for own in ["schedule", "fold"] {
        client.turn(format!("!{own} own; {own} own; text set")).await.succeeded();
        let mut ids = Vec::new();
        for number in 0..3 {
            ids.push(client.say(format!("say {own} {number}")).await);
        }
        for (number, id) in ids.iter().enumerate() {
            let turn = client.finish(id).await.succeeded();
            assert_eq!(turn.text(), format!("echo: say {own} {number}"));
        }
    }
    let owns = answers(&client).into_iter().filter(|(id, _)| id.is_none()).count();
    assert_eq!(owns, 2, "those that were not folded");
}
