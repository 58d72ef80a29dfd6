//! Prompts, rules, settings and client tools.

use std::time::Duration;

use serde_json::{Value, json};

use super::agent::Step;
use super::world::World;
use crate::protocol::{ClientToolResult, ConfigUpdateFields, Decision, Json};
use crate::session::state::{Command, SessionLimits};

use super::asking::{again, answer, answers, asking, asking_within, bash, prompts};

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
    world.command(Command::Interrupt { reason: None, tasks: false });
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
fn always_with_an_edited_input_is_for_the_edited_call_only() {
    let rule = json!([{"type":"addRules","behavior":"allow","destination":"session",
        "rules":[{"toolName":"Bash","ruleContent":"rm:*"}]}]);
    let (mut world, _) = asking(&[("Bash", json!({"command":"rm -r /"}), rule)]);
    let mut edited = answer(&prompts(&world)[0], Decision::AllowAlways);
    edited.updated_input = Some(Json::of(&json!({"command":"ls"})).unwrap());
    world.command(Command::PermissionResponse(edited));
    assert_eq!(answers(&world)[0]["updatedPermissions"], Value::Null);
    assert!(world.state.config().allowed_tools.is_empty());
    world.settle();
    again(&mut world, "Bash", &json!({"command":"ls"}));
    assert_eq!(prompts(&world).len(), 1, "what was approved");
    again(&mut world, "Bash", &json!({"command":"rm -r /"}));
    assert_eq!(prompts(&world).len(), 2, "what was not");
}

#[test]
fn questions_and_plans_are_asked_about_every_time() {
    for tool in ["AskUserQuestion", "ExitPlanMode"] {
        let rule = json!([{"type":"addRules","behavior":"allow","rules":[{"toolName":tool}]}]);
        let (mut world, _) = asking(&[(tool, json!({"plan":"p"}), rule)]);
        world.command(Command::PermissionResponse(answer(&prompts(&world)[0], Decision::AllowAlways)));
        world.settle();
        assert!(world.state.config().allowed_tools.is_empty());
        again(&mut world, tool, &json!({"plan":"p"}));
        assert_eq!(prompts(&world).len(), 2);
    }
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

/// They failed in the agent, and the question was gone.
#[test]
fn answers_that_the_agent_cannot_read_are_refused_and_the_question_stays() {
    let question = json!({"questions":[{"question":"Which?"}]});
    let (mut world, _) = asking(&[("AskUserQuestion", question.clone(), json!([]))]);
    let tool_use_id = world.all("tool_use")[0]["tool_use_id"].as_str().unwrap().to_owned();
    let prompt = prompts(&world)[0].clone();
    for bad in [json!(7), json!(null), json!([1]), json!([["x"]]), json!({"a":"b"}), json!(true)] {
        let content = Json::of(&json!({"Which?":bad})).unwrap();
        let result = ClientToolResult { tool_use_id: tool_use_id.clone(), content, is_error: false };
        let refused = world.command(Command::ToolResult(result));
        assert_eq!(world.reply_to(&refused)["code"], "invalid_message", "{bad}");
        let mut edited = answer(&prompt, Decision::Allow);
        let input = json!({"questions":question["questions"],"answers":{"Which?":bad}});
        edited.updated_input = Some(Json::of(&input).unwrap());
        let refused = world.command(Command::PermissionResponse(edited));
        assert_eq!(world.reply_to(&refused)["code"], "invalid_message", "{bad}");
        assert!(world.reply_to(&refused)["message"].as_str().unwrap().contains("Which?"), "{bad}");
    }
    assert!(answers(&world).is_empty() && world.all("permission_resolved").is_empty());
    let good = json!({"Which?":["This","That"]});
    let content = Json::of(&good).unwrap();
    world.command(Command::ToolResult(ClientToolResult { tool_use_id, content, is_error: false }));
    assert_eq!(world.all("permission_resolved")[0]["decision"], "allow");
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
fn a_call_with_the_id_of_one_that_is_over_has_an_answer_of_its_own() {
    let (mut world, _) = asking(&[]);
    world.settle();
    world.say("y");
    world.step();
    let block = |id: &str| json!([{"type":"tool_use","id":"call_0","name":"mcp__client__look","input":{"message":id}}]);
    let result = |text: &str| ClientToolResult {
        tool_use_id: "call_0".to_owned(),
        content: Json::of(text).unwrap(),
        is_error: false,
    };
    // The agent never asks for the first answer: it has an end of its own.
    for (id, text) in [("a", "first"), ("b", "second")] {
        world.line(&json!({"type":"assistant","message":{"id":id,"model":"m","content":block(id)}}));
        let given = world.command(Command::ToolResult(result(text)));
        assert!(!world.replies.iter().any(|(asker, _)| *asker == given), "{id} is taken");
        let again = world.command(Command::ToolResult(result("too late")));
        assert_eq!(world.reply_to(&again)["code"], "unknown_request");
        if id == "a" {
            world.line(&json!({"type":"user","message":{"content":
                [{"type":"tool_result","tool_use_id":"call_0","content":"stopped"}]}}));
        }
    }
    assert_eq!(world.all("tool_use").len(), 2);
    world.line(&json!({"type":"control_request","request_id":"m","request":{"subtype":"mcp_message",
        "server_name":"client","message":{"jsonrpc":"2.0","id":5,"method":"tools/call","params":
        {"name":"look","arguments":{},"_meta":{"claudecode/toolUseId":"call_0"}}}}}));
    let said = answers(&world).last().unwrap()["mcp_response"].clone();
    assert_eq!(said["result"]["content"], json!([{"type":"text","text":"second"}]));
}

#[test]
fn a_prompt_that_is_one_too_many_is_denied() {
    let limits = SessionLimits { max_prompts: 2, ..SessionLimits::default() };
    let (mut world, id) = asking_within(limits, &[bash(), bash(), bash()]);
    let ids = prompts(&world);
    assert_eq!(ids.len(), 2);
    assert_eq!(answers(&world).iter().map(|said| said["behavior"].clone()).collect::<Vec<_>>(), ["deny"]);
    for prompt in &ids {
        world.command(Command::PermissionResponse(answer(prompt, Decision::Allow)));
    }
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}
