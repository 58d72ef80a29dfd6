//! Prompts, rules, settings and client tools.

use std::time::Duration;

use serde_json::{Value, json};

use super::agent::Step;
use super::world::World;
use crate::protocol::{
    ClientToolResult, ConfigUpdateFields, Decision, Json, PermissionMode, PermissionResponse,
    PermissionUpdate,
};
use crate::session::state::{Command, SessionLimits};

/// A session whose agent asks about `tools` in its turn, all at once.
fn asking(tools: &[(&str, Value, Value)]) -> (World, String) {
    asking_within(SessionLimits::default(), tools)
}

fn asking_within(limits: SessionLimits, tools: &[(&str, Value, Value)]) -> (World, String) {
    let mut world = World::with(limits, 1);
    world.attach(true);
    world.settle();
    let id = world.say("x");
    world.step();
    let agent = world.agent.as_mut().unwrap();
    let mut steps = Vec::new();
    let mut results = Vec::new();
    for (tool, input, suggestions) in tools {
        let mut asks = agent.tool(tool, input, suggestions);
        results.extend(asks.pop());
        steps.extend(asks);
    }
    steps.extend(results);
    steps.push(Step::End);
    agent.script(steps);
    world.settle();
    (world, id)
}

fn bash() -> (&'static str, Value, Value) {
    ("Bash", json!({"command":"touch x"}), json!([]))
}

fn answer(request_id: &str, decision: Decision) -> PermissionResponse {
    PermissionResponse {
        request_id: request_id.to_owned(),
        decision,
        explanation: None,
        updated_input: None,
        updated_permissions: None,
        interrupt: None,
    }
}

