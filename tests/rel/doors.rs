//! Who may come in, to what, and what nobody gets to see.

use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Client, Gateway, Lab, wait};

const ALICE: &str = "alice-s3cret-token";
const BOB: &str = "bob-s3cret-token";

fn lab_with_tokens(tokens: &str) -> (Lab, String) {
    let lab = Lab::new();
    let file = lab.path("tokens");
    std::fs::write(&file, tokens).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (lab, file)
}

fn bearer(gateway: &Gateway, token: &str) -> Result<Client, u16> {
    Client::connect_with(gateway.address, &[("Authorization", &format!("Bearer {token}"))])
}

#[test]
fn only_with_a_token_and_never_in_the_url() {
    let (lab, file) = lab_with_tokens(&format!("alice:{ALICE}\nbob:{BOB}\n"));
    let gateway = lab.gateway(&["--auth-token-file", &file]);
    assert_eq!(gateway.upgrade(&[]), 401);
    assert_eq!(gateway.upgrade(&[("Authorization", "Bearer wrong")]), 401);
    assert_eq!(gateway.upgrade(&[("Authorization", &format!("Basic {ALICE}"))]), 401);
    for query in [format!("?token={ALICE}"), format!("?access_token={ALICE}"), format!("?bearer={ALICE}")] {
        assert_eq!(
            gateway.http(&format!("/ws{query}"), &[("Connection", "Upgrade"), ("Upgrade", "websocket")]).0,
            401
        );
    }
    for path in ["/metrics", "/protocol.schema.json", "/nothing"] {
        assert_eq!(gateway.http(path, &[]).0, 401, "{path}");
    }
    assert_eq!((gateway.http("/healthz", &[]).0, gateway.http("/readyz", &[]).0), (200, 200));
    assert_eq!(gateway.upgrade(&[("Authorization", &format!("Bearer {ALICE}"))]), 101);
    assert_eq!(gateway.upgrade(&[("Sec-WebSocket-Protocol", &format!("claude-ws.v1, bearer.{BOB}"))]), 101);
    gateway.stop();
}

/// Who runs the gateway is told whom it turned away and what would let them in, never a token.
#[test]
fn who_is_refused_is_logged_with_the_way_out() {
    let (lab, file) = lab_with_tokens(&format!("alice:{ALICE}\n"));
    let gateway = lab.gateway(&["--auth-token-file", &file]);
    assert_eq!(bearer(&gateway, "wr0ng").err(), Some(401));
    gateway.wait_for_log(
        "refused a request of 127.0.0.1: its token is not in the tokens file (--auth-token-file",
    );
    assert_eq!(gateway.upgrade(&[]), 401);
    gateway.wait_for_log("it has no token (--auth-token-file)");
    let token = format!("Bearer {ALICE}");
    assert_eq!(gateway.upgrade(&[("Authorization", &token), ("Origin", "https://a.example")]), 403);
    gateway.wait_for_log("--allow-origin \"https://a.example\" would let them in");
    for _ in 0..50 {
        assert_eq!(bearer(&gateway, "wr0ng").err(), Some(401));
    }
    let log = gateway.log();
    assert!(log.matches("refused a request").count() <= 11, "not one line each: {log}");
    assert!(!log.contains("wr0ng") && !log.contains(ALICE), "{log}");
    gateway.stop();
}

#[test]
fn tokens_are_read_again_on_sighup() {
    let (lab, file) = lab_with_tokens(&format!("alice:{ALICE}\n"));
    let gateway = lab.gateway(&["--auth-token-file", &file]);
    assert_eq!(bearer(&gateway, BOB).err(), Some(401));
    let mut alice = bearer(&gateway, ALICE).unwrap();
    alice.start(json!({}));
    std::fs::write(&file, format!("bob:{BOB}\n")).unwrap();
    gateway.signal(Signal::HUP);
    wait("bob", || bearer(&gateway, BOB).map(drop).map_err(|status| status.to_string()));
    assert_eq!(bearer(&gateway, ALICE).err(), Some(401));
    assert_eq!(alice.closed(), 1008);
    let mut bob = bearer(&gateway, BOB).unwrap();
    // A file that cannot be used changes nothing.
    std::fs::write(&file, "not: a: token\n").unwrap();
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("the tokens stay as they were");
    assert!(bearer(&gateway, BOB).is_ok());
    assert!(bob.list().is_empty(), "who may still come in stays");
    gateway.stop();
}

