//! Who has a session: one node at a time, and nobody else can write.

use std::time::{Duration, Instant};

use super::{Node, SHORT, end_lease, old_hand, stored};
use crate::{
    log::EventLog,
    store::{
        Claim, NewSession, SessionKey, SharedStore, Source, Status, Store, StoreError, StoredSession,
        Whereabouts,
        tests::{
            EPOCH, LONG_LEASE, append, ids, made,
            proxy::{Network, Proxy},
            put, range, read_all, record,
            server::Server,
            woken,
        },
    },
};

fn new(owner: &str) -> NewSession<'_> {
    NewSession { epoch: EPOCH, owner, created_at: 1 }
}

fn log_of(node: &Node, claim: Claim) -> (std::sync::Arc<EventLog>, StoredSession) {
    let Claim::Mine { tenure, stored: Some(stored) } = claim else { panic!("{claim:?}") };
    let StoredSession { key, epoch, first_seq, last_seq, .. } = stored.clone();
    let store = Some(node.store.clone() as _);
    (EventLog::restore_held(key, epoch, 1000, store, first_seq, last_seq, Some(tenure)), stored)
}

#[tokio::test]
async fn a_session_is_one_nodes_until_it_lets_go() {
    let server = Server::start();
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, Node::at(&server.url(), LONG_LEASE).await);
    let key = SessionKey::of("me", "s");
    assert_eq!(b.whereabouts(&key).await.unwrap(), Whereabouts::Absent);
    assert!(matches!(b.claim(&key, None).await.unwrap(), Claim::Absent));
    let log = made(&a, "s", EPOCH, 1000).await;
    for node in [&a, &b] {
        assert_eq!(node.whereabouts(&key).await.unwrap(), Whereabouts::At(a.node().clone()));
        let claim = node.claim(&key, Some(new("me"))).await.unwrap();
        assert!(matches!(&claim, Claim::Elsewhere(node) if node == a.node()), "{claim:?}");
    }
    assert!(matches!(b.claim(&key, Some(new("you"))).await.unwrap(), Claim::Foreign));
    append(&log, 1..=10, 10);
    a.flush().await.unwrap();
    let tenure = log.tenure().unwrap().clone();
    a.release(&key, &tenure, 11).await.unwrap();
    assert!(!tenure.holds(Instant::now()), "what was given up is not held");
    assert_eq!(b.whereabouts(&key).await.unwrap(), Whereabouts::Resting);
    append(&log, [11], 10);
    a.flush().await.unwrap();
    let (taken, stored_now) = woken(&b, "s", 1000).await;
    assert_eq!(
        (stored_now.last_seq, stored_now.next_seq),
        (10, 11),
        "it was given up in order: nothing is skipped"
    );
    assert!(taken.tenure().unwrap().fence() > tenure.fence());
    assert_eq!(read_all(&taken, 0).await, range(1, 10));
    assert!(matches!(a.release(&key, &tenure, 12).await, Err(StoreError::Refused)));
}

#[tokio::test]
async fn of_many_who_make_a_session_at_once_one_does() {
    let server = Server::start();
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, Node::at(&server.url(), LONG_LEASE).await);
    for n in 0..20 {
        let key = SessionKey::of("me", &format!("s{n}"));
        let claims = tokio::join!(
            a.claim(&key, Some(new("me"))),
            b.claim(&key, Some(new("me"))),
            a.claim(&key, Some(new("me"))),
        );
        let claims = [claims.0.unwrap(), claims.1.unwrap(), claims.2.unwrap()];
        let mine = claims.iter().filter(|claim| matches!(claim, Claim::Mine { stored: None, .. })).count();
        assert_eq!(mine, 1, "{claims:?}");
    }
}

#[tokio::test]
async fn a_dead_nodes_session_is_taken_when_its_lease_is_over() {
    let server = Server::start();
    let (a, b) = (Node::at(&server.url(), SHORT).await, Node::at(&server.url(), SHORT).await);
    let log = made(&a, "s", EPOCH, 1000).await;
    append(&log, 1..=10, 10);
    put(&log, record(Status::Active, 5));
    ids(&log, ["m".to_owned()]);
    a.flush().await.unwrap();
    a.kill();
    let (taken, stored) = log_of(&b, b.take("s").await);
    assert_eq!((stored.last_seq, stored.next_seq), (10, 1_000_011));
    assert_eq!(stored.record, Some(record(Status::Active, 5)));
    assert_eq!(b.message_ids(&stored.key, EPOCH).await.unwrap(), ["m"]);
    assert_eq!(read_all(&taken, 0).await, range(1, 10));
    assert!(!b.lives(a.node()).await.unwrap());
    assert_eq!(b.nodes().await.unwrap(), [b.node().clone()]);
}

