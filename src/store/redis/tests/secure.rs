//! Who may come in, and TLS.

use std::{path::Path, process::Command};

use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::{BACKLOG, Node, RedisStore};
use crate::store::{
    DataDir, RedisAddress, RedisError, RedisOptions, Store,
    tests::{
        EPOCH, LONG_LEASE, append, made, range, read_all,
        server::{Server, free_port},
    },
};

async fn open(url: &str, ca_file: Option<&Path>) -> Result<Node, RedisError> {
    let options = RedisOptions {
        address: RedisAddress::parse(url).unwrap(),
        ca_file: ca_file.map(Path::to_owned),
        lease: LONG_LEASE,
        name: "test".to_owned(),
    };
    let dir = TempDir::new().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let store = RedisStore::open(data, options, BACKLOG, TaskTracker::new()).await?;
    Ok(Node { store: std::sync::Arc::new(store), dir })
}

/// What docs/scaling.md tells operators to allow.
const ALLOWED: &str = "+@read +@write +@stream +@scripting +@connection +info -@dangerous +info";

#[tokio::test]
async fn a_user_with_the_documented_rights_can_do_everything() {
    let server = Server::start();
    let rules = format!("on >p%ss ~cws:* resetchannels -@all {ALLOWED}");
    let words: Vec<_> = ["ACL", "SETUSER", "gateway"].into_iter().chain(rules.split(' ')).collect();
    server.ask::<()>(&words).await;
    server.ask::<()>(&["CONFIG", "SET", "requirepass", "other"]).await;
    let url = |who: &str| format!("redis://{who}127.0.0.1:{}", server.port());
    for wrong in ["", "gateway:wrong@", "nobody:p%25ss@"] {
        let problem = open(&url(wrong), None).await.unwrap_err().to_string();
        assert!(!problem.contains("wrong@") && !problem.contains("p%"), "{problem}");
    }
    let node = open(&url("gateway:p%25ss@"), None).await.unwrap();
    let log = made(&node, "s", EPOCH, 100).await;
    append(&log, 1..=100, 10);
    node.flush().await.unwrap();
    log.compact();
    assert_eq!(read_all(&log, 0).await, range(1, 100));
    log.delete();
    node.close().await.unwrap();
}

#[tokio::test]
async fn tls_with_a_certificate_of_ones_own() {
    let certs = TempDir::new().unwrap();
    let path = |name: &str| certs.path().join(name).display().to_string();
    let (key, cert) = (path("key.pem"), path("cert.pem"));
    let made_cert = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=redis"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", &key, "-out", &cert])
        .output()
        .expect("openssl must be installed: `scripts/need.sh openssl=openssl`");
    assert!(made_cert.status.success(), "{}", String::from_utf8_lossy(&made_cert.stderr));
    let port = free_port().to_string();
    let _server = Server::with(&[
        "--port",
        "0",
        "--tls-port",
        &port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://localhost:{port}");
    let strange = open(&url, None).await.unwrap_err().to_string();
    assert!(strange.contains("certificate"), "{strange}");
    let node = open(&url, Some(Path::new(&cert))).await.unwrap();
    let log = made(&node, "s", EPOCH, 1000).await;
    append(&log, 1..=10, 10);
    node.flush().await.unwrap();
    assert_eq!(node.sessions().await.unwrap()[0].last_seq, 10);
    let other_name = open(&format!("rediss://127.0.0.1:{port}"), Some(Path::new(&cert))).await;
    assert!(other_name.is_err(), "a certificate is for its name");
    node.close().await.unwrap();
}
