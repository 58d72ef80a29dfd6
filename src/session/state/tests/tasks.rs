//! Tasks: told, bounded, and no part of turns that are not theirs.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::World;
use crate::session::state::{Closing, Command, Input, SessionLimits, Standing};

/// A world whose agent is up and has had a turn.
fn world() -> World {
    let mut world = World::with(SessionLimits::default(), 1);
    world.attach(true);
    world.say("do 1");
    world.settle();
    world
}

impl World {
    fn system(&mut self, subtype: &str, fields: &Value) {
        let mut line = json!({"type": "system", "subtype": subtype});
        for (key, value) in fields.as_object().unwrap() {
            line[key] = value.clone();
        }
        self.line(&line);
    }

    fn call(&mut self, tool_use_id: &str, name: &str, input: &Value, parent: Option<&str>) {
        let block = json!({"type": "tool_use", "id": tool_use_id, "name": name, "input": input});
        self.line(&json!({"type": "assistant", "parent_tool_use_id": parent,
            "message": {"id": format!("of-{tool_use_id}"), "model": "m", "content": [block]}}));
    }

    fn gave(&mut self, tool_use_id: &str, own: &Value) {
        let block = json!({"type": "tool_result", "tool_use_id": tool_use_id, "content": "there"});
        self.line(&json!({"type": "user", "message": {"content": [block]}, "tool_use_result": own}));
    }

    /// A subagent begins in the background.
    fn subagent(&mut self, task: &str, call: &str) {
        let input =
            json!({"description": "Look", "subagent_type": "general-purpose", "run_in_background": true});
        self.call(call, "Agent", &input, None);
        self.system(
            "task_started",
            &json!({"task_id": task, "run_id": format!("run-{task}"), "tool_use_id": call, "description": "Look",
                "subagent_type": "general-purpose", "is_backgrounded": true, "task_type": "local_agent"}),
        );
        self.gave(call, &json!({"status": "async_launched", "agentId": task}));
    }

    fn tasks(&self) -> Vec<(String, String, Option<String>)> {
        let updates = self.events.iter().filter(|event| event["type"] == "task_update");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        updates
            .map(|event| {
                (
                    text(&event["task_id"]).unwrap(),
                    text(&event["status"]).unwrap(),
                    text(&event["request_id"]),
                )
            })
            .collect()
    }

    fn last(&self, kind: &str) -> &Value {
        self.events.iter().rfind(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    }
}

#[test]
fn a_task_is_told_from_its_begin_to_its_end() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.subagent("t1", "call-1");
    let began = world.last("task_update").clone();
    assert_eq!(
        [&began["kind"], &began["status"], &began["background"], &began["tool_use_id"], &began["agent_type"]],
        [&json!("agent"), &json!("running"), &json!(true), &json!("call-1"), &json!("general-purpose")]
    );
    let result = world.last("tool_result");
    assert_eq!((&result["tool_use_id"], &result["task_id"]), (&json!("call-1"), &json!("t1")));
    world.system("task_updated", &json!({"task_id": "t1", "patch": {"status": "completed"}}));
    assert_eq!(world.last("task_update")["status"], "running", "what came of it is about to be said");
    let usage = json!({"total_tokens": 5, "tool_uses": 2, "duration_ms": 9});
    let end = json!({"task_id": "t1", "status": "completed", "summary": "found", "usage": usage});
    world.system("task_notification", &end);
    let ended = world.last("task_update");
    assert_eq!((&ended["status"], &ended["summary"]), (&json!("completed"), &json!("found")));
    assert_eq!(ended["progress"]["total_tokens"], 5);
    let ends = world.tasks().into_iter().filter(|(_, status, _)| status == "completed").count();
    world.system("task_notification", &end);
    assert_eq!((ends, world.tasks().len()), (1, 2), "once");
}

