//! Turns and the queue: one result each, whatever comes in between.

use std::time::Duration;

use serde_json::json;

use super::world::{Slots, World, message};
use crate::agent::Exit;
use crate::protocol::UserMessage;
use crate::session::RunningTurn;
use crate::session::state::{Command, Input, Leftover, SessionLimits};

pub(super) fn interrupt() -> Command {
    Command::Interrupt { reason: None, tasks: false }
}

pub(super) fn up() -> World {
    let mut world = World::new();
    world.attach(true);
    world.settle();
    world
}

#[test]
fn a_turn_has_its_events_in_order_and_ends_idle() {
    let mut world = up();
    let id = world.say("hello");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    let kinds = world.kinds();
    assert_eq!(kinds[..2], ["user_message", "status_update"]);
    assert_eq!(kinds[kinds.len() - 2..], ["result", "status_update"]);
    assert_eq!(world.events.last().unwrap()["status"], "idle");
}

#[test]
fn queued_messages_run_in_order_and_idle_comes_last() {
    let mut world = up();
    let ids: Vec<_> = (0..3).map(|_| world.say("x")).collect();
    world.settle();
    let results: Vec<_> = world.all("result").iter().map(|event| event["request_id"].clone()).collect();
    assert_eq!(results, ids);
    assert_eq!(world.all("status_update").iter().filter(|event| event["status"] == "idle").count(), 1);
}

#[test]
fn a_message_id_is_run_once() {
    let mut world = up();
    let id = world.say("x");
    world.settle();
    world.command_as(&id, Command::UserMessage(message("x")));
    world.settle();
    assert_eq!(world.reply_to(&id)["code"], "duplicate_message");
    assert_eq!(world.all("result").len(), 1);
}

/// The turn was in the log, its id in a piece that was not committed any more: sent again, it was run a second time.
#[test]
fn a_message_whose_turn_was_running_when_the_gateway_died_is_not_run_again() {
    let mut world = World::new();
    world.checker.accepted("a");
    let turn = Some(RunningTurn { id: Some("a".to_owned()) });
    let now = world.now();
    world.state.take_up(Leftover { turn, ..Leftover::default() }, now);
    world.run_effects();
    assert_eq!(world.result_of("a")["error_code"], "agent_exited");
    world.command_as("a", Command::UserMessage(message("x")));
    world.settle();
    assert_eq!(world.reply_to("a")["code"], "duplicate_message");
    assert!(world.told.is_empty());
}

#[test]
fn the_queue_is_bounded_in_messages_and_in_bytes_but_one_message_always_fits() {
    let limits = SessionLimits { max_queue: 2, max_queue_bytes: 40, ..SessionLimits::default() };
    let mut world = World::with(limits, 1);
    world.slots = Slots::Taken;
    let running = world.say(&"x".repeat(1000));
    let queued = world.say(&"x".repeat(1000));
    let refused = world.say("x");
    assert_eq!(world.reply_to(&refused)["code"], "queue_full");
    world.command(Command::Cancel { target_id: queued });
    world.say("a");
    world.say("b");
    let refused = world.say("c");
    assert_eq!(world.reply_to(&refused)["code"], "queue_full");
    world.command(Command::Cancel { target_id: running });
}

#[test]
fn cancelling_a_queued_message_gives_its_result_and_leaves_the_running_one_alone() {
    let mut world = up();
    let running = world.say("x");
    let queued = world.say("y");
    world.command(Command::Cancel { target_id: queued.clone() });
    assert_eq!(world.result_of(&queued)["subtype"], "cancelled");
    world.settle();
    assert_eq!(world.result_of(&running)["subtype"], "success");
}

#[test]
fn a_crash_ends_the_turn_with_its_reason_and_the_queue_goes_on_with_resume() {
    let mut world = up();
    let (id, next) = (world.say("x"), world.say("y"));
    world.step();
    world.crash();
    assert_eq!(world.result_of(&id)["error_code"], "agent_exited");
    assert!(world.result_of(&id)["error"].as_str().unwrap().contains("boom"));
    world.settle();
    assert_eq!(world.result_of(&next)["subtype"], "success");
    assert!(world.plans[1].resume);
    let resumed = world.command(Command::Resume);
    assert_eq!(world.reply_to(&resumed)["code"], "nothing_to_resume");
}