#[tokio::test]
async fn who_has_just_come_takes_nobodys_session() {
    let server = Server::start();
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, Node::at(&server.url(), LONG_LEASE).await);
    let key = SessionKey::of("me", "s");
    drop(made(&a, "s", EPOCH, 1000).await);
    a.kill();
    end_lease(&server, &a).await;
    assert_eq!(b.whereabouts(&key).await.unwrap(), Whereabouts::Orphaned(a.node().clone()));
    let claim = b.claim(&key, None).await.unwrap();
    assert!(matches!(claim, Claim::NotYet(left) if left <= LONG_LEASE && left > LONG_LEASE / 2), "{claim:?}");
}

#[tokio::test]
async fn a_gateway_takes_up_its_own_sessions_at_once() {
    let server = Server::start();
    let a = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&a, "s", EPOCH, 1000).await;
    append(&log, 1..=3, 10);
    a.flush().await.unwrap();
    a.kill();
    let again = crate::store::tests::node(&server.url(), a.dir.path(), LONG_LEASE, 1 << 20).await;
    assert_ne!(again.node(), a.node());
    let (_, stored) = woken(&again, "s", 1000).await;
    assert_eq!(stored.next_seq, 1_000_004);
}

#[tokio::test]
async fn what_a_node_writes_after_others_took_its_session_is_refused_and_it_finds_out() {
    let server = Server::start();
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, old_hand(&server).await);
    let log = made(&a, "s", EPOCH, 1000).await;
    append(&log, 1..=10, 10);
    a.flush().await.unwrap();
    end_lease(&server, &a).await;
    let (taken, stored_then) = log_of(&b, b.claim(&SessionKey::of("me", "s"), None).await.unwrap());
    append(&log, 11..=20, 10);
    let tenure = log.tenure().unwrap();
    tenure.lost().await;
    assert!(!tenure.holds(Instant::now()));
    append(&taken, [stored_then.next_seq], 10);
    b.flush().await.unwrap();
    a.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, [range(1, 10), vec![1_000_011]].concat());
    assert!(log_is_given_up(&a, &log));
}

fn log_is_given_up(node: &Node, log: &EventLog) -> bool {
    node.holdings.get(log.key()).is_none()
}

