//! Sessions that share the agents' home.

use serde_json::{Value, json};

use crate::harness::{Client, Lab, Server};

on_all_clis![no_session_makes_another_run_a_turn];

/// Versions with messages between sessions.
mod allowed {
    #[test]
    fn new() {
        crate::harness::real(crate::harness::Cli::New, super::where_it_is_allowed_a_message_begins_a_turn);
    }
    #[test]
    fn mid() {
        crate::harness::real(crate::harness::Cli::Mid, super::where_it_is_allowed_a_message_begins_a_turn);
    }
}

/// Two sessions, and where the second hears from others; none where its version has no such thing.
async fn two(server: &Server) -> (Client, Client, Option<String>) {
    let options = || json!({"allowed_tools": ["SendMessage"]});
    let mut sender = server.session(options()).await;
    sender.turn("hello").await.succeeded();
    let before = addresses(server);
    let mut other = server.connect().await;
    other.session = "other".to_owned();
    other.start(options()).await;
    other.turn("hello").await.succeeded();
    let address = addresses(server).into_iter().find(|address| !before.contains(address));
    (sender, other, address)
}

/// Where the agents hear from others, by what they write down about themselves.
fn addresses(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.config_dir().join("sessions")).unwrap();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    let known = texts.filter_map(|text| serde_json::from_str::<Value>(&text).ok());
    known.filter_map(|known| Some(known["messagingSocketPath"].as_str()?.to_owned())).collect()
}

async fn tell(sender: &mut Client, address: &str) {
    let input = json!({"to": format!("uds:{address}"), "summary": "hi", "message": "please say hello"});
    let turn =
        sender.turn(format!("tool {}", json!({"name": "SendMessage", "input": input}))).await.succeeded();
    assert!(turn.tool_result().contains("in that session's inbox"), "{}", turn.tool_result());
}

async fn no_session_makes_another_run_a_turn(lab: &Lab) {
    let server = lab.server().await;
    let (mut sender, mut other, address) = two(&server).await;
    let Some(address) = address else { return };
    tell(&mut sender, &address).await;
    // The sender's agent is told that nobody took it, and begins a turn of its own about that.
    sender.until("word of the refusal", own_result).await;
    other.turn("hello again").await.succeeded();
    let got = other.got();
    assert!(!got.iter().any(own_result), "it ran a turn: {got:#?}");
    assert!(!got.iter().any(|message| message.to_string().contains("please say hello")), "{got:#?}");
}

/// The end of a turn that the agent began by itself.
fn own_result(message: &Value) -> bool {
    message["type"] == "result" && message["request_id"].is_null()
}

async fn where_it_is_allowed_a_message_begins_a_turn(lab: &Lab) {
    let server = lab.server_with(|config| config.allow_cross_session = true).await;
    let (mut sender, mut other, address) = two(&server).await;
    tell(&mut sender, &address.expect("this version has messages between sessions")).await;
    let result = other.until("a turn", own_result).await;
    assert!(result["result"].as_str().unwrap().contains("please say hello"), "{result}");
}
