//! Rules, modes and other settings that are changed while a session runs.

use serde_json::{Value, json};

use super::agent::Step;
use super::world::World;
use crate::agent::Exit;
use crate::protocol::{
    ConfigUpdateFields, Decision, PermissionMode, PermissionResponse, PermissionUpdate, SessionConfig,
};
use crate::session::Position;
use crate::session::record::{Record, Seen};
use crate::session::state::{Birth, Command, SessionLimits};

use super::asking::{again, answer, answers, asking, bash, bash_rules, prompts, update};

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

/// The agent that had just been started was ended for another one.
#[test]
fn settings_that_come_while_the_agent_starts_reach_it() {
    let fields = json!({"model":"m","permission_mode":"plan","max_thinking_tokens":5});
    let fields: ConfigUpdateFields = serde_json::from_value(fields).unwrap();
    for spawned in [false, true] {
        let mut world = World::new();
        world.attach(true);
        if spawned {
            world.spawned(Ok(()));
        }
        let changed = world.command(Command::ConfigUpdate(fields.clone()));
        assert_eq!(world.all("config_updated")[0]["request_id"], changed);
        let id = world.say("x");
        world.settle();
        assert_eq!(world.plans.len(), 1);
        let told = ["initialize", "set_permission_mode", "set_model", "set_max_thinking_tokens", "user"];
        assert_eq!(world.heard(), told);
        assert_eq!(world.result_of(&id)["subtype"], "success");
    }
    // Before it is started at all.
    let mut world = World::new();
    world.command(Command::ConfigUpdate(fields));
    world.say("x");
    world.settle();
    assert_eq!((world.plans.len(), world.heard()), (1, vec!["initialize".to_owned(), "user".to_owned()]));
    assert_eq!(world.plans[0].config.model.as_deref(), Some("m"));
}

#[test]
fn settings_that_need_another_process_replace_the_one_that_starts_once() {
    let fields = json!({"model":"m","max_turns":7});
    let fields: ConfigUpdateFields = serde_json::from_value(fields).unwrap();
    let mut world = World::new();
    world.attach(true);
    world.command(Command::ConfigUpdate(fields.clone()));
    world.spawned(Ok(()));
    world.command(Command::ConfigUpdate(fields));
    let id = world.say("x");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    assert_eq!((world.plans.len(), world.plans[1].config.max_turns), (2, Some(7)));
    assert_eq!(world.heard(), ["initialize", "user"]);
    assert_eq!(world.told, ["x"]);
}

/// What it refuses, a new process has.
#[test]
fn a_setting_that_an_agent_refuses_as_it_comes_up_comes_with_the_next_one() {
    let mut world = World::new();
    world.manners.refuses = Some("set_model");
    world.attach(true);
    world.command(Command::ConfigUpdate(serde_json::from_value(json!({"model":"m"})).unwrap()));
    world.settle();
    assert_eq!((world.plans.len(), world.plans[1].config.model.as_deref()), (2, Some("m")));
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

/// Nobody could see them.
#[test]
fn rules_that_make_the_agent_ask_are_shown() {
    let mut world = World::new();
    world.attach(true);
    let rules = json!([{"toolName":"Read"},{"toolName":"Bash","ruleContent":"git:*"}]);
    update(&mut world, json!([{"type":"addRules","rules":rules,"behavior":"ask"}]));
    let told = json!(["Read", "Bash(git:*)"]);
    assert_eq!(world.all("config_updated")[0]["config"]["ask_tools"], told);
    let id = world.command(Command::ConfigQuery);
    assert_eq!(world.reply_to(&id)["config"]["ask_tools"], told);
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
fn a_mode_that_comes_with_a_status_is_told_too() {
    let mut world = World::new();
    world.attach(true);
    world.settle();
    world.say("x");
    world.step();
    world.line(&json!({"type":"system","subtype":"status","status":"requesting","permissionMode":"plan"}));
    assert_eq!(world.all("config_updated")[0]["config"]["permission_mode"], "plan");
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

/// An agent does not start with more than 2 MiB of settings, and Linux starts nothing with more than that of arguments.
#[test]
fn a_session_has_no_more_of_rules_and_directories_than_an_agent_starts_with() {
    let mut world = World::new();
    world.attach(true);
    let mut number = 0;
    let mut many = |behavior: &str| {
        let mut rule = |_| {
            number += 1;
            json!({"toolName":"Bash","ruleContent":format!("{number}{}", "x".repeat(4000))})
        };
        json!([{"type":"addRules","behavior":behavior,"rules":(0..250).map(&mut rule).collect::<Vec<_>>()}])
    };
    // Each far within the limits, and over several messages and kinds.
    for behavior in ["allow", "deny"] {
        let id = update(&mut world, many(behavior));
        assert!(world.replies.iter().all(|(asker, _)| *asker != id), "{behavior}");
    }
    let id = update(&mut world, many("ask"));
    assert_eq!(world.reply_to(&id)["code"], "invalid_message");
    assert!(world.reply_to(&id)["message"].as_str().unwrap().contains("2 MiB"), "{}", world.reply_to(&id));
    let removed = json!([{"type":"replaceRules","behavior":"deny","rules":[]}]);
    let id = update(&mut world, removed);
    assert!(world.replies.iter().all(|(asker, _)| *asker != id), "less is always allowed");

    let directories: Vec<_> = (0..300).map(|number| format!("/{number}{}", "d".repeat(4000))).collect();
    let id = update(&mut world, json!([{"type":"addDirectories","directories":directories}]));
    assert!(world.reply_to(&id)["message"].as_str().unwrap().contains("1 MiB"), "{}", world.reply_to(&id));
    assert!(world.state.config().add_dirs.is_empty());
    assert!(world.state.launch_plan().settings.len() < 2 << 20);
}

#[test]
fn the_agent_is_told_to_refuse_messages_of_other_sessions_unless_they_are_allowed() {
    let plan = |allow_cross_session| {
        let limits = SessionLimits { allow_cross_session, ..SessionLimits::default() };
        let settings = World::with(limits, 1).state.launch_plan().settings;
        serde_json::from_str::<Value>(&settings).unwrap()["crossSessionInbound"].clone()
    };
    assert_eq!(plan(false), "refuse");
    assert_eq!(plan(true), Value::Null);
}