/// 2.1.197 says that a task ended, and much later what came of it.
#[test]
fn an_end_without_words_is_told_with_the_next_line() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.subagent("t1", "call-1");
    world.system("task_updated", &json!({"task_id": "t1", "patch": {"status": "killed"}}));
    world.line(&json!({"type": "system", "subtype": "status", "status": "requesting"}));
    assert_eq!(world.last("task_update")["status"], "stopped");
    world.system(
        "task_notification",
        &json!({"task_id": "t1", "status": "stopped", "summary": "was stopped"}),
    );
    assert_eq!(world.last("task_update")["summary"], "was stopped");
}

#[test]
fn progress_is_told_once_a_second_and_the_last_is_not_lost() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.subagent("t1", "call-1");
    for tools in 1..=50 {
        let usage = json!({"total_tokens": 5, "tool_uses": tools, "duration_ms": 9});
        world.system("task_progress", &json!({"task_id": "t1", "usage": usage, "last_tool_name": "Read"}));
    }
    assert_eq!(world.tasks().len(), 2);
    assert_eq!(world.last("task_update")["progress"]["tool_uses"], 1);
    world.pass(Duration::from_millis(1100));
    assert_eq!(world.tasks().len(), 3);
    assert_eq!(world.last("task_update")["progress"]["tool_uses"], 50);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.tasks().len(), 3);
}

/// A command that the turn waits for, and one that was sent to the background in the middle.
#[test]
fn what_a_turn_waits_for_is_over_with_its_result() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    for (task, goes_on) in [("b1", false), ("b2", true)] {
        let call = format!("call-{task}");
        world.call(&call, "Bash", &json!({"command": "sleep"}), None);
        world.system(
            "task_started",
            &json!({"task_id": task, "tool_use_id": call, "task_type": "local_bash"}),
        );
        assert_eq!(world.last("task_update")["background"], false);
        let own = if goes_on { json!({"backgroundTaskId": task}) } else { json!({"stdout": ""}) };
        world.gave(&call, &own);
    }
    let told: Vec<_> =
        world.tasks().into_iter().map(|(task, status, _)| format!("{task} {status}")).collect();
    assert_eq!(told, ["b1 running", "b1 completed", "b2 running", "b2 running"]);
    assert_eq!(world.last("task_update")["background"], true);
}

/// The prompt of a background subagent was closed when another turn failed, and its call of a client's tool failed when one ended.
#[test]
fn a_prompt_and_a_call_of_a_background_subagent_outlive_other_turns() {
    let mut world = world();
    world.say("do 2");
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.subagent("t1", "call-1");
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false}));
    // Another turn; in its middle the subagent asks and calls.
    let other = world.say("do 3");
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.call("call-2", "Bash", &json!({"command": "touch x"}), Some("call-1"));
    let call = world.last("tool_use").clone();
    assert_eq!(call["agent"], json!({"type": "general-purpose", "description": "Look", "task_id": "t1"}));
    assert!(call["request_id"].is_null(), "it is not the turn's: {call}");
    let ask = json!({"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "touch x"},
        "tool_use_id": "call-2", "agent_id": "t1"});
    world.line(&json!({"type": "control_request", "request_id": "ask-1", "request": ask}));
    let prompt = world.last("permission_request").clone();
    assert_eq!(
        (&prompt["agent"]["task_id"], &prompt["parent_tool_use_id"]),
        (&json!("t1"), &json!("call-1"))
    );
    assert!(prompt["request_id"].is_null());
    world.call("call-3", "mcp__client__look", &json!({}), Some("call-1"));
    let rpc = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "look", "_meta": {"claudecode/toolUseId": "call-3"}}});
    let message = json!({"subtype": "mcp_message", "server_name": "client", "message": rpc});
    world.line(&json!({"type": "control_request", "request_id": "mcp-1", "request": message}));
    let heard = world.agent.as_ref().unwrap().heard.len();
    world.line(
        &json!({"type": "result", "subtype": "error_during_execution", "is_error": true, "errors": ["no"]}),
    );
    assert_eq!(world.last("result")["request_id"], other);
    assert!(!world.events.iter().any(|event| event["type"] == "permission_resolved"), "it stays open");
    assert_eq!(world.agent.as_ref().unwrap().heard.len(), heard, "nothing was answered");
    // With the subagent both end.
    world.system(
        "task_notification",
        &json!({"task_id": "t1", "run_id": "r", "status": "stopped", "summary": ""}),
    );
    let resolved = world.last("permission_resolved");
    assert_eq!((&resolved["permission_id"], &resolved["decision"]), (&prompt["id"], &json!("cancelled")));
    assert_eq!(world.agent.as_ref().unwrap().heard.len(), heard + 2, "the agent has its answers");
}

