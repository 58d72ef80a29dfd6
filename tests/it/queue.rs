//! Messages in a row, taken back, sent twice; turns that fail.

use serde_json::json;

use crate::harness::Lab;

on_both_clis![
    run_in_order,
    cancel_queued_and_running,
    the_same_id_is_not_run_twice,
    api_errors_are_errors,
    max_turns_is_an_error,
    ending_the_session_ends_everything,
];

async fn run_in_order(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(client.say(format!("echo number {number}")).await);
    }
    let mut last_seq = 0;
    for (number, id) in ids.iter().enumerate() {
        let turn = client.finish(id).await.succeeded();
        assert_eq!(turn.result["result"], format!("number {number}"));
        let seq = turn.result["seq"].as_u64().unwrap();
        assert!(seq > last_seq, "in order");
        last_seq = seq;
    }
    client.status("idle").await;
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!((&info["num_turns"], &info["queued"]), (&json!(5), &json!([])));
    assert!(info["total_cost_usd"].as_f64().unwrap() > 0.0);
}

async fn cancel_queued_and_running(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let running = client.say("stall").await;
    let (first, second) = (client.say("echo first").await, client.say("echo second").await);
    client.some_text().await;
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["queued"], json!([first, second]));
    let cancelled = client.ask(json!({"type": "cancel", "target_id": first}), "cancelled").await;
    assert_eq!(cancelled["target_id"], *first);
    let turn = client.finish(&first).await.ended("cancelled");
    assert_eq!(turn.result["num_turns"], 0);
    let cancelled = client.ask(json!({"type": "cancel", "target_id": running}), "cancelled").await;
    assert_eq!(cancelled["target_id"], *running);
    client.finish(&running).await.ended("interrupted");
    assert_eq!(client.finish(&second).await.succeeded().result["result"], "second");
    for unknown in [first, running, second, "nobody".to_owned()] {
        let refused = client.ask(json!({"type": "cancel", "target_id": unknown}), "error").await;
        assert_eq!(refused["code"], "unknown_request");
    }
}

async fn the_same_id_is_not_run_twice(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let message = json!({"type": "user_message", "id": "once", "content": "echo once"});
    client.send(message.clone()).await;
    client.send(message.clone()).await;
    assert_eq!(client.answer("once", "warning").await["code"], "duplicate_message");
    client.finish("once").await.succeeded();
    assert_eq!(client.ask(message, "warning").await["code"], "duplicate_message");
    client.turn("hello").await.succeeded();
    assert_eq!(
        server.model().requests().iter().filter(|request| request.user_text == "echo once").count(),
        1
    );
}

async fn api_errors_are_errors(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn("error").await.failed("api_error");
    let error = turn.result["error"].as_str().unwrap();
    assert!(error.contains("The scripted model was asked to fail."), "{error}");
    assert_eq!(
        turn.text().matches("The scripted model was asked to fail.").count(),
        1,
        "once: {}",
        turn.text()
    );
    assert_eq!(turn.one("assistant_message_start")["model"], "<synthetic>");
    client.turn("hello").await.succeeded();
    let turn = client.turn("overload").await.succeeded();
    assert_eq!(turn.text(), "Third time lucky.");
    let warnings = turn.of_type("warning");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning["code"] == "api_retry"));
}

async fn max_turns_is_an_error(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({"max_turns": 2})).await;
    let turn = client.turn("loop").await.failed("max_turns");
    assert_eq!(turn.of_type("tool_result").len(), 2);
    client.turn("hello").await.succeeded();
}

async fn ending_the_session_ends_everything(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let mut other = server.session(json!({})).await;
    let running = client.say("long").await;
    let prompt = client.prompt().await;
    let queued = client.say("echo never").await;
    client.allow(&prompt).await;
    client.status("executing_tool").await;
    while !server.workspace().join("long-running").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let end = client.send(json!({"type": "session_end", "reason": "enough"})).await;
    let ended = client.answer(&end, "session_ended").await;
    assert_eq!(ended["reason"], "client");
    assert_eq!(lab.processes(), [""; 0], "nothing runs any more when it is said");
    client.finish(&running).await.ended("interrupted");
    client.finish(&queued).await.ended("cancelled");
    assert_eq!(other.expect("session_ended").await, ended);
    // For good.
    for message in [
        json!({"type": "user_message", "content": "hello"}),
        json!({"type": "session_start"}),
        json!({"type": "interrupt"}),
        json!({"type": "resume"}),
        json!({"type": "session_end"}),
        json!({"type": "config_update", "config": {"model": "m"}}),
        json!({"type": "cancel", "target_id": running}),
        json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}),
    ] {
        let refused = other.ask(message.clone(), "error").await;
        assert_eq!(refused["code"], "session_ended", "{message}");
    }
    let info = other.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["status"], "ended");
    let list = other.ask(json!({"type": "session_list"}), "session_list").await;
    assert_eq!(list["sessions"][0]["status"], "ended");
}
