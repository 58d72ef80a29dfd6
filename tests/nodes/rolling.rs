//! All gateways are restarted one after the other, while everybody works.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, come_back};
use crate::harness::{Client, Gateway};
use crate::transcript::{exact, orderly, whole};

const NODES: usize = 3;
const SESSIONS: usize = 4;

/// One of those who work: its session, and what it saw over all its connections.
struct Worker {
    session: String,
    epoch: Value,
    seen: Vec<Value>,
    results: usize,
}

/// Comes back at one gateway after the other, until one takes it.
fn reconnect(gateways: &[RwLock<Option<Gateway>>], from: usize, worker: &Worker) -> (Client, Value) {
    for at in (from..).map(|at| at % NODES) {
        let gateway = gateways[at].read().unwrap();
        if let Some(gateway) = gateway.as_ref()
            && gateway.http("/readyz", &[]).0 == 200
        {
            return come_back(gateway, &worker.session, &worker.seen, &worker.epoch);
        }
        drop(gateway);
        std::thread::yield_now();
    }
    unreachable!("it looks for ever");
}

/// Sends message after message, each until its result is there, wherever the session is by then.
fn work(gateways: &[RwLock<Option<Gateway>>], number: usize, done: &AtomicBool, turns: &AtomicUsize) -> Worker {
    let session = format!("s{}", number % SESSIONS);
    let mut worker = Worker { session, epoch: Value::Null, seen: Vec::new(), results: 0 };
    let (mut client, info) = reconnect(gateways, number, &worker);
    worker.epoch = info["epoch"].clone();
    let mut hops = 0;
    while !done.load(Ordering::Relaxed) {
        let id = format!("w{number}-{}", worker.results);
        loop {
            // The same id again, if it was cut off: it is not run twice.
            client.send(json!({"type": "user_message", "session_id": worker.session, "id": id,
                "content": "!think Well; deltas 30 10 300; tool Read {\"file_path\":\"x\"}; text Done"}));
            let outcome = loop {
                match client.read() {
                    Ok(message) if message["type"] == "result" && message["request_id"] == *id => break Ok(()),
                    Ok(message) if message["code"] == "agent_unavailable" => break Err(()),
                    Ok(_) => {}
                    Err(_) => break Err(()),
                }
            };
            let has_result = |event: &Value| event["type"] == "result" && event["request_id"] == *id;
            if outcome.is_ok() || client.events.iter().any(has_result) {
                break;
            }
            worker.seen.append(&mut client.events);
            hops += 1;
            let info;
            (client, info) = reconnect(gateways, number + hops, &worker);
            assert_eq!((&info["replay"], &info["epoch"]), (&json!("ok"), &worker.epoch), "{info}");
            let last = info["last_seq"].as_u64();
            // What the replay brings may hold the result.
            while client.events.last().map_or(Some(0), |event| event["seq"].as_u64()) < last
                && worker.seen.last().map_or(Some(0), |event| event["seq"].as_u64()) < last
            {
                if client.read().is_err() {
                    break;
                }
            }
            if client.events.iter().any(has_result) {
                break;
            }
        }
        worker.results += 1;
        turns.fetch_add(1, Ordering::Relaxed);
    }
    worker.seen.append(&mut client.events);
    worker
}

#[test]
fn a_rolling_restart_under_load_leaves_every_transcript_exact() {
    let cluster = Cluster::new();
    // A long lease: nothing here may depend on its end.
    let args = ["--lease", "30s", "--drain", "20s", "--max-agents", "8"];
    let name = |at: usize| ["a", "b", "c"][at];
    let gateways: Arc<Vec<_>> =
        Arc::new((0..NODES).map(|at| RwLock::new(Some(cluster.node(name(at), &args)))).collect());
    let (done, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..2 * SESSIONS)
        .map(|number| {
            let (gateways, done, turns) = (Arc::clone(&gateways), Arc::clone(&done), Arc::clone(&turns));
            std::thread::spawn(move || work(&gateways, number, &done, &turns))
        })
        .collect();
    let wait_for_turns = |more: usize| {
        let goal = turns.load(Ordering::Relaxed) + more;
        crate::harness::wait("turns", || match turns.load(Ordering::Relaxed) {
            now if now >= goal => Ok(()),
            now => Err(format!("{now} of {goal}")),
        });
    };
    wait_for_turns(8);
    for at in 0..NODES {
        // Its clients find it gone, or going, and look elsewhere.
        gateways[at].read().unwrap().as_ref().unwrap().signal(Signal::TERM);
        let mut gateway = gateways[at].write().unwrap().take().unwrap();
        assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.log());
        *gateways[at].write().unwrap() = Some(cluster.node(name(at), &args));
        wait_for_turns(8);
    }
    done.store(true, Ordering::Relaxed);
    let workers: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    println!("{} turns during three restarts", turns.load(Ordering::Relaxed));
    let gateway = gateways[0].read().unwrap();
    for worker in &workers {
        let whole = whole(gateway.as_ref().unwrap(), &worker.session);
        orderly(&whole);
        exact(&worker.seen, &whole);
        assert!(worker.results > 0);
    }
    assert!(cluster.overlaps().is_empty(), "{:?}", cluster.overlaps());
    drop(gateway);
    for gateway in gateways.iter() {
        gateway.write().unwrap().take().unwrap().stop();
    }
}