#[test]
fn a_result_before_the_agent_was_told_anything_ends_nothing() {
    // A `--resume` that fails says a result, and only then exits.
    let mut world = up();
    world.say("x");
    world.settle();
    world.crash();
    let id = world.say("y");
    world.spawned(Ok(()));
    world.line(&json!({"type":"result","subtype":"error_during_execution","is_error":true,"uuid":"u",
        "errors":["No conversation found with session ID: x"]}));
    let stderr = "No conversation found with session ID: x".to_owned();
    world.ends(Exit { code: Some(1), stderr, ..Exit::default() });
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    assert!(!world.plans.last().unwrap().resume);
    assert_ne!(world.plans[0].conversation, world.plans.last().unwrap().conversation);
}

#[test]
fn a_cli_that_always_complains_about_its_conversation_is_not_started_for_ever() {
    let mut world = World::new();
    let id = world.say("x");
    for _ in 0..10 {
        if world.spawning.is_some() {
            world.spawned(Ok(()));
            let stderr = "is already in use. No conversation found".to_owned();
            world.ends(Exit { code: Some(1), stderr, ..Exit::default() });
        }
    }
    assert_eq!(world.result_of(&id)["error_code"], "agent_unavailable");
    assert!(world.spawning.is_none());
}

#[test]
fn a_result_that_is_said_twice_does_not_end_the_next_turn() {
    let mut world = World::new();
    world.manners.repeats_results = true;
    let ids = [world.say("x"), world.say("y"), world.say("z")];
    world.settle();
    for id in &ids {
        assert_eq!(world.result_of(id)["subtype"], "success");
    }
    assert_eq!(world.all("result").len(), 3);
}

#[test]
fn a_turn_of_the_agents_own_has_a_result_of_its_own() {
    let mut world = up();
    let agent = world.agent.as_mut().unwrap();
    let steps = [agent.text("news"), vec![super::agent::Step::End]].concat();
    agent.begin_own_turn(steps.into());
    // The agent has begun, but has not said so when the message is sent.
    let id = world.say("x");
    world.settle();
    let results = world.all("result");
    assert_eq!(results.len(), 2);
    assert!(results[0]["request_id"].is_null());
    assert_eq!(results[1]["request_id"], *id);
}

/// The turn may have been the message's own: it was run again by the next agent, tools and all.
#[test]
fn a_message_that_may_have_been_begun_is_not_run_again() {
    for (read, runs) in [(true, 1), (false, 2)] {
        let mut world = up();
        let agent = world.agent.as_mut().unwrap();
        let steps = [agent.text("news"), vec![super::agent::Step::End]].concat();
        agent.begin_own_turn(steps.into());
        let id = world.say("x");
        while world.all("assistant_message_start").is_empty() {
            assert!(world.step());
        }
        assert_eq!(world.all("assistant_message_start")[0]["request_id"], json!(null));
        world.ends(died_before_reading(u64::from(!read)));
        world.settle();
        let result = world.result_of(&id);
        assert_eq!(result["error_code"] == "agent_exited", read, "{result}");
        assert_eq!(world.told.len(), runs);
        assert_eq!(world.all("result").len(), 1);
    }
}

/// They carried the `request_id` of the message that waited.
#[test]
fn events_of_the_agents_own_turn_do_not_stem_from_the_message_that_waits() {
    let mut world = up();
    let agent = world.agent.as_mut().unwrap();
    let steps = [agent.text("news"), vec![super::agent::Step::End]].concat();
    agent.begin_own_turn(steps.into());
    let id = world.say("x");
    world.settle();
    let starts = world.all("assistant_message_start");
    assert_eq!(
        (starts.len(), &starts[0]["request_id"], &starts[1]["request_id"]),
        (2, &json!(null), &json!(id))
    );
    let own_result = world.events.iter().position(|event| event["type"] == "result").unwrap();
    let (own, ours) = world.events.split_at(own_result + 1);
    let of_the_model = |event: &&serde_json::Value| {
        event["type"].as_str().is_some_and(|kind| kind.starts_with("assistant") || kind == "result")
    };
    assert!(own.iter().filter(of_the_model).all(|event| event["request_id"].is_null()), "{own:?}");
    assert!(ours.iter().filter(of_the_model).all(|event| event["request_id"] == id), "{ours:?}");
}

