//! What the agent does beside turns: shells, subagents, schedules.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cli, Client, Lab};

on_all_clis![
    a_shell_is_told_listed_and_stopped,
    a_turn_over_a_tasks_end_names_it,
    a_prompt_in_the_background_outlives_a_turn_that_fails,
    a_client_tool_in_the_background_outlives_a_turn_that_ends,
    a_running_tool_goes_to_the_background,
    tasks_keep_their_agent,
    a_schedule_fires_after_its_turn,
    a_subagents_text_comes_once,
    an_interrupt_ends_tasks_only_if_it_says_so
];

/// Has the model call a tool.
fn tool(name: &str, input: &Value) -> String {
    format!("tool {}", json!({"name": name, "input": input}))
}

fn shell(command: &str) -> String {
    tool("Bash", &json!({"command": command, "run_in_background": true, "description": "a shell"}))
}

fn subagent(prompt: &str) -> String {
    let input = json!({"description": "Do it", "prompt": prompt, "subagent_type": "general-purpose",
        "run_in_background": true});
    tool("Agent", &input)
}

impl Client {
    async fn task(&mut self, status: &str) -> Value {
        self.until(status, |message| message["type"] == "task_update" && message["status"] == status).await
    }

    async fn info(&mut self) -> Value {
        self.ask(json!({"type": "session_info"}), "session_info").await
    }
}

async fn a_shell_is_told_listed_and_stopped(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn(shell("echo out; sleep 300")).await.succeeded();
    let began =
        turn.of_type("task_update").into_iter().rfind(|task| task["background"] == true).unwrap().clone();
    assert_eq!((&began["kind"], &began["status"]), (&json!("shell"), &json!("running")));
    assert_eq!(began["tool_use_id"], turn.one("tool_use")["tool_use_id"]);
    assert_eq!(turn.one("tool_result")["task_id"], began["task_id"]);
    let info = client.info().await;
    assert_eq!(info["tasks"][0]["task_id"], began["task_id"]);
    let list = client.ask(json!({"type": "session_list"}), "session_list").await;
    assert_eq!(list["sessions"][0]["tasks"], 1);
    // What it has written.
    let wanted = json!({"type": "task_output", "task_id": began["task_id"]});
    if lab.cli == Some(Cli::Old) {
        let refused = client.ask(wanted, "error").await;
        assert_eq!(refused["code"], "unsupported");
        assert!(refused["message"].as_str().unwrap().contains("2.1.330"), "{refused}");
    } else {
        // The shell may not have come to it yet.
        let mut output = client.ask(wanted.clone(), "task_output").await;
        while output["output"] == "" {
            output = client.ask(wanted.clone(), "task_output").await;
        }
        assert_eq!((&output["output"], &output["total_bytes"]), (&json!("out\n"), &json!(4)));
    }
    let stopped = client.ask(json!({"type": "task_stop", "task_id": began["task_id"]}), "task_update").await;
    assert_eq!((&stopped["status"], &stopped["task_id"]), (&json!("stopped"), &began["task_id"]));
    let late = client.ask(json!({"type": "task_stop", "task_id": began["task_id"]}), "error").await;
    assert_eq!(late["code"], "unknown_request");
    assert_eq!(client.info().await["tasks"], json!([]));
    client.turn("hello").await.succeeded();
}

async fn a_turn_over_a_tasks_end_names_it(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn(shell("sleep 1; echo done")).await.succeeded();
    let ended = client.task("completed").await;
    assert!(ended["summary"].as_str().is_some_and(|summary| summary.contains("a shell")), "{ended}");
    let origin = json!({"kind": "task", "task_id": ended["task_id"], "tool_use_id": ended["tool_use_id"]});
    let own = client.until("its own turn", |message| message["type"] == "result").await;
    assert_eq!((&own["origin"], own.get("request_id")), (&origin, None));
    let begins = client.got().into_iter().filter(|message| message["type"] == "status_update");
    assert!(begins.into_iter().any(|message| message["origin"] == origin));
    let result = client.turn("hello").await.succeeded().result;
    assert!(result["origin"].is_null(), "{result}");
}

