//! All gateways are restarted one after the other, while everybody works.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, try_to_come_back};
use crate::harness::{Client, wait};
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

/// Where the gateways are at the moment.
type Addresses = Arc<Vec<Mutex<SocketAddr>>>;

/// Comes back at one gateway after the other, until one takes it.
fn reconnect(addresses: &Addresses, from: usize, worker: &Worker) -> (Client, Value) {
    let mut at = from;
    wait("a gateway", || {
        at += 1;
        let address = *addresses[at % NODES].lock().unwrap();
        try_to_come_back(address, &worker.session, &worker.seen, &worker.epoch)
    })
}

/// Sends message after message, each until its result is there, wherever the session is by then.
fn work(addresses: &Addresses, number: usize, done: &AtomicBool, turns: &AtomicUsize) -> Worker {
    let session = format!("s{}", number % SESSIONS);
    let mut worker = Worker { session, epoch: Value::Null, seen: Vec::new(), results: 0 };
    let (mut client, info) = reconnect(addresses, number, &worker);
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
                    Ok(message) if message["type"] == "result" && message["request_id"] == *id => {
                        break Ok(());
                    }
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
            (client, info) = reconnect(addresses, number + hops, &worker);
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
    let mut gateways: Vec<_> = (0..NODES).map(|at| cluster.node(name(at), &args)).collect();
    let addresses: Addresses = Arc::new(gateways.iter().map(|gateway| Mutex::new(gateway.address)).collect());
    let (done, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..2 * SESSIONS)
        .map(|number| {
            let (addresses, done, turns) = (Arc::clone(&addresses), Arc::clone(&done), Arc::clone(&turns));
            std::thread::spawn(move || work(&addresses, number, &done, &turns))
        })
        .collect();
    let wait_for_turns = |more: usize| {
        let goal = turns.load(Ordering::Relaxed) + more;
        wait("turns", || match turns.load(Ordering::Relaxed) {
            now if now >= goal => Ok(()),
            now => Err(format!("{now} of {goal}")),
        });
    };
    wait_for_turns(8);
    for at in 0..NODES {
        // Its clients find it gone, or going, and look elsewhere.
        gateways[at].signal(Signal::TERM);
        assert_eq!(gateways[at].ended().code(), Some(0), "{}", gateways[at].log());
        gateways[at] = cluster.node(name(at), &args);
        *addresses[at].lock().unwrap() = gateways[at].address;
        wait_for_turns(8);
    }
    done.store(true, Ordering::Relaxed);
    let workers: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    println!("{} turns during three restarts", turns.load(Ordering::Relaxed));
    for worker in &workers {
        let whole = whole(&gateways[0], &worker.session);
        orderly(&whole);
        exact(&worker.seen, &whole);
        assert!(worker.results > 0);
    }
    assert!(cluster.overlaps().is_empty(), "{:?}", cluster.overlaps());
    for gateway in gateways {
        gateway.stop();
    }
}
