//! What MCP servers ask people, with the protocol's own reference server.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Client, Lab, Server};
use crate::mcp::{everything, until};

on_all_clis![a_form_is_asked_and_answered, an_interrupt_takes_it_back];

/// URL mode came after the oldest version, which refuses it by itself.
mod pages {
    #[test]
    fn new() {
        crate::harness::real(crate::harness::Cli::New, super::a_page_is_shown_and_accepted);
    }
    #[test]
    fn mid() {
        crate::harness::real(crate::harness::Cli::Mid, super::a_page_is_shown_and_accepted);
    }
}

/// A client whose session has the server, all of whose tools may run.
async fn asked(lab: &Lab) -> (Arc<Server>, Client) {
    let server = lab.server().await;
    let servers = json!({"everything": {"command": "node", "args": [everything(), "stdio"]}});
    let options = json!({"mcp_servers": servers, "allowed_tools": ["mcp__everything"]});
    let mut client = server.session(options).await;
    until(&mut client, "connected", &["everything"]).await;
    (server, client)
}

/// Has the model call the tool that asks for a form.
async fn ask(client: &mut Client, tool: &str, input: Value) -> (String, Value) {
    let call = json!({"name": format!("mcp__everything__{tool}"), "input": input});
    let id = client.say(format!("tool {call}")).await;
    (id, client.expect("elicitation_request").await)
}

async fn respond(client: &mut Client, asked: &Value, action: &str, content: Option<Value>) -> String {
    let mut answer = json!({"type": "elicitation_response", "request_id": asked["id"], "action": action});
    if let Some(content) = content {
        answer["content"] = content;
    }
    client.send(answer).await
}

async fn a_form_is_asked_and_answered(lab: &Lab) {
    let (_server, mut client) = asked(lab).await;
    let (id, form) = ask(&mut client, "trigger-elicitation-request", json!({})).await;
    assert_eq!((&form["server"], &form["mode"]), (&json!("everything"), &json!("form")));
    assert_eq!(form["schema"]["properties"]["integer"]["maximum"], 100);
    assert_eq!(form["schema"]["required"], json!(["name"]));
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["pending_elicitations"], json!([form]));
    assert_eq!(info["state"], "waiting_permission");

    let refused = respond(&mut client, &form, "accept", Some(json!({"name": 7}))).await;
    assert_eq!(client.answer(&refused, "error").await["code"], "invalid_message");
    let filled = json!({"name": "Ada \"ü\"", "integer": 7, "number": 0.5, "check": true, "legacyTitledEnum": "pet-2",
        "untitledMultipleSelectEnum": ["Piano", "Bass"]});
    let answer = respond(&mut client, &form, "accept", Some(filled)).await;
    let turn = client.finish(&id).await.succeeded();
    let resolved = turn.one("elicitation_resolved");
    assert_eq!(resolved["elicitation_id"], form["id"]);
    assert_eq!((&resolved["action"], &resolved["reason"]), (&json!("accept"), &json!("client")));
    assert_eq!(resolved["request_id"], *answer);
    for said in ["Ada \"ü\"", "Favorite Integer: 7", "Favorite Number: 0.5", "Agreed to terms: true"] {
        assert!(turn.tool_result().contains(said), "{said}: {}", turn.tool_result());
    }

    for (action, said) in [("decline", "User declined"), ("cancel", "User cancelled")] {
        let (id, form) = ask(&mut client, "trigger-elicitation-request", json!({})).await;
        respond(&mut client, &form, action, None).await;
        let turn = client.finish(&id).await.succeeded();
        assert!(turn.tool_result().contains(said), "{said}: {}", turn.tool_result());
        assert_eq!(turn.one("elicitation_resolved")["action"], action);
    }
    let late = respond(&mut client, &form, "accept", Some(json!({"name": "x"}))).await;
    assert_eq!(client.answer(&late, "error").await["code"], "unknown_request");
}

async fn an_interrupt_takes_it_back(lab: &Lab) {
    let (_server, mut client) = asked(lab).await;
    let (id, form) = ask(&mut client, "trigger-elicitation-request", json!({})).await;
    client.send(json!({"type": "interrupt"})).await;
    let turn = client.finish(&id).await;
    assert_eq!(turn.result["subtype"], "interrupted");
    let resolved = turn.one("elicitation_resolved");
    assert_eq!(resolved["elicitation_id"], form["id"]);
    assert_eq!((&resolved["action"], &resolved["reason"]), (&json!("cancel"), &json!("interrupt")));
    client.turn("hello").await.succeeded();
}

async fn a_page_is_shown_and_accepted(lab: &Lab) {
    let (_server, mut client) = asked(lab).await;
    let input = json!({"url": "https://example.com/pay?x=1", "message": "Please pay."});
    let (id, page) = ask(&mut client, "trigger-url-elicitation", input).await;
    assert_eq!((&page["mode"], &page["message"]), (&json!("url"), &json!("Please pay.")));
    assert_eq!((&page["url"], page.get("schema")), (&json!("https://example.com/pay?x=1"), None));
    respond(&mut client, &page, "accept", None).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.tool_result().contains("User completed the URL elicitation"), "{}", turn.tool_result());

    // A server may also refuse the call until a page was visited: the agent calls it again then.
    let input = json!({"url": "https://example.com/pay?x=2", "message": "Please pay.", "errorPath": true});
    let (id, first) = ask(&mut client, "trigger-url-elicitation", input).await;
    assert_eq!(first["url"], "https://modelcontextprotocol.io");
    respond(&mut client, &first, "accept", None).await;
    let second = client.expect("elicitation_request").await;
    assert_eq!(second["url"], "https://example.com/pay?x=2");
    respond(&mut client, &second, "decline", None).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.tool_result().contains("User declined"), "{}", turn.tool_result());
}
