//! The conversation that the agent says it is in, and settings that it changed itself.

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::World;
use crate::agent::Exit;
use crate::protocol::Effort;
use crate::session::state::{Closing, Input, SessionLimits};

const NEXT: &str = "5f0c7f54-2c39-4c62-8d5e-5c1f0a3e7b11";

/// A session whose agent is up and rests, and whose lines are the test's from now on.
fn up(limits: SessionLimits) -> World {
    let mut world = World::with(limits, 1);
    world.attach(true);
    world.say("first");
    world.settle();
    world
}

/// A message that the agent gets and of which the test says what it does.
fn told(world: &mut World, text: &str) -> String {
    let id = world.say(text);
    world.agent.as_mut().unwrap().queue.clear();
    id
}

fn init(conversation: &str) -> Value {
    json!({"type":"system","subtype":"init","model":"m","permissionMode":"default","session_id":conversation,
        "claude_code_version":"2.1.330"})
}

fn result(conversation: &str, command: &str) -> Value {
    json!({"type":"result","subtype":"success","num_turns":0,"result":"","local_command":command,
        "session_id":conversation,"total_cost_usd":0})
}

/// What the agent was asked last, answered.
fn answer(world: &World, subtype: &str, response: &Value) -> Value {
    let heard = &world.agent.as_ref().unwrap().heard;
    let asked = heard.iter().rfind(|line| line["request"]["subtype"] == subtype).expect("it was asked");
    json!({"type":"control_response","response":
        {"subtype":"success","request_id":asked["request_id"],"response":response}})
}

#[test]
fn the_next_process_has_the_conversation_that_the_last_one_was_in() {
    let mut world = up(SessionLimits::default());
    let before = world.plans[0].conversation;
    let id = told(&mut world, "/clear");
    // The id in here is not the conversation's.
    world.line(&json!({"type":"conversation_reset","new_conversation_id":Uuid::new_v4().to_string()}));
    assert!(world.all("conversation_reset").is_empty(), "not before it is there");
    world.line(&init(NEXT));
    world.line(&result(NEXT, "clear"));
    let resets = world.all("conversation_reset");
    assert_eq!(
        (resets.len(), &resets[0]["reason"], &resets[0]["request_id"]),
        (1, &json!("clear"), &json!(id))
    );
    assert_eq!(world.record.as_ref().unwrap().conversation.to_string(), NEXT, "it is on record");
    world.crash();
    world.say("next");
    let plan = world.plans.last().unwrap();
    assert_ne!(plan.conversation, before);
    assert_eq!((plan.conversation.to_string().as_str(), plan.resume), (NEXT, true));
}

/// It dies in the middle of `/clear`: the conversation is the old one, and nobody was told otherwise.
#[test]
fn a_clear_that_did_not_come_to_be_changes_nothing() {
    let mut world = up(SessionLimits::default());
    told(&mut world, "/clear");
    world.line(&json!({"type":"conversation_reset","new_conversation_id":NEXT}));
    let before = world.plans[0].conversation;
    world.ends(Exit { code: Some(1), ..Exit::default() });
    world.settle();
    assert!(world.all("conversation_reset").is_empty());
    assert_eq!(world.plans.last().unwrap().conversation, before);
}

/// The `result` of a start that failed speaks of a conversation that is nobody's.
#[test]
fn a_start_that_fails_names_no_conversation() {
    let mut world = World::new();
    world.say("first");
    world.spawned(Ok(()));
    world
        .line(&json!({"type":"result","subtype":"error_during_execution","is_error":true,"session_id":NEXT}));
    assert_ne!(world.record.as_ref().unwrap().conversation.to_string(), NEXT);
    world.settle();
    for odd in [json!(7), json!(null), json!("none"), json!("")] {
        let mut line = init(NEXT);
        line["session_id"] = odd;
        world.line(&line);
    }
    assert!(world.all("conversation_reset").is_empty());
}

#[test]
fn a_command_that_changes_the_model_changes_the_configuration() {
    let mut world = up(SessionLimits::default());
    let conversation = world.plans[0].conversation.to_string();
    let applied = |model: &str, effort: Value| json!({"applied":{"model":model,"effort":effort}});
    for (command, applied, expected) in [
        // What is in force anyway is nobody's choice.
        ("model", applied("m", json!("high")), (None, None)),
        ("model", applied("other", json!("high")), (Some("other"), None)),
        ("effort", applied("other", json!("low")), (Some("other"), Some(Effort::Low))),
        // Of one that has none.
        ("model", applied("small", json!(null)), (Some("small"), Some(Effort::Low))),
        ("effort", applied("small", json!(null)), (Some("small"), None)),
        ("effort", applied("small", json!("no such")), (Some("small"), None)),
    ] {
        told(&mut world, "/x");
        world.line(&init(&conversation));
        world.line(&result(&conversation, command));
        let line = answer(&world, "get_settings", &applied);
        world.line(&line);
        let config = world.state.config();
        assert_eq!((config.model.as_deref(), config.effort), expected, "{command} {applied}");
    }
    assert_eq!(world.all("config_updated").len(), 4, "and only changes are told");
    world.crash();
    world.say("next");
    assert_eq!(world.plans.last().unwrap().config.model.as_deref(), Some("small"));
}

/// The answer came after the last words, and was lost.
#[test]
fn what_a_command_changed_is_learned_on_the_way_to_rest() {
    let mut world = up(SessionLimits { stored: true, ..SessionLimits::default() });
    let conversation = world.plans[0].conversation.to_string();
    told(&mut world, "/model other");
    world.line(&init(&conversation));
    world.line(&result(&conversation, "model"));
    world.input(Input::Drain { until: world.instant });
    let line = answer(&world, "get_settings", &json!({"applied":{"model":"other","effort":"low"}}));
    world.line(&line);
    world.ends(Exit { code: Some(0), requested: true, ..Exit::default() });
    assert_eq!(world.closed, Some(Closing::Dormant));
    assert_eq!(world.record.as_ref().unwrap().config.model.as_deref(), Some("other"));
}
