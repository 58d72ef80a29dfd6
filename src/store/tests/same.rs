//! What every store does.

use super::{
    super::{KEPT_MESSAGE_IDS, Retention, Status, StoreError, StoreHealth},
    EPOCH, Open, Place, append, ids, put, range, read_all, record,
};
use crate::log::{Doorbell, From, Journal, Verdict};
use crate::store::SessionKey;

macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $name() {
                super::$name(super::Place::file()).await;
            }
        )*}
        mod redis {$(
            #[tokio::test]
            async fn $name() {
                super::$name(super::Place::redis()).await;
            }
        )*}
    };
}

on_both! {
    clean_end_keeps_everything_and_goes_on_with_the_next_seq
    crash_keeps_what_was_committed_and_jumps_over_what_clients_may_have_seen
    lagging_cursor_reads_from_the_store_and_memory_stays_at_the_window
    a_full_store_is_told_waited_for_and_made_up_for
    long_stall_loses_the_oldest_unstored_events_and_says_so
    deleted_session_is_gone_and_its_id_can_be_used_again
    retention_takes_ended_before_dormant_before_nothing
    many_sessions_share_one_writer
    the_newest_message_ids_are_kept_in_order
    an_owners_ended_sessions_are_found
}

async fn clean_end_keeps_everything_and_goes_on_with_the_next_seq(place: Place) {
    let store = place.open().await;
    let first = store.log("a", 1000).await;
    append(&first, 1..=500, 50);
    let message_ids = vec!["m1".to_owned(), "m2".to_owned()];
    first.append_with(
        &mut Vec::new(),
        Journal { record: Some(record(Status::Dormant, 7)), message_ids, stored_first: false },
    );
    store.close().await.unwrap();
    append(&first, 501..=502, 50);
    assert!(matches!(store.flush().await, Err(StoreError::Closed)));

    let store = place.open().await;
    assert_eq!(store.sessions().await.unwrap().len(), 1);
    let (log, session) = store.wake("a").await;
    assert_eq!((session.first_seq, session.last_seq, session.next_seq), (1, 500, 501));
    assert_eq!(session.record, Some(record(Status::Dormant, 7)));
    assert_eq!(store.message_ids(&session.key, EPOCH).await.unwrap(), ["m1", "m2"]);
    assert_eq!(log.attach(From::After { seq: 3, epoch: Some(EPOCH) }, &Doorbell::new()).verdict, Verdict::Ok);
    append(&log, 501..=505, 50);
    assert_eq!(read_all(&log, 3).await, range(4, 505));
}

async fn crash_keeps_what_was_committed_and_jumps_over_what_clients_may_have_seen(mut place: Place) {
    let mut zombies = Vec::new();
    let mut crash = async |place: &mut Place, store: Open| {
        store.flush().await.unwrap();
        place.crash();
        zombies.push(store);
        place.open().await
    };
    let store = place.open().await;
    append(&*store.log("a", 1000).await, 1..=100, 50);

    let store = crash(&mut place, store).await;
    let (log, session) = store.wake("a").await;
    assert_eq!((session.last_seq, session.next_seq, &session.record), (100, 1_000_101, &None));
    assert_eq!(read_all(&log, 0).await, range(1, 100));
    // The client saw 103 before the crash.
    let seen = From::After { seq: 103, epoch: Some(EPOCH) };
    assert_eq!(log.attach(seen, &Doorbell::new()).verdict, Verdict::Reset);

    let store = crash(&mut place, store).await;
    let (log, session) = store.wake("a").await;
    assert_eq!(
        (session.last_seq, session.next_seq),
        (100, 2_000_101),
        "events after the first restart may be lost too"
    );
    append(&log, [session.next_seq + 5], 10);
    assert_eq!(log.attach(seen, &Doorbell::new()).verdict, Verdict::Ok);
    assert_eq!(read_all(&log, 103).await, [2_000_106]);

    let store = crash(&mut place, store).await;
    let session = store.wake("a").await.1;
    assert_eq!((session.last_seq, session.next_seq), (2_000_106, 3_000_107));
}

