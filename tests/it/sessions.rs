//! Sessions: made, attached to, listed, told about.

use serde_json::{Value, json};

use crate::harness::Lab;

on_both_clis![
    new_session_in_both_spellings,
    start_flat_or_nested,
    attach_and_list,
    session_info_tells_of_the_agent
];

async fn new_session_in_both_spellings(lab: &Lab) {
    let server = lab.server().await;
    let cwd = server.workspace();
    let mut client = server.connect().await;
    for (number, field) in ["mcp_servers", "mcpServers"].into_iter().enumerate() {
        client.send_text(json!({"type": "new_session", "cwd": cwd, field: []}).to_string()).await;
        let made = client.expect("new_session").await;
        client.session = made["session_id"].as_str().unwrap().to_owned();
        uuid::Uuid::parse_str(&client.session).unwrap();
        assert_eq!(made["cwd"], *cwd.to_str().unwrap());
        assert_eq!(
            client.turn(format!("echo number {number}")).await.succeeded().text(),
            format!("number {number}")
        );
    }
    for (id, frame, code) in [
        ("n1", json!({"type": "new_session", "id": "n1", "cwd": "/etc", "mcp_servers": []}), "invalid_cwd"),
        (
            "n2",
            json!({"type": "new_session", "id": "n2", "cwd": "relative", "mcp_servers": []}),
            "invalid_message",
        ),
        ("n3", json!({"type": "new_session", "id": "n3", "cwd": cwd}), "invalid_message"),
        ("n4", json!({"type": "new_session", "id": "n4", "mcp_servers": []}), "invalid_message"),
        (
            "n5",
            json!({"type": "new_session", "id": "n5", "cwd": cwd.join("missing"), "mcp_servers": []}),
            "invalid_cwd",
        ),
    ] {
        client.send_text(frame.to_string()).await;
        assert_eq!(client.answer(id, "error").await["code"], code, "{frame}");
    }
}

async fn start_flat_or_nested(lab: &Lab) {
    let server = lab.server().await;
    std::fs::create_dir(server.workspace().join("sub")).unwrap();
    let options = json!({"model": "claude-test-1", "max_turns": 7, "metadata": {"user": "ada", "": "😀"},
        "append_system_prompt": "Speak like a \"pirate\".", "allowed_tools": ["Bash(touch:*)"],
        "disallowed_tools": ["WebSearch"], "cwd": server.workspace().join("sub")});
    let mut configs = Vec::new();
    for (session, message) in [("flat", options.clone()), ("nested", json!({"config": options}))] {
        let mut client = server.connect().await;
        client.session = session.into();
        let info = client.start(message).await;
        assert_eq!(info["created"], true);
        assert_eq!(info["metadata"], options["metadata"]);
        assert_eq!(info["cwd"], options["cwd"]);
        configs.push(client.ask(json!({"type": "config_query"}), "config_response").await["config"].clone());
        // It is in force: the rule, the model, the prompt, the directory.
        let turn = client.turn("touch made.txt").await.succeeded();
        assert!(turn.of_type("permission_request").is_empty());
        let request = server.model().request_where(|request| request.model == "claude-test-1").await;
        assert!(request.system.contains("Speak like a \"pirate\"."), "{}", request.system);
        assert!(!request.tools.iter().any(|tool| tool == "WebSearch"));
        assert!(server.workspace().join("sub/made.txt").exists());
    }
    assert_eq!(configs[0], configs[1]);
    assert_eq!(configs[0]["max_turns"], 7);
    // The server makes an id where there is none.
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"session_start","id":"made-up","permission_mode":"default"}"#).await;
    let info = client.answer("made-up", "session_info").await;
    uuid::Uuid::parse_str(info["session_id"].as_str().unwrap()).unwrap();
    assert_eq!((&info["permission_mode"], &info["created"]), (&json!("manual"), &json!(true)));
    assert_eq!(info["cwd"], *server.workspace().to_str().unwrap());
}

