//! Thousands of random games of clients, agent and time. `CLAUDE_WS_SIM_RUNS` and `CLAUDE_WS_SIM_SEED` choose how many, and where they
//! begin; a failure names its seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::json;

use super::agent::Manners;
use super::dice::Dice;
use super::world::{Slots, World, message};
use crate::agent::Exit;
use crate::protocol::{
    ClientToolResult, ConfigUpdateFields, Decision, Json, PermissionMode, PermissionResponse,
    PermissionUpdate,
};
use crate::session::state::{Command, Input, SessionLimits};

const RUNS: u64 = 1_500;

#[test]
fn any_game_of_clients_agent_and_time_keeps_the_rules() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let mut failed = Vec::new();
    let first = number("CLAUDE_WS_SIM_SEED").unwrap_or(0);
    for seed in first..first + number("CLAUDE_WS_SIM_RUNS").unwrap_or(RUNS) {
        if catch_unwind(AssertUnwindSafe(|| play(seed))).is_err() {
            eprintln!("seed {seed}");
            failed.push(seed);
            assert!(failed.len() < 8, "seeds {failed:?}");
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}

fn play(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut world = World::with(limits(&mut dice), seed);
    let steps = 20 + dice.below(200);
    world.manners = manners(&mut dice);
    world.attach(true);
    for _ in 0..steps {
        if world.closed.is_some() {
            return;
        }
        if world.spawning.is_none() && world.agent.is_none() {
            world.manners = manners(&mut dice);
            world.slots = *dice.pick(&[Slots::Free, Slots::Free, Slots::Taken, Slots::Full]).unwrap();
        }
        something(&mut world, &mut dice);
    }
    calm_down(&mut world, &mut dice);
}

pub(super) fn limits(dice: &mut Dice) -> SessionLimits {
    let maybe = |dice: &mut Dice| dice.one_in(3).then_some(Duration::from_secs(30));
    SessionLimits {
        max_queue: 3,
        max_queue_bytes: 60,
        max_prompts: 3,
        permission_timeout: maybe(dice),
        client_tool_timeout: maybe(dice),
        allow_bypass: dice.one_in(2),
        stored: dice.one_in(2),
        ..SessionLimits::default()
    }
}

pub(super) fn manners(dice: &mut Dice) -> Manners {
    Manners {
        answers_greeting: !dice.one_in(8),
        heeds_interrupts: !dice.one_in(4),
        refuses_settings: dice.one_in(4),
        refuses: dice.pick(&[None, Some("set_model"), Some("apply_flag_settings")]).copied().flatten(),
        repeats_results: dice.one_in(4),
        hangs: dice.one_in(4),
        old: dice.one_in(2),
        works: true,
        names: dice.one_in(2),
    }
}

/// One thing that may happen, happens.
pub(super) fn something(world: &mut World, dice: &mut Dice) {
    match dice.below(100) {
        0..55 => _ = world.step(),
        55..63 => world_moves(world, dice),
        63..66 => agent_has_its_own_mind(world, dice),
        66..69 => time_passes(world, dice),
        69 if dice.one_in(3) => {
            let until = world.instant + Duration::from_secs(dice.below(60) as u64);
            world.input(Input::Drain { until });
        }
        69 => world.input(Input::StoreHealth { ok: false }),
        70..72 => world.input(Input::Sleep { now: false }),
        72..74 => world.input(Input::Attached(dice.below(2))),
        _ => client(world, dice),
    }
}

fn world_moves(world: &mut World, dice: &mut Dice) {
    if world.spawning.is_some() {
        let outcome = if dice.one_in(6) { Err("no such file".to_owned()) } else { Ok(()) };
        world.spawned(outcome);
    } else if !world.grant() && world.agent.is_some() && dice.one_in(8) {
        match dice.below(4) {
            0 => world.input(Input::Unresponsive),
            1 => world.input(Input::Skipped { bytes: 1 << 30 }),
            2 => {
                let stderr = *dice.pick(&["is already in use", "No conversation found", ""]).unwrap();
                world.ends(Exit { code: Some(1), stderr: stderr.to_owned(), ..Exit::default() });
            }
            _ => world.crash(),
        }
    }
}

fn agent_has_its_own_mind(world: &mut World, dice: &mut Dice) {
    let Some(agent) = &mut world.agent else { return };
    if agent.heard.len() < 2 || agent.is_going() {
        return;
    }
    if dice.one_in(3) {
        agent.ask_in_background();
    } else {
        let steps = agent.turn_of(dice);
        agent.begin_own_turn(steps);
    }
}

fn time_passes(world: &mut World, dice: &mut Dice) {
    let time = match dice.below(4) {
        0 => Duration::from_millis(300),
        1 => Duration::from_secs(2),
        2 => Duration::from_secs(40),
        _ => {
            let deadline = world.state.deadline().unwrap_or_else(Instant::now);
            deadline.saturating_duration_since(world.instant)
        }
    };
    world.pass(time);
}

fn client(world: &mut World, dice: &mut Dice) {
    let prompts: Vec<String> = world.checker.prompts.keys().cloned().collect();
    let messages: Vec<String> = world.checker.results.keys().cloned().collect();
    match dice.below(26) {
        0..6 => {
            world.say_something();
        }
        6 => {
            let id = dice.pick(&messages).cloned().unwrap_or_else(|| "none".to_owned());
            if world.checker.results.contains_key(&id) {
                world.command_as(&id, Command::UserMessage(message("again")));
                let known = *world.reply_to(&id)["code"].as_str().unwrap() == *"duplicate_message";
                assert!(known || world.reply_to(&id)["type"] == "error");
            }
        }
        7..10 => _ = world.command(Command::Interrupt { reason: None, tasks: false }),
        10..12 => {
            let targets: Vec<String> = prompts.iter().chain(&messages).cloned().collect();
            let target_id = dice.pick(&targets).cloned().unwrap_or_else(|| "nothing".to_owned());
            world.command(Command::Cancel { target_id });
        }
        12..18 => answer(world, dice, &prompts),
        18 => _ = world.command(Command::Resume),
        19 => {
            let tools: Vec<String> = world.checker.prompts.values().cloned().collect();
            if let Some(tool_use_id) = dice.pick(&tools).cloned() {
                let content = Json::of(&json!({"a question":"an answer"})).unwrap();
                let is_error = dice.one_in(3);
                world.command(Command::ToolResult(ClientToolResult { tool_use_id, content, is_error }));
            }
        }
        20 => client_tool(world, dice),
        21 => {
            let fields = ConfigUpdateFields {
                model: dice.one_in(2).then(|| "other".to_owned()),
                max_turns: dice.one_in(2).then_some(3),
                permission_mode: dice.one_in(2).then_some(PermissionMode::Plan),
                ..ConfigUpdateFields::default()
            };
            world.command(Command::ConfigUpdate(fields));
        }
        22 => {
            let kind = dice.pick(&["addRules", "removeRules", "replaceRules"]).unwrap();
            let mode = dice.pick(&["plan", "auto", "bypass"]).unwrap();
            let updates = json!([{"type":"setMode","mode":mode},
                {"type":kind,"rules":[{"toolName":"Bash"}],"behavior":"allow"}]);
            let updates = serde_json::from_str(&updates.to_string()).unwrap();
            world.command(Command::PermissionUpdate(PermissionUpdate { updates }));
        }
        23 => _ = world.command(Command::Info),
        24 => world.attach(false),
        _ if dice.one_in(6) => _ = world.command(Command::End { reason: None }),
        _ => _ = world.command(Command::ConfigQuery),
    }
}

fn answer(world: &mut World, dice: &mut Dice, prompts: &[String]) {
    let request_id = dice.pick(prompts).cloned().unwrap_or_else(|| "nothing".to_owned());
    let decision = *dice.pick(&[Decision::Allow, Decision::Deny, Decision::AllowAlways]).unwrap();
    let answer = PermissionResponse {
        request_id,
        decision,
        explanation: None,
        updated_input: None,
        updated_permissions: None,
        interrupt: dice.one_in(4).then_some(true),
    };
    world.command(Command::PermissionResponse(answer));
}

/// Gives the result of a call that a client has to run.
fn client_tool(world: &mut World, dice: &mut Dice) {
    let called = |event: &&serde_json::Value| event["type"] == "tool_use" && event["executor"] == "client";
    let calls: Vec<String> = world
        .events
        .iter()
        .filter(called)
        .map(|event| event["tool_use_id"].as_str().unwrap().to_owned())
        .collect();
    if let Some(tool_use_id) = dice.pick(&calls).cloned() {
        let content = Json::of("seen").unwrap();
        world.command(Command::ToolResult(ClientToolResult { tool_use_id, content, is_error: false }));
    }
}

/// From now on everybody behaves, and so everything comes to its end.
pub(super) fn calm_down(world: &mut World, dice: &mut Dice) {
    world.slots = Slots::Free;
    world.manners = Manners { works: true, ..Manners::default() };
    for round in 0..400 {
        if world.closed.is_none() && world.spawning.is_some() {
            world.spawned(Ok(()));
        }
        while world.closed.is_none() && world.step() {}
        if world.closed.is_some() {
            return;
        }
        world.grant();
        for _ in 0..world.checker.prompts.len() {
            let prompts: Vec<String> = world.checker.prompts.keys().cloned().collect();
            if world.closed.is_none() && !prompts.is_empty() {
                answer(world, dice, &prompts);
            }
        }
        if world.closed.is_none() && round % 3 == 1 {
            client_tool(world, dice);
        }
        let busy = world.checker.status != "idle";
        if world.closed.is_none() && busy && round % 8 == 7 {
            world.command(Command::Interrupt { reason: None, tasks: false });
        }
        if world.closed.is_none() && busy {
            world.pass(Duration::from_secs(1));
        }
    }
    assert_eq!(world.checker.status, "idle", "it never comes to rest: {:?}", world.state);
    while world.step() {}
    if let Some(agent) = &world.agent {
        assert!(!agent.is_in_turn() && agent.queue.is_empty(), "the agent is still at work");
    }
    assert_eq!(world.checker.unanswered(), Vec::<String>::new());
    world.checker.all_is_over();
    // And nobody stays: in the end it goes to rest.
    world.input(Input::Attached(0));
    for _ in 0..1_000 {
        if world.closed.is_some() {
            return;
        }
        world.pass(Duration::from_hours(24));
        if world.closed.is_none() && world.spawning.is_some() {
            world.spawned(Ok(()));
        }
        while world.closed.is_none() && world.step() {}
    }
    panic!("it never goes away: {:?}", world.state);
}
