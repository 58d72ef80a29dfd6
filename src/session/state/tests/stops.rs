//! Interrupts: a turn that is to stop, and what it has to say about that.

use std::time::Duration;

use serde_json::json;

use super::agent::Manners;
use super::turns::{interrupt, up};
use super::world::{Slots, World};
use crate::session::state::Command;

/// An agent that heeds no interrupts has just been told a message, whose id this gives.
fn deaf_at_work() -> (World, String) {
    let mut world = World::new();
    world.manners.heeds_interrupts = false;
    let id = world.say("x");
    world.settle_start();
    (world, id)
}

#[test]
fn an_interrupt_before_the_agent_was_told_ends_the_turn_at_once() {
    let mut world = World::new();
    world.slots = Slots::Taken;
    let id = world.say("x");
    world.command(interrupt());
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    assert_eq!(world.all("interrupted")[0]["outcome"], "interrupted");
    // Nobody waits for a slot any more.
    assert!(!world.grant());
    world.slots = Slots::Free;
    let resumed = world.command(Command::Resume);
    world.settle();
    assert_eq!(world.result_of(&resumed)["subtype"], "success");
}

#[test]
fn an_interrupt_in_the_middle_of_text_completes_the_message() {
    let mut world = up();
    let id = world.say("x");
    while world.all("assistant_message_delta").is_empty() {
        world.step();
    }
    world.command(interrupt());
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    assert_eq!(world.result_of(&id)["is_error"], false);
    assert_eq!(world.all("assistant_message_complete").last().unwrap()["stop_reason"], "interrupted");
    let next = world.say("y");
    world.settle();
    assert_eq!(world.result_of(&next)["subtype"], "success");
}

#[test]
fn an_interrupt_that_is_not_heeded_is_said_again_and_then_enforced() {
    let mut world = World::new();
    world.manners = Manners { heeds_interrupts: false, hangs: true, ..Manners::default() };
    let id = world.say("x");
    world.settle();
    world.agent.as_mut().unwrap().manners.hangs = true;
    world.command(interrupt());
    world.pass(Duration::from_secs(3));
    assert_eq!(world.heard().iter().filter(|said| *said == "interrupt").count(), 4);
    world.manners = Manners::default();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    assert_eq!(world.all("interrupted")[0]["outcome"], "agent_killed");
    let next = world.say("y");
    world.settle();
    assert_eq!(world.result_of(&next)["subtype"], "success");
    assert_eq!(world.all("warning")[0]["code"], "agent_restarted");
    assert!(world.plans[1].resume);
}

/// It said nothing but that, between a tool and what the model makes of it; the interrupt came again only after a second.
#[test]
fn an_agent_that_asks_the_model_on_is_interrupted_again_before_a_second_has_passed() {
    let mut world = up();
    world.agent.as_mut().unwrap().manners.heeds_interrupts = false;
    world.say("x");
    world.step();
    let said = |world: &World| world.heard().iter().filter(|said| *said == "interrupt").count();
    world.command(interrupt());
    let before = said(&world);
    world.pass(Duration::from_millis(100));
    world.line(&json!({"type":"system","subtype":"status","status":"requesting"}));
    assert_eq!(said(&world), before + 1);
}

/// The agent had the interrupt before it began the turn, and ran all of it.
#[test]
fn an_interrupt_that_overtakes_the_turn_is_said_again_when_it_begins() {
    let mut world = up();
    let id = world.say("x");
    world.command(interrupt());
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    assert_eq!(world.all("interrupted")[0]["outcome"], "interrupted");
    assert!(world.all("assistant_message_start").is_empty());
}

#[test]
fn an_agent_that_talks_on_is_interrupted_again_before_a_second_has_passed() {
    let (mut world, id) = deaf_at_work();
    while world.all("assistant_message_delta").is_empty() {
        world.step();
    }
    let said = |world: &World| world.heard().iter().filter(|said| *said == "interrupt").count();
    world.command(interrupt());
    world.step();
    assert_eq!(said(&world), 1, "not with every line");
    world.pass(Duration::from_millis(100));
    world.step();
    assert_eq!(said(&world), 2);
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn no_tool_is_asked_about_in_a_turn_that_is_to_stop() {
    let (mut world, id) = deaf_at_work();
    world.step();
    world.command(interrupt());
    world.agent.as_mut().unwrap().ask_in_background();
    world.settle();
    assert!(world.all("permission_request").is_empty());
    let agent = world.agent.as_ref().unwrap();
    let denial = agent.heard.iter().find(|line| line["response"]["response"]["behavior"] == "deny").unwrap();
    assert_eq!(denial["response"]["response"]["interrupt"], true);
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

/// It came before the `result`.
#[test]
fn that_there_was_nothing_to_stop_any_more_is_said_after_the_result() {
    let (mut world, _) = deaf_at_work();
    let asked = world.command(interrupt());
    world.settle();
    let kinds = world.kinds();
    assert_eq!(kinds[kinds.len() - 3..], ["result", "interrupted", "status_update"]);
    let interrupted = world.all("interrupted")[0];
    assert_eq!(
        (&interrupted["outcome"], &interrupted["request_id"]),
        (&json!("nothing_running"), &json!(asked))
    );
}

/// Those after the sixteenth got none.
#[test]
fn every_interrupt_of_a_turn_is_answered() {
    let mut world = up();
    world.say("x");
    world.step();
    let asked: Vec<_> = (0..300).map(|_| world.command(interrupt())).collect();
    world.settle();
    let events = world.all("interrupted");
    assert_eq!(events.len(), 256);
    for (event, id) in events.iter().zip(&asked) {
        assert_eq!((&event["request_id"], &event["outcome"]), (&json!(id), &json!("interrupted")));
    }
    for id in &asked[256..] {
        assert_eq!(world.reply_to(id)["code"], "rate_limited");
    }
}

#[test]
fn nothing_running_is_a_reply() {
    let mut world = up();
    let id = world.command(interrupt());
    assert_eq!(world.reply_to(&id)["outcome"], "nothing_running");
    let id = world.command(Command::Cancel { target_id: "nothing".to_owned() });
    assert_eq!(world.reply_to(&id)["code"], "unknown_request");
    let id = world.command(Command::Resume);
    assert_eq!(world.reply_to(&id)["code"], "nothing_to_resume");
}
