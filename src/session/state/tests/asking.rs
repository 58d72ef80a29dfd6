//! Turns that ask, and what is said to that.

use serde_json::{Value, json};

use super::agent::Step;
use super::world::World;
use crate::protocol::{Decision, PermissionResponse, PermissionUpdate};
use crate::session::state::{Command, SessionLimits};

/// A session whose agent asks about `tools` in its turn, all at once.
pub(super) fn asking(tools: &[(&str, Value, Value)]) -> (World, String) {
    asking_within(SessionLimits::default(), tools)
}

pub(super) fn asking_within(limits: SessionLimits, tools: &[(&str, Value, Value)]) -> (World, String) {
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

pub(super) fn bash() -> (&'static str, Value, Value) {
    ("Bash", json!({"command":"touch x"}), json!([]))
}

pub(super) fn answer(request_id: &str, decision: Decision) -> PermissionResponse {
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
pub(super) fn again(world: &mut World, tool: &str, input: &Value) {
    world.say("again");
    world.step();
    let agent = world.agent.as_mut().unwrap();
    let mut steps = agent.tool(tool, input, &json!([]));
    steps.push(Step::End);
    agent.script(steps);
    world.settle();
}

pub(super) fn prompts(world: &World) -> Vec<String> {
    let requests = world.all("permission_request");
    requests.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// The answers that the agent heard.
pub(super) fn answers(world: &World) -> Vec<Value> {
    let heard = &world.agent.as_ref().unwrap().heard;
    let answers = heard.iter().filter(|line| line["type"] == "control_response");
    answers.map(|line| line["response"]["response"].clone()).collect()
}

pub(super) fn update(world: &mut World, updates: Value) -> String {
    let updates = serde_json::from_value(updates).unwrap();
    let id = world.command(Command::PermissionUpdate(PermissionUpdate { updates }));
    world.settle();
    id
}

pub(super) fn bash_rules(kind: &str, behavior: &str) -> Value {
    json!([{"type":kind,"behavior":behavior,"rules":[{"toolName":"Bash","ruleContent":"touch:*"}]}])
}