/// The write was under way when the node's process was stopped; it arrives when others have the session.
#[tokio::test]
async fn a_paused_writer_that_comes_back_writes_nothing() {
    let server = Server::start();
    let network = Proxy::to(server.port()).await;
    let (a, b) = (Node::at(&network.url(), SHORT).await, old_hand(&server).await);
    let log = made(&a, "s", EPOCH, 1000).await;
    append(&log, 1..=10, 10);
    a.flush().await.unwrap();
    let tenure = log.tenure().unwrap().clone();
    network.set(Network::Holds);
    append(&log, 11..=20, 10);
    let (taken, stored_then) = log_of(&b, b.take("s").await);
    assert!(!tenure.holds(Instant::now()), "a node that nobody hears is not the owner");
    append(&taken, [stored_then.next_seq], 10);
    b.flush().await.unwrap();
    network.set(Network::Passes);
    // It is with Redis again: what it writes from now on is stored, what it wrote then is not.
    let other = loop {
        match a.claim(&SessionKey::of("me", "other"), Some(new("me"))).await {
            Ok(Claim::Mine { tenure, .. }) => break tenure,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(other.holds(Instant::now()) && !tenure.holds(Instant::now()), "once lost, lost for good");
    a.flush().await.unwrap();
    assert_eq!(stored(&server, "s").await, [range(1, 10), vec![1_000_011]].concat());
}

#[tokio::test]
async fn a_node_that_is_cut_off_loses_its_sessions_by_the_clock_and_gives_them_up_when_it_is_back() {
    let server = Server::start();
    let network = Proxy::to(server.port()).await;
    let (a, b) = (Node::at(&network.url(), SHORT).await, Node::at(&server.url(), LONG_LEASE).await);
    let log = made(&a, "s", EPOCH, 1000).await;
    append(&log, 1..=10, 10);
    a.flush().await.unwrap();
    network.set(Network::Swallows);
    log.tenure().unwrap().lost().await;
    network.set(Network::Passes);
    let key = SessionKey::of("me", "s");
    while b.whereabouts(&key).await.unwrap() != Whereabouts::Resting {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, stored) = woken(&b, "s", 1000).await;
    assert_eq!(stored.next_seq, 1_000_011, "nobody knows what its clients saw");
    // First it gives up what it had, then it is there again.
    while !b.lives(a.node()).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_owners_sessions_are_listed_with_their_nodes_and_only_unowned_ones_are_deleted() {
    let server = Server::start();
    let (a, b) = (old_hand(&server).await, old_hand(&server).await);
    let one = made(&a, "one", EPOCH, 1000).await;
    let two = made(&b, "two", EPOCH, 1000).await;
    put(&one, record(Status::Dormant, 5));
    a.flush().await.unwrap();
    let listed = a.index("me").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|indexed| (indexed.key.id(), indexed.node.as_ref())).collect();
    assert_eq!(listed, [("one", Some(a.node())), ("two", Some(b.node()))]);
    assert!(a.index("you").await.unwrap().is_empty());
    assert!(matches!(b.delete(one.key(), EPOCH).await, Err(StoreError::Refused)));
    a.kill();
    end_lease(&server, &a).await;
    assert_eq!(b.index("me").await.unwrap()[0].node, None);
    let retention = crate::store::Retention {
        now_ms: 100,
        max_age_ms: Some(10),
        max_bytes: None,
        max_ended_per_owner: None,
    };
    let expired = b.expired(retention).await.unwrap();
    assert_eq!(expired.iter().map(|expired| expired.key.id()).collect::<Vec<_>>(), ["one"], "an orphan");
    b.delete(one.key(), EPOCH).await.unwrap();
    assert_eq!(b.sessions().await.unwrap().len(), 1);
    // A late word of its former owner does not bring it back.
    drop(two);
    let again = b.claim(&SessionKey::of("me", "one"), Some(new("me"))).await.unwrap();
    let Claim::Mine { tenure, stored: None } = again else { panic!("{again:?}") };
    assert!(tenure.fence() > one.tenure().unwrap().fence(), "fences go on");
}

/// A release that was not answered, a claim whose session never began: the session must not be this node's for ever.
#[tokio::test]
async fn what_a_node_holds_without_a_tenure_it_can_claim_again() {
    let server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&node, "s", EPOCH, 1000).await;
    append(&log, 1..=3, 10);
    node.flush().await.unwrap();
    let key = SessionKey::of("me", "s");
    assert!(matches!(node.claim(&key, None).await.unwrap(), Claim::Elsewhere(_)), "it is at work");
    log.tenure().unwrap().lose();
    let (again, stored) = log_of(&node, node.claim(&key, None).await.unwrap());
    assert!(again.tenure().unwrap().fence() > log.tenure().unwrap().fence());
    assert!(stored.next_seq > 1_000_000, "that was no orderly end");
}

/// After Redis was away all leases may have run out though their nodes live; a sweep that waited for Redis deleted what they ran.
#[tokio::test]
async fn a_node_that_has_just_come_to_redis_deletes_no_orphans() {
    let server = Server::start();
    let a = Node::at(&server.url(), LONG_LEASE).await;
    let log = made(&a, "s", EPOCH, 1000).await;
    append(&log, 1..=3, 10);
    put(&log, record(Status::Dormant, 1));
    a.flush().await.unwrap();
    end_lease(&server, &a).await;
    let retention = crate::store::Retention {
        now_ms: 100,
        max_age_ms: Some(10),
        max_bytes: None,
        max_ended_per_owner: None,
    };
    let key = SessionKey::of("me", "s");
    let new_here = Node::at(&server.url(), LONG_LEASE).await;
    assert!(new_here.expired(retention).await.unwrap().is_empty());
    assert!(matches!(new_here.delete(&key, EPOCH).await, Err(StoreError::Refused)));
    // Nor one that has been there for long, and whose own lease is gone with the others.
    let old = old_hand(&server).await;
    assert_eq!(old.expired(retention).await.unwrap().len(), 1);
    end_lease(&server, &old).await;
    assert!(matches!(old.delete(&key, EPOCH).await, Err(StoreError::Refused)));
    assert!(matches!(old.claim(&key, None).await.unwrap(), Claim::NotYet(_)));
    assert_eq!(stored(&server, "s").await, range(1, 3));
}

/// A gateway whose clock was a month ahead deleted everybody's sessions; one that was behind had its own deleted.
#[tokio::test]
async fn the_clock_of_redis_decides_how_old_a_session_is() {
    let server = Server::start();
    let node = Node::at(&server.url(), LONG_LEASE).await;
    let month = 30 * 24 * 60 * 60 * 1000;
    let (seconds, _): (u64, u64) = server.ask(&["TIME"]).await;
    let wrong = node.clock((seconds + 1_000_000) * 1000).await.unwrap();
    assert!(wrong.abs_diff(seconds * 1000) < month, "whatever the machine's clock says");
    // This machine is a month behind.
    let log = made(&node, "s", EPOCH, 1000).await;
    node.skew.set(i64::try_from(month).unwrap());
    put(&log, record(Status::Dormant, seconds * 1000 - month));
    node.flush().await.unwrap();
    let stored = node.session(&SessionKey::of("me", "s")).await.unwrap().unwrap();
    assert_eq!(stored.record.unwrap().last_active_at, seconds * 1000);
}

#[tokio::test]
async fn ended_sessions_of_an_owner_are_kept_up_to_a_number() {
    let server = Server::start();
    let a = old_hand(&server).await;
    for (n, id) in ["one", "two", "three", "four"].into_iter().enumerate() {
        let log = made(&a, id, EPOCH, 1000).await;
        put(&log, record(if id == "two" { Status::Dormant } else { Status::Ended }, n as u64));
        a.flush().await.unwrap();
        a.release(log.key(), log.tenure().unwrap(), 2).await.unwrap();
    }
    let retention = crate::store::Retention { max_ended_per_owner: Some(1), ..Default::default() };
    let expired = a.expired(retention).await.unwrap();
    assert_eq!(expired.iter().map(|expired| expired.key.id()).collect::<Vec<_>>(), ["three", "one"]);
    assert!(expired.iter().all(|expired| expired.ended));
}
