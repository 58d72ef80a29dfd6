//! Messages between nodes, and following what others append.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Node, end_lease};
use crate::store::{
    Entry, Follower, SharedStore, Store, StoreError,
    tests::{
        EPOCH, LONG_LEASE, append, made,
        proxy::{Network, Proxy},
        range,
        server::Server,
    },
};

/// Seqs as they come; a loss as 0.
#[derive(Debug, Default)]
struct Seen {
    seqs: Mutex<Vec<u64>>,
    last: watch::Sender<u64>,
}

impl Follower for Seen {
    fn events(&self, entries: Vec<Entry>) {
        let last = entries.last().expect("never empty").seq;
        self.seqs.lock().extend(entries.iter().map(|entry| entry.seq));
        self.last.send_replace(last);
    }

    fn lost(&self, _: u64) {
        self.seqs.lock().push(0);
    }
}

impl Seen {
    async fn up_to(&self, seq: u64) {
        self.last.subscribe().wait_for(|last| *last >= seq).await.unwrap();
    }
}

#[tokio::test]
async fn what_one_node_appends_others_see_in_order() {
    let server = Server::start();
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, Node::at(&server.url(), LONG_LEASE).await);
    let mut all = Vec::new();
    for n in 0..5 {
        let log = made(&a, &format!("s{n}"), EPOCH, 100_000).await;
        append(&log, 1..=3, 10);
        a.flush().await.unwrap();
        let seen = Arc::new(Seen::default());
        let follow = b.follow(log.key(), EPOCH, 2, seen.clone());
        all.push((log, seen, follow));
    }
    for seq in 4..=200 {
        for (log, ..) in &all {
            append(log, [seq], 10);
        }
        if seq % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (_, seen, _) in &all {
        seen.up_to(200).await;
        assert_eq!(*seen.seqs.lock(), range(3, 200));
    }
    // One is followed twice, and no more by the first.
    let (log, first, follow) = all.remove(0);
    let second = Arc::new(Seen::default());
    let _second_follow = b.follow(log.key(), EPOCH, 199, second.clone());
    second.up_to(200).await;
    drop(follow);
    append(&log, [201], 10);
    second.up_to(201).await;
    assert_eq!(*second.seqs.lock(), [200, 201]);
    assert_eq!(*first.last.borrow(), 200);
}

#[tokio::test]
async fn following_goes_on_over_connections_without_loss_or_doubling() {
    let server = Server::start();
    let network = Proxy::to(server.port()).await;
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, Node::at(&network.url(), LONG_LEASE).await);
    let log = made(&a, "s", EPOCH, 100_000).await;
    let seen = Arc::new(Seen::default());
    let _follow = b.follow(log.key(), EPOCH, 0, seen.clone());
    for round in 0..10 {
        append(&log, round * 10 + 1..=round * 10 + 5, 10);
        network.cut();
        append(&log, round * 10 + 6..=round * 10 + 10, 10);
        seen.up_to(round * 10 + 3 + round % 8).await;
    }
    network.set(Network::Swallows);
    append(&log, 101..=110, 10);
    a.flush().await.unwrap();
    network.set(Network::Passes);
    append(&log, 111..=120, 10);
    seen.up_to(120).await;
    assert_eq!(*seen.seqs.lock(), range(1, 120));
}

#[tokio::test]
async fn messages_arrive_in_order_once() {
    let server = Server::start();
    let network = Proxy::to(server.port()).await;
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, Node::at(&network.url(), LONG_LEASE).await);
    let mut inbox = b.inbox().unwrap();
    assert!(b.inbox().is_none(), "one reader");
    for n in 0..500_u32 {
        a.send(b.node(), Bytes::from(n.to_string())).await.unwrap();
        if n % 100 == 99 {
            network.cut();
        }
    }
    for n in 0..500_u32 {
        assert_eq!(inbox.recv().await.unwrap(), n.to_string());
    }
    a.send(a.node(), Bytes::from_static(b"\0\xff to itself")).await.unwrap();
    assert_eq!(a.inbox().unwrap().recv().await.unwrap(), &b"\0\xff to itself"[..]);
    // What was read is not kept.
    let left: usize = loop {
        let left = server.ask(&["XLEN", &super::super::keys::inbox(b.node())]).await;
        if left == 0 {
            break left;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(left, 0);
}

#[tokio::test]
async fn who_is_gone_or_does_not_read_is_known_to_senders() {
    // Nothing of this is to be kept.
    let server = Server::with(&[]);
    let (a, b) = (Node::at(&server.url(), LONG_LEASE).await, Node::at(&server.url(), LONG_LEASE).await);
    let mut full = None;
    for n in 0..20_000 {
        if let Err(error) = a.send(b.node(), Bytes::from_static(b"m")).await {
            full = Some((n, error));
            break;
        }
    }
    let (sent, error) = full.expect("nobody reads");
    assert!(matches!(error, StoreError::Full) && sent >= 10_000, "{sent} {error}");
    b.kill();
    end_lease(&server, &b).await;
    assert!(matches!(a.send(b.node(), Bytes::new()).await, Err(StoreError::Gone)));
    assert!(!a.lives(b.node()).await.unwrap());
    a.close().await.unwrap();
    assert!(matches!(a.send(b.node(), Bytes::new()).await, Err(StoreError::Closed)));
}
