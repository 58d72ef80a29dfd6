//! Slots, sleep, grace, drain, the end.

use std::time::Duration;

use serde_json::json;

use super::world::{Slots, World};
use crate::agent::Exit;
use crate::protocol::EndReason;
use crate::session::state::{Attach, Closing, Command, Input, ReplayFrom, SessionLimits, Standing};

fn end() -> Command {
    Command::End { reason: None }
}

fn stored() -> World {
    World::with(SessionLimits { stored: true, ..SessionLimits::default() }, 1)
}

#[test]
fn a_new_session_starts_its_agent_only_where_a_slot_is_free() {
    let mut world = World::new();
    world.slots = Slots::Taken;
    world.attach(true);
    assert!(world.spawning.is_none() && !world.grant(), "sessions without a message do not wait in line");
    assert!(world.events.is_empty());
    world.say("x");
    let said = world.events.last().unwrap();
    assert!(said["message"].as_str().unwrap().contains("waiting for a free agent slot"), "{said}");
    assert!(world.grant());
    world.settle();
    assert_eq!(world.checker.status, "idle");
}

#[test]
fn a_full_line_fails_the_message_and_nothing_else() {
    let mut world = World::new();
    world.slots = Slots::Full;
    world.attach(true);
    assert!(world.events.is_empty());
    let id = world.say("x");
    assert_eq!(world.result_of(&id)["error_code"], "agent_unavailable");
    assert!(world.closed.is_none());
}

#[test]
fn an_idle_agent_sleeps_and_the_next_message_wakes_it_with_resume() {
    let mut world = World::new();
    world.attach(true);
    world.say("x");
    world.settle();
    assert_eq!(world.standing, Standing::Resting);
    world.pass(Duration::from_secs(601));
    world.settle();
    assert!(world.agent.is_none());
    let events = world.events.len();
    let id = world.say("y");
    world.settle();
    assert!(world.plans[1].resume);
    assert_eq!(world.plans[0].conversation, world.plans[1].conversation);
    assert_eq!(world.result_of(&id)["subtype"], "success");
    assert!(world.events[events..].iter().all(|event| event["type"] != "warning"), "nobody sees it");
}

#[test]
fn a_message_that_comes_while_the_agent_goes_to_sleep_is_run_by_the_next_one() {
    let mut world = World::new();
    world.say("x");
    world.settle();
    world.input(Input::Sleep { now: false });
    assert_eq!(world.standing, Standing::Leaving);
    let id = world.say("y");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    assert_eq!(world.plans.len(), 2);
}

#[test]
fn an_agent_with_work_does_not_sleep_and_says_so() {
    let mut world = World::new();
    world.say("x");
    world.settle();
    world.say("y");
    assert_eq!(world.standing, Standing::Busy);
    world.input(Input::Sleep { now: false });
    assert_eq!(world.standing, Standing::Busy);
    world.settle();
    assert_eq!(world.standing, Standing::Resting);
}

#[test]
fn an_open_prompt_without_a_turn_keeps_the_agent_up_and_the_clock_quiet() {
    let mut world = World::new();
    world.attach(true);
    world.say("x");
    world.settle();
    world.line(&json!({"type":"control_request","request_id":"u","request":{"subtype":"can_use_tool",
        "tool_name":"Bash","input":{},"tool_use_id":"t"}}));
    assert_eq!(world.checker.status, "waiting_permission");
    assert_eq!(world.standing, Standing::Busy);
    // It was idle since the turn; that must not count any more (`pass` panics over a deadline that stays in the past).
    world.pass(Duration::from_hours(1));
    world.input(Input::Sleep { now: false });
    assert!(world.agent.is_some());
    let prompt = world.checker.prompts.keys().next().unwrap().clone();
    world.command(Command::Cancel { target_id: prompt });
    assert_eq!(world.checker.status, "idle");
    assert_eq!(world.standing, Standing::Resting);
}

#[test]
fn ending_a_session_ends_its_turn_its_queue_and_its_agent() {
    let mut world = World::new();
    world.attach(true);
    world.settle();
    let (running, queued) = (world.say("x"), world.say("y"));
    world.step();
    let ended = world.command(end());
    assert_eq!(world.result_of(&running)["subtype"], "interrupted");
    assert_eq!(world.result_of(&queued)["subtype"], "cancelled");
    assert!(world.closed.is_none(), "it waits for the agent");
    let late = world.say("z");
    assert_eq!(world.reply_to(&late)["code"], "session_ended");
    world.settle();
    assert_eq!(world.closed, Some(Closing::Ended(EndReason::Client)));
    let last = world.events.last().unwrap();
    assert_eq!((&last["type"], &last["reason"]), (&json!("session_ended"), &json!("client")));
    assert_eq!(last["request_id"], *ended);
}

#[test]
fn a_session_that_ends_without_a_process_is_idle_first() {
    let mut world = World::new();
    world.slots = Slots::Taken;
    world.say("x");
    world.command(end());
    assert!(world.closed.is_some());
    let kinds = world.kinds();
    assert_eq!(kinds[kinds.len() - 3..], ["result", "status_update", "session_ended"]);
}