#[test]
fn the_turn_that_the_agent_begins_over_a_task_names_it() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.subagent("t1", "call-1");
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false}));
    world.system("task_notification", &json!({"task_id": "t1", "run_id": "run-t1", "status": "completed"}));
    world.line(&json!({"type": "system", "subtype": "init"}));
    let origin = json!({"kind": "task", "task_id": "t1", "tool_use_id": "call-1"});
    assert_eq!(world.last("status_update")["origin"], origin);
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false,
        "origin": {"kind": "task-notification", "runId": "run-t1"}}));
    let result = world.last("result");
    assert_eq!((&result["origin"], result.get("request_id")), (&origin, None));
    assert_eq!(world.last("status_update")["origin"], Value::Null);
}

#[test]
fn a_schedule_is_a_task_from_its_creation_until_it_has_fired() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.call("call-1", "CronCreate", &json!({"cron": "* * * * *", "prompt": "look again"}), None);
    let own =
        json!({"id": "cron-1", "humanSchedule": "Every minute", "recurring": false, "nextFireAt": 30_000});
    world.gave("call-1", &own);
    let began = world.last("task_update").clone();
    assert_eq!(
        (&began["kind"], &began["description"]),
        (&json!("schedule"), &json!("Every minute: look again"))
    );
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false}));
    world.pass(Duration::from_secs(40));
    world.line(&json!({"type": "system", "subtype": "init"}));
    assert_eq!(world.last("task_update")["status"], "completed");
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false}));
    assert_eq!(
        world.last("result")["origin"],
        json!({"kind": "schedule", "task_id": "cron-1", "tool_use_id": "call-1"})
    );
}

/// An agent that goes on after its predecessor was killed says again what became of its tasks, as a turn in which nothing happens.
#[test]
fn what_an_agent_repeats_of_killed_tasks_is_no_turn() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.subagent("t1", "call-1");
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false}));
    world.crash();
    assert_eq!(world.last("task_update")["status"], "stopped");
    assert_eq!(world.last("warning")["code"], "tasks_stopped");
    let id = world.say("do 5");
    world.spawned(Ok(()));
    let results = world.events.iter().filter(|event| event["type"] == "result").count();
    world.system(
        "task_notification",
        &json!({"task_id": "t1-of-old", "status": "stopped", "output_file": ""}),
    );
    assert!(world.step(), "the greeting's answer");
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.line(
        &json!({"type": "result", "subtype": "success", "is_error": false, "num_turns": 0, "result": "",
        "origin": {"kind": "task-notification"}}),
    );
    assert_eq!(world.events.iter().filter(|event| event["type"] == "result").count(), results);
    world.settle();
    assert_eq!(world.last("result")["request_id"], id);
}

/// One with a shell in the background; its turn is over.
fn with_shell(limits: SessionLimits) -> World {
    let mut world = World::with(limits, 1);
    world.attach(true);
    world.say("do 1");
    world.settle();
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.shell("b1");
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false}));
    assert_eq!(world.state.status(), crate::protocol::SessionStatus::Idle);
    world
}

impl World {
    fn shell(&mut self, task: &str) {
        let call = format!("call-{task}");
        self.call(&call, "Bash", &json!({"command": "sleep 100", "run_in_background": true}), None);
        self.system(
            "task_started",
            &json!({"task_id": task, "tool_use_id": call, "description": "sleep", "task_type": "local_bash"}),
        );
        self.gave(&call, &json!({"backgroundTaskId": task}));
    }