async fn attach_and_list(lab: &Lab) {
    let server = lab.server().await;
    let mut first = server.session(json!({"metadata": {"n": "1"}})).await;
    first.turn("echo one").await.succeeded();
    let mut second = server.connect().await;
    let info = second.start(json!({})).await;
    assert_eq!(
        (&info["created"], &info["replay"], &info["num_turns"]),
        (&json!(false), &json!("none"), &json!(1))
    );
    // Other options are not applied, and it is said which.
    let start = json!({"type": "session_start", "model": "other", "metadata": {"n": "1"}});
    let warning = second.ask(start, "warning").await;
    assert_eq!(warning["code"], "config_ignored");
    assert!(warning["message"].as_str().unwrap().contains("model"));
    assert!(!warning["message"].as_str().unwrap().contains("metadata"), "that one is the same");
    // Both see everything, in the same order (the transcripts' check compares each event).
    let id = first.say("think").await;
    first.finish(&id).await.succeeded();
    let turn = second.finish(&id).await.succeeded();
    assert_eq!(turn.text(), "I have thought about it, and the answer is 42.");
    let id = second.say("echo from the second").await;
    assert_eq!(first.finish(&id).await.succeeded().text(), "from the second");
    let seqs = |messages: Vec<Value>| {
        messages.iter().filter_map(|message| message["seq"].as_u64()).collect::<Vec<_>>()
    };
    second.finish(&id).await;
    let (all, late) = (seqs(first.got()), seqs(second.got()));
    assert!(all.ends_with(&late[..late.len() - 1]) || all.windows(late.len()).any(|window| window == late));

    second.session = "another".into();
    second.start(json!({})).await;
    let list = first.ask(json!({"type": "session_list"}), "session_list").await;
    let sessions = list["sessions"].as_array().unwrap();
    let ids: Vec<_> = sessions.iter().map(|session| session["session_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["another", "s"], "newest first");
    assert_eq!((&sessions[1]["num_turns"], &sessions[1]["metadata"]), (&json!(3), &json!({"n": "1"})));
    assert_eq!(sessions[1]["status"], "active");
    first.send_text(r#"{"type":"session_list","id":"no-session"}"#).await;
    first.answer("no-session", "session_list").await;
    let unknown = json!({"type": "session_info", "session_id": "nobody"});
    assert_eq!(first.ask(unknown, "error").await["code"], "unknown_session");
    // Not attached by looking.
    let mut third = server.connect().await;
    third.ask(json!({"type": "session_info"}), "session_info").await;
    first.turn("echo unseen").await.succeeded();
    third.ask(json!({"type": "session_info"}), "session_info").await;
    assert!(third.got().iter().all(|message| message["seq"].is_null()));
}

async fn session_info_tells_of_the_agent(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("hello").await.succeeded();
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    let agent = &info["agent"];
    assert_eq!(agent["state"], "running");
    let version = if lab.cli == Some(crate::harness::Cli::New) { "2.1.332" } else { "2.1.197" };
    if std::env::var_os("CLAUDE_WS_TEST_CLI_NEW").is_none()
        && std::env::var_os("CLAUDE_WS_TEST_CLI_OLD").is_none()
    {
        assert_eq!(agent["version"], version);
    }
    assert!(agent["tools"].as_array().unwrap().contains(&json!("Bash")));
    assert!(agent["slash_commands"].as_array().unwrap().contains(&json!("compact")));
    assert!(info["model"].is_string() || info["model"].is_null());
    assert_eq!(info["server"]["protocol"], 1);
    // The agent became known to those attached without their asking.
    let notice = |message: &Value| message["type"] == "session_info" && message["request_id"].is_null();
    assert!(
        client.got().iter().any(|message| notice(message) && message["agent"]["version"] == agent["version"])
    );
    assert_eq!(client.ask(json!({"type": "heartbeat"}), "heartbeat").await["session_id"], "s");
    client.send_text(r#"{"type":"heartbeat"}"#).await;
    let beat = client
        .until("heartbeat", |message| message["type"] == "heartbeat" && message["request_id"].is_null());
    assert!(beat.await["timestamp"].is_u64());
}
