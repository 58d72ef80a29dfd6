//! `--check` says what a start would say, in Redis's own words.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::{BACKLOG, Node, RedisStore};
use crate::store::{
    DataDir, RedisAddress, RedisFindings, RedisOptions,
    tests::{LONG_LEASE, server::Server},
};

fn options(url: &str) -> RedisOptions {
    let address = RedisAddress::parse(url).unwrap();
    RedisOptions { address, ca_file: None, lease: LONG_LEASE, name: "test".to_owned() }
}

async fn look(url: &str) -> Result<RedisFindings, String> {
    RedisStore::look(&options(url)).await.map_err(|problem| problem.to_string())
}

async fn start(url: &str) -> Result<(), String> {
    let dir = TempDir::new().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let opened = RedisStore::open(data, options(url), BACKLOG, TaskTracker::new()).await;
    opened.map(drop).map_err(|problem| problem.to_string())
}

/// Both refuse it, for the same reason.
async fn refused(url: &str, reasons: &[&str]) {
    let (looked, started) = (look(url).await.unwrap_err(), start(url).await.unwrap_err());
    assert_eq!(looked, started);
    for reason in reasons {
        assert!(looked.contains(reason), "{looked}");
    }
}

#[tokio::test]
async fn a_redis_that_takes_no_writes() {
    let server = Server::start();
    assert_eq!(look(&server.url()).await, Ok(RedisFindings { sessions: 0, unwise: vec![] }));
    assert_eq!(server.ask::<u64>(&["DBSIZE"]).await, 0, "nothing is left of the look");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    refused(&server.url(), &["OOM command not allowed", "its memory is full"]).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    server.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    refused(&server.url(), &["NOREPLICAS Not enough good replicas", "min-replicas-to-write"]).await;
    server.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    start(&server.url()).await.unwrap();

    let primary = server.port().to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &primary]);
    refused(&replica.url(), &["READONLY You can't write against a read only replica", "name the primary"])
        .await;
}

#[tokio::test]
async fn a_cluster() {
    let server = Server::with(&["--cluster-enabled", "yes"]);
    refused(&server.url(), &["Redis Cluster, which is not supported"]).await;
    server.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let mut said = String::new();
    while !said.contains("CROSSSLOT") {
        said = look(&server.url()).await.unwrap_err();
    }
    refused(&server.url(), &["CROSSSLOT Keys in request don't hash to the same slot", "not supported"]).await;
}

#[tokio::test]
async fn rights_that_are_not_enough() {
    let server = Server::start();
    let rights = "+@read +@write +@stream +@scripting +@connection -@dangerous";
    // Outside of scripts it says NOPERM, and so it does within, in later versions.
    let first =
        [("-@scripting", "NOPERM "), ("-@write", "(SET)"), ("-xadd", "(XADD)"), ("-unlink", "(UNLINK)")];
    for (without, reason) in first {
        let rules = format!("reset on >p ~cws:* resetchannels -@all {rights} +info {without}");
        let words: Vec<_> = ["ACL", "SETUSER", "me"].into_iter().chain(rules.split(' ')).collect();
        server.ask::<()>(&words).await;
        let url = format!("redis://me:p@127.0.0.1:{}", server.port());
        refused(&url, &[reason, "docs/redis.md"]).await;
    }
    // What it may not look at it does not call good.
    let rules = format!("reset on >p ~cws:* resetchannels -@all {rights}");
    let words: Vec<_> = ["ACL", "SETUSER", "me"].into_iter().chain(rules.split(' ')).collect();
    server.ask::<()>(&words).await;
    let url = format!("redis://me:p@127.0.0.1:{}", server.port());
    let found = look(&url).await.unwrap().unwise;
    assert!(found.len() == 1 && found[0].contains("could not be looked at (INFO: NOPERM"), "{found:?}");
    start(&url).await.unwrap();
}

#[tokio::test]
async fn what_is_no_redis() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 1000]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    refused(&url, &["what answers there is no Redis"]).await;
    serving.join().unwrap();
}

/// It was waited for, for ever.
#[tokio::test]
async fn one_that_takes_the_connection_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (looked, started) = tokio::join!(look(&url), start(&url));
    for said in [looked.unwrap_err(), started.unwrap_err()] {
        assert!(said.contains("gives no answer"), "{said}");
    }
    drop(listener);
}

#[tokio::test]
async fn leases_that_differ_are_noticed() {
    let server = Server::start();
    let _node = Node::at(&server.url(), LONG_LEASE).await;
    assert!(look(&server.url()).await.unwrap().unwise.is_empty());
    let other = RedisOptions { lease: LONG_LEASE + Duration::from_secs(5), ..options(&server.url()) };
    let found = RedisStore::look(&other).await.unwrap().unwise;
    assert!(found.len() == 1 && found[0].contains("all must have the same"), "{found:?}");
}