async fn a_prompt_in_the_background_outlives_a_turn_that_fails(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say(subagent("touch by-the-subagent")).await;
    let prompt = client.prompt().await;
    assert_eq!(
        (&prompt["agent"]["type"], &prompt["agent"]["description"]),
        (&json!("general-purpose"), &json!("Do it"))
    );
    client.finish(&id).await.succeeded();
    let call =
        client.got().into_iter().find(|message| message["tool_use_id"] == prompt["tool_use_id"]).unwrap();
    assert_eq!((&call["type"], &call["agent"]), (&json!("tool_use"), &prompt["agent"]));
    assert_eq!(call["parent_tool_use_id"], prompt["parent_tool_use_id"]);
    client.turn("error").await.failed("api_error");
    let info = client.info().await;
    assert_eq!(info["pending_permissions"][0]["id"], prompt["id"], "it is open");
    client.allow(&prompt).await;
    let resolved = client.expect("permission_resolved").await;
    assert_eq!(resolved["decision"], "allow");
    client.task("completed").await;
    assert!(server.workspace().join("by-the-subagent").exists());
}

async fn a_client_tool_in_the_background_outlives_a_turn_that_ends(lab: &Lab) {
    let server = lab.server().await;
    let tools = json!([{"name": "lookup", "description": "Looks things up", "input_schema": {
        "type": "object", "properties": {"key": {"type": "string"}}}}]);
    let mut client = server.session(json!({"client_tools": tools})).await;
    let id = client.say(subagent(r#"client lookup {"key":"k"}"#)).await;
    let call = client.until("the call", |message| message["executor"] == "client").await;
    client.finish(&id).await.succeeded();
    client.turn("hello").await.succeeded();
    let result =
        json!({"type": "tool_result", "tool_use_id": call["tool_use_id"], "content": "the value of k"});
    client.send(result).await;
    let given = client.until("the result", |message| {
        message["type"] == "tool_result" && message["tool_use_id"] == call["tool_use_id"]
    });
    let given = given.await;
    assert_eq!((&given["is_error"], &given["content"]), (&json!(false), &json!("the value of k")));
    client.task("completed").await;
}

async fn a_running_tool_goes_to_the_background(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("run sleep 20; echo late").await;
    client.status("executing_tool").await;
    let call = client.got().into_iter().find(|message| message["type"] == "tool_use").unwrap();
    let wanted = json!({"type": "background", "tool_use_id": call["tool_use_id"]});
    let sent = client.ask(wanted, "task_update").await;
    assert_eq!((&sent["background"], &sent["tool_use_id"]), (&json!(true), &call["tool_use_id"]));
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.tool_result().contains("background"), "{}", turn.tool_result());
    assert_eq!(client.ask(json!({"type": "background"}), "error").await["code"], "unknown_request");
    client.ask(json!({"type": "task_stop", "task_id": sent["task_id"]}), "task_update").await;
}

/// Neither `--agent-idle` nor `--session-grace` takes an agent that has something to do.
async fn tasks_keep_their_agent(lab: &Lab) {
    let server = lab.server_with(|config| {
        config.times.agent_idle = Duration::from_millis(200);
        config.times.session_grace = Duration::from_millis(200);
    });
    let server = server.await;
    let mut client = server.session(json!({"allowed_tools": ["Bash"]})).await;
    client.turn(shell("sleep 3; touch kept")).await.succeeded();
    client.vanish().await;
    let mut client = server.connect().await;
    let kept = server.workspace().join("kept");
    for _ in 0..200 {
        if kept.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(kept.exists(), "the shell came to its end");
    client.start(json!({"last_seq": 0})).await;
    client
        .until("its own turn", |message| message["type"] == "result" && message["origin"]["kind"] == "task")
        .await;
    assert!(!client.got().iter().any(|message| message["code"] == "tasks_stopped"));
    // With nothing to do it goes.
    client
        .until("sleep", |message| {
            message["agent"]["state"] == "stopped" || message["type"] == "status_update"
        })
        .await;
    client.turn("hello").await.succeeded();
}

/// It waits for a full minute, so it is one test for all that is to be seen of a schedule.
async fn a_schedule_fires_after_its_turn(lab: &Lab) {
    let server = lab.server_with(|config| config.times.agent_idle = Duration::from_millis(200)).await;
    let mut client = server.session(json!({})).await;
    let input = json!({"cron": "* * * * *", "prompt": "echo it is time", "recurring": false});
    let turn = client.turn(tool("CronCreate", &input)).await.succeeded();
    let task = turn.one("task_update").clone();
    assert_eq!((&task["kind"], &task["status"]), (&json!("schedule"), &json!("running")));
    assert!(task["description"].as_str().unwrap().contains("it is time"), "{task}");
    let refused = client.ask(json!({"type": "task_stop", "task_id": task["task_id"]}), "error").await;
    assert_eq!(refused["code"], "unsupported");
    let fired = |message: &Value| message["type"] == "result" && message["request_id"].is_null();
    let own = match tokio::time::timeout(Duration::from_secs(59), client.until("its turn", fired)).await {
        Ok(own) => own,
        Err(_) => client.until("its turn", fired).await,
    };
    assert_eq!(own["result"], "it is time", "{own}");
    assert_eq!((&own["origin"]["kind"], &own["origin"]["task_id"]), (&json!("schedule"), &task["task_id"]));
    assert!(client.got().iter().any(|message| {
        message["type"] == "task_update"
            && message["task_id"] == task["task_id"]
            && message["status"] == "completed"
    }));
}

async fn a_subagents_text_comes_once(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for (background, text) in [(false, "echo from the foreground"), (true, "echo from the background")] {
        let input = json!({"description": "Do it", "prompt": text, "subagent_type": "general-purpose",
            "run_in_background": background});
        client.turn(tool("Agent", &input)).await.succeeded();
        let is_over =
            |message: &Value| message["status"] == "completed" && message["background"] == background;
        if !client.got().iter().any(is_over) {
            client.until("its end", is_over).await;
        }
        let said = text.strip_prefix("echo ").unwrap();
        let deltas = client.got().into_iter().filter(|message| {
            message["delta"]["text"].is_string() && message["parent_tool_use_id"].is_string()
        });
        let texts: String = deltas.map(|delta| delta["delta"]["text"].as_str().unwrap().to_owned()).collect();
        assert_eq!(texts.matches(said).count(), 1, "{texts}");
    }
    let mut quiet = server.connect().await;
    quiet.session = "quiet".into();
    quiet.start(json!({"subagent_text": false})).await;
    let input = json!({"description": "Do it", "prompt": "echo unheard", "subagent_type": "general-purpose",
        "run_in_background": false});
    let turn = quiet.turn(tool("Agent", &input)).await.succeeded();
    let deltas = turn.of_type("assistant_message_delta");
    assert!(deltas.iter().all(|delta| delta["parent_tool_use_id"].is_null()));
}

async fn an_interrupt_ends_tasks_only_if_it_says_so(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say(subagent("touch never")).await;
    let prompt = client.prompt().await;
    client.finish(&id).await.succeeded();
    client.turn(shell("sleep 300")).await.succeeded();
    let nothing = client.ask(json!({"type": "interrupt"}), "interrupted").await;
    assert_eq!(nothing["outcome"], "nothing_running");
    assert_eq!(nothing["tasks"].as_array().map(Vec::len), Some(2), "{nothing}");
    // An interrupt of a turn leaves them alone; 2.1.197 ends subagents all the same.
    let id = client.say("slow").await;
    client.some_text().await;
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.ended("interrupted");
    let left = if lab.cli == Some(Cli::Old) { 1 } else { 2 };
    let info = client.info().await;
    assert_eq!(info["tasks"].as_array().map(Vec::len), Some(left), "{info}");
    assert_eq!(info["pending_permissions"].as_array().map(Vec::len), Some(left - 1));
    let done = client.ask(json!({"type": "interrupt", "tasks": true}), "interrupted").await;
    assert_eq!(done["outcome"], "interrupted");
    assert_eq!(client.info().await["tasks"], json!([]));
    let resolved = client.got().into_iter().find(|message| message["permission_id"] == prompt["id"]).unwrap();
    assert_eq!(resolved["decision"], "cancelled");
    client.turn("hello").await.succeeded();
}
