//! Agents that crash, hang and leave things behind: an honest `result`, in bounded time, and nothing runs on.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Lab, children, descriptors, wait};

const SHORT: [&str; 6] = ["--interrupt-timeout", "400ms", "--drain", "0s", "--agent-start-timeout", "1500ms"];

fn say(client: &mut Client, session: &str, content: &str) -> String {
    client.send(json!({"type": "user_message", "session_id": session, "content": content}))
}

/// The last words of a session's turn, and that the next one works.
fn died(client: &mut Client, session: &str, id: &str) -> Value {
    let result = client.until(|message| message["type"] == "result" && message["request_id"] == *id);
    assert_eq!(
        (&result["subtype"], &result["error_code"]),
        (&json!("error"), &json!("agent_exited")),
        "{session}: {result}"
    );
    result
}

/// Every way to die in the middle of a turn, side by side.
#[test]
fn an_agent_that_dies_in_a_turn_fails_it_honestly_and_is_replaced() {
    let lab = Lab::new();
    let gateway = lab.gateway(&SHORT);
    let mut client = gateway.client();
    let ways = [
        ("exit-3", "!text a; crash 3", "code 3"),
        ("exit-0", "!text a; crash 0", "code 0"),
        ("kill", "!text a; signal 9", "signal 9"),
        ("segfault", "!text a; signal 11", "signal 11"),
        ("half-a-line", "!text a; half-line; crash 1", "code 1"),
        ("garbage", "!garbage; unknown; crash 1", "code 1"),
        ("stderr-flood", "!stderr 3000000; crash 2", "last words"),
        ("prompt-open", "!asks 2; crash 1", ""),
        ("grandchild", "!grandchild; crash 1", "code 1"),
        ("grandchild-with-pipes", "!grandchild-stdout; crash 1", "code 1"),
        ("silent", "!close-stdout; hang", "signal"),
        ("silent-and-stubborn", "!grandchild; ignore sigterm; ignore close; close-stdout; hang", "signal 9"),
    ];
    let mut turns = Vec::new();
    for (session, way, last_word) in ways {
        client.send(json!({"type": "session_start", "session_id": session}));
        let id = say(&mut client, session, way);
        turns.push((session, id, last_word));
    }
    // What a socket had not sent yet when it was reset never came.
    let mut on_the_way: Vec<_> = turns.iter().map(|(_, id, _)| id.clone()).collect();
    while !on_the_way.is_empty() {
        let message = client.next();
        on_the_way.retain(|id| message["type"] != "user_message" || message["request_id"] != **id);
    }
    // Each is looked at on a connection of its own, from the log.
    drop(client);
    for (session, id, last_word) in turns {
        let mut client = gateway.client();
        client.start(json!({"session_id": session, "last_seq": 0}));
        if session == "prompt-open" {
            // It waits for answers before it crashes; they come from here.
            for _ in 0..2 {
                let prompt = client.expect("permission_request");
                client.send(json!({"type": "permission_response", "session_id": session,
                    "request_id": prompt["id"], "decision": "allow"}));
            }
        }
        let result = died(&mut client, session, &id);
        let error = result["error"].as_str().unwrap();
        assert!(error.contains(last_word), "{session}: {error}");
        assert!(error.len() < 500, "{session}: {error}");
        let again = say(&mut client, session, "hello");
        assert_eq!(client.answer(&again, "result")["subtype"], "success", "{session}");
        let restarted = client.events.iter().any(|event| event["code"] == "agent_restarted");
        assert!(restarted, "{session}: clients were told");
        client.send(json!({"type": "session_end", "session_id": session}));
        client.expect("session_ended");
    }
    lab.wait_for_no_processes();
    gateway.stop();
}

/// It is stopped, so that it reads nothing, and then killed: its message is still in the pipe, or on the way there.
#[test]
fn a_message_that_a_dead_agent_had_not_read_is_run_by_the_next_one() {
    let lab = Lab::new();
    let gateway = lab.gateway(&SHORT);
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    let agent = lab.processes().remove(0);
    agent.signal(Signal::STOP);
    wait("every thread to stand still", || {
        let stats: Vec<_> = std::fs::read_dir(format!("/proc/{}/task", agent.pid))
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap())
            .collect();
        if stats.iter().all(|stat| stat.contains(") T ")) { Ok(()) } else { Err(format!("{stats:?}")) }
    });
    let id = client.say("again");
    client.answer(&id, "user_message");
    agent.signal(Signal::KILL);
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    assert_eq!(client.text(&id), "echo: again");
    assert!(client.events.iter().any(|event| event["code"] == "agent_restarted"), "clients were told");
    assert_eq!(gateway.starts(), 2);
    gateway.stop();
}

