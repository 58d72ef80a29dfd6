//! Prompts, rules, settings and client tools.

use std::time::Duration;

use serde_json::{Value, json};

use super::agent::Step;
use super::world::World;
use crate::agent::Exit;
use crate::protocol::{
    ClientToolResult, ConfigUpdateFields, Decision, Json, PermissionMode, PermissionResponse,
    PermissionUpdate, SessionConfig,
};
use crate::session::Position;
use crate::session::record::{Record, Seen};
use crate::session::state::{Birth, Command, SessionLimits};

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

/// Another turn, in which the agent makes that call.
fn again(world: &mut World, tool: &str, input: &Value) {
    world.say("again");
    world.step();
    let agent = world.agent.as_mut().unwrap();
    let mut steps = agent.tool(tool, input, &json!([]));
    steps.push(Step::End);
    agent.script(steps);
    world.settle();
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
    for mode in ["bypass", "bypassPermissions"] {
        let (mut world, _) = asking(&[bash()]);
        for decision in ["allow", "allow_always"] {
            let bypass = json!({"request_id": prompts(&world)[0], "decision": decision,
                "updated_permissions": [{"type":"setMode","mode":mode,"destination":"session"}]});
            let bypass = serde_json::from_value(bypass).unwrap();
            let id = world.command(Command::PermissionResponse(bypass));
            assert_eq!(world.reply_to(&id)["code"], "forbidden");
        }
        assert_eq!(world.checker.prompts.len(), 1);
        let updates = serde_json::from_value(json!([{"type":"setMode","mode":mode}])).unwrap();
        let id = world.command(Command::PermissionUpdate(PermissionUpdate { updates }));
        assert_eq!(world.reply_to(&id)["code"], "forbidden");
        let fields = serde_json::from_value(json!({"permission_mode": mode})).unwrap();
        let id = world.command(Command::ConfigUpdate(fields));
        assert_eq!(world.reply_to(&id)["code"], "forbidden");
        // What the agent says it has is no door either.
        world.line(&json!({"type":"system","subtype":"init","permissionMode":"bypassPermissions"}));
        assert_eq!(world.state.config().permission_mode, PermissionMode::Manual);
        assert_eq!(world.heard().last().unwrap(), "set_permission_mode");
        assert_eq!(world.state.launch_plan().config.permission_mode, PermissionMode::Manual);
    }
}

#[test]
fn bypass_that_the_operator_took_back_is_not_woken_up_with_the_session() {
    let config = SessionConfig { permission_mode: PermissionMode::Bypass, ..SessionConfig::default() };
    let record = Record { config, ..Record::default() };
    let birth = Birth { id: "s".into(), record, position: Position::default(), seen: Seen::default() };
    let mut world = World::of(birth, SessionLimits::default(), 1);
    assert_eq!(world.state.config().permission_mode, PermissionMode::Manual);
    world.attach(true);
    assert_eq!(world.plans[0].config.permission_mode, PermissionMode::Manual);
}

#[test]
fn a_mode_reaches_the_agent_under_the_name_that_was_understood() {
    let (mut world, _) = asking(&[bash()]);
    let auto = json!({"request_id": prompts(&world)[0], "decision": "allow",
        "updated_permissions": [{"type":"setMode","mode":"auto","destination":"userSettings"}]});
    world.command(Command::PermissionResponse(serde_json::from_value(auto).unwrap()));
    let update = json!({"type":"setMode","mode":"acceptEdits","destination":"session"});
    assert_eq!(answers(&world)[0]["updatedPermissions"], json!([update]));
    assert_eq!(world.state.config().permission_mode, PermissionMode::Auto);
    for unknown in ["dontAsk", "default ", "BypassPermissions"] {
        let update = json!({"request_id":"p","decision":"allow","updated_permissions":[{"type":"setMode","mode":unknown}]});
        serde_json::from_value::<PermissionResponse>(update).unwrap_err();
    }
}

