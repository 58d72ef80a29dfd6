//! The owner dies, stands still, or goes: another gateway takes its sessions, and a client loses a reconnect.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, come_back};
use crate::harness::{Client, Gateway, wait};
use crate::transcript::{exact, orderly, whole};

/// A turn that runs and asks, and a message behind it. Gives the ids of both, and of the prompt.
fn busy(client: &mut Client) -> (String, String, Value) {
    assert_eq!(client.hear("hello"), "echo: hello");
    let running = client.say("!text So; ask Bash {\"command\":\"ls\"}; text never");
    let prompt = client.expect("permission_request")["id"].clone();
    let queued = client.say("after it");
    client.answer(&queued, "user_message");
    (running, queued, prompt)
}

/// What was running has its one end, what waited runs, the conversation goes on.
fn goes_on(client: &mut Client, (running, queued, prompt): &(String, String, Value)) {
    assert_eq!(client.answer(running, "result")["error_code"], "agent_exited");
    assert_eq!(client.answer(queued, "result")["subtype"], "success");
    assert_eq!(client.text(queued), "echo: after it");
    let resolved = client.events.iter().find(|event| event["type"] == "permission_resolved").unwrap();
    assert_eq!((&resolved["permission_id"], &resolved["decision"]), (prompt, &json!("cancelled")));
    assert!(!client.events.iter().any(|event| event["code"] == "agent_restarted"), "it was resumed");
    assert_eq!(client.hear("and on"), "echo: and on");
}

/// Waits until a gateway that is not the owner reads everything that `seen` has: what is in Redis survives.
fn wait_until_stored(gateway: &Gateway, session: &str, seen: &[Value]) {
    let last = seen.last().unwrap()["seq"].as_u64();
    wait("the store", || {
        let mut client = gateway.client();
        let info = client
            .ask(json!({"type": "session_start", "session_id": session, "last_seq": 0}), "session_info");
        assert_eq!(info["type"], "session_info", "{info}");
        while client.events.last().is_none_or(|event| event["seq"].as_u64() < last) {
            client.next();
        }
        Ok(())
    });
}

#[test]
fn after_a_kill_another_gateway_goes_on() {
    let cluster = Cluster::new();
    let (owner, other) = (cluster.node("a", &[]), cluster.node("b", &[]));
    let (mut here, mut there) = (owner.client(), other.client());
    let epoch = here.start(json!({}))["epoch"].clone();
    there.start(json!({"last_seq": 0}));
    let work = busy(&mut here);
    there.answer(&work.1, "user_message");
    wait_until_stored(&other, "s", &here.events);
    let killed = Instant::now();
    owner.kill();
    // Who was attached at the other gateway is sent to look for the session; who comes anew waits for it.
    assert_eq!(here.closed(), 1006);
    let (mut back, info) = come_back(&other, "s", &here.events, &epoch);
    println!("taken over after {:?}, with a lease of 3 s", killed.elapsed());
    assert_eq!((&info["replay"], &info["epoch"]), (&json!("ok"), &epoch));
    assert_eq!(there.closed(), 1012);
    goes_on(&mut back, &work);
    // Both stories, stitched, are the session's.
    let whole = whole(&other, "s");
    orderly(&whole);
    let mut stitched = here.events.clone();
    stitched.extend(back.events.iter().cloned());
    exact(&stitched, &whole);
    let (again, _) = come_back(&other, "s", &there.events, &epoch);
    drop(again);
    assert!(cluster.overlaps().is_empty(), "{:?}", cluster.overlaps());
    other.stop();
}

