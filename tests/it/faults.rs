//! Agents that misbehave: nothing that one does breaks its session, let alone another.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Lab, Turn};

on_the_fake_cli![
    a_crash_in_a_turn,
    a_crash_with_a_prompt_open,
    a_crash_between_turns,
    bad_lines,
    giant_lines,
    unknown_kinds,
    a_deaf_agent_is_killed,
    an_agent_that_never_answers_the_greeting,
    an_agent_that_does_not_start,
    an_agent_that_starts_late,
    a_conversation_that_is_in_use_or_gone,
    a_flood_on_stderr,
    two_results_and_none,
    prompts_taken_back_and_many,
    processes_left_behind,
    a_missing_binary,
    ended_while_its_agent_starts,
    taken_up_while_it_is_removed,
];

async fn still_works(client: &mut Client) -> Turn {
    let turn = client.turn("hello").await.succeeded();
    assert_eq!(turn.text(), "echo: hello");
    turn
}

fn error(turn: &Turn) -> String {
    turn.result["error"].as_str().unwrap().to_owned()
}

async fn a_crash_in_a_turn(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    for (words, reason) in [
        ("!text I begin; stderr 50; crash 3", "3"),
        ("!signal 9", "9"),
        ("!half-line; crash 4", "4"),
        ("!text one; crash 0", "0"),
    ] {
        let queued_behind = client.say(words).await;
        let next = client.say("hello").await;
        let turn = client.finish(&queued_behind).await.failed("agent_exited");
        assert!(error(&turn).contains(reason), "{}", error(&turn));
        assert!(words.contains("stderr") <= error(&turn).contains("last words"), "{}", error(&turn));
        let turn = client.finish(&next).await.succeeded();
        assert_eq!(turn.text(), "echo: hello", "the next message has a new process");
    }
    // It goes on with the same conversation.
    let turn = client.turn("!args").await.succeeded();
    assert!(turn.text().contains("--resume"), "{}", turn.text());
    let crashed = client.turn("!crash 1").await.failed("agent_exited");
    assert_eq!(crashed.text(), "");
    let resume = client.send(json!({"type": "resume"})).await;
    let turn = client.finish(&resume).await.succeeded();
    assert_eq!(turn.text(), "echo: Continue from where you left off.");
    assert!(client.got().iter().any(|message| message["code"] == "agent_restarted"));
}

