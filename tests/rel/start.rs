//! The start: what a person is told, and sockets that come with the process.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::json;

use crate::harness::{Client, Lab};

/// Every mistake ends with exit code 1 (2: a flag that is none), names what is wrong, and what to do.
#[test]
fn what_keeps_it_from_starting_is_told_with_the_way_out() {
    let lab = Lab::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let [file, tokens] = ["a-file", "tokens"].map(|name| lab.path(name).to_str().unwrap().to_owned());
    std::fs::write(&file, "x").unwrap();
    std::fs::write(&tokens, "no: token: at all\n").unwrap();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--frobnicate"], 2, &["'--frobnicate'", "--help"]),
        (&["--heartbeat", "fast"], 2, &["--heartbeat", "15s, 10min"]),
        (&["--max-agents", "many"], 2, &["--max-agents"]),
        (&["--max-agents", "0"], 2, &["--max-agents", "at least 1"]),
        (&["--heartbeat", "0s"], 2, &["--heartbeat", "longer than no time"]),
        (&["--log", "inf"], 2, &["--log", "\"inf\" is no level", "info"]),
        (&["--bind", "nonsense"], 1, &["--bind nonsense", "127.0.0.1:3000", "unix:"]),
        (&["--bind", &taken], 1, &["in use", "another gateway", "--bind 127.0.0.1:0"]),
        (&["--bind", "0.0.0.0:0"], 1, &["other machines", "--auth-token-file"]),
        (&["--bind", "unix:/nowhere/socket"], 1, &["unix:/nowhere/socket", "directory"]),
        (&["--claude-bin", "/nowhere/claude"], 1, &["/nowhere/claude", "npm install -g", "--claude-bin"]),
        (&["--workspace-root", "/nowhere"], 1, &["/nowhere", "--workspace-root"]),
        (&["--workspace-root", &file], 1, &["not a directory", "--workspace-root"]),
        (&["--data-dir", &file], 1, &[&file, "--data-dir", "--ephemeral"]),
        (&["--data-dir", "/proc/nowhere"], 1, &["/proc/nowhere", "--data-dir"]),
        (&["--auth-token-file", "/nowhere"], 1, &["--auth-token-file", "No such file"]),
        (&["--auth-token-file", &tokens], 1, &["--auth-token-file", "line 1"]),
        (&["--allow-origin", "nonsense"], 1, &["--allow-origin", "scheme://host"]),
        (&["--trusted-proxy", "nonsense"], 1, &["--trusted-proxy", "10.0.0.0/8"]),
        (&["--data-dir", "/proc/nowhere", "--demo"], 1, &["/proc/nowhere", "--data-dir", "--ephemeral"]),
        (&["--agent-home", "/proc/nowhere", "--demo"], 1, &["/proc/nowhere", "--agent-home"]),
        (&["--demo-script", "/nowhere"], 1, &["--demo-script", "/nowhere"]),
    ];
    for (args, code, words) in cases {
        let (status, said) = lab.options(&[]).last(args).refused();
        assert_eq!(status, Some(*code), "{args:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{args:?}: no {word:?} in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn check_names_everything_and_leaves_nothing_running() {
    let lab = Lab::new();
    let (status, said) = lab.options(&["--check"]).outcome();
    assert_eq!(status, Some(0), "{said}");
    for line in [
        "ok   listen",
        "ok   claude     2.1.330",
        "ok   workspace",
        "ok   store",
        "ok   access",
        "It would start.",
    ] {
        assert!(said.contains(line), "no {line:?} in: {said}");
    }
    let broken = ["--workspace-root", "/nowhere", "--claude-bin", "/nowhere/claude", "--bind", "0.0.0.0:0"];
    let (status, said) = lab.options(&["--check"]).last(&broken).outcome();
    assert_eq!(status, Some(1), "{said}");
    for line in ["FAIL listen", "FAIL claude", "FAIL workspace", "ok   store", "It would not start."] {
        assert!(said.contains(line), "no {line:?} in: {said}");
    }
    // The store was let go of.
    let gateway = lab.gateway(&[]);
    let mut client = gateway.client();
    client.start(json!({}));
    // One that never ran a turn is not kept.
    assert_eq!(client.hear("hello"), "echo: hello");
    gateway.stop();
    let (_, said) = lab.options(&["--check"]).outcome();
    assert!(said.contains(", 1 session\n"), "{said}");
}

/// A flag with a slip in it is refused; a variable was passed over without a word.
#[test]
fn variables_that_are_no_settings_are_told() {
    let lab = Lab::new();
    let (status, said) = lab.options(&["--check"]).env("CLAUDE_WS_MAX_AGENT", "3").outcome();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("CLAUDE_WS_MAX_AGENT is no setting"), "{said}");
    let gateway = lab.options(&[]).env("CLAUDE_WS_MAX_AGENT", "3").start();
    gateway.wait_for_log("CLAUDE_WS_MAX_AGENT, which is no setting");
    gateway.stop();
}

/// As systemd's `.socket` units do it: clients may come before the gateway does.
#[test]
fn a_socket_that_came_with_the_process_is_served() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let early = std::thread::spawn(move || Client::connect_with(address, &[]).unwrap());
    let gateway = lab.options(&[]).socket(OwnedFd::from(listener)).start();
    assert_eq!(gateway.address, address, "and --bind is not used");
    let mut client = early.join().unwrap();
    client.start(json!({}));
    assert_eq!(client.hear("hello"), "echo: hello");
    gateway.stop();
}

#[test]
fn sockets_that_cannot_be_served_are_refused() {
    let lab = Lab::new();
    let path = lab.path("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let (status, said) = lab.options(&["--check"]).socket(OwnedFd::from(unix)).outcome();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("on the socket of the service manager"), "{said}");
    let no_socket = std::fs::File::open(Path::new("/dev/null")).unwrap();
    let (status, said) = lab.options(&[]).socket(OwnedFd::from(no_socket)).refused();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("service manager's socket cannot be used"), "{said}");
}