    fn task_ends(&mut self, task: &str) {
        self.system("task_updated", &json!({"task_id": task, "patch": {"status": "completed"}}));
        self.system("task_notification", &json!({"task_id": task, "status": "completed", "summary": "done"}));
    }

    fn requests(&self, subtype: &str) -> Vec<Value> {
        let heard = self.agent.as_ref().unwrap().heard.iter();
        heard.filter(|line| line["request"]["subtype"] == subtype).cloned().collect()
    }
}

fn short() -> SessionLimits {
    SessionLimits {
        agent_idle: Duration::from_secs(10),
        session_grace: Duration::from_secs(20),
        task_limit: Duration::from_secs(100),
        stored: true,
        ..SessionLimits::default()
    }
}

#[test]
fn an_agent_with_a_task_is_not_stopped_for_being_idle() {
    let mut world = with_shell(short());
    world.pass(Duration::from_mins(1));
    assert!(world.agent.as_ref().is_some_and(|agent| !agent.is_going()), "it stays");
    assert_eq!(world.standing, Standing::Lingering);
    // With the task's end it is as idle as any other.
    world.task_ends("b1");
    world.line(&json!({"type": "system", "subtype": "init"}));
    world.line(&json!({"type": "system", "subtype": "status", "status": "requesting"}));
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false,
        "origin": {"kind": "task-notification"}}));
    assert_eq!(world.standing, Standing::Resting);
    world.pass(Duration::from_secs(11));
    world.settle();
    assert!(world.agent.is_none());
    assert!(!world.kinds().contains(&"warning"), "nothing was lost");
}

/// The agent begins its turn over a task's end a moment later: it must not be stopped in between.
#[test]
fn an_agent_whose_task_has_just_ended_may_say_so() {
    let mut world = with_shell(short());
    world.pass(Duration::from_mins(1));
    world.task_ends("b1");
    assert!(world.agent.as_ref().is_some_and(|agent| !agent.is_going()));
    world.pass(Duration::from_secs(11));
    world.settle();
    assert!(world.agent.is_none(), "but if it does not, it goes");
}

#[test]
fn a_session_with_a_task_outlives_its_grace() {
    let mut world = with_shell(short());
    world.input(Input::Attached(0));
    world.pass(Duration::from_mins(1));
    assert!(world.agent.as_ref().is_some_and(|agent| !agent.is_going()) && world.closed.is_none());
    world.pass(Duration::from_mins(1));
    world.settle();
    assert_eq!(world.closed, Some(Closing::Dormant), "--task-limit has passed");
    assert_eq!(world.last("warning")["code"], "tasks_stopped");
    assert_eq!(world.last("task_update")["status"], "stopped");
}

#[test]
fn a_task_without_a_sign_of_life_keeps_its_agent_for_the_limit_only() {
    let mut world = with_shell(short());
    world.pass(Duration::from_secs(90));
    let usage = json!({"total_tokens": 1, "tool_uses": 1, "duration_ms": 1});
    world.system("task_progress", &json!({"task_id": "b1", "usage": usage}));
    world.pass(Duration::from_secs(90));
    assert!(world.agent.as_ref().is_some_and(|agent| !agent.is_going()), "it has shown one");
    world.pass(Duration::from_secs(20));
    world.settle();
    assert!(world.agent.is_none());
    assert_eq!(world.last("warning")["code"], "tasks_stopped");
    assert!(world.last("warning")["message"].as_str().unwrap().contains("--task-limit"));
}

#[test]
fn a_slot_is_given_with_tasks_only_when_it_must_be() {
    let mut world = with_shell(short());
    world.input(Input::Sleep { now: false });
    assert!(world.agent.as_ref().is_some_and(|agent| !agent.is_going()));
    world.input(Input::Sleep { now: true });
    world.settle();
    assert!(world.agent.is_none());
    let at = |kind: &str| world.events.iter().rposition(|event| event["type"] == kind).unwrap();
    assert!(at("warning") < at("task_update"));
    assert_eq!(world.last("warning")["code"], "tasks_stopped");
    // And the next message wakes it up.
    let id = world.say("do 9");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
}

