//! The end of a plan, as people see it.

use serde_json::json;

use crate::harness::Lab;

on_all_clis![the_end_of_a_plan_shows_the_plan_and_the_model_gets_what_was_agreed];

/// Newer agents leave the plan out of the request: it was an empty card.
async fn the_end_of_a_plan_shows_the_plan_and_the_model_gets_what_was_agreed(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({"permission_mode": "plan"})).await;
    let plan = "# Plan\n1. Do it\n2. Check it";
    let id = client.say("plan").await;
    let prompt = client.prompt().await;
    assert_eq!((&prompt["tool_name"], &prompt["tool_input"]["plan"]), (&json!("ExitPlanMode"), &json!(plan)));
    let info = client.ask(json!({"type": "session_info"}), "session_info").await;
    assert_eq!(info["pending_permissions"], json!([prompt]));
    client.allow(&prompt).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.text().contains("2. Check it"), "{}", turn.text());

    client
        .ask(json!({"type": "config_update", "config": {"permission_mode": "plan"}}), "config_updated")
        .await;
    let id = client.say("plan").await;
    let prompt = client.prompt().await;
    let mut edited = prompt["tool_input"].clone();
    edited["plan"] = json!("# Plan\n1. Only check it");
    client.decide(&prompt, "allow", json!({"updated_input": edited})).await;
    let turn = client.finish(&id).await.succeeded();
    assert!(turn.text().contains("1. Only check it") && !turn.text().contains("2."), "{}", turn.text());
}