/// SIGHUP had the task of the signals read it, for ever: SIGTERM was not heard any more.
#[test]
fn a_tokens_file_that_gives_nothing_holds_up_no_signal() {
    let (lab, file) = lab_with_tokens(&format!("\u{feff}alice:{ALICE}\n"));
    let gateway = lab.gateway(&["--auth-token-file", &file]);
    bearer(&gateway, ALICE).unwrap().start(json!({}));
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    for _ in 0..2 {
        gateway.signal(Signal::HUP);
        gateway.wait_for_log("the tokens stay as they were: the tokens file gives nothing");
    }
    assert!(bearer(&gateway, ALICE).is_ok());
    gateway.stop();
}

#[test]
fn sessions_of_others_do_not_exist() {
    let (lab, file) = lab_with_tokens(&format!("alice:{ALICE}\nbob:{BOB}\n"));
    let gateway = lab.gateway(&["--auth-token-file", &file]);
    let mut alice = bearer(&gateway, ALICE).unwrap();
    alice.start(json!({}));
    let running = alice.say("!ask Bash {\"command\":\"ls\"}");
    let prompt = alice.expect("permission_request");
    let mut bob = bearer(&gateway, BOB).unwrap();
    assert!(bob.list().is_empty());
    let foreign = |bob: &mut Client| {
        for message in [
            json!({"type": "session_info"}),
            json!({"type": "session_end"}),
            json!({"type": "user_message", "content": "hello"}),
            json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}),
            json!({"type": "permission_update", "updates": [{"type": "setMode", "mode": "plan"}]}),
            json!({"type": "tool_result", "tool_use_id": prompt["tool_use_id"], "content": "x"}),
            json!({"type": "interrupt"}),
            json!({"type": "resume"}),
            json!({"type": "cancel", "target_id": running}),
            json!({"type": "config_update", "config": {"model": "x"}}),
            json!({"type": "config_query"}),
        ] {
            let answer = bob.ask(message.clone(), "error");
            assert_eq!(answer["code"], "unknown_session", "{message}");
        }
        assert!(bob.events.is_empty());
    };
    foreign(&mut bob);
    alice.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    assert_eq!(alice.answer(&running, "result")["subtype"], "success");
    let last = alice.events.last().unwrap()["seq"].as_u64().unwrap();
    lab.wait_for_commit("alice/s", last);
    gateway.kill();
    // A dormant one neither.
    let gateway = lab.gateway(&["--auth-token-file", &file]);
    let mut bob = bearer(&gateway, BOB).unwrap();
    foreign(&mut bob);
    let list = bearer(&gateway, ALICE).unwrap().list();
    assert_eq!((list.len(), &list[0]["status"]), (1, &json!("dormant")));
    // Its id is as free as any other, and stays so.
    let info = bob.start(json!({"last_seq": 0}));
    assert_eq!((&info["created"], &info["num_turns"]), (&json!(true), &json!(0)));
    let said = bob.say("hello");
    let result = bob.answer(&said, "result");
    assert_eq!(result["session_id"], "s");
    lab.wait_for_commit("bob/s", result["seq"].as_u64().unwrap());
    gateway.kill();
    let gateway = lab.gateway(&["--auth-token-file", &file]);
    for (token, turns) in [(ALICE, json!(1)), (BOB, json!(1))] {
        let mut client = bearer(&gateway, token).unwrap();
        let list = client.list();
        assert_eq!((list.len(), &list[0]["session_id"]), (1, &json!("s")));
        let info = client.start(json!({"last_seq": 0}));
        assert_eq!((&info["created"], &info["num_turns"]), (&json!(false), &turns));
    }
    gateway.stop();
}

