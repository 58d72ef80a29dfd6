//! Redis away, back, back without its data, unwilling, slow.

use crate::store::SessionKey;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{BACKLOG, Node, SHORT, stored};
use crate::store::{
    Claim, NewSession, SharedStore, Source, Status, Store, StoreHealth, Whereabouts,
    tests::{
        EPOCH, LONG_LEASE, append, ids, made,
        proxy::{Network, Proxy},
        put, range, read_all, record,
        server::Server,
        woken,
    },
};

async fn health(node: &Node, wanted: StoreHealth) {
    node.health().wait_for(|health| *health == wanted).await.unwrap();
}

#[tokio::test]
async fn while_redis_is_down_sessions_go_on_beyond_the_lease_and_their_events_are_made_up_for() {
    let mut server = Server::start();
    let node = Node::at(&server.url(), SHORT).await;
    let log = made(&node, "s", EPOCH, 10_000).await;
    append(&log, 1..=100, 50);
    node.flush().await.unwrap();
    server.kill();
    append(&log, 101..=200, 50);
    health(&node, StoreHealth::Failing).await;
    let down = Instant::now();
    while down.elapsed() < SHORT * 5 / 4 {
        sleep(SHORT / 20).await;
        assert!(log.tenure().unwrap().holds(Instant::now()), "nobody else can have it");
    }
    append(&log, 201..=300, 50);
    assert_eq!(read_all(&log, 250).await, range(251, 300), "live delivery goes on");
    server.go_on();
    health(&node, StoreHealth::Good).await;
    node.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, range(1, 300));
    assert!(log.tenure().unwrap().holds(Instant::now()));
    assert_eq!(node.backlog().bytes(), 0);
    log.compact();
    assert_eq!(read_all(&log, 0).await, range(1, 300));
}

#[tokio::test]
async fn many_restarts_in_a_flood_lose_and_double_nothing() {
    let mut server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let mut logs = Vec::new();
    for n in 0..10 {
        logs.push(made(&node, &format!("s{n}"), EPOCH, 1_000_000).await);
    }
    for round in 0..5_u64 {
        for part in 0..10 {
            let first = round * 1000 + part * 100;
            for log in &logs {
                append(log, first + 1..=first + 100, 20);
            }
            ids(&logs[0], [format!("m{round}-{part}")]);
            if part == 5 {
                server.kill();
            }
            tokio::task::yield_now().await;
        }
        server.go_on();
    }
    node.flush().await.unwrap();
    for n in 0..10 {
        assert_eq!(stored(&server, &format!("s{n}")).await, range(1, 5000));
    }
    let expected: Vec<_> = (0..50).map(|n| format!("m{}-{}", n / 10, n % 10)).collect();
    assert_eq!(node.message_ids(&SessionKey::of("me", "s0"), EPOCH).await.unwrap(), expected);
}

#[tokio::test]
async fn a_redis_that_lost_its_data_is_given_what_is_still_in_memory_and_readers_are_told_of_the_rest() {
    let mut server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&node, "s", EPOCH, 5_000).await;
    append(&log, 1..=100, 100);
    put(&log, record(Status::Active, 7));
    ids(&log, ["m1".to_owned(), "m2".to_owned()]);
    node.flush().await.unwrap();
    server.kill();
    health(&node, StoreHealth::Failing).await;
    append(&log, 101..=103, 100);
    server.wipe();
    server.go_on();
    health(&node, StoreHealth::Good).await;
    node.flush().await.unwrap();
    let there = stored(&server, "s").await;
    assert_eq!(there, range(there[0], 103));
    assert!(there[0] > 50 && there[0] < 100, "{}", there[0]);
    log.compact();
    let read = read_all(&log, 0).await;
    assert_eq!(read, [vec![0], there].concat(), "a gap, and what is there");
    let stored = node.session(log.key()).await.unwrap().unwrap();
    assert_eq!(stored.record, Some(record(Status::Active, 7)));
    assert_eq!(node.message_ids(log.key(), EPOCH).await.unwrap(), ["m1", "m2"]);
    assert!(node.backlog().has_lost());
    // A session that has not written since is put back too.
    assert_eq!(node.sessions().await.unwrap().len(), 1);
}

/// As after a failover to a replica that had not got the last writes.
#[tokio::test]
async fn a_redis_that_went_back_in_time_is_given_what_it_lacks() {
    let mut server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let (log, quiet) = (made(&node, "s", EPOCH, 100_000).await, made(&node, "quiet", EPOCH, 100_000).await);
    append(&log, 1..=50, 100);
    append(&quiet, 1..=50, 100);
    node.flush().await.unwrap();
    let then = server.copy();
    append(&log, 51..=100, 100);
    append(&quiet, 51..=60, 100);
    put(&quiet, record(Status::Dormant, 9));
    ids(&log, ["m1".to_owned()]);
    node.flush().await.unwrap();
    server.kill();
    health(&node, StoreHealth::Failing).await;
    server.put_back(&then);
    append(&log, 101..=110, 100);
    server.go_on();
    health(&node, StoreHealth::Good).await;
    node.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, range(1, 110));
    assert_eq!(stored(&server, "quiet").await, range(1, 60), "also where nothing new was written");
    let stored = node.session(quiet.key()).await.unwrap().unwrap();
    assert_eq!(stored.record, Some(record(Status::Dormant, 9)));
    assert_eq!(node.message_ids(log.key(), EPOCH).await.unwrap(), ["m1"]);
    assert!(!node.backlog().has_lost());
}

#[tokio::test]
async fn a_redis_that_may_only_be_read_is_waited_for_within_the_lease() {
    let server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&node, "s", EPOCH, 10_000).await;
    append(&log, 1..=10, 50);
    node.flush().await.unwrap();
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    append(&log, 11..=20, 50);
    health(&node, StoreHealth::Failing).await;
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    health(&node, StoreHealth::Good).await;
    node.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, range(1, 20));
    assert!(log.tenure().unwrap().holds(Instant::now()));
}

