//! The network, and Redis itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, come_back};
use crate::harness::{Client, Gateway, wait};
use crate::proxy::Proxy;
use crate::transcript::{exact, orderly, whole};

fn wait_for_readiness(gateway: &Gateway, status: u16) {
    wait("/readyz", || match gateway.http("/readyz", &[]).0 {
        now if now == status => Ok(()),
        now => Err(now.to_string()),
    });
}

fn warnings(client: &Client) -> usize {
    client.events.iter().filter(|event| event["code"] == "store_unavailable").count()
}

#[test]
fn a_gateway_that_is_cut_off_gives_its_sessions_up() {
    let cluster = Cluster::new();
    let proxy = Proxy::start(cluster.redis.address());
    let (owner, other) = (cluster.node_behind(&proxy, "a", &[]), cluster.node("b", &[]));
    let mut here = owner.client();
    let epoch = here.start(json!({}))["epoch"].clone();
    here.hear("hello");
    let running = here.say("!deltas 1000000 20 50");
    for _ in 0..20 {
        here.expect("assistant_message_delta");
    }
    let mut there = other.client();
    there.start(json!({"last_seq": 0, "epoch": epoch}));
    there.expect("assistant_message_delta");
    proxy.silence();
    // Nothing is said any more by who has no lease, and its agent is gone.
    assert_eq!(here.closed(), 1012);
    assert_eq!(there.closed(), 1012);
    cluster.lab.wait_for_no_processes();
    wait_for_readiness(&owner, 503);
    let (mut back, info) = come_back(&other, "s", &there.events, &epoch);
    assert_eq!(info["replay"], "ok");
    assert_eq!(back.answer(&running, "result")["error_code"], "agent_exited");
    let first = back.events.first().unwrap()["seq"].as_u64().unwrap();
    assert!(here.events.last().unwrap()["seq"].as_u64().unwrap() < first);
    assert_eq!(back.hear("and on"), "echo: and on");
    proxy.heal();
    wait_for_readiness(&owner, 200);
    let (mut again, info) = come_back(&owner, "s", &[], &epoch);
    assert_eq!(info["replay"], "ok");
    assert_eq!(again.hear("by the door"), "echo: by the door");
    back.turn("last");
    let whole = whole(&owner, "s");
    orderly(&whole);
    let mut stitched = there.events.clone();
    stitched.extend(back.events.iter().cloned());
    exact(&stitched, &whole);
    assert!(cluster.overlaps().is_empty(), "{:?}", cluster.overlaps());
    drop((again, back));
    owner.stop();
    other.stop();
}

/// Redis itself is away for longer than the lease: nobody can take anything, so what runs goes on, and is stored later.
#[test]
fn a_restart_of_redis_ends_no_turn_and_loses_nothing() {
    let mut cluster = Cluster::new();
    let (owner, door) = (cluster.node("a", &[]), cluster.node("b", &[]));
    let (mut here, mut there) = (owner.client(), door.client());
    let epoch = here.start(json!({}))["epoch"].clone();
    there.start(json!({"last_seq": 0}));
    here.hear("hello");
    let running = here.say("!deltas 400 20 100; ask Bash {\"command\":\"ls\"}; text Done");
    here.expect("assistant_message_delta");
    cluster.redis.kill();
    wait_for_readiness(&owner, 503);
    // The turn's four seconds are more than the lease.
    let prompt = here.expect("permission_request");
    assert_eq!(warnings(&here), 1, "said, and once");
    cluster.redis.restart();
    wait_for_readiness(&owner, 200);
    wait_for_readiness(&door, 200);
    here.send(json!({"type": "permission_response", "request_id": prompt["id"], "decision": "allow"}));
    assert_eq!(here.answer(&running, "result")["subtype"], "success");
    assert_eq!(here.hear("and on"), "echo: and on");
    assert_eq!(owner.starts(), 1, "{}", owner.log());
    // The door's client missed nothing, whether or not it had to come back.
    let last = here.events.last().unwrap()["seq"].clone();
    let mut seen: Vec<Value> = Vec::new();
    loop {
        match there.read() {
            Ok(message) if message["seq"] == last => break,
            Ok(_) => {}
            Err(code) => {
                assert_eq!(code, 1012);
                seen.extend(there.events.iter().cloned());
                there = come_back(&door, "s", &seen, &epoch).0;
            }
        }
    }
    seen.extend(there.events.iter().cloned());
    let whole = whole(&door, "s");
    orderly(&whole);
    exact(&here.events, &whole);
    exact(&seen, &whole);
    assert!(cluster.overlaps().is_empty(), "{:?}", cluster.overlaps());
    drop((here, there));
    owner.stop();
    door.stop();
}

/// A Redis that takes its time slows nobody who is attached at the owner.
#[test]
fn a_slow_redis_holds_up_no_local_client() {
    let cluster = Cluster::new();
    let proxy = Proxy::start(cluster.redis.address());
    let (owner, door) =
        (cluster.node_behind(&proxy, "a", &["--lease", "10s"]), cluster.node("b", &["--lease", "10s"]));
    let mut here = owner.client();
    here.start(json!({}));
    here.turn("hello");
    proxy.delay(Duration::from_millis(100));
    let id = here.say("!deltas 200 20 1000");
    here.answer(&id, "result");
    let seen = here.events.clone();
    exact(&seen, &whole(&door, "s"));
    drop(here);
    owner.stop();
    door.stop();
}