#[test]
fn others_machines_need_a_token() {
    let (lab, file) = lab_with_tokens(&format!("{ALICE}\n"));
    for bind in ["0.0.0.0:0", "[::]:0"] {
        let (code, said) = lab.options(&[]).bind(bind).refused();
        assert_eq!(code, Some(1));
        assert!(said.contains("--auth-token-file") && said.contains("loopback"), "{said}");
    }
    let gateway = lab.options(&["--auth-token-file", &file]).bind("0.0.0.0:0").start();
    gateway.stop();
}

#[test]
fn pages_of_others_are_refused() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--allow-origin", "https://app.example.org"]);
    let own = format!("http://{}", gateway.address);
    for (origin, status) in [
        (own.as_str(), 101),
        ("https://app.example.org", 101),
        ("null", 403),
        ("https://evil.example", 403),
        ("https://app.example.org.evil.example", 403),
        ("https://app.example.orgx", 403),
        ("https://xapp.example.org", 403),
        ("http://app.example.org", 403),
        ("https://app.example.org:8443", 403),
        (&format!("{own}.evil.example"), 403),
        (&format!("{own}0"), 403),
    ] {
        assert_eq!(gateway.upgrade(&[("Origin", origin)]), status, "{origin}");
    }
    gateway.stop();
}

#[test]
fn secrets_show_nowhere() {
    let (lab, file) = lab_with_tokens(&format!("alice:{ALICE}\n"));
    let options = lab.options(&["--log", "trace"]);
    let gateway = options
        .env("CLAUDE_WS_AUTH_TOKEN_FILE", &file)
        .env("CLAUDE_WS_MODEL", "a-model-of-the-gateway")
        .env("CLAUDE_WS_SECRET_TOKEN", ALICE)
        .start();
    let mut client = bearer(&gateway, ALICE).unwrap();
    let mcp = "mcp-s3cret-header";
    client.start(json!({"mcp_servers": [
        {"name": "there", "type": "http", "url": "http://127.0.0.1:9/url-s3cret", "headers": [{"name": "Authorization", "value": mcp}]},
        {"name": "here", "command": "/bin/true", "args": ["arg-s3cret"], "env": [{"name": "KEY", "value": mcp}]},
    ], "system_prompt": "prompt-s3cret"}));
    let id = client.say("!grandchild; text one; ask Bash {\"command\":\"ls\"}");
    client.expect("permission_request");
    wait("the grandchild", || if lab.agent_processes().len() == 2 { Ok(()) } else { Err(String::new()) });
    for process in lab.agent_processes() {
        let own: Vec<_> =
            process.environment.iter().filter(|entry| entry.starts_with("CLAUDE_WS_")).collect();
        assert!(own.iter().all(|entry| entry.starts_with("CLAUDE_WS_AGENT=")), "{own:?}");
        for secret in [ALICE, mcp] {
            assert!(!process.environment.iter().any(|entry| entry.contains(secret)));
        }
    }
    // Of all processes: what starts an agent, and what watches over it, count too.
    for pid in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(pid.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        for secret in [ALICE, mcp, "prompt-s3cret", "url-s3cret"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
    // A wrong token, a token in the URL and a broken message, for the log.
    gateway.upgrade(&[("Authorization", "Bearer wrong-s3cret")]);
    gateway.http(&format!("/ws?token={ALICE}"), &[]);
    client.frame(
        format!("{{\"type\":\"session_start\",\"id\":\"x\",\"mcp_servers\":[{{\"headers\":\"{mcp}\"}}]")
            .into(),
    );
    let error = client.expect("error");
    assert!(!error.to_string().contains(mcp), "{error}");
    client.send(json!({"type": "interrupt"}));
    client.answer(&id, "result");
    let log = gateway.log();
    assert!(log.len() > 500, "{log}");
    for secret in [ALICE, mcp, "wrong-s3cret", "prompt-s3cret", "arg-s3cret", "url-s3cret"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    // What clients are shown.
    let shown = client.ask(json!({"type": "config_query"}), "config_response").to_string();
    assert!(!shown.contains(ALICE) && !shown.contains(mcp), "{shown}");
    // What it sent itself it may read, but in what all get.
    let own = ["arg-s3cret", "url-s3cret", "prompt-s3cret"];
    assert!(own.iter().all(|secret| shown.contains(secret)), "{shown}");
    let event = client.ask(json!({"type": "config_update", "config": {"max_turns": 7}}), "config_updated");
    let mut other = bearer(&gateway, ALICE).unwrap();
    other.start(json!({"last_seq": 0}));
    let shown = other.ask(json!({"type": "config_query"}), "config_response");
    for shown in [&event, &shown] {
        let config = &shown["config"];
        assert_eq!((&config["system_prompt"], &config["max_turns"]), (&json!("***"), &json!(7)));
        assert_eq!(
            (&config["mcp_servers"][0]["url"], &config["mcp_servers"][1]["args"]),
            (&json!("***"), &json!(["***"]))
        );
        assert!(!shown.to_string().contains("s3cret"), "{shown}");
    }
    assert!(other.events.iter().all(|event| !event.to_string().contains("s3cret")));
    gateway.stop();
}

/// They stayed in the store for as long as the session did.
#[test]
fn secrets_end_with_their_session() {
    let lab = Lab::new();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({"mcp_servers": [
        {"name": "there", "type": "http", "url": "http://127.0.0.1:9/url-s3cret", "headers": {"Authorization": "header-s3cret"}},
        {"name": "here", "command": "/bin/true", "args": ["arg-s3cret"], "env": {"KEY": "env-s3cret"}},
    ], "system_prompt": "prompt-s3cret", "append_system_prompt": "append-s3cret"}));
    let id = client.say("hello");
    client.answer(&id, "result");
    let kept = || {
        let mut found = Vec::new();
        let mut dirs = vec![lab.path("data")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    dirs.push(entry.path());
                    continue;
                }
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                if bytes.windows(7).any(|bytes| bytes == b"-s3cret") {
                    found.push(entry.path());
                }
            }
        }
        found
    };
    wait("the record", || if kept().is_empty() { Err("nothing is kept".to_owned()) } else { Ok(()) });
    let end = client.send(json!({"type": "session_end"}));
    client.answer(&end, "session_ended");
    wait("the agent's end", || if lab.agent_processes().is_empty() { Ok(()) } else { Err(String::new()) });
    gateway.stop();
    assert_eq!(kept(), Vec::<std::path::PathBuf>::new());
}

