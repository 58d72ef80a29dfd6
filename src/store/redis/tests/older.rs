//! What a version left to which ids of different owners were the same.

use super::super::{
    RedisError,
    address::{RedisAddress, RedisOptions},
};
use super::{BACKLOG, Node, end_lease, old_hand};
use crate::{
    log::EventLog,
    store::{
        Claim, NewSession, RedisStore, SessionKey, SharedStore, Source, Status, Store, Whereabouts,
        tests::{
            EPOCH, LONG_LEASE, append, data_dir, ids, put, range, read_all, record, server::Server, woken,
        },
    },
};

/// A session as that version made them, with events and more.
async fn old_session(node: &Node, id: &str) -> std::sync::Arc<EventLog> {
    let key = SessionKey::from(id);
    let new = NewSession { epoch: EPOCH, owner: "me", created_at: 1 };
    let Claim::Mine { tenure, .. } = node.claim(&key, Some(new)).await.unwrap() else { panic!("not made") };
    let store = Some(node.store.clone() as _);
    let log = EventLog::restore_held(key, EPOCH.to_owned(), 1000, store, 1, 0, Some(tenure));
    append(&log, 1..=10, 10);
    ids(&log, ["m".to_owned()]);
    put(&log, record(Status::Active, 7));
    node.flush().await.unwrap();
    log
}

#[tokio::test]
async fn its_sessions_are_their_owners_and_are_read_on() {
    let server = Server::start();
    let old = Node::at(&server.url(), LONG_LEASE).await;
    let rests = old_session(&old, "rests").await;
    old.release(rests.key(), rests.tenure().unwrap(), 11).await.unwrap();
    let _orphan = old_session(&old, "orphan").await;
    old.kill();
    end_lease(&server, &old).await;

    let node = old_hand(&server).await;
    for id in ["rests", "orphan"] {
        assert_eq!(node.whereabouts(&id.into()).await.unwrap(), Whereabouts::Absent);
        let (log, stored) = woken(&node, id, 1000).await;
        assert_eq!((stored.key.id(), stored.last_seq), (id, 10));
        assert_eq!(read_all(&log, 0).await, range(1, 10));
        assert_eq!(node.message_ids(&stored.key, EPOCH).await.unwrap(), ["m"]);
    }
    let listed = node.index("me").await.unwrap();
    assert_eq!(listed.iter().map(|indexed| indexed.key.id()).collect::<Vec<_>>(), ["rests", "orphan"]);
    assert_eq!(node.count_of("me").await.unwrap(), 2);
    assert_eq!(
        server.ask::<Vec<String>>(&["KEYS", "cws:?:rests*"]).await,
        [""; 0],
        "nothing under old names"
    );
    assert_eq!(server.ask::<Vec<String>>(&["ZRANGE", "cws:rest", "0", "-1"]).await, [""; 0]);
}

/// Both would run it, each under a name of its own.
#[tokio::test]
async fn while_it_still_runs_a_session_no_newer_gateway_starts() {
    let server = Server::start();
    let old = Node::at(&server.url(), LONG_LEASE).await;
    let log = old_session(&old, "s").await;
    let rests = old_session(&old, "rests").await;
    old.release(rests.key(), rests.tenure().unwrap(), 11).await.unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let refused = RedisStore::open(
        data_dir(dir.path()).await,
        RedisOptions {
            address: RedisAddress::parse(&server.url()).unwrap(),
            ca_file: None,
            lease: LONG_LEASE,
            name: "new".to_owned(),
        },
        BACKLOG,
        tokio_util::task::TaskTracker::new(),
    )
    .await
    .unwrap_err();
    assert!(matches!(refused, RedisError::OlderNodes { sessions: 2, .. }), "{refused}");
    // Who is refused has changed nothing: the older gateway finds what rests, and makes none anew in its place.
    assert_eq!(server.ask::<Vec<String>>(&["KEYS", "cws:s:*rests"]).await, ["cws:s:rests"]);
    assert!(refused.to_string().contains("Stop them all"), "{refused}");
    append(&log, [11], 10);
    old.flush().await.unwrap();
    assert_eq!(old.session(log.key()).await.unwrap().unwrap().last_seq, 11, "it is not in its way");
}