/// It may be the old primary, on the wrong side of a split: others have another one.
#[tokio::test]
async fn a_redis_that_is_no_primary_any_more_speaks_for_no_other() {
    let server = Server::start();
    let node = Node::at(&server.url(), SHORT).await;
    let log = made(&node, "s", EPOCH, 10_000).await;
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    log.tenure().unwrap().lost().await;
}

/// As after a failover to a replica that had not even got the claim.
#[tokio::test]
async fn a_redis_that_lost_the_claim_is_given_it_again() {
    let mut server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&node, "s", EPOCH, 100_000).await;
    append(&log, 1..=10, 100);
    node.flush().await.unwrap();
    let tenure = log.tenure().unwrap().clone();
    node.release(&SessionKey::of("me", "s"), &tenure, 11).await.unwrap();
    let then = server.copy();
    let (log, _) = woken(&node, "s", 100_000).await;
    append(&log, 11..=20, 100);
    node.flush().await.unwrap();
    server.kill();
    health(&node, StoreHealth::Failing).await;
    server.put_back(&then);
    server.go_on();
    health(&node, StoreHealth::Good).await;
    append(&log, 21..=30, 100);
    node.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, range(1, 30));
    assert!(log.tenure().unwrap().holds(Instant::now()));
    let whereabouts = node.whereabouts(&SessionKey::of("me", "s")).await.unwrap();
    assert_eq!(whereabouts, Whereabouts::At(node.node().clone()));
}

#[tokio::test]
async fn a_full_redis_ends_no_lease() {
    let server = Server::start();
    let node = Node::at(&server.url(), SHORT).await;
    let log = made(&node, "s", EPOCH, 10_000).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    append(&log, 1..=20, 50);
    health(&node, StoreHealth::Failing).await;
    let begun = Instant::now();
    while begun.elapsed() < SHORT * 5 / 4 {
        sleep(SHORT / 20).await;
        assert!(log.tenure().unwrap().holds(Instant::now()) && node.lives(node.node()).await.unwrap());
    }
    let new = NewSession { epoch: EPOCH, owner: "me", created_at: 1 };
    assert!(node.claim(&SessionKey::of("me", "other"), Some(new)).await.is_err(), "and nothing can be begun");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    health(&node, StoreHealth::Good).await;
    node.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, range(1, 20));
    assert!(matches!(
        node.claim(&SessionKey::of("me", "other"), Some(new)).await.unwrap(),
        Claim::Mine { .. }
    ));
}

/// Nothing was left that could have shown that Redis works again.
#[tokio::test]
async fn a_full_redis_is_not_blamed_for_ever_when_what_waited_was_given_up() {
    let server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&node, "s", EPOCH, 10_000).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    append(&log, 1..=20, 50);
    health(&node, StoreHealth::Failing).await;
    log.tenure().unwrap().lose();
    health(&node, StoreHealth::Good).await;
}

#[tokio::test]
async fn a_slow_redis_is_slow_and_nothing_else() {
    let server = Server::start();
    let network = Proxy::to(server.port()).await;
    let node = Node::at(&network.url(), LONG_LEASE).await;
    network.set(Network::Delays(Duration::from_millis(100)));
    let log = made(&node, "s", EPOCH, 10_000).await;
    for seq in 1..=30 {
        append(&log, [seq], 1000);
        sleep(Duration::from_millis(5)).await;
    }
    node.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, range(1, 30));
    assert_eq!(*node.health().borrow(), StoreHealth::Good);
    assert_eq!(read_all(&log, 0).await, range(1, 30));
}

#[tokio::test]
async fn a_lost_connection_is_nobodys_concern_if_the_next_one_works() {
    let server = Server::start();
    let network = Proxy::to(server.port()).await;
    let node = Node::at(&network.url(), LONG_LEASE).await;
    let mut health = node.health();
    let log = made(&node, "s", EPOCH, 10_000).await;
    for round in 0..20 {
        append(&log, round * 10 + 1..=round * 10 + 5, 50);
        network.cut();
        append(&log, round * 10 + 6..=round * 10 + 10, 50);
        node.flush().await.unwrap();
    }
    assert_eq!(stored(&server, "s").await, range(1, 200));
    assert!(!health.has_changed().unwrap(), "{:?}", health.borrow_and_update());
}

#[tokio::test]
async fn a_reader_waits_for_redis_rather_than_to_leave_something_out() {
    let mut server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&node, "s", EPOCH, 1_000).await;
    append(&log, 1..=100, 100);
    node.flush().await.unwrap();
    server.kill();
    health(&node, StoreHealth::Failing).await;
    let mut reading = std::pin::pin!(read_all(&log, 0));
    assert!(futures_util::poll!(reading.as_mut()).is_pending());
    server.go_on();
    assert_eq!(reading.await, range(1, 100));
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_named_without_its_password() {
    let address = crate::store::RedisAddress::parse("redis://:hunter2@127.0.0.1:1").unwrap();
    let options =
        crate::store::RedisOptions { address, ca_file: None, lease: SHORT, name: "test".to_owned() };
    let dir = tempfile::TempDir::new().unwrap();
    let dir = crate::store::DataDir::open(dir.path()).unwrap();
    let opened = super::RedisStore::open(dir, options, BACKLOG, tokio_util::task::TaskTracker::new()).await;
    let problem = opened.unwrap_err().to_string();
    assert!(problem.contains("127.0.0.1:1") && problem.contains("refused"), "{problem}");
    assert!(!problem.contains("hunter2"), "{problem}");
}
