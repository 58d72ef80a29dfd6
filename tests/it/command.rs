//! The command itself, as a process.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{Client, Lab};

on_both_clis![serves_a_demo_and_drains];
on_the_fake_cli![without_a_usable_claude, help_names_every_flag_once];

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claude-ws"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn said(child: Child) -> (Option<i32>, String, String) {
    let output =
        tokio::time::timeout(Duration::from_mins(1), child.wait_with_output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn serves_a_demo_and_drains(lab: &Lab) {
    let workspace = tempfile::tempdir().unwrap();
    let mut command = command();
    command.args(["--demo", "--ephemeral", "--bind", "127.0.0.1:0", "--drain", "20s", "--claude-bin"]);
    command.arg(lab.cli.unwrap().path()).arg("--workspace-root").arg(workspace.path());
    let (name, value) = lab.mark();
    let scratch = tempfile::tempdir().unwrap();
    let mut child = command.env(name, value).env("TMPDIR", scratch.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let Some(line) = lines.next_line().await.unwrap() else {
            panic!("it did not say where it listens: {:?}", said(child).await);
        };
        if let Some((_, address)) = line.split_once("ws://") {
            break address.trim_end_matches("/ws").parse().unwrap();
        }
    };
    let mut client = lab.connect(address).await;
    client.start(json!({})).await;
    client.turn("hello").await.succeeded();
    // A drain lets the running turn come to its end, whatever it takes within its time.
    let id = client.say("wait").await;
    client.status("thinking").await;
    terminate(&child);
    assert_eq!(client.finish(&id).await.succeeded().text(), "Here I am.");
    assert_eq!(client.expect("session_ended").await["reason"], "shutdown");
    assert_eq!(client.closed().await, Some(1001));
    let status = tokio::time::timeout(Duration::from_mins(1), child.wait()).await.unwrap().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("session s: created"), "{log}");
    assert!(!log.contains("Here I am."), "never message contents: {log}");
    let left = scratch.path().read_dir().unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("claude-ws")).collect();
    assert!(left.is_empty(), "{left:?}");
    let _: Client = client;
}

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

async fn without_a_usable_claude(_: &Lab) {
    for binary in ["/nowhere/claude", "/bin/false"] {
        let child = command()
            .args(["--demo", "--ephemeral", "--bind", "127.0.0.1:0", "--claude-bin", binary])
            .spawn();
        let (code, _, errors) = said(child.unwrap()).await;
        assert_eq!(code, Some(1));
        assert!(errors.contains("npm install") && errors.contains("@anthropic-ai/claude-code"), "{errors}");
    }
    let child = command().args(["--bind", "0.0.0.0:0", "--ephemeral"]).spawn().unwrap();
    let (code, _, errors) = said(child).await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("--auth-token-file"), "{errors}");
}

async fn help_names_every_flag_once(_: &Lab) {
    let (code, help, _) = said(command().arg("--help").spawn().unwrap()).await;
    assert_eq!(code, Some(0));
    for flag in [
        "--bind",
        "--claude-bin",
        "--workspace-root",
        "--data-dir",
        "--ephemeral",
        "--demo",
        "--demo-script",
        "--max-message-bytes",
        "--max-agent-line",
        "--heartbeat",
        "--session-grace",
        "--agent-idle",
        "--max-agents",
        "--retention",
        "--permission-timeout",
        "--drain",
        "--auth-token-file",
        "--allow-origin",
        "--allow-bypass",
        "--allow-cross-session",
        "--allow-unknown-blocks",
        "--no-console",
        "--model",
    ] {
        let variable =
            format!("CLAUDE_WS_{}", flag.trim_start_matches("--").replace('-', "_").to_uppercase());
        let lines = help.lines().filter(|line| {
            let line = line.trim_start();
            line.starts_with(flag) && line[flag.len()..].chars().next().is_none_or(char::is_whitespace)
        });
        assert_eq!(lines.count(), 1, "{flag}:\n{help}");
        assert!(help.contains(&format!("[env: {variable}=")), "{flag}");
    }
}
