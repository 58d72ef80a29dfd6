//! What would end a session for good, or fail in the agent after it was answered, is refused at the door, and the session goes on.

use serde_json::{Value, json};

use crate::harness::Lab;

on_all_clis![no_message_ends_a_session_for_good, answers_reach_the_model_in_every_form];

async fn no_message_ends_a_session_for_good(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    client.turn("hello").await.succeeded();
    let message = json!({"type": "user_message", "content": [{"type": "text", "text": "x"}, {"type": "video", "source": {}}]});
    let refused = client.ask(message, "error").await;
    assert_eq!(refused["code"], "invalid_message");
    assert!(refused["message"].as_str().unwrap().contains("`content[1].type` is \"video\""), "{refused}");
    client.turn("hello").await.succeeded();

    // Each within the limits; the third is too much.
    for (part, answer) in [(0, "config_updated"), (1, "config_updated"), (2, "error")] {
        let rule = |number| json!({"toolName": "Bash", "ruleContent": format!("{part}-{number}{}:*", "x".repeat(4000))});
        let rules: Vec<_> = (0..250).map(rule).collect();
        let updates = json!([{"type": "addRules", "behavior": "deny", "rules": rules}]);
        let reply = client.ask(json!({"type": "permission_update", "updates": updates}), answer).await;
        assert!(answer != "error" || reply["code"] == "invalid_message", "{reply}");
    }
    // A new process starts with what there is.
    client.ask(json!({"type": "config_update", "config": {"max_turns": 20}}), "config_updated").await;
    client.turn("hello").await.succeeded();
}

async fn answers_reach_the_model_in_every_form(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let question = "Which colour do you like?";
    for good in [json!("Red"), json!(["Red", "Blue"])] {
        for by_result in [true, false] {
            let id = client.say("question").await;
            let prompt = client.prompt().await;
            let send = |answer: &Value| {
                let answers = json!({ question: answer });
                if by_result {
                    return json!({"type": "tool_result", "tool_use_id": prompt["tool_use_id"], "content": answers});
                }
                let mut input = prompt["tool_input"].clone();
                input["answers"] = answers;
                json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow", "updated_input": input})
            };
            let refused = client.ask(send(&json!(7)), "error").await;
            assert_eq!(refused["code"], "invalid_message", "{refused}");
            client.send(send(&good)).await;
            let turn = client.finish(&id).await.succeeded();
            assert!(turn.one("tool_result")["is_error"] == false, "{good}: {:#?}", turn.one("tool_result"));
            assert!(turn.text().contains("Red"), "{good}: {}", turn.text());
        }
    }
}