/// Two gateways are asked for the session at the same moment: one takes it, the other is a door.
#[test]
fn two_that_ask_at_once_get_the_same_session() {
    let cluster = Cluster::new();
    let owner = cluster.node("a", &[]);
    let others = [cluster.node("b", &[]), cluster.node("c", &[])];
    let mut here = owner.client();
    let epoch = here.start(json!({}))["epoch"].clone();
    let work = busy(&mut here);
    wait_until_stored(&others[0], "s", &here.events);
    owner.kill();
    let seen = here.events.clone();
    let mut clients: Vec<_> = std::thread::scope(|scope| {
        let back = |other| {
            let (seen, epoch) = (&seen, &epoch);
            scope.spawn(move || come_back(other, "s", seen, epoch).0)
        };
        let back = [back(&others[0]), back(&others[1])];
        back.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for client in &mut clients {
        assert_eq!(client.answer(&work.0, "result")["error_code"], "agent_exited");
        assert_eq!(client.answer(&work.1, "result")["subtype"], "success");
    }
    let common = clients.iter().map(|client| client.events.len()).min().unwrap();
    assert_eq!(clients[0].events[..common], clients[1].events[..common]);
    assert_eq!(others[0].starts() + others[1].starts(), 1, "one of them runs it");
    assert!(cluster.overlaps().is_empty(), "{:?}", cluster.overlaps());
    drop(clients);
    for other in others {
        other.stop();
    }
}

#[test]
fn a_gateway_that_stood_still_reaches_nobody_and_stops_its_agent() {
    let cluster = Cluster::new();
    let (owner, other) = (cluster.node("a", &[]), cluster.node("b", &[]));
    let mut here = owner.client();
    let epoch = here.start(json!({}))["epoch"].clone();
    here.hear("hello");
    let running = here.say("!deltas 1000000 20 100");
    for _ in 0..20 {
        here.expect("assistant_message_delta");
    }
    let before = cluster.lab.agent_processes();
    let mut there = other.client();
    there.start(json!({"last_seq": 0, "epoch": epoch}));
    there.until(|event| event["type"] == "assistant_message_delta");
    owner.signal(Signal::STOP);
    let stopped = Instant::now();
    assert_eq!(there.closed(), 1012);
    let (mut back, info) = come_back(&other, "s", &there.events, &epoch);
    println!("taken over from who stands still after {:?}, with a lease of 3 s", stopped.elapsed());
    assert_eq!(info["replay"], "ok");
    assert_eq!(back.answer(&running, "result")["error_code"], "agent_exited");
    assert_eq!(back.hear("and on"), "echo: and on");
    let first = back.events.first().unwrap()["seq"].as_u64().unwrap();
    owner.signal(Signal::CONT);
    // It finds out before it says another word, and its agent goes.
    assert_eq!(here.closed(), 1012);
    assert!(here.events.last().unwrap()["seq"].as_u64().unwrap() < first);
    wait("the old agent's end", || {
        let left = cluster.lab.agent_processes();
        let old = left.iter().filter(|process| before.iter().any(|one| one.pid == process.pid)).count();
        if old == 0 { Ok(()) } else { Err(format!("{left:#?}")) }
    });
    // It is a gateway as any other again: a door.
    let (mut again, info) = come_back(&owner, "s", &[], &epoch);
    assert_eq!(info["replay"], "ok");
    assert_eq!(again.hear("by the door"), "echo: by the door");
    back.turn("last");
    let whole = whole(&owner, "s");
    orderly(&whole);
    let mut stitched = there.events.clone();
    stitched.extend(back.events.iter().cloned());
    exact(&stitched, &whole);
    drop((again, back));
    owner.stop();
    other.stop();
}

#[test]
fn a_drain_hands_over_without_waiting_for_the_lease() {
    let cluster = Cluster::new();
    let args = ["--lease", "60s"];
    let (mut owner, other) = (cluster.node("a", &args), cluster.node("b", &args));
    let (mut here, mut there) = (owner.client(), other.client());
    let epoch = here.start(json!({}))["epoch"].clone();
    there.start(json!({"last_seq": 0}));
    let id = here.say("!ask Bash {\"command\":\"ls\"}; text Done");
    let prompt = there.expect("permission_request");
    owner.signal(Signal::TERM);
    let begin = Instant::now();
    // What runs has its time, and can be answered by the door.
    there.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    assert_eq!(there.answer(&id, "result")["subtype"], "success");
    assert_eq!(there.closed(), 1012);
    let code = here.closed();
    assert!([1012, 1001].contains(&code), "{code}");
    let (mut back, info) = come_back(&other, "s", &there.events, &epoch);
    println!("handed over after {:?}, with a lease of 60 s", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(50));
    assert_eq!((&info["replay"], &info["epoch"]), (&json!("ok"), &epoch));
    assert_eq!(back.hear("and on"), "echo: and on");
    assert_eq!(owner.ended().code(), Some(0), "{}", owner.log());
    let whole = whole(&other, "s");
    exact(&here.events, &whole);
    exact(&there.events, &whole);
    assert!(cluster.overlaps().is_empty(), "{:?}", cluster.overlaps());
    drop(back);
    other.stop();
}

/// A gateway that comes again takes its own sessions at once: nobody else had them.
#[test]
fn a_gateway_that_was_killed_finds_its_own_sessions_without_waiting() {
    let cluster = Cluster::new();
    let owner = cluster.node("a", &["--lease", "60s"]);
    let mut client = owner.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    let work = busy(&mut client);
    let seen = client.events.clone();
    let wanted = seen.last().unwrap()["seq"].to_string();
    wait("the store", || match cluster.redis.command(&["HGET", "cws:s:s", "last"]) {
        last if last == wanted => Ok(()),
        last => Err(last),
    });
    owner.kill();
    cluster.lab.wait_for_no_processes();
    let begin = Instant::now();
    let again = cluster.node("a", &["--lease", "60s"]);
    let (mut client, info) = come_back(&again, "s", &seen, &epoch);
    assert_eq!(info["replay"], "ok");
    assert!(begin.elapsed() < Duration::from_secs(50));
    goes_on(&mut client, &work);
    drop(client);
    again.stop();
}

/// The real CLI finds its conversation in the agents' home, which all share.
#[test]
fn a_real_conversation_goes_on_at_another_gateway() {
    let cluster = Cluster::new();
    let (owner, other) = (cluster.real_node("a", &[]), cluster.real_node("b", &[]));
    let mut client = owner.client();
    let epoch = client.start(json!({}))["epoch"].clone();
    assert_eq!(client.turn("hello")["subtype"], "success");
    let running = client.say("touch before-the-kill");
    client.expect("permission_request");
    wait_until_stored(&other, "s", &client.events);
    owner.kill();
    let (mut client, info) = come_back(&other, "s", &client.events, &epoch);
    assert_eq!(info["replay"], "ok");
    assert_eq!(client.answer(&running, "result")["error_code"], "agent_exited");
    let id = client.say("echo after the kill");
    assert_eq!(client.answer(&id, "result")["subtype"], "success");
    assert_eq!(client.text(&id), "after the kill");
    assert!(!client.events.iter().any(|event| event["code"] == "agent_restarted"), "it was resumed");
    drop(client);
    other.stop();
}

/// Its node died, or its client went away, before anything of it was stored: it was woken up with options that nobody had asked for.
#[test]
fn a_session_that_was_claimed_and_never_begun_is_made_as_it_is_asked_for() {
    let cluster = Cluster::new();
    let owner = cluster.node("a", &[]);
    let fields = ["epoch", "e", "owner", "", "node", "", "fence", "1", "batch", "0", "clean", "0"];
    let more = [
        "first",
        "1",
        "last",
        "0",
        "next",
        "1",
        "bytes",
        "0",
        "created_at",
        "1",
        "last_active_at",
        "1",
        "made",
        "1",
    ];
    let set = [&["HSET", "cws:s:s"], &fields[..], &more[..]].concat();
    assert_eq!(cluster.redis.command(&set), "13");
    let mut client = owner.client();
    let info = client.start(json!({"metadata": {"a": "b"}}));
    assert_eq!((&info["created"], &info["metadata"]), (&json!(true), &json!({"a": "b"})));
    client.turn("hello");
    drop(client);
    owner.stop();
}

/// It was the one before `/clear`.
#[test]
fn a_cleared_conversation_is_the_one_that_another_gateway_takes() {
    let cluster = Cluster::new();
    let (owner, other) = (cluster.node("a", &[]), cluster.node("b", &[]));
    let mut here = owner.client();
    let epoch = here.start(json!({}))["epoch"].clone();
    assert_eq!(here.hear("the word is ALPHA"), "echo: the word is ALPHA");
    assert_eq!(here.turn("/clear")["subtype"], "success");
    let conversation = here.hear("!session");
    wait_until_stored(&other, "s", &here.events);
    owner.kill();
    let (mut back, _) = come_back(&other, "s", &here.events, &epoch);
    let args = back.hear("!args");
    assert!(args.contains(&format!("--resume={conversation}")), "{args}");
    other.stop();
}