async fn lagging_cursor_reads_from_the_store_and_memory_stays_at_the_window(place: Place) {
    let store = place.open().await;
    let log = store.log("a", 10_000).await;
    for n in 0..20 {
        append(&log, n * 100 + 1..=n * 100 + 100, 100);
    }
    append(&log, [2001], 3_000_000);
    append(&log, 2002..=3000, 100);
    store.flush().await.unwrap();
    assert!(log.memory() < 11_000, "{}", log.memory());
    assert_eq!(store.backlog().bytes(), 0);
    assert_eq!((log.first_seq(), log.last_seq()), (1, 3000));
    assert_eq!(read_all(&log, 0).await, range(1, 3000));
    log.compact();
    assert_eq!(log.memory(), 0);
    assert_eq!(read_all(&log, 1999).await, range(2000, 3000));
}

async fn a_full_store_is_told_waited_for_and_made_up_for(place: Place) {
    let store = place.open().await;
    let mut health = store.health();
    let log = store.log("a", 10_000).await;
    append(&log, 1..=10, 100);
    store.flush().await.unwrap();
    place.break_writes(&store).await;
    append(&log, 11..=3000, 100);
    health.wait_for(|health| *health == StoreHealth::Failing).await.unwrap();
    append(&log, 3001..=4000, 100);
    assert_eq!(read_all(&log, 10).await, range(11, 4000), "live delivery goes on");
    assert!(store.close().await.is_err(), "who closes is told");
    place.mend_writes(&store).await;
    health.wait_for(|health| *health == StoreHealth::Good).await.unwrap();
    store.flush().await.unwrap();
    assert!(log.memory() < 11_000, "{}", log.memory());
    assert_eq!(read_all(&log, 0).await, range(1, 4000));
    assert!(!store.backlog().has_lost());
}

async fn long_stall_loses_the_oldest_unstored_events_and_says_so(place: Place) {
    let store = place.open_with(100_000).await;
    let mut health = store.health();
    let log = store.log("a", 10_000).await;
    append(&log, 1..=10, 100);
    store.flush().await.unwrap();
    place.break_writes(&store).await;
    append(&log, 11..=200, 100);
    health.wait_for(|health| *health == StoreHealth::Failing).await.unwrap();
    for seq in 201..=5000 {
        append(&log, [seq], 100);
        assert!(log.memory() <= 120_000, "{}", log.memory());
    }
    assert!(store.backlog().has_lost());
    let during = read_all(&log, 0).await;
    assert!(during.starts_with(&range(1, 10)) && during[10] == 0, "then a gap");
    assert_eq!(during.iter().filter(|seq| **seq == 0).count(), 1);
    place.mend_writes(&store).await;
    health.wait_for(|health| *health == StoreHealth::Good).await.unwrap();
    store.flush().await.unwrap();
    append(&log, 5001..=5300, 100);
    store.flush().await.unwrap();
    log.compact();
    let after = read_all(&log, 0).await;
    let gap = after.iter().position(|seq| *seq == 0).expect("a gap");
    assert_eq!(after.iter().filter(|seq| **seq == 0).count(), 1);
    assert_eq!(after[..gap], range(1, gap as u64), "what was pulled before the loss is stored");
    assert_eq!(after[gap + 1..], range(after[gap + 1], 5300));

    // Its seqs were given out, so the next start must keep away from them, although this end is in order.
    store.close().await.unwrap();
    let session = place.open().await.wake("a").await.1;
    assert_eq!(session.next_seq, 1_005_301);
}

async fn deleted_session_is_gone_and_its_id_can_be_used_again(place: Place) {
    let store = place.open().await;
    let old = store.log("a", 100).await;
    append(&old, 1..=50, 100);
    store.flush().await.unwrap();
    old.delete();
    append(&old, 51..=60, 100);
    store.flush().await.unwrap();
    assert_eq!(store.sessions().await.unwrap().len(), 0);
    let new = store.log_of("a", "e2", 100).await;
    append(&new, 1..=20, 100);
    store.flush().await.unwrap();
    assert_eq!(read_all(&new, 0).await, range(1, 20));
    let sessions = store.sessions().await.unwrap();
    assert_eq!(sessions.iter().map(|s| (&*s.epoch, s.last_seq)).collect::<Vec<_>>(), [("e2", 20)]);
    store.rest(&new).await;
    store.delete(&SessionKey::of("me", "a"), "e").await.unwrap();
    assert_eq!(store.sessions().await.unwrap().len(), 1, "another life is not touched");
    store.delete(&SessionKey::of("me", "a"), "e2").await.unwrap();
    assert_eq!(store.sessions().await.unwrap().len(), 0);
    assert_eq!(store.backlog().bytes(), 0);
}