#[test]
fn news_that_the_model_was_told_within_a_turn_begin_no_other() {
    let mut world = up();
    world.say("x");
    world.step();
    world.agent.as_mut().unwrap().hears_of_a_task();
    world.settle();
    let id = world.say("y");
    world.settle();
    assert_eq!(world.all("assistant_message_start")[1]["request_id"], id);
}

#[test]
fn a_turn_that_the_agent_begins_while_it_goes_to_sleep_ends() {
    let mut world = up();
    world.say("x");
    world.settle();
    world.input(Input::Sleep { now: false });
    world.line(&json!({"type":"system","subtype":"init","permissionMode":"default"}));
    assert_eq!(world.checker.status, "thinking");
    world.ends(Exit { signal: Some(9), ..Exit::default() });
    assert_eq!(world.checker.status, "idle");
    assert_eq!(world.all("result").len(), 2);
    assert!(world.spawning.is_none());
}

#[test]
fn a_start_that_fails_three_times_in_a_row_backs_off() {
    let mut world = World::new();
    for _ in 0..3 {
        world.say("x");
        world.spawned(Err("no such file".to_owned()));
    }
    assert_eq!(world.all("result").len(), 3);
    let id = world.say("x");
    assert!(world.spawning.is_none(), "held back");
    assert!(world.events.last().unwrap()["message"].as_str().unwrap().contains("held back"));
    world.pass(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn an_agent_that_does_not_answer_its_greeting_is_given_up() {
    let mut world = World::new();
    world.manners.answers_greeting = false;
    let id = world.say("x");
    world.settle();
    world.pass(Duration::from_secs(61));
    assert_eq!(world.result_of(&id)["error_code"], "agent_unavailable");
    assert!(world.result_of(&id)["error"].as_str().unwrap().contains("--agent-start-timeout"));
}

#[test]
fn a_long_line_and_a_bad_one_are_no_reason_to_stop() {
    let mut world = up();
    let id = world.say("x");
    world.step();
    world.input(Input::Skipped { bytes: 1 << 30 });
    world.line(&json!([1, 2]));
    world.settle();
    assert_eq!(world.all("warning")[0]["code"], "agent_line_skipped");
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn blocks_and_text_reach_the_agent_as_they_came() {
    let mut world = up();
    let blocks = json!([{"type":"text","text":"look"}]);
    let content = serde_json::from_str(&blocks.to_string()).unwrap();
    world.command(Command::UserMessage(UserMessage { content, parent_tool_use_id: None }));
    assert_eq!(world.agent.as_ref().unwrap().queue[0], blocks);
    assert_eq!(world.all("user_message")[0]["content"], blocks);
}

fn died_before_reading(lines: u64) -> Exit {
    Exit { code: Some(1), unread_lines: lines, ..Exit::default() }
}

/// It ended with `agent_exited`, although nobody had begun it.
#[test]
fn a_message_that_the_agent_had_not_read_goes_to_the_next_one() {
    let mut world = up();
    let queued = [world.say("first"), world.say("second")];
    world.ends(died_before_reading(1));
    assert!(world.all("result").is_empty());
    world.settle();
    for id in queued {
        assert_eq!(world.result_of(&id)["subtype"], "success");
    }
    assert!(!world.plans[1].resume, "the first agent knows of no conversation");
    assert_eq!(world.told, ["first", "first", "second"]);
}

#[test]
fn a_message_that_an_agent_may_have_died_of_gets_one_more_and_is_lost_with_that() {
    let mut world = up();
    let id = world.say("x");
    world.command(interrupt());
    world.ends(died_before_reading(0));
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    let id = world.say("y");
    world.settle_start();
    // It had read the message, and not the line after it.
    world.command(Command::ConfigUpdate(serde_json::from_value(json!({"model":"m"})).unwrap()));
    world.ends(died_before_reading(1));
    assert_eq!(world.all("result").len(), 1, "it had not begun it");
    world.settle_start();
    world.ends(died_before_reading(0));
    assert_eq!(world.result_of(&id)["error_code"], "agent_exited");
}

#[test]
fn a_message_that_no_agent_ever_reads_fails_in_the_end() {
    let mut world = up();
    let id = world.say("x");
    let mut agents = 0;
    while world.all("result").is_empty() {
        world.settle_start();
        world.ends(died_before_reading(1));
        agents += 1;
    }
    assert_eq!((agents, &world.result_of(&id)["error_code"]), (4, &json!("agent_exited")));
}