#[test]
fn a_mode_that_is_not_known_here_is_not_taken_from_a_suggestion() {
    for mode in ["auto", "dontAsk", "bypassPermissions"] {
        let suggestion = json!([{"type":"setMode","mode":mode,"destination":"session"}]);
        let (mut world, _) = asking(&[("Edit", json!({}), suggestion)]);
        world.command(Command::PermissionResponse(answer(&prompts(&world)[0], Decision::AllowAlways)));
        assert_eq!(answers(&world)[0]["updatedPermissions"], Value::Null);
        assert_eq!(world.state.config().permission_mode, PermissionMode::Manual);
    }
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

fn update(world: &mut World, updates: Value) -> String {
    let updates = serde_json::from_value(updates).unwrap();
    let id = world.command(Command::PermissionUpdate(PermissionUpdate { updates }));
    world.settle();
    id
}

fn bash_rules(kind: &str, behavior: &str) -> Value {
    json!([{"type":kind,"behavior":behavior,"rules":[{"toolName":"Bash","ruleContent":"touch:*"}]}])
}

#[test]
fn what_only_a_new_process_forgets_gets_one() {
    // From the start.
    let config = SessionConfig {
        allowed_tools: vec!["Bash(touch:*)".to_owned()],
        add_dirs: vec!["/d".to_owned()],
        ..SessionConfig::default()
    };
    let rules = [
        bash_rules("removeRules", "allow"),
        json!([{"type":"replaceRules","rules":[]}]),
        json!([{"type":"removeDirectories","directories":["/d"]}]),
    ];
    for updates in rules {
        let record = Record { config: config.clone(), ..Record::default() };
        let birth = Birth { id: "s".into(), record, position: Position::default(), seen: Seen::default() };
        let mut world = World::of(birth, SessionLimits::default(), 1);
        world.attach(true);
        world.settle();
        update(&mut world, updates.clone());
        assert_eq!(world.plans.len(), 2, "{updates}");
        let now = &world.plans[1].config;
        assert!(now.allowed_tools.is_empty() || now.add_dirs.is_empty());
    }
    // By an answer, whose turn is not disturbed.
    let (mut world, id) = asking(&[bash()]);
    let mut allow = answer(&prompts(&world)[0], Decision::Allow);
    allow.updated_permissions = Some(serde_json::from_value(bash_rules("addRules", "allow")).unwrap());
    world.command(Command::PermissionResponse(allow));
    let updates = serde_json::from_value(bash_rules("removeRules", "allow")).unwrap();
    world.command(Command::PermissionUpdate(PermissionUpdate { updates }));
    assert_eq!(world.plans.len(), 1);
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    assert_eq!(world.plans.len(), 2);
    assert!(!world.plans[1].settings.contains("touch"));
    // By settings, which the process is told anew: that one can stay.
    update(&mut world, bash_rules("addRules", "allow"));
    update(&mut world, bash_rules("removeRules", "allow"));
    update(&mut world, json!([{"type":"addDirectories","directories":["/e"]}]));
    update(&mut world, json!([{"type":"removeDirectories","directories":["/e"]}]));
    assert_eq!(world.plans.len(), 2);
}

#[test]
fn a_rule_about_a_tool_ends_what_was_allowed_always() {
    let of_another = json!([{"type":"addRules","behavior":"ask","rules":[{"toolName":"Write"}]}]);
    for (updates, revokes) in [
        (bash_rules("removeRules", "allow"), true),
        (json!([{"type":"replaceRules","rules":[]}]), true),
        (bash_rules("addRules", "ask"), true),
        (bash_rules("addRules", "deny"), true),
        (bash_rules("addRules", "allow"), false),
        (of_another, false),
    ] {
        let (mut world, _) = asking(&[bash()]);
        world.command(Command::PermissionResponse(answer(&prompts(&world)[0], Decision::AllowAlways)));
        world.settle();
        update(&mut world, updates.clone());
        again(&mut world, "Bash", &json!({"command":"touch x"}));
        assert_eq!(prompts(&world).len(), if revokes { 2 } else { 1 }, "{updates}");
    }
}

#[test]
fn rules_that_an_answer_changed_are_shown_directories_too() {
    let (mut world, _) = asking(&[bash()]);
    let mut allow = answer(&prompts(&world)[0], Decision::Allow);
    let updates = json!([{"type":"addRules","rules":[{"toolName":"Bash"}]},
        {"type":"addDirectories","directories":["/d"]}]);
    allow.updated_permissions = Some(serde_json::from_value(updates).unwrap());
    let id = world.command(Command::PermissionResponse(allow));
    let shown = world.all("config_updated")[0];
    assert_eq!(shown["request_id"], *id);
    assert_eq!(
        (&shown["config"]["allowed_tools"], &shown["config"]["add_dirs"]),
        (&json!(["Bash"]), &json!(["/d"]))
    );
}

#[test]
fn a_mode_that_the_agent_changes_within_a_turn_is_told() {
    let mut world = World::new();
    world.attach(true);
    world.settle();
    update(&mut world, json!([{"type":"setMode","mode":"plan"}]));
    world.say("x");
    world.step();
    world.line(&json!({"type":"system","subtype":"status","status":null,"permissionMode":"default"}));
    assert_eq!(world.all("config_updated")[1]["config"]["permission_mode"], "manual");
    world.line(&json!({"type":"system","subtype":"status","status":"requesting"}));
    world.line(&json!({"type":"system","subtype":"status","permissionMode":"dontAsk"}));
    assert_eq!(world.all("config_updated").len(), 2);
}

#[test]
fn bypass_comes_with_a_new_process_and_not_where_claude_code_is_root() {
    let limits = || SessionLimits { allow_bypass: true, ..SessionLimits::default() };
    let fields = || ConfigUpdateFields {
        permission_mode: Some(PermissionMode::Bypass),
        ..ConfigUpdateFields::default()
    };
    let mut world = World::with(limits(), 1);
    world.attach(true);
    world.settle();
    world.command(Command::ConfigUpdate(fields()));
    world.settle();
    assert_eq!(world.plans[1].config.permission_mode, PermissionMode::Bypass);
    assert!(!world.heard().contains(&"set_permission_mode".to_owned()));
    // Back, and there again by an answer; the turn goes on as it is.
    update(&mut world, json!([{"type":"setMode","mode":"manual"}]));
    assert_eq!(world.heard().last().unwrap(), "set_permission_mode");
    let id = world.say("y");
    world.step();
    let agent = world.agent.as_mut().unwrap();
    let mut steps = agent.tool("Bash", &json!({"command":"touch x"}), &json!([]));
    steps.push(Step::End);
    agent.script(steps);
    world.settle();
    let mut allow = answer(&prompts(&world)[0], Decision::Allow);
    let bypass = json!([{"type":"setMode","mode":"bypass"}]);
    allow.updated_permissions = Some(serde_json::from_value(bypass).unwrap());
    world.command(Command::PermissionResponse(allow));
    assert_eq!(answers(&world)[0]["updatedPermissions"], Value::Null);
    assert_eq!(world.state.config().permission_mode, PermissionMode::Bypass);
    // What the old process says meanwhile does not count.
    world.line(&json!({"type":"system","subtype":"status","permissionMode":"default"}));
    while world.all("result").is_empty() {
        assert!(world.step());
    }
    assert_eq!(world.result_of(&id)["subtype"], "success");
    while world.spawning.is_none() {
        assert!(world.step());
    }
    assert_eq!(world.plans[2].config.permission_mode, PermissionMode::Bypass);
    world.spawned(Ok(()));
    let stderr =
        "--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons";
    world.ends(Exit { code: Some(1), stderr: stderr.to_owned(), ..Exit::default() });
    assert_eq!(world.plans[3].config.permission_mode, PermissionMode::Manual);
    assert_eq!(world.all("config_updated").last().unwrap()["config"]["permission_mode"], "manual");
    assert_eq!(world.all("warning").len(), 1);
    let id = world.say("z");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn rules_that_the_agent_refuses_come_with_a_new_process_and_the_client_is_told() {
    let mut world = World::new();
    world.manners.refuses = Some("apply_flag_settings");
    world.attach(true);
    world.settle();
    let id = update(&mut world, bash_rules("addRules", "deny"));
    assert_eq!(world.reply_to(&id)["code"], "agent_failed");
    assert_eq!(world.plans.len(), 2);
    assert!(world.plans[1].settings.contains("touch"));
}

#[test]
fn of_a_change_that_is_refused_in_part_the_rest_is_kept() {
    let mut world = World::new();
    world.manners.refuses = Some("set_permission_mode");
    world.attach(true);
    world.settle();
    let fields = json!({"model":"m","permission_mode":"plan"});
    let id = world.command(Command::ConfigUpdate(serde_json::from_value(fields).unwrap()));
    world.settle();
    let refusal = world.reply_to(&id);
    assert_eq!(refusal["code"], "agent_failed");
    assert!(refusal["message"].as_str().unwrap().contains("permission_mode"), "{refusal}");
    let config = &world.all("config_updated")[0]["config"];
    assert_eq!((&config["model"], &config["permission_mode"]), (&json!("m"), &json!("manual")));
}

#[test]
fn a_session_has_no_more_rules_than_it_may() {
    let mut world = World::new();
    world.attach(true);
    let mut number = 0;
    let mut updates = || {
        let mut rule = |_| {
            number += 1;
            json!({"toolName":"Bash","ruleContent":number.to_string()})
        };
        json!([{"type":"addRules","rules":(0..1024).map(&mut rule).collect::<Vec<_>>()}])
    };
    for _ in 0..4 {
        update(&mut world, updates());
    }
    let id = update(&mut world, updates());
    assert_eq!(world.reply_to(&id)["code"], "invalid_message");
    assert_eq!(world.state.config().allowed_tools.len(), 4096);
}