#[test]
fn an_agent_that_is_told_to_stop_while_it_is_being_spawned_stops() {
    for outcome in [Ok(()), Err("no such file".to_owned())] {
        let mut world = World::new();
        world.attach(true);
        assert!(world.spawning.is_some());
        world.command(end());
        assert!(world.closed.is_none());
        world.spawned(outcome);
        world.settle();
        assert_eq!(world.closed, Some(Closing::Ended(EndReason::Client)));
    }
}

#[test]
fn late_lines_after_the_end_say_nothing() {
    let mut world = World::new();
    world.say("x");
    world.spawned(Ok(()));
    while world.all("assistant_message_start").is_empty() {
        world.step();
    }
    world.command(end());
    let events = world.events.len();
    world.line(&json!({"type":"system","subtype":"init"}));
    world.settle();
    assert_eq!(world.events.len(), events + 1, "only session_ended");
}

#[test]
fn a_session_that_never_ran_goes_when_its_last_client_goes() {
    let mut world = stored();
    world.attach(true);
    world.settle();
    world.input(Input::Attached(0));
    world.settle();
    assert_eq!(world.closed, Some(Closing::Removed));
}

#[test]
fn a_session_that_nobody_ever_attached_to_goes_after_the_grace() {
    let mut world = World::new();
    world.pass(Duration::from_secs(601));
    assert_eq!(world.closed, Some(Closing::Removed));
}

/// The deadline and the word of the new connection may both be there; whichever is taken first, the session stays.
#[test]
fn who_attaches_at_the_end_of_the_grace_finds_the_session_up() {
    for ran in [false, true] {
        let mut world = stored();
        world.attach(true);
        world.settle();
        if ran {
            world.say("x");
            world.settle();
            world.input(Input::Attached(0));
        } else {
            world = stored();
        }
        let deadline = world.state.deadline().unwrap();
        world.instant = deadline;
        let attach = Attach { from: ReplayFrom::default(), options: None, created: false };
        world.command(Command::Attach(attach));
        let agent = world.agent.is_some();
        world.input(Input::Tick);
        world.input(Input::Attached(1));
        assert!(world.closed.is_none(), "it went to rest under its client");
        assert_eq!(json!(world.state.summary().status), "active");
        assert_eq!(agent, ran);
    }
}

/// Whoever wanted it waited until its agent was gone, and with them everything else on their connections.
#[test]
fn a_session_that_goes_to_rest_stays_when_it_is_wanted() {
    for ends in [false, true] {
        let mut world = stored();
        world.attach(true);
        world.say("x");
        world.settle();
        world.input(Input::Attached(0));
        world.pass(Duration::from_secs(601));
        assert!(world.closed.is_none(), "the agent has not gone yet");
        assert_eq!(json!(world.state.summary().status), "dormant");
        world.command(Command::ConfigQuery);
        assert_eq!(json!(world.state.summary().status), "dormant", "who only looks does not want it");
        if ends {
            let ended = world.command(end());
            world.settle();
            assert_eq!(world.closed, Some(Closing::Ended(EndReason::Client)));
            assert_eq!(world.events.last().unwrap()["request_id"], ended);
            continue;
        }
        world.attach(false);
        let id = world.say("y");
        world.settle();
        assert_eq!(world.result_of(&id)["subtype"], "success");
        assert_eq!((world.plans.len(), world.plans[1].resume), (2, true));
        assert!(world.closed.is_none());
        assert!(world.all("warning").is_empty(), "nobody sees it");
        // And the next time it goes.
        world.input(Input::Attached(0));
        world.pass(Duration::from_secs(601));
        world.settle();
        assert_eq!(world.closed, Some(Closing::Dormant));
    }
}

#[test]
fn a_session_that_goes_to_rest_goes_when_the_server_goes_down() {
    let mut world = stored();
    world.attach(true);
    world.say("x");
    world.settle();
    world.input(Input::Attached(0));
    world.pass(Duration::from_secs(601));
    world.input(Input::Drain { until: world.instant });
    let late = world.say("y");
    assert_eq!(world.reply_to(&late)["code"], "agent_unavailable");
    world.settle();
    assert_eq!(world.closed, Some(Closing::Dormant));
}

#[test]
fn a_session_that_is_removed_is_none_any_more() {
    let mut world = stored();
    world.attach(true);
    world.settle();
    assert!(!world.state.is_being_removed());
    world.input(Input::Attached(0));
    assert!(world.closed.is_none() && world.state.is_being_removed());
    let late = world.say("x");
    assert_eq!(world.reply_to(&late)["code"], "unknown_session");
    world.settle();
    assert_eq!(world.closed, Some(Closing::Removed));
}