/// Agents were started in whatever stood under the name by then.
#[test]
fn a_directory_that_is_exchanged_is_not_entered() {
    let lab = Lab::new();
    let work = lab.path("work");
    std::fs::create_dir(work.join("in")).unwrap();
    let gateway = lab.gateway(&["--agent-idle", "100ms"]);
    let mut client = gateway.client();
    client.start(json!({"cwd": work.join("in")}));
    assert!(client.hear("!cwd").ends_with("work/in"));
    wait("the agent's sleep", || if lab.agent_processes().is_empty() { Ok(()) } else { Err(String::new()) });
    std::fs::rename(work.join("in"), work.join("moved")).unwrap();
    symlink("/etc", work.join("in")).unwrap();
    let id = client.say("!cwd");
    let result = client.answer(&id, "result");
    assert_eq!((&result["subtype"], &result["error_code"]), (&json!("error"), &json!("agent_unavailable")));
    assert!(result["error"].as_str().unwrap().contains("workspace roots"), "{result}");
    assert!(!result.to_string().contains("/etc"), "{result}");
    std::fs::remove_file(work.join("in")).unwrap();
    std::fs::rename(work.join("moved"), work.join("in")).unwrap();
    assert!(client.hear("!cwd").ends_with("work/in"));
    gateway.stop();
}

