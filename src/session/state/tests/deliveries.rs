//! Which of the agent's turns is about which message, in the orders that its lines can come in; what came of a compaction; what holds up
//! a turn; what the model is told of a refusal that ended the turn.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::World;
use crate::protocol::PermissionResponse;
use crate::session::state::{Command, Input, SessionLimits};

/// A session whose agent is up and rests; its lines are the test's from now on.
fn up() -> World {
    let mut world = World::with(SessionLimits { stored: true, ..SessionLimits::default() }, 1);
    world.attach(true);
    world.say("first");
    world.settle();
    world
}

/// A message that the agent is sent: its id, and the `uuid` that the agent knows it by.
fn sent(world: &mut World, text: &str) -> (String, String) {
    let id = world.say(text);
    (id, last_uuid(world))
}

/// A line of the agent's.
fn says(world: &mut World, line: &Value) {
    world.state.line(line.to_string().as_bytes(), world.now());
    world.run_effects();
}

fn last_uuid(world: &mut World) -> String {
    let agent = world.agent.as_mut().unwrap();
    agent.queue.clear();
    let line = agent.heard.iter().rfind(|line| line["type"] == "user").unwrap();
    line["uuid"].as_str().unwrap().to_owned()
}

fn news(world: &mut World, uuid: &str, state: &str) {
    says(world, &json!({"type":"command_lifecycle","command_uuid":uuid,"state":state}));
}

fn init(world: &mut World) {
    says(world, &json!({"type":"system","subtype":"init","model":"m","permissionMode":"default"}));
}

fn text(world: &mut World, id: &str, text: &str) {
    let block = json!({"id":id,"model":"m","content":[{"type":"text","text":text}]});
    says(world, &json!({"type":"assistant","message":block}));
}

fn result(world: &mut World, uuids: &[&str], more: &Value) {
    let mut line =
        json!({"type":"result","subtype":"success","num_turns":1,"result":"r","user_message_uuids":uuids});
    line.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    says(world, &line);
}

/// Whom the text with these words, and the result after it, name.
fn stems(world: &World, words: &str) -> (Value, Value) {
    let at = world.events.iter().position(|event| event["delta"]["text"] == *words).expect("it was said");
    let result = world.events[at..].iter().find(|event| event["type"] == "result").expect("it ended");
    (world.events[at]["request_id"].clone(), result["request_id"].clone())
}

fn interrupt(world: &mut World) -> String {
    world.command(Command::Interrupt { reason: None, tasks: false })
}

/// The schedule's answer was taken for the message's, and that lagged behind from then on.
#[test]
fn a_schedule_that_fires_as_a_message_comes_is_its_own() {
    let mut world = up();
    // Once the agent has said what becomes of messages, that is what counts.
    for round in 0..3 {
        let (first, uuid) = sent(&mut world, "one");
        let second = world.say("two");
        if round != 1 {
            news(&mut world, &uuid, "queued");
        }
        init(&mut world);
        if round == 1 {
            // It may have begun before it read the message.
            news(&mut world, &uuid, "queued");
        }
        text(&mut world, &format!("own{round}"), &format!("own {round}"));
        result(&mut world, &[], &json!({"origin": null}));
        news(&mut world, &uuid, "started");
        init(&mut world);
        text(&mut world, &format!("msg{round}"), &format!("answer {round}"));
        result(&mut world, &[&uuid], &json!({}));
        news(&mut world, &uuid, "completed");
        let uuid = last_uuid(&mut world);
        news(&mut world, &uuid, "queued");
        news(&mut world, &uuid, "started");
        init(&mut world);
        text(&mut world, &format!("next{round}"), &format!("next {round}"));
        result(&mut world, &[&uuid], &json!({}));
        assert_eq!(stems(&world, &format!("own {round}")), (json!(null), json!(null)));
        assert_eq!(stems(&world, &format!("answer {round}")), (json!(first), json!(first)));
        assert_eq!(stems(&world, &format!("next {round}")), (json!(second), json!(second)));
        assert_eq!(world.checker.status, "idle");
    }
}