#[test]
fn who_waits_for_a_slot_for_long_says_so() {
    let mut world = World::with(SessionLimits::default(), 1);
    world.slots = super::world::Slots::Taken;
    world.attach(true);
    world.say("do 1");
    world.pass(Duration::from_secs(29));
    assert_eq!(world.impatient, 0);
    world.pass(Duration::from_mins(5));
    assert_eq!(world.impatient, 1, "once");
}

#[test]
fn a_setting_that_needs_a_restart_waits_for_tasks() {
    let mut world = with_shell(short());
    let fields = crate::protocol::ConfigUpdateFields { max_turns: Some(7), ..Default::default() };
    world.command(Command::ConfigUpdate(fields));
    world.settle();
    assert_eq!(world.plans.len(), 1, "not yet");
    let id = world.say("do 8");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success", "a turn does not wait");
    assert_eq!(world.plans.len(), 1);
    assert!(world.last("warning")["message"].as_str().unwrap().contains("waits"));
    world.task_ends("b1");
    world.pass(Duration::from_secs(11));
    world.settle();
    let id = world.say("do 9");
    world.settle();
    assert_eq!(world.result_of(&id)["subtype"], "success");
    assert_eq!(world.plans.last().unwrap().config.max_turns, Some(7));
}

#[test]
fn a_task_is_stopped_and_who_asked_is_told() {
    let mut world = with_shell(short());
    let unknown = world.command(Command::TaskStop { task_id: "b2".to_owned() });
    assert_eq!(world.reply_to(&unknown)["code"], "unknown_request");
    let first = world.command(Command::TaskStop { task_id: "b1".to_owned() });
    let second = world.command(Command::TaskStop { task_id: "b1".to_owned() });
    assert_eq!(world.requests("stop_task").len(), 1, "asked once");
    world.system("task_updated", &json!({"task_id": "b1", "patch": {"status": "killed"}}));
    world.settle();
    for id in [first, second] {
        let told = world.events.iter().find(|event| event["request_id"] == id).unwrap();
        assert_eq!((&told["type"], &told["status"]), (&json!("task_update"), &json!("stopped")));
    }
    let late = world.command(Command::TaskStop { task_id: "b1".to_owned() });
    assert_eq!(world.reply_to(&late)["code"], "unknown_request");
}

#[test]
fn an_agent_that_does_not_answer_is_not_waited_for() {
    let mut world = with_shell(short());
    let stop = world.command(Command::TaskStop { task_id: "b1".to_owned() });
    let output = world.command(Command::TaskOutput { task_id: "b1".to_owned() });
    world.pass(Duration::from_secs(11));
    assert_eq!(world.reply_to(&stop)["code"], "agent_failed");
    assert_eq!(world.reply_to(&output)["code"], "agent_failed");
    // One whose process dies has no answer either, but the task has its end.
    let output = world.command(Command::TaskOutput { task_id: "b1".to_owned() });
    let stop = world.command(Command::TaskStop { task_id: "b1".to_owned() });
    world.crash();
    assert_eq!(world.reply_to(&output)["code"], "agent_failed");
    let told = world.events.iter().find(|event| event["request_id"] == stop).unwrap();
    assert_eq!(told["status"], "stopped");
}