async fn a_crash_with_a_prompt_open(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let id = client.say("!asks 2; crash 2").await;
    let (first, second) = (client.prompt().await, client.prompt().await);
    client.allow(&first).await;
    client.allow(&second).await;
    client.finish(&id).await.failed("agent_exited");
    let id = client.say(r#"!ask Bash {"command":"x"}"#).await;
    let prompt = client.prompt().await;
    for line in lab.processes() {
        let pid: i32 = line.split(':').next().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    let turn = client.finish(&id).await.failed("agent_exited");
    let resolved = turn.one("permission_resolved");
    assert_eq!((&resolved["permission_id"], &resolved["reason"]), (&prompt["id"], &json!("agent")));
    still_works(&mut client).await;
}

async fn a_crash_between_turns(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn("!text done; result success; crash 7").await.succeeded();
    assert_eq!(turn.text(), "done");
    // A message that was sent before the crash was noticed fails with it; the one after it never does.
    let turn = client.turn("hello").await;
    assert!(["success", "error"].contains(&turn.result["subtype"].as_str().unwrap()));
    still_works(&mut client).await;
}

async fn bad_lines(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({"agent_events": true})).await;
    let turn = client.turn("!text before; garbage; text after").await.succeeded();
    assert_eq!(turn.text(), "beforeafter");
    let turn = client.turn(r#"!raw {"type":"assistant"}; raw {"type":"stream_event","event":{}}; raw {"type":5}; raw {}; text on"#);
    assert_eq!(turn.await.succeeded().text(), "on");
    still_works(&mut client).await;
}

async fn giant_lines(lab: &Lab) {
    let server = lab.server_with(|config| config.limits.max_agent_line = 100_000).await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn("!giant 300000; text after").await.succeeded();
    assert_eq!(turn.text(), "after");
    assert_eq!(turn.one("warning")["code"], "agent_line_skipped");
    // Below the limit it is a message like any other.
    let turn = client.turn("!giant 90000").await.succeeded();
    assert_eq!(turn.text().len(), 90_000);
    // (What is larger than the window is told to those who read in time only; there is no store here.)
    let large = lab.server_with(|config| config.limits.log_window = 64 << 20).await;
    let mut client = large.session(json!({})).await;
    assert_eq!(client.turn("!giant 20000000").await.succeeded().text().len(), 20_000_000);
}

async fn unknown_kinds(lab: &Lab) {
    let server = lab.server().await;
    for (session, agent_events) in [("with", true), ("without", false)] {
        let mut client = server.connect().await;
        client.session = session.into();
        client.start(json!({"agent_events": agent_events})).await;
        let turn = client.turn("!unknown; text after").await.succeeded();
        assert_eq!(turn.text(), "after");
        let kinds: Vec<_> =
            turn.of_type("agent_event").iter().map(|event| event["event"]["type"].clone()).collect();
        assert_eq!(kinds.contains(&json!("brand_new_kind")), agent_events, "{kinds:?}");
        if agent_events {
            let kind = turn
                .of_type("agent_event")
                .into_iter()
                .find(|event| event["event"]["type"] == "brand_new_kind");
            assert_eq!(
                kind.unwrap()["event"],
                json!({"type": "brand_new_kind", "data": {"type": "result"}}),
                "untouched"
            );
        }
        still_works(&mut client).await;
    }
}

async fn a_deaf_agent_is_killed(lab: &Lab) {
    let script = json!({"ignore": ["interrupt", "sigterm", "close"]});
    let server = lab
        .server_with(|config| {
            config.agent_env.push(("FAKE_CLAUDE_SCRIPT".into(), script.to_string().into()));
            config.times.interrupt = Duration::from_millis(500);
        })
        .await;
    let mut client = server.session(json!({})).await;
    for words in ["!text some; hang", "!text some; deaf"] {
        let id = client.say(words).await;
        client.some_text().await;
        let interrupt = client.send(json!({"type": "interrupt"})).await;
        assert_eq!(client.answer(&interrupt, "interrupted").await["outcome"], "agent_killed");
        let turn = client.finish(&id).await.ended("interrupted");
        assert_eq!(turn.text(), "some");
        still_works(&mut client).await;
    }
}

async fn an_agent_that_never_answers_the_greeting(lab: &Lab) {
    let script = json!({"ignore": ["initialize", "sigterm"]});
    let server = lab
        .server_with(|config| {
            config.agent_env.push(("FAKE_CLAUDE_SCRIPT".into(), script.to_string().into()));
            config.times.agent_start = Duration::from_millis(700);
        })
        .await;
    let mut client = server.session(json!({})).await;
    client.turn("hello").await.failed("agent_unavailable");
}

async fn an_agent_that_does_not_start(lab: &Lab) {
    let server = lab.fake_server(&json!({"start": ["refuse 1 No luck today"]})).await;
    let mut client = server.session(json!({})).await;
    let id = client.say("hello").await;
    let turn = client.finish(&id).await.failed("agent_unavailable");
    assert!(error(&turn).contains("No luck today"), "{}", error(&turn));
    // Trying again and again must not be a busy loop, and every message gets its end.
    for _ in 0..2 {
        client.turn("hello").await.failed("agent_unavailable");
    }
    client.send(json!({"type": "session_end"})).await;
    client.expect("session_ended").await;
}

async fn an_agent_that_starts_late(lab: &Lab) {
    let state = tempfile::tempdir().unwrap();
    let server = lab
        .server_with(|config| {
            let script = json!({"start": ["refuse-times 2 1 Not yet"]}).to_string();
            config.agent_env.push(("FAKE_CLAUDE_SCRIPT".into(), script.into()));
            config.agent_env.push(("FAKE_CLAUDE_STATE".into(), state.path().into()));
        })
        .await;
    let mut client = server.session(json!({})).await;
    // The first start is the session's own, the second this message's.
    client.expect("error").await;
    client.turn("hello").await.failed("agent_unavailable");
    still_works(&mut client).await;
}

async fn a_conversation_that_is_in_use_or_gone(lab: &Lab) {
    let state = tempfile::tempdir().unwrap();
    let server = lab
        .server_with(|config| config.agent_env.push(("FAKE_CLAUDE_STATE".into(), state.path().into())))
        .await;
    let mut client = server.session(json!({})).await;
    still_works(&mut client).await;
    client.turn("!crash 1").await.failed("agent_exited");
    still_works(&mut client).await;
    // The transcript disappears while no process runs.
    for entry in std::fs::read_dir(state.path()).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }
    client.ask(json!({"type": "config_update", "config": {"max_turns": 9}}), "config_updated").await;
    let turn = still_works(&mut client).await;
    assert!(client.got().iter().any(|message| message["code"] == "agent_restarted"), "{:?}", turn.events);
}

async fn a_flood_on_stderr(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("!stderr 3000000; text fine").await.succeeded();
    let turn = client.turn("!stderr 3000000; crash 5").await.failed("agent_exited");
    assert!(error(&turn).len() < 10_000, "the last of it only");
    assert!(error(&turn).contains("last words"), "{}", error(&turn));
}

async fn two_results_and_none(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("!text a; twice").await.succeeded();
    still_works(&mut client).await;
    // None: the turn runs until somebody stops it.
    let id = client.say("!text b; no-result").await;
    client.some_text().await;
    client.expect("assistant_message_complete").await;
    client.send(json!({"type": "interrupt"})).await;
    client.finish(&id).await.ended("interrupted");
    still_works(&mut client).await;
    for (words, code) in [
        ("!result error_max_turns", "max_turns"),
        ("!result error_max_budget_usd", "max_budget"),
        ("!result error_during_execution", "execution"),
        ("!result error_brand_new", "execution"),
        ("!api-error API Error: 500 broken", "api_error"),
    ] {
        client.turn(words).await.failed(code);
        still_works(&mut client).await;
    }
}

async fn prompts_taken_back_and_many(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn(r#"!withdraw Bash {"command":"x"}"#).await.succeeded();
    let resolved = turn.one("permission_resolved");
    assert_eq!((&resolved["decision"], &resolved["reason"]), (&json!("cancelled"), &json!("agent")));
    let id = client.say("!asks 20").await;
    let mut prompts = Vec::new();
    for _ in 0..20 {
        prompts.push(client.prompt().await);
    }
    for (index, prompt) in prompts.iter().enumerate().rev() {
        client.decide(prompt, ["allow", "deny"][index % 2], json!({})).await;
    }
    let turn = client.finish(&id).await.succeeded();
    let results = turn.of_type("tool_result");
    for (index, prompt) in prompts.iter().enumerate() {
        let result = results.iter().find(|result| result["tool_use_id"] == prompt["tool_use_id"]).unwrap();
        assert_eq!(result["is_error"], Value::Bool(index % 2 == 1), "each by its own id");
    }
    // Nobody answers in time.
    let impatient =
        lab.server_with(|config| config.times.permission_timeout = Some(Duration::from_millis(50))).await;
    let mut client = impatient.session(json!({})).await;
    let turn = client.turn(r#"!ask Bash {"command":"x"}"#).await.succeeded();
    let resolved = turn.one("permission_resolved");
    assert_eq!((&resolved["decision"], &resolved["reason"]), (&json!("deny"), &json!("timeout")));
}

async fn processes_left_behind(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("!grandchild; grandchild-stdout; text left").await.succeeded();
    assert_eq!(lab.processes().iter().filter(|line| line.contains("sleep 300")).count(), 2);
    client.send(json!({"type": "session_end"})).await;
    client.expect("session_ended").await;
    assert_eq!(lab.processes(), [""; 0]);
    // A crash sweeps too, and one that ignores everything is swept all the same.
    client.session = "t".into();
    client.start(json!({})).await;
    client.turn("!ignore sigterm; ignore close; grandchild; text a").await.succeeded();
    client.turn("!crash 1").await.failed("agent_exited");
    client.send(json!({"type": "session_end"})).await;
    client.expect("session_ended").await;
    assert_eq!(lab.processes(), [""; 0]);
}

async fn a_missing_binary(lab: &Lab) {
    let server = lab.server_with(|config| config.claude_bin = "/nowhere/claude".into()).await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn("hello").await.failed("agent_unavailable");
    assert!(!error(&turn).contains("/nowhere"), "no paths of the server's: {}", error(&turn));
}

/// An agent that was to be stopped before its process was there stayed for ever, and its session with it.
async fn ended_while_its_agent_starts(lab: &Lab) {
    let server = lab.fake_server(&json!({"ignore": ["close", "sigterm"]})).await;
    let mut client = server.connect().await;
    for number in 0..4 {
        client.session = format!("s{number}");
        client.start(json!({})).await;
        let end = client.send(json!({"type": "session_end"})).await;
        client.answer(&end, "session_ended").await;
        assert_eq!(lab.processes(), [""; 0]);
    }
    // And when the gateway goes down in that moment.
    client.session = "last".into();
    client.start(json!({})).await;
}

/// Who came back while an unused session was being removed was told that the server goes down.
async fn taken_up_while_it_is_removed(lab: &Lab) {
    let server = lab.fake_server(&json!({"ignore": ["close"]})).await;
    for vanishes in [true, false, true] {
        let client = server.session(json!({})).await;
        if vanishes { client.vanish().await } else { client.close().await }
    }
    let mut client = server.connect().await;
    assert_eq!(client.start(json!({})).await["num_turns"], 0);
    still_works(&mut client).await;
}