/// In a process that has not said so before: the turn began before the agent had read anything.
#[test]
fn the_first_message_of_a_process_is_not_taken_for_one_of_its_own() {
    let mut world = World::new();
    let id = world.say("first");
    world.spawned(Ok(()));
    assert!(world.step(), "it answers the greeting");
    let uuid = last_uuid(&mut world);
    init(&mut world);
    news(&mut world, &uuid, "queued");
    text(&mut world, "own", "own");
    result(&mut world, &[], &json!({}));
    news(&mut world, &uuid, "started");
    init(&mut world);
    text(&mut world, "msg", "answer");
    result(&mut world, &[&uuid], &json!({}));
    assert_eq!(stems(&world, "own"), (json!(null), json!(null)));
    assert_eq!(stems(&world, "answer"), (json!(id), json!(id)));
}

/// The message's result was that of the agent's own turn, by its origin, and its own never came.
#[test]
fn a_message_that_is_folded_into_the_agents_own_turn_has_its_result() {
    let mut world = up();
    let (id, uuid) = sent(&mut world, "one");
    news(&mut world, &uuid, "queued");
    init(&mut world);
    text(&mut world, "own", "own");
    news(&mut world, &uuid, "started");
    text(&mut world, "msg", "answer");
    news(&mut world, &uuid, "completed");
    result(&mut world, &[&uuid], &json!({"origin":{"kind":"task-notification"}}));
    assert_eq!(stems(&world, "own").0, json!(null));
    assert_eq!(stems(&world, "answer"), (json!(id), json!(id)));
    assert_eq!(world.checker.status, "idle");
}