#[test]
fn mcp_servers_of_clients_are_held_to_what_is_allowed() {
    let lab = Lab::new();
    let touch = |file: &str| json!([{"name": "t", "command": "touch", "args": [lab.path(file)], "env": {}}]);
    let here = json!([{"name": "h", "type": "http", "url": "http://127.0.0.1:9/x", "headers": {}}]);
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({"mcp_servers": [touch("made")[0], here[0]]}));
    let id = client.say("hello");
    client.answer(&id, "result");
    gateway.stop();
    let gateway =
        lab.gateway(&["--allow-client-mcp", "http://127.0.0.1:9/*", "--allow-client-mcp", "true *"]);
    let mut client = gateway.client();
    for message in [
        json!({"type": "session_start", "session_id": "t", "mcp_servers": touch("made")}),
        json!({"type": "session_start", "session_id": "t", "config": {"mcp_servers": touch("made")}}),
        json!({"type": "new_session", "cwd": lab.path("work"), "mcp_servers": touch("made")}),
    ] {
        let answer = client.ask(message, "session_info");
        assert_eq!(answer["code"], "forbidden", "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("--allow-client-mcp"), "{answer}");
    }
    // A session of before is held to it too.
    client.start(json!({}));
    let shown = client.ask(json!({"type": "config_query"}), "config_response");
    let names: Vec<_> =
        shown["config"]["mcp_servers"].as_array().unwrap().iter().map(|server| &server["name"]).collect();
    assert_eq!(names, ["h"]);
    let other = json!({"type": "session_start", "session_id": "t", "mcp_servers": here});
    assert_eq!(client.ask(other, "session_info")["created"], true);
    gateway.stop();
    let gateway = lab.gateway(&["--no-client-mcp"]);
    let mut client = gateway.client();
    let answer =
        client.ask(json!({"type": "session_start", "session_id": "u", "mcp_servers": here}), "session_info");
    assert_eq!(answer["code"], "forbidden");
    let none = json!({"type": "session_start", "session_id": "u", "mcp_servers": []});
    assert_eq!(client.ask(none, "session_info")["created"], true);
    gateway.stop();
    let (code, said) = lab.options(&["--allow-client-mcp", "https://h*"]).refused();
    assert!(code == Some(1) && said.contains("--allow-client-mcp"), "{said}");
}

#[test]
fn sessions_work_under_the_roots_only() {
    let lab = Lab::new();
    let work = lab.path("work");
    std::fs::create_dir_all(work.join("in")).unwrap();
    std::fs::create_dir(lab.path("work-not")).unwrap();
    symlink(lab.path("work-not"), work.join("way-out")).unwrap();
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    let path = |path: &str| work.join(path).to_str().unwrap().to_owned();
    for bad in [
        path("way-out"),
        path("../work-not"),
        path("in/../../state"),
        path("missing"),
        "/".to_owned(),
        path("way-out/../in"),
    ] {
        for message in [
            json!({"type": "session_start", "cwd": bad}),
            json!({"type": "session_start", "add_dirs": [bad]}),
            json!({"type": "new_session", "cwd": bad, "mcp_servers": []}),
        ] {
            let answer = client.ask(message.clone(), "session_info");
            assert_eq!(answer["code"], "invalid_cwd", "{message}: {answer}");
            let root = std::fs::canonicalize(&work).unwrap();
            let text = answer["message"].as_str().unwrap();
            assert!(text.ends_with(root.to_str().unwrap()), "says which roots there are: {answer}");
        }
    }
    let info = client.start(json!({"cwd": path("in")}));
    assert_eq!(info["created"], true);
    assert!(client.hear("!cwd").ends_with("work/in"));
    let directories = json!([{"type": "addDirectories", "directories": [path("way-out")]}]);
    let answer = client.ask(json!({"type": "permission_update", "updates": directories}), "config_updated");
    assert_eq!(answer["code"], "forbidden", "{answer}");
    let id = client.say("!ask Bash {\"command\":\"ls\"}");
    let prompt = client.expect("permission_request");
    let answer = client.ask(
        json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow",
            "updated_permissions": directories}),
        "permission_resolved",
    );
    assert_eq!(answer["code"], "forbidden", "{answer}");
    // Refused as a whole: the prompt is open still.
    client.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    gateway.stop();
}