/// Nothing helps but SIGKILL, and what it has left is found in sessions of its own.
#[test]
fn an_agent_that_heeds_nothing_is_killed_in_time() {
    let lab = Lab::new();
    let gateway = lab.gateway(&SHORT);
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say(
        "!text I begin; grandchild; grandchild-stdout; ignore interrupt; ignore sigterm; ignore close; hang",
    );
    client.until(|message| message["delta"]["text"] == "begin");
    wait("all of it", || if lab.agent_processes().len() == 3 { Ok(()) } else { Err(String::new()) });
    client.send(json!({"type": "interrupt"}));
    assert_eq!(client.expect("interrupted")["outcome"], "agent_killed");
    assert_eq!(client.answer(&id, "result")["subtype"], "interrupted");
    lab.wait_for_no_processes();
    assert_eq!(client.turn("hello")["subtype"], "success");

    // The same with an agent that reads nothing any more, and an end in place of an interrupt.
    client.say("!ignore sigterm; deaf");
    client.until(|message| message["type"] == "status_update" && message["status"] == "thinking");
    client.send(json!({"type": "session_end"}));
    client.expect("session_ended");
    lab.wait_for_no_processes();
    gateway.stop();
}

/// Who started a session of that id waited for the end of the agent of one that was not there any more.
#[test]
fn a_session_that_is_removed_makes_way_before_its_agent_is_gone() {
    let lab = Lab::new();
    lab.script(&json!({"ignore": ["sigterm", "close"]}));
    let gateway = lab.gateway(&["--max-agents", "1", "--drain", "0s"]);
    let mut client = gateway.client();
    client.start(json!({}));
    // Until then a signal would end it.
    client.until(|message| message["type"] == "session_info" && message["agent"]["state"] == "running");
    let agent = wait("the agent", || lab.agent_processes().pop().ok_or_else(String::new)).pid;
    drop(client);
    let mut client = loop {
        let mut client = gateway.client();
        // It may come before the gateway has seen that the other one is gone.
        if client.start(json!({}))["created"] == true {
            break client;
        }
    };
    assert!(lab.agent_processes().iter().any(|process| process.pid == agent), "it was waited for");
    // There is one slot: the message waits for that, and gets an agent of its own.
    assert_eq!(client.turn("hello")["subtype"], "success");
    assert!(lab.agent_processes().iter().all(|process| process.pid != agent));
    assert_eq!(client.turn("again")["subtype"], "success");
    gateway.stop();
}

#[test]
fn starts_that_fail_again_and_again_are_held_back() {
    let lab = Lab::new();
    lab.script(&json!({"start": ["refuse-times 3 1 No luck today"]}));
    let gateway = lab.gateway(&SHORT);
    let mut client = gateway.client();
    // The agent comes up with the session: the first failure has no turn to fail.
    client.start(json!({}));
    assert_eq!(client.expect("error")["code"], "agent_unavailable");
    for _ in 0..2 {
        let result = client.turn("hello");
        assert_eq!(result["error_code"], "agent_unavailable", "{result}");
        assert!(result["error"].as_str().unwrap().contains("No luck today"), "{result}");
    }
    let id = client.say("hello");
    let held =
        client.until(|message| message["message"].as_str().is_some_and(|text| text.contains("held back")));
    assert_eq!(held["type"], "status_update");
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    gateway.stop();
}

#[test]
fn an_agent_that_never_comes_up_is_given_up() {
    let lab = Lab::new();
    lab.script(&json!({"ignore": ["initialize", "sigterm", "close"]}));
    let gateway = lab.gateway(&SHORT);
    let mut client = gateway.client();
    client.start(json!({}));
    let result = client.turn("hello");
    assert_eq!(result["error_code"], "agent_unavailable", "{result}");
    assert!(result["error"].as_str().unwrap().contains("--agent-start-timeout"), "{result}");
    lab.script(&json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    gateway.stop();
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_said() {
    let lab = Lab::new();
    let gateway = lab.gateway(&["--max-agent-line", "100000"]);
    let mut client = gateway.client();
    client.start(json!({}));
    let id = client.say("!giant 300000; text after it");
    assert_eq!(client.expect("warning")["code"], "agent_line_skipped");
    client.answer(&id, "result");
    assert_eq!(client.text(&id), "after it");
    gateway.stop();
}

fn zombies(gateway: &Gateway) -> usize {
    children(gateway.pid()).iter().filter(|(_, state)| *state == 'Z').count()
}

#[test]
fn many_starts_and_ends_leave_no_zombie_and_no_descriptor() {
    let rounds: usize = std::env::var("REL_ROUNDS").map_or(500, |number| number.parse().unwrap());
    let lab = Lab::new();
    let gateway = lab.gateway(&SHORT);
    let mut client = gateway.client();
    client.start(json!({}));
    assert_eq!(client.turn("hello")["subtype"], "success");
    let before = descriptors(gateway.pid());
    for round in 0..rounds {
        let id = client.say(["!crash 1", "!signal 9", "!grandchild; crash 0"][round % 3]);
        died(&mut client, "s", &id);
        assert_eq!(client.turn("hello")["subtype"], "success");
    }
    // The last one's pipes are still open, as the first one's were.
    wait("the descriptors", || match descriptors(gateway.pid()) {
        now if now <= before => Ok(()),
        now => Err(format!("{now}, {before} before")),
    });
    wait("every child to be reaped", || if zombies(&gateway) == 0 { Ok(()) } else { Err(String::new()) });
    assert_eq!(gateway.starts(), rounds + 1);
    gateway.signal(Signal::TERM);
    assert_eq!(client.closed(), 1001);
}
