//! Another Redis takes the place of the one that died.

use std::time::Duration;

use tokio::time::sleep;

use super::{Node, stored};
use crate::store::{
    SharedStore, Source, Store,
    tests::{
        EPOCH, LONG_LEASE, append, made, range,
        server::{Sentinel, Server},
        woken,
    },
};

#[tokio::test]
async fn a_failover_costs_nothing_that_is_still_in_memory() {
    let mut first = Server::start();
    let second = Server::with(&["--replicaof", &format!("127.0.0.1 {}", first.port())]);
    // Sentinel finds the replica in what the primary says.
    loop {
        let said: String = first.ask(&["INFO", "replication"]).await;
        if said.contains("state=online") {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let sentinel = Sentinel::watch(&first);
    sentinel.knows_a_replica().await;
    let (a, b) = (Node::at(&sentinel.url(), LONG_LEASE).await, Node::at(&sentinel.url(), LONG_LEASE).await);
    let log = made(&a, "s", EPOCH, 1_000_000).await;
    append(&log, 1..=500, 20);
    a.flush().await.unwrap();
    append(&log, 501..=700, 20);
    first.kill();
    append(&log, 701..=1000, 20);
    a.flush().await.unwrap();
    assert_eq!(stored(&second, "s").await, range(1, 1000));
    assert!(log.tenure().unwrap().holds(std::time::Instant::now()));
    // Back as a replica of the other: the sentinels see to that, and nobody writes there.
    first.go_on();
    append(&log, 1001..=1010, 20);
    a.flush().await.unwrap();
    assert_eq!(stored(&second, "s").await, range(1, 1010));
    let tenure = log.tenure().unwrap().clone();
    a.release(log.key(), &tenure, 1011).await.unwrap();
    let (_, taken) = woken(&b, "s", 1000).await;
    assert_eq!(taken.next_seq, 1011);
}