fn prompts(world: &World) -> Vec<String> {
    let requests = world.all("permission_request");
    requests.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// The answers that the agent heard.
fn answers(world: &World) -> Vec<Value> {
    let heard = &world.agent.as_ref().unwrap().heard;
    let answers = heard.iter().filter(|line| line["type"] == "control_response");
    answers.map(|line| line["response"]["response"].clone()).collect()
}

#[test]
fn several_prompts_are_answered_in_any_order_each_by_its_id() {
    let (mut world, id) = asking(&[bash(), bash()]);
    let ids = prompts(&world);
    assert_eq!(world.checker.status, "waiting_permission");
    let second = world.command(Command::PermissionResponse(answer(&ids[1], Decision::Allow)));
    let mut deny = answer(&ids[0], Decision::Deny);
    deny.explanation = Some("not today".to_owned());
    world.command(Command::PermissionResponse(deny));
    let again = world.command(Command::PermissionResponse(answer(&ids[0], Decision::Allow)));
    assert_eq!(world.reply_to(&again)["code"], "unknown_request");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    let resolved = world.all("permission_resolved");
    assert_eq!((&resolved[0]["permission_id"], &resolved[0]["decision"]), (&json!(ids[1]), &json!("allow")));
    assert_eq!(resolved[0]["request_id"], *second);
    assert_eq!(answers(&world)[0], json!({"behavior":"allow","updatedInput":{"command":"touch x"}}));
    assert_eq!(answers(&world)[1], json!({"behavior":"deny","message":"not today"}));
}

#[test]
fn an_edited_input_reaches_the_tool() {
    let (mut world, _) = asking(&[bash()]);
    let mut edited = answer(&prompts(&world)[0], Decision::Allow);
    edited.updated_input = Some(Json::of(&json!({"command":"touch y"})).unwrap());
    world.command(Command::PermissionResponse(edited));
    assert_eq!(answers(&world)[0]["updatedInput"], json!({"command":"touch y"}));
}

#[test]
fn a_denial_may_end_the_turn() {
    let (mut world, id) = asking(&[bash()]);
    let mut deny = answer(&prompts(&world)[0], Decision::Deny);
    deny.interrupt = Some(true);
    world.command(Command::PermissionResponse(deny));
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
}

#[test]
fn an_interrupt_withdraws_the_prompts() {
    let (mut world, id) = asking(&[bash(), bash()]);
    world.command(Command::Interrupt { reason: None });
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    for resolved in world.all("permission_resolved") {
        assert_eq!((&resolved["decision"], &resolved["reason"]), (&json!("cancelled"), &json!("interrupt")));
    }
}

#[test]
fn always_is_for_the_very_same_call_and_no_settings_file_is_written() {
    let rule = json!([{"type":"addRules","behavior":"allow","destination":"localSettings",
        "rules":[{"toolName":"Bash","ruleContent":"touch:*"}]},
        {"type":"setMode","mode":"acceptEdits","destination":"session"}]);
    let (mut world, _) = asking(&[("Bash", json!({"command":"touch x","a":1}), rule)]);
    world.command(Command::PermissionResponse(answer(&prompts(&world)[0], Decision::AllowAlways)));
    let updates = answers(&world)[0]["updatedPermissions"].clone();
    assert_eq!(updates.as_array().unwrap().len(), 1, "suggestions are a menu: {updates}");
    assert_eq!(updates[0]["destination"], "session");
    world.settle();
    // The same again, its keys in another order.
    world.say("y");
    world.step();
    let agent = world.agent.as_mut().unwrap();
    let mut steps = agent.tool("Bash", &json!({"a":1,"command":"touch x"}), &json!([]));
    steps.push(Step::End);
    agent.script(steps);
    world.settle();
    assert_eq!(prompts(&world).len(), 1);
    assert_eq!(world.all("permission_resolved")[1]["reason"], "rule");
    // The next process knows the rule.
    assert_eq!(world.state.config().allowed_tools, ["Bash(touch:*)"]);
    assert_eq!(world.record.as_ref().unwrap().always.len(), 1);
}

#[test]
fn a_mode_that_was_allowed_always_outlives_the_process() {
    let mode = json!([{"type":"setMode","mode":"acceptEdits","destination":"session"}]);
    let (mut world, _) = asking(&[("Edit", json!({}), mode)]);
    world.command(Command::PermissionResponse(answer(&prompts(&world)[0], Decision::AllowAlways)));
    assert_eq!(world.all("config_updated")[0]["config"]["permission_mode"], "auto");
    world.crash();
    world.say("y");
    assert_eq!(world.plans[1].config.permission_mode, PermissionMode::Auto);
}

#[test]
fn bypass_is_refused_by_every_door() {
    let (mut world, _) = asking(&[bash()]);
    let mut bypass = answer(&prompts(&world)[0], Decision::Allow);
    let update = json!({"type":"setMode","mode":"bypassPermissions","destination":"session"});
    bypass.updated_permissions = Some(vec![Json::of(&update).unwrap()]);
    let id = world.command(Command::PermissionResponse(bypass));
    assert_eq!(world.reply_to(&id)["code"], "forbidden");
    assert_eq!(world.checker.prompts.len(), 1);
    let updates = serde_json::from_str(&json!([update]).to_string()).unwrap();
    let id = world.command(Command::PermissionUpdate(PermissionUpdate { updates }));
    assert_eq!(world.reply_to(&id)["code"], "forbidden");
    let mode = Some(PermissionMode::Bypass);
    let fields = ConfigUpdateFields { permission_mode: mode, ..ConfigUpdateFields::default() };
    let id = world.command(Command::ConfigUpdate(fields));
    assert_eq!(world.reply_to(&id)["code"], "forbidden");
}

#[test]
fn a_prompt_that_nobody_answers_is_denied_in_time() {
    let limits =
        SessionLimits { permission_timeout: Some(Duration::from_secs(5)), ..SessionLimits::default() };
    let (mut world, id) = asking_within(limits, &[bash()]);
    world.pass(Duration::from_secs(6));
    assert_eq!(world.all("permission_resolved")[0]["reason"], "timeout");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn a_background_prompt_is_answered_when_the_turn_breaks_off() {
    let (mut world, _) = asking(&[bash()]);
    world.agent.as_mut().unwrap().ask_in_background();
    world.settle();
    // A failed turn; the agent itself does not take the background's question back.
    world.line(&json!({"type":"result","subtype":"success","is_error":true,"result":"API Error","uuid":"u"}));
    assert_eq!(world.checker.status, "idle");
    assert_eq!(answers(&world).iter().filter(|answer| answer["behavior"] == "deny").count(), 2);
}

#[test]
fn a_denial_that_ends_the_turn_does_not_end_one_that_waits_for_a_restart() {
    let mut world = World::new();
    world.attach(true);
    world.say("x");
    world.settle();
    world.agent.as_mut().unwrap().ask_in_background();
    world.step();
    let fields = ConfigUpdateFields { max_turns: Some(7), ..ConfigUpdateFields::default() };
    world.command(Command::ConfigUpdate(fields));
    let id = world.say("y");
    let mut deny = answer(&prompts(&world)[0], Decision::Deny);
    deny.interrupt = Some(true);
    world.command(Command::PermissionResponse(deny));
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    assert_eq!(world.plans.len(), 2);
}

#[test]
fn a_question_is_answered_by_a_tool_result() {
    let question = json!({"questions":[{"question":"Which?"}]});
    let (mut world, id) = asking(&[("AskUserQuestion", question, json!([]))]);
    let tool_use_id = world.all("tool_use")[0]["tool_use_id"].as_str().unwrap().to_owned();
    let result = |content: Value| ClientToolResult {
        tool_use_id: tool_use_id.clone(),
        content: Json::of(&content).unwrap(),
        is_error: false,
    };
    let bad = world.command(Command::ToolResult(result(json!("no object"))));
    assert_eq!(world.reply_to(&bad)["code"], "invalid_message");
    world.command(Command::ToolResult(result(json!({"Which?":"That"}))));
    assert_eq!(answers(&world)[0]["updatedInput"]["answers"], json!({"Which?":"That"}));
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn a_question_is_answered_by_text_blocks() {
    let question = json!({"questions":[{"question":"Which?"}]});
    let (mut world, _) = asking(&[("AskUserQuestion", question, json!([]))]);
    let tool_use_id = world.all("tool_use")[0]["tool_use_id"].as_str().unwrap().to_owned();
    let content =
        Json::of(&json!([{"type":"text","text":"{\"Which?\":"},{"type":"text","text":"\"That\"}"}])).unwrap();
    world.command(Command::ToolResult(ClientToolResult { tool_use_id, content, is_error: false }));
    assert_eq!(answers(&world)[0]["updatedInput"]["answers"], json!({"Which?":"That"}));
}

#[test]
fn a_client_tool_is_run_by_the_client_and_its_turn_waits() {
    let (mut world, id) = asking(&[]);
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    let id = world.say("y");
    world.step();
    let agent = world.agent.as_mut().unwrap();
    let mut steps = agent.tool("mcp__client__look", &json!({}), &json!([]));
    let results = steps.pop().unwrap();
    let Step::Results(tools) = &results else { panic!() };
    let tool_use_id = tools[0].clone();
    steps.push(Step::Call { tool_use_id: tool_use_id.clone() });
    steps.extend([results, Step::End]);
    agent.script(steps);
    world.settle();
    assert_eq!(world.checker.status, "executing_tool");
    assert_eq!(world.all("tool_use")[0]["executor"], "client");
    assert!(prompts(&world).is_empty());
    let result = |tool_use_id: &str| ClientToolResult {
        tool_use_id: tool_use_id.to_owned(),
        content: Json::of("seen").unwrap(),
        is_error: false,
    };
    let unknown = world.command(Command::ToolResult(result("other")));
    assert_eq!(world.reply_to(&unknown)["code"], "unknown_request");
    world.command(Command::ToolResult(result(&tool_use_id)));
    let said = answers(&world).last().unwrap()["mcp_response"].clone();
    assert_eq!(said["result"]["content"], json!([{"type":"text","text":"seen"}]));
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn rules_that_come_while_the_agent_starts_reach_it() {
    let mut world = World::new();
    world.attach(true);
    let updates = json!([{"type":"addRules","rules":[{"toolName":"Bash"}],"behavior":"deny"}]);
    let updates = serde_json::from_str(&updates.to_string()).unwrap();
    world.command(Command::PermissionUpdate(PermissionUpdate { updates }));
    world.settle();
    assert!(world.heard().contains(&"apply_flag_settings".to_owned()), "{:?}", world.heard());
    assert_eq!(world.plans.len(), 1);
}

#[test]
fn what_the_agent_cannot_change_is_applied_by_a_restart_that_nobody_sees() {
    let mut world = World::new();
    world.attach(true);
    world.settle();
    let first = world.say("x");
    world.step();
    let fields = ConfigUpdateFields { max_turns: Some(7), ..ConfigUpdateFields::default() };
    world.command(Command::ConfigUpdate(fields));
    let second = world.say("y");
    world.settle();
    assert_eq!(world.result_of(&first)["subtype"], "success");
    assert_eq!(world.result_of(&second)["subtype"], "success");
    assert_eq!(world.plans.len(), 2);
    assert_eq!((world.plans[1].config.max_turns, world.plans[1].resume), (Some(7), true));
    assert!(world.all("warning").is_empty());
}

#[test]
fn a_setting_that_the_agent_refuses_is_not_applied() {
    let mut world = World::new();
    world.manners.refuses_settings = true;
    world.attach(true);
    world.settle();
    let fields = ConfigUpdateFields { model: Some("none".to_owned()), ..ConfigUpdateFields::default() };
    let id = world.command(Command::ConfigUpdate(fields));
    world.settle();
    assert_eq!(world.reply_to(&id)["code"], "agent_failed");
    assert_eq!(world.state.config().model, None);
    assert!(world.all("config_updated").is_empty());
}

#[test]
fn changes_that_the_agent_never_answers_do_not_pile_up() {
    let mut world = World::new();
    world.attach(true);
    world.settle();
    let change = || ConfigUpdateFields { model: Some("m".to_owned()), ..ConfigUpdateFields::default() };
    for _ in 0..1024 {
        world.command(Command::ConfigUpdate(change()));
    }
    let id = world.command(Command::ConfigUpdate(change()));
    assert_eq!(world.reply_to(&id)["code"], "agent_failed");
}