#[test]
fn each_delivery_has_a_uuid_of_its_own() {
    let mut world = up();
    let (id, uuid) = sent(&mut world, "one");
    world.crash();
    world.spawned(Ok(()));
    assert!(world.step());
    let again = last_uuid(&mut world);
    assert_ne!(again, uuid, "one that was seen before gets no turn");
    news(&mut world, &again, "queued");
    news(&mut world, &again, "started");
    init(&mut world);
    result(&mut world, &[&again], &json!({}));
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

/// It waited for ever.
#[test]
fn a_message_that_the_agent_does_nothing_with_fails() {
    let mut world = up();
    let (id, uuid) = sent(&mut world, "one");
    news(&mut world, &uuid, "completed");
    assert_eq!(world.result_of(&id)["error_code"], "execution");
    assert_eq!(world.checker.status, "idle");
}

/// The agent was killed after ten seconds.
#[test]
fn an_interrupt_before_the_turn_begins_takes_effect_at_once() {
    for answered_first in [false, true] {
        let mut world = up();
        let (id, uuid) = sent(&mut world, "one");
        news(&mut world, &uuid, "queued");
        let asked = interrupt(&mut world);
        let request = world.agent.as_ref().unwrap().heard.last().unwrap().clone();
        assert_eq!(request["request"], json!({"subtype":"interrupt","cancel_queued":true}));
        let response = json!({"type":"control_response","response":{"subtype":"success",
            "request_id":request["request_id"],"response":{"still_queued":[],"cancelled":[uuid]}}});
        if answered_first {
            says(&mut world, &response);
        }
        news(&mut world, &uuid, "cancelled");
        says(&mut world, &response);
        assert_eq!(world.result_of(&id)["subtype"], "interrupted");
        let outcome = world.events.iter().find(|event| event["request_id"] == asked).unwrap();
        assert_eq!(outcome["outcome"], "interrupted");
        assert!(world.agent.is_some(), "and the agent lives");
        // Begun, it is interrupted as ever: what waits in the agent then is not ours.
        let (_, uuid) = sent(&mut world, "two");
        news(&mut world, &uuid, "started");
        init(&mut world);
        interrupt(&mut world);
        let request = world.agent.as_ref().unwrap().heard.last().unwrap().clone();
        assert_eq!(request["request"], json!({"subtype":"interrupt"}));
    }
}

#[test]
fn an_interrupt_while_the_agents_own_turn_runs_ends_both() {
    let mut world = up();
    let (id, uuid) = sent(&mut world, "one");
    news(&mut world, &uuid, "queued");
    init(&mut world);
    text(&mut world, "own", "own");
    interrupt(&mut world);
    news(&mut world, &uuid, "cancelled");
    result(
        &mut world,
        &[],
        &json!({"subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_streaming"}),
    );
    let results: Vec<_> =
        world.all("result").iter().rev().take(2).map(|end| end["subtype"].clone()).collect();
    assert_eq!(results, ["interrupted", "interrupted"]);
    assert_eq!(stems(&world, "own"), (json!(null), json!(null)));
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    assert_eq!(world.checker.status, "idle");
}

fn status(world: &mut World, fields: &Value) {
    let mut line = json!({"type":"system","subtype":"status"});
    line.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    says(world, &line);
}

/// All of these were `success`.
#[test]
fn what_came_of_compact() {
    let compact = json!({"local_command":"compact","num_turns":0,"result":""});
    let old = json!({"num_turns":0,"result":"Error: No messages to compact"});
    for (more, said, interrupted, expected) in [
        (&compact, Some(json!({"compact_result":"success"})), false, ("success", json!(null), json!(null))),
        (&compact, Some(json!({"compact_result":"success"})), true, ("success", json!(null), json!(null))),
        (
            &compact,
            Some(json!({"compact_result":"failed","compact_error":"API Error"})),
            false,
            ("error", json!("compact_failed"), json!("API Error")),
        ),
        (
            &compact,
            Some(json!({"compact_result":"failed","compact_error":"aborted"})),
            true,
            ("interrupted", json!(null), json!(null)),
        ),
        (
            &compact,
            None,
            false,
            ("error", json!("compact_failed"), json!("Claude Code did not compact the conversation")),
        ),
        (&old, None, false, ("error", json!("compact_failed"), json!("Error: No messages to compact"))),
    ] {
        let mut world = up();
        let (id, uuid) = sent(&mut world, "/compact with words");
        if said.is_some() {
            news(&mut world, &uuid, "started");
            status(&mut world, &json!({"status":"compacting"}));
            assert_eq!(world.checker.status, "compacting");
        }
        let asked = interrupted.then(|| interrupt(&mut world));
        if let Some(said) = said {
            status(&mut world, &said);
        }
        init(&mut world);
        result(&mut world, &[&uuid], more);
        let end = world.result_of(&id).clone();
        assert_eq!(
            (end["subtype"].as_str().unwrap(), end["error_code"].clone(), end["error"].clone()),
            expected
        );
        if let Some(asked) = asked {
            let outcome = world.events.iter().find(|event| event["request_id"] == asked).unwrap();
            let came = if expected.0 == "success" { "nothing_running" } else { "interrupted" };
            assert_eq!(outcome["outcome"], came);
        }
        assert_eq!(world.checker.status, "idle");
    }
}

/// A context that grew too large, in the middle of a turn: the turn's own end counts.
#[test]
fn a_compaction_within_a_turn_does_not_decide_how_that_ends() {
    let mut world = up();
    let (id, uuid) = sent(&mut world, "hello");
    news(&mut world, &uuid, "started");
    init(&mut world);
    status(&mut world, &json!({"status":"compacting"}));
    assert_eq!(world.checker.status, "compacting");
    status(&mut world, &json!({"status":null,"compact_result":"failed","compact_error":"no"}));
    assert_eq!(world.checker.status, "thinking");
    result(&mut world, &[&uuid], &json!({}));
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

/// It was plainly "thinking", for half a minute.
#[test]
fn servers_that_hold_up_a_turn_are_named() {
    let mut world = up();
    let (id, uuid) = sent(&mut world, "hello");
    news(&mut world, &uuid, "queued");
    let told = |world: &mut World, servers: Value| {
        world.pass(Duration::from_secs(1));
        let request = world.agent.as_ref().unwrap().heard.last().unwrap().clone();
        assert_eq!(request["request"]["subtype"], "mcp_status");
        says(
            world,
            &json!({"type":"control_response","response":{"subtype":"success",
            "request_id":request["request_id"],"response":{"mcpServers":servers}}}),
        );
        world.events.last().unwrap().clone()
    };
    let pending = |name: &str| json!({"name":name,"status":"pending"});
    let update =
        told(&mut world, json!([pending("slow"), {"name":"quick","status":"connected"}, pending("late")]));
    assert_eq!((&update["status"], &update["request_id"]), (&json!("starting"), &json!(id)));
    assert_eq!(update["message"], "waiting for MCP servers: slow, late");
    let events = world.events.len();
    told(&mut world, json!([pending("slow"), pending("late")]));
    assert_eq!(world.events.len(), events, "once");
    assert_eq!(told(&mut world, json!([pending("late")]))["message"], "waiting for MCP servers: late");
    news(&mut world, &uuid, "started");
    assert_eq!(world.checker.status, "thinking");
    init(&mut world);
    world.pass(Duration::from_secs(5));
    let asked =
        world.agent.as_ref().unwrap().heard.iter().filter(|line| line["request"]["subtype"] == "mcp_status");
    assert_eq!(asked.count(), 3, "and no more, once it has begun");
    result(&mut world, &[&uuid], &json!({}));
}

/// Claude Code passes it on to nobody.
#[test]
fn why_a_call_was_refused_reaches_the_model_with_the_next_message() {
    let mut world = up();
    let (id, uuid) = sent(&mut world, "do it");
    news(&mut world, &uuid, "started");
    init(&mut world);
    says(
        &mut world,
        &json!({"type":"control_request","request_id":"p","request":{"subtype":"can_use_tool",
        "tool_name":"Bash","input":{"command":"rm x"},"tool_use_id":"toolu_p"}}),
    );
    let prompt = world.all("permission_request")[0]["id"].as_str().unwrap().to_owned();
    let deny = json!({"request_id":prompt,"decision":"deny","explanation":"use y","interrupt":true});
    let deny: PermissionResponse = serde_json::from_value(deny).unwrap();
    world.command(Command::PermissionResponse(deny));
    result(
        &mut world,
        &[&uuid],
        &json!({"subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"}),
    );
    assert_eq!(world.result_of(&id)["subtype"], "interrupted");
    let content = |world: &World| {
        let heard = &world.agent.as_ref().unwrap().heard;
        heard.iter().rfind(|line| line["type"] == "user").unwrap()["message"]["content"].clone()
    };
    let end = |world: &mut World, uuid: &str| {
        news(world, uuid, "started");
        init(world);
        result(world, &[uuid], &json!({}));
    };
    // A slash command is left alone.
    let (_, uuid) = sent(&mut world, "/context");
    assert_eq!(content(&world), "/context");
    news(&mut world, &uuid, "started");
    init(&mut world);
    result(&mut world, &[&uuid], &json!({"num_turns":0}));
    let note = "[The user refused the call of Bash and ended the turn: use y]";
    let told = json!([{"type":"text","text":note},{"type":"text","text":"go on"}]);
    sent(&mut world, "go on");
    assert_eq!(content(&world), told);
    // It was not begun: the next agent is told the same, also after the gateway was restarted.
    assert_eq!(world.record.as_ref().unwrap().note.as_deref(), Some(note));
    world.crash();
    world.spawned(Ok(()));
    assert!(world.step());
    assert_eq!(content(&world), told);
    let uuid = last_uuid(&mut world);
    news(&mut world, &uuid, "queued");
    end(&mut world, &uuid);
    let (_, uuid) = sent(&mut world, "more");
    assert_eq!(content(&world), "more", "once");
    end(&mut world, &uuid);
    world.input(Input::Tick);
}
