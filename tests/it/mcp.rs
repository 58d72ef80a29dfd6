//! MCP servers that a client names, with a real one: the protocol's own reference server, from npm.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::harness::{Client, Lab};

on_both_clis![
    stdio_in_acps_form_beside_a_client_tool,
    stdio_in_claudes_form,
    over_http_and_sse,
    one_that_does_not_start
];

/// Turns that may pass until a server is connected: the agent connects while it already talks.
const TURNS: usize = 30;

/// The reference server's script, for node. A missing one fails the test: none is ever skipped.
pub(crate) fn everything() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".mcp-server");
    let dir = std::env::var_os("CLAUDE_WS_TEST_MCP").map_or(installed, PathBuf::from);
    let script = dir.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    assert!(script.exists(), "{} is missing; `make mcp-server` installs it", script.display());
    script
}

/// Talks until the agent says that these servers are in this state.
pub(crate) async fn until(client: &mut Client, status: &str, names: &[&str]) {
    for _ in 0..TURNS {
        client.turn("hello").await.succeeded();
        let info = client.ask(json!({"type": "session_info"}), "session_info").await;
        let is = |name: &&str| {
            let servers = info["agent"]["mcp_servers"].as_array();
            servers.into_iter().flatten().any(|server| server["name"] == **name && server["status"] == status)
        };
        if names.iter().all(is) {
            return;
        }
    }
    panic!("{names:?} are not {status} after {TURNS} turns");
}

/// Has the model call a tool of a server, allows it, and gives what came of it.
async fn call(client: &mut Client, tool: &str, input: Value) -> String {
    let id = client.say(format!("tool {}", json!({"name": tool, "input": input}))).await;
    let prompt = client.prompt().await;
    assert_eq!((&prompt["tool_name"], &prompt["tool_input"]), (&json!(tool), &input));
    client.allow(&prompt).await;
    let turn = client.finish(&id).await.succeeded();
    assert_eq!(turn.one("tool_use")["executor"], "agent");
    turn.tool_result().to_owned()
}

async fn stdio_in_acps_form_beside_a_client_tool(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.connect().await;
    let new = json!({"type": "new_session", "cwd": server.workspace(), "mcp_servers": [{
        "name": "everything", "command": "node", "args": [everything(), "stdio"],
        "env": [{"name": "FROM_THE_CLIENT", "value": "it \"is\" here"}],
    }]});
    client.session = client.ask(new, "new_session").await["session_id"].as_str().unwrap().to_owned();
    until(&mut client, "connected", &["everything"]).await;
    let said = call(&mut client, "mcp__everything__echo", json!({"message": "ü 😀"})).await;
    assert!(said.contains("ü 😀"), "{said}");
    let env = call(&mut client, "mcp__everything__get-env", json!({})).await;
    assert!(env.contains("FROM_THE_CLIENT"), "{env}");
    client.close().await;

    let mut client = server.connect().await;
    client.session = "beside".to_owned();
    client
        .start(json!({
            "mcp_servers": [{"name": "everything", "command": "node", "args": [everything(), "stdio"], "env": []}],
            "client_tools": [{"name": "clock", "description": "The time", "input_schema": {"type": "object", "properties": {}}}],
        }))
        .await;
    until(&mut client, "connected", &["everything", "client"]).await;
    let id = client.say("client clock {}").await;
    let tool = client.expect("tool_use").await;
    assert_eq!(tool["executor"], "client");
    let result = json!({"type": "tool_result", "tool_use_id": tool["tool_use_id"], "content": "noon"});
    client.send(result).await;
    assert_eq!(client.finish(&id).await.succeeded().tool_result(), "noon");
    let said = call(&mut client, "mcp__everything__echo", json!({"message": "both"})).await;
    assert!(said.contains("both"), "{said}");
}

async fn stdio_in_claudes_form(lab: &Lab) {
    let server = lab.server().await;
    let servers = json!({"everything": {
        "type": "stdio", "command": "node", "args": [everything(), "stdio"], "env": {"SECRET_OF_MINE": "xyzzy"},
    }});
    let mut client = server.session(json!({"mcp_servers": servers})).await;
    until(&mut client, "connected", &["everything"]).await;
    let sum = call(&mut client, "mcp__everything__get-sum", json!({"a": 20, "b": 22})).await;
    assert!(sum.contains("42"), "{sum}");
    // A picture and its blocks.
    let id = client.say(r#"tool {"name":"mcp__everything__get-tiny-image","input":{}}"#).await;
    let prompt = client.prompt().await;
    client.allow(&prompt).await;
    let turn = client.finish(&id).await.succeeded();
    let blocks = turn.one("tool_result")["blocks"].as_array().unwrap();
    assert!(blocks.iter().any(|block| block["type"] == "image"), "{blocks:?}");
    let config = client.ask(json!({"type": "config_query"}), "config_response").await;
    assert!(!config.to_string().contains("xyzzy"), "what is in a server's environment is shown to nobody");
}

async fn over_http_and_sse(lab: &Lab) {
    let (http, sse) = (Remote::start("streamableHttp").await, Remote::start("sse").await);
    let server = lab.server().await;
    let acp = json!([
        {"type": "http", "name": "web", "url": format!("http://127.0.0.1:{}/mcp", http.port), "headers": [{"name": "X-Test", "value": "1"}]},
        {"type": "sse", "name": "events", "url": format!("http://127.0.0.1:{}/sse", sse.port), "headers": []},
    ]);
    let claudes = json!({
        "web": {"type": "http", "url": format!("http://127.0.0.1:{}/mcp", http.port), "headers": {"X-Test": "1"}},
        "events": {"type": "sse", "url": format!("http://127.0.0.1:{}/sse", sse.port)},
    });
    for (session, servers) in [("acp", acp), ("claudes", claudes)] {
        let mut client = server.connect().await;
        client.session = session.to_owned();
        client.start(json!({"mcp_servers": servers})).await;
        until(&mut client, "connected", &["web", "events"]).await;
        for name in ["web", "events"] {
            let said = call(&mut client, &format!("mcp__{name}__echo"), json!({"message": name})).await;
            assert!(said.contains(name), "{said}");
        }
        client.ask(json!({"type": "session_end"}), "session_ended").await;
    }
}

/// A server that cannot be started fails by itself: the session works without it.
async fn one_that_does_not_start(lab: &Lab) {
    let server = lab.server().await;
    let broken = json!({"broken": {"command": "/nowhere/mcp-server", "args": []}});
    let mut client = server.session(json!({"mcp_servers": broken})).await;
    until(&mut client, "failed", &["broken"]).await;
}

/// The reference server as a web server of its own.
struct Remote {
    port: u16,
    _process: Child,
    /// It says a few lines for each request, and would die of a closed pipe.
    _says: Lines<BufReader<ChildStderr>>,
}

impl Remote {
    async fn start(transport: &str) -> Self {
        // It takes no port 0; somebody else may take this one in between, and then the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new("node")
            .arg(everything())
            .arg(transport)
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(&port.to_string()) {
                return Self { port, _process: process, _says: lines };
            }
        }
        panic!("the MCP server did not start");
    }
}