async fn retention_takes_ended_before_dormant_before_nothing(place: Place) {
    let store = place.open().await;
    let mut active = Vec::new();
    for (id, status, at) in [
        ("dormant-old", Status::Dormant, 10),
        ("dormant-new", Status::Dormant, 90),
        ("ended-new", Status::Ended, 80),
        ("ended-old", Status::Ended, 20),
        ("active-old", Status::Active, 1),
    ] {
        let log = store.log(id, 1000).await;
        append(&log, 1..=1000, 1000);
        put(&log, record(status, at));
        store.flush().await.unwrap();
        if status == Status::Active {
            active.push(log);
        } else {
            store.rest(&log).await;
        }
    }
    let used = store.used_bytes().await;
    assert!((5_000_000..7_500_000).contains(&used), "{used}");
    let one_too_many = used - 500_000;
    let expired = async |max_age_ms, max_bytes| {
        let retention = Retention { now_ms: 100, max_age_ms, max_bytes, max_ended_per_owner: None };
        let expired = store.expired(retention).await.unwrap();
        expired.iter().map(|e| e.key.id().to_owned()).collect::<Vec<_>>()
    };
    assert!(expired(None, None).await.is_empty());
    assert_eq!(expired(Some(50), None).await, ["ended-old", "dormant-old"]);
    assert_eq!(expired(None, Some(one_too_many)).await, ["ended-old"]);
    assert_eq!(expired(None, Some(0)).await, ["ended-old", "ended-new", "dormant-old", "dormant-new"]);
    assert_eq!(expired(Some(15), Some(one_too_many)).await, ["ended-old", "ended-new", "dormant-old"]);
}

async fn many_sessions_share_one_writer(place: Place) {
    let store = place.open().await;
    let mut logs = Vec::new();
    for n in 0..300 {
        logs.push(store.log(&format!("s{n}"), 200).await);
    }
    for seq in 1..=20 {
        for log in &logs {
            append(log, [seq * 3], 30);
        }
    }
    store.flush().await.unwrap();
    for log in &logs {
        assert_eq!(read_all(log, 3).await, (2..=20).map(|n| n * 3).collect::<Vec<_>>());
    }
    let sessions = store.sessions().await.unwrap();
    let found: Vec<_> = sessions.iter().map(|stored| stored.key.id().to_owned()).collect();
    assert_eq!(found, (0..300).map(|n| format!("s{n}")).collect::<Vec<_>>(), "oldest first");
}

async fn the_newest_message_ids_are_kept_in_order(place: Place) {
    let store = place.open().await;
    let log = store.log("a", 1000).await;
    let all: Vec<_> = (0..KEPT_MESSAGE_IDS + 1500).map(|n| format!("m{n}")).collect();
    for some in all.chunks(4000) {
        ids(&log, some.iter().cloned());
        store.flush().await.unwrap();
    }
    let kept = store.message_ids(&SessionKey::of("me", "a"), EPOCH).await.unwrap();
    assert!(kept.len() >= KEPT_MESSAGE_IDS && kept.len() < all.len(), "{}", kept.len());
    assert_eq!(kept, all[all.len() - kept.len()..]);
}

async fn an_owners_ended_sessions_are_found(place: Place) {
    let store = place.open().await;
    let mut logs = Vec::new();
    for (id, status) in [("a", Status::Ended), ("b", Status::Dormant), ("c", Status::Ended)] {
        let log = store.log(id, 1000).await;
        append(&log, [1], 10);
        put(&log, record(status, 5));
        logs.push(log);
    }
    store.flush().await.unwrap();
    let mut index = store.index("me").await.unwrap();
    index.retain(|indexed| indexed.status == Status::Ended);
    index.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(index.iter().map(|indexed| indexed.key.id()).collect::<Vec<_>>(), ["a", "c"]);
    assert!(index.iter().all(|indexed| indexed.last_active_at == 5));
    assert!(store.index("you").await.unwrap().is_empty());
    let records = store.records(["c", "d", "a"].map(|id| SessionKey::of("me", id)).to_vec()).await.unwrap();
    let ended = Some(record(Status::Ended, 5));
    assert_eq!(records, [ended.clone(), None, ended]);
    let one = store.session(&SessionKey::of("me", "b")).await.unwrap().unwrap();
    assert_eq!((one.last_seq, one.record), (1, Some(record(Status::Dormant, 5))));
    assert!(store.session(&SessionKey::of("me", "d")).await.unwrap().is_none());
}