#[test]
fn nothing_new_begins_while_the_server_goes_down() {
    let mut world = stored();
    world.attach(true);
    world.settle();
    world.input(Input::Drain { until: world.instant });
    let id = world.say("x");
    assert_eq!(world.reply_to(&id)["code"], "agent_unavailable");
    world.settle();
    assert!(world.closed.is_some());
}

#[test]
fn work_goes_on_when_nobody_is_there_and_then_the_session_rests() {
    let mut world = stored();
    world.attach(true);
    world.settle();
    let id = world.say("x");
    world.input(Input::Attached(0));
    world.pass(Duration::from_secs(700));
    assert!(world.closed.is_none());
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    world.pass(Duration::ZERO);
    world.settle();
    assert_eq!(world.closed, Some(Closing::Dormant));
    assert!(world.state.record().clean);
}

#[test]
fn without_a_store_a_session_is_dormant_in_memory_and_its_agent_gone() {
    let mut world = World::new();
    world.attach(true);
    world.say("x");
    world.settle();
    world.input(Input::Attached(0));
    world.pass(Duration::from_secs(601));
    world.settle();
    assert!(world.closed.is_none() && world.agent.is_none());
    assert_eq!(json!(world.state.summary().status), "dormant");
    world.attach(false);
    assert_eq!(json!(world.state.summary().status), "active");
    world.input(Input::Attached(0));
    world.pass(Duration::from_secs(601));
    world.pass(Duration::from_hours(192));
    assert_eq!(world.closed, Some(Closing::Removed));
}

#[test]
fn a_drain_lets_the_turn_end_and_then_closes() {
    for is_stored in [false, true] {
        let mut world = World::with(SessionLimits { stored: is_stored, ..SessionLimits::default() }, 1);
        let id = world.say("x");
        world.spawned(Ok(()));
        world.step();
        world.input(Input::Drain { until: world.instant + Duration::from_secs(30) });
        let refused = world.say("y");
        assert_eq!(world.reply_to(&refused)["code"], "agent_unavailable");
        world.settle();
        assert_eq!(world.result_of(&id)["subtype"], "success");
        let closing = if is_stored { Closing::Dormant } else { Closing::Ended(EndReason::Shutdown) };
        assert_eq!(world.closed, Some(closing));
    }
}

#[test]
fn a_drain_that_runs_out_interrupts_and_begins_nothing_new() {
    let mut world = stored();
    let (running, queued) = (world.say("x"), world.say("y"));
    world.spawned(Ok(()));
    while !world.agent.as_ref().unwrap().is_in_turn() {
        world.step();
    }
    world.input(Input::Drain { until: world.instant + Duration::from_secs(30) });
    world.pass(Duration::from_secs(30));
    let told = world.heard();
    world.settle();
    assert_eq!(told.iter().filter(|said| *said == "user").count(), 1);
    assert_eq!(world.result_of(&running)["subtype"], "interrupted");
    assert_eq!(world.result_of(&queued)["subtype"], "cancelled");
    assert_eq!(world.closed, Some(Closing::Dormant));
}

#[test]
fn a_crash_during_a_drain_closes_too() {
    let mut world = stored();
    let id = world.say("x");
    world.spawned(Ok(()));
    while !world.agent.as_ref().unwrap().is_in_turn() {
        world.step();
    }
    world.input(Input::Drain { until: world.instant + Duration::from_secs(30) });
    world.ends(Exit { signal: Some(11), ..Exit::default() });
    assert_eq!(world.result_of(&id)["is_error"], true);
    assert_eq!(world.closed, Some(Closing::Dormant));
}

#[test]
fn an_agent_that_reads_no_more_is_killed() {
    let mut world = World::new();
    let id = world.say("x");
    world.spawned(Ok(()));
    while !world.agent.as_ref().unwrap().is_in_turn() {
        world.step();
    }
    world.input(Input::Unresponsive);
    assert_eq!(world.result_of(&id)["error_code"], "agent_exited");
}

/// It took the whole ladder: an agent that is still coming up heeds neither the interrupt nor the end of its input.
#[test]
fn an_end_does_not_wait_for_an_agent_that_is_coming_up() {
    let mut world = World::new();
    world.attach(true);
    world.manners.answers_greeting = false;
    world.spawned(Ok(()));
    assert!(world.agent.is_some());
    world.command(end());
    assert_eq!(world.closed, Some(Closing::Ended(EndReason::Client)));
    // Nor for one that is just being started.
    let mut world = World::new();
    world.attach(true);
    world.command(end());
    assert!(world.spawning.is_some() && world.closed.is_none());
    world.spawned(Ok(()));
    assert_eq!(world.closed, Some(Closing::Ended(EndReason::Client)));
}

#[test]
fn the_end_is_on_record_before_the_agent_is_gone() {
    let mut world = stored();
    world.attach(true);
    world.settle();
    let id = world.say("x");
    world.command(end());
    assert!(world.closed.is_none() && world.agent.is_some());
    assert!(world.state.has_ended());
    let record = world.record.clone().unwrap();
    assert!(record.unfinished.is_empty() && record.last_seq == world.state.position().last_seq());
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
}