#[test]
fn an_interrupt_of_tasks_ends_them_all_and_says_so_once() {
    let mut world = with_shell(short());
    let plain = world.command(Command::Interrupt { reason: None, tasks: false });
    let reply = world.reply_to(&plain);
    assert_eq!((&reply["outcome"], &reply["tasks"]), (&json!("nothing_running"), &json!(["b1"])));
    let id = world.command(Command::Interrupt { reason: None, tasks: true });
    assert!(world.requests("interrupt").is_empty(), "no turn is running");
    world.settle();
    let told: Vec<_> = world.events.iter().filter(|event| event["request_id"] == id).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["type"], &told[0]["outcome"]), (&json!("interrupted"), &json!("interrupted")));
    assert_eq!(world.last("task_update")["status"], "stopped");
    let id = world.command(Command::Interrupt { reason: None, tasks: true });
    assert_eq!(world.reply_to(&id)["outcome"], "nothing_running");
}

/// It can be asked for as soon as the tool runs; the agent can do it some seconds later.
#[test]
fn a_tool_is_sent_to_the_background_once_the_agent_can() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    let background = |call: Option<&str>| Command::Background { tool_use_id: call.map(str::to_owned) };
    let none = world.command(background(None));
    assert_eq!(world.reply_to(&none)["code"], "unknown_request");
    world.call("call-1", "Bash", &json!({"command": "sleep 100"}), None);
    let id = world.command(background(Some("call-1")));
    assert!(world.requests("background_tasks").is_empty());
    world.system(
        "task_started",
        &json!({"task_id": "b1", "tool_use_id": "call-1", "task_type": "local_bash"}),
    );
    assert_eq!(world.requests("background_tasks")[0]["request"]["tool_use_id"], "call-1");
    world.system("task_updated", &json!({"task_id": "b1", "patch": {"is_backgrounded": true}}));
    let told = world.events.iter().find(|event| event["request_id"] == id).unwrap();
    assert_eq!((&told["status"], &told["background"]), (&json!("running"), &json!(true)));
    world.settle();
    // One that ends before that.
    world.call("call-2", "Bash", &json!({"command": "true"}), None);
    let id = world.command(background(Some("call-2")));
    world.gave("call-2", &json!({"stdout": ""}));
    assert_eq!(world.reply_to(&id)["code"], "unknown_request");
}

/// Schedules come back with an agent that goes on with the conversation.
#[test]
fn schedules_survive_their_agent() {
    let mut world = world();
    world.line(&json!({"type": "system", "subtype": "init"}));
    for (call, id, recurring) in [("call-1", "cron-1", true), ("call-2", "cron-2", false)] {
        world.call(call, "CronCreate", &json!({"cron": "* * * * *", "prompt": "look"}), None);
        let own = json!({"id": id, "humanSchedule": "x", "recurring": recurring, "nextFireAt": 61_000});
        world.gave(call, &own);
    }
    world.line(&json!({"type": "result", "subtype": "success", "is_error": false}));
    let stop = world.command(Command::TaskStop { task_id: "cron-1".to_owned() });
    assert_eq!(world.reply_to(&stop)["code"], "unsupported");
    world.pass(Duration::from_hours(12));
    assert!(world.agent.as_ref().is_some_and(|agent| !agent.is_going()), "it waits for its time");
    world.crash();
    assert_eq!(world.last("task_update")["status"], "stopped");
    assert_eq!(world.record.as_ref().unwrap().schedules.len(), 2);
    world.say("do 4");
    world.settle();
    let running: Vec<_> = world.tasks().into_iter().filter(|(_, status, _)| status == "running").collect();
    assert_eq!(running.last().unwrap().0, "cron-1", "the other one's time has passed");
    assert_eq!(running.len(), 3);
}

/// The gateway was killed, and the agent with it.
#[test]
fn tasks_of_a_gateway_that_died_have_their_end() {
    let mut before = with_shell(short());
    before.input(Input::Attached(1));
    let left = before.record.as_ref().unwrap().unfinished.tasks.clone();
    assert_eq!(left[0].task_id, "b1");
    let mut world = World::new();
    let leftover = crate::session::state::Leftover { tasks: left, ..Default::default() };
    let now = world.now();
    world.state.take_up(leftover, now);
    world.run_effects();
    assert_eq!(world.kinds(), ["warning", "task_update"]);
    assert_eq!(world.last("task_update")["status"], "stopped");
}
