//! Sessions that go to rest in a store and come back from it.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use crate::protocol::{Json, ListSessions, Liveness, SessionConfig, UserMessage};
use crate::session::handle::Mail;
use crate::session::{Acquired, Command, Found, NoDirectory, OpenError, Resolved, SessionLimits};
use crate::store::{DataDir, Retention, SqliteStore, Store};

use super::lab::{Lab, ME, anywhere, attach, client, code, say, sqlite};
use super::shut::Shut;

#[tokio::test]
async fn a_session_rests_in_the_store_and_wakes_with_its_log_and_its_ids() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SessionLimits { session_grace: Duration::ZERO, ..SessionLimits::default() };
    let lab = Lab::new(limits, Some(sqlite(&dir))).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("a")).await;
    drop(cursor);
    handle.mailbox.closed().await;
    let Found::Dormant(summary) = lab.registry.find("s", ME).await.unwrap() else {
        panic!("not dormant: {:?}", lab.registry.find("s", ME).await.unwrap())
    };
    assert_eq!(summary.num_turns, 1);

    let opened = join_all((0..4).map(|_| lab.open("s", ME))).await;
    assert!(opened.iter().all(|opened| !opened.as_ref().unwrap().1));
    let handle = lab.open("s", ME).await.unwrap().0;
    let mut cursor = me.attach(&handle, false).await.cursor.unwrap();
    let answer = handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    assert_eq!(code(&answer), "duplicate_message");
    handle.command(&me.client, "b".to_owned(), say()).await.unwrap();
    let again = me.read_until(&mut cursor, "result", Some("b")).await;
    assert_eq!(again[..events.len()], events);
    drop(cursor);
    lab.registry.drain(Instant::now()).await;
}

/// The operator has other workspace roots by now, or a directory has become a symlink to elsewhere.
#[tokio::test]
async fn a_session_wakes_only_where_it_may_work_now() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    let config = || {
        let cwd = Some("/roots/work".to_owned());
        let add_dirs = vec!["/roots/more".to_owned(), "/elsewhere".to_owned()];
        Ok::<_, OpenError>(SessionConfig { cwd, add_dirs, ..SessionConfig::default() })
    };
    let never =
        |paths: Vec<String>| -> Resolved { Box::pin(ready(vec![Err(NoDirectory::Gone); paths.len()])) };
    let (handle, _) = lab.registry.open("s", &ME.into(), &never, ready(config())).await.unwrap();
    let me = client(1);
    let _answer = me.attach(&handle, true).await;
    store.flush().await.unwrap();

    let next = Lab::new(SessionLimits::default(), Some(store)).await;
    let refused = next.registry.open("s", &ME.into(), &never, ready(config())).await;
    assert_eq!(refused.err(), Some(OpenError::Directory));
    assert!(matches!(next.registry.find("s", ME).await.unwrap(), Found::Dormant(_)), "it can be tried again");
    let moved =
        |path: String| path.strip_prefix("/roots").map(|rest| format!("/new{rest}")).ok_or(NoDirectory::Gone);
    let resolve =
        |paths: Vec<String>| -> Resolved { Box::pin(ready(paths.into_iter().map(moved).collect())) };
    let opened = next.registry.open("s", &ME.into(), &resolve, ready(config())).await;
    let (handle, created) = opened.unwrap();
    assert!(!created);
    let answer = handle.command(&me.client, "q".to_owned(), Command::ConfigQuery).await.unwrap();
    let shown: Value = serde_json::from_str(answer.frames.last().unwrap()).unwrap();
    assert_eq!(shown["config"]["cwd"], "/new/work");
    assert_eq!(shown["config"]["add_dirs"], serde_json::json!(["/new/more"]));
    next.registry.drain(Instant::now()).await;
    lab.registry.drain(Instant::now()).await;
}

/// One lock was held while a file system was asked, and every wake-up waited for it.
#[tokio::test]
async fn a_directory_that_hangs_holds_up_nobody_else_and_is_not_called_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    let config = |cwd: &str| {
        let cwd = Some(format!("/roots/{cwd}"));
        ready(Ok::<_, OpenError>(SessionConfig { cwd, ..SessionConfig::default() }))
    };
    let mut handles = Vec::new();
    for id in ["hung", "good"] {
        let (handle, _) = lab.registry.open(id, &ME.into(), &anywhere, config(id)).await.unwrap();
        handles.push(client(1).attach(&handle, true).await);
    }
    store.flush().await.unwrap();

    let next = Lab::new(SessionLimits::default(), Some(store)).await;
    let answer = Arc::new(tokio::sync::Notify::new());
    let (asked, mut is_asked) = watch::channel(false);
    let silent = |paths: Vec<String>| -> Resolved {
        asked.send_replace(true);
        let answer = Arc::clone(&answer);
        Box::pin(async move {
            answer.notified().await;
            vec![Err(NoDirectory::Silent); paths.len()]
        })
    };
    let (hung, me) = ("hung", ME.into());
    let mut hanging = Box::pin(next.registry.open(hung, &me, &silent, config("hung")));
    tokio::select! {
        _ = &mut hanging => panic!("the file system has not answered"),
        asked = is_asked.wait_for(|asked| *asked) => drop(asked.unwrap()),
    }
    let mut second = Box::pin(next.registry.open(hung, &me, &anywhere, config("hung")));
    assert!(futures_util::poll!(&mut second).is_pending(), "one at a time takes up the same session");
    let good = next.registry.open("good", &me, &anywhere, config("good")).await;
    assert!(!good.unwrap().1);

    answer.notify_one();
    assert_eq!(hanging.await.err(), Some(OpenError::Silent));
    assert!(!second.await.unwrap().1, "nothing was lost by it");
    next.registry.drain(Instant::now()).await;
    lab.registry.drain(Instant::now()).await;
}

/// Who waits for its turn to wake a session may find that the id is somebody else's by then.
#[tokio::test]
async fn a_wake_gives_nobody_the_session_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(SessionLimits::default(), Some(sqlite(&dir))).await;
    let (_handle, _) = lab.open("s", ME).await.unwrap();
    let woken = lab.registry.wake(&crate::store::SessionKey::of(ME, "s"), &"you".into(), &anywhere).await;
    assert_eq!(woken.err(), Some(OpenError::Unknown));
    assert!(lab.registry.wake(&crate::store::SessionKey::of(ME, "s"), &ME.into(), &anywhere).await.is_ok());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_gateway_that_was_killed_gives_every_message_its_result() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    // No slot is free: the first message waits for an agent, the second for the first. No agent was told of either.
    let Acquired::Slot(slot) = lab.shared.pool.acquire(&"other".into()) else { panic!("no slot") };
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let _answer = me.attach(&handle, true).await;
    for id in ["a", "b"] {
        handle.command(&me.client, id.to_owned(), say()).await.unwrap();
    }
    store.flush().await.unwrap();

    // The next gateway finds what was committed. (The first one is still there and says nothing more.)
    let next = Lab::new(SessionLimits::default(), Some(store)).await;
    assert!(matches!(next.registry.find("s", ME).await.unwrap(), Found::Dormant(_)));
    let (handle, created) = next.open("s", ME).await.unwrap();
    assert!(!created);
    let you = client(2);
    let mut cursor = you.attach(&handle, false).await.cursor.unwrap();
    let events = you.read_until(&mut cursor, "result", Some("b")).await;
    let results: Vec<_> = events.iter().filter(|event| event["type"] == "result").collect();
    assert_eq!(results.len(), 2);
    for (result, id) in results.iter().zip(["a", "b"]) {
        assert_eq!(result["request_id"], id);
        assert_eq!(result["error_code"], "agent_unavailable", "it was run");
    }
    let answer = handle.command(&you.client, "a".to_owned(), say()).await.unwrap();
    assert_eq!(code(&answer), "duplicate_message");
    next.registry.drain(Instant::now()).await;
    drop(slot);
    lab.registry.drain(Instant::now()).await;
}

/// They were counted until their task was gone.
#[tokio::test]
async fn sessions_that_have_ended_do_not_count_any_more() {
    let lab = Lab::plain().await;
    for round in 0..50 {
        let ids = ["a", "b", "c"].map(|name| format!("{name}{round}"));
        let mut opened = Vec::new();
        for id in &ids {
            let (handle, _) = lab.open(id, ME).await.expect("as many as allowed");
            let me = client(round);
            let cursor = me.attach(&handle, true).await.cursor.unwrap();
            opened.push((me, handle, cursor));
        }
        for (me, handle, cursor) in &mut opened {
            handle.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
            me.read_until(cursor, "session_ended", Some("end")).await;
        }
    }
    lab.registry.drain(Instant::now()).await;
}

/// They were kept in memory for as long as the store kept them.
#[tokio::test]
async fn an_ended_session_is_known_to_the_store_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    let me = client(1);
    for id in ["a", "b"] {
        let (handle, _) = lab.open(id, ME).await.unwrap();
        let _answer = me.attach(&handle, true).await;
        handle.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
        handle.mailbox.closed().await;
    }
    let (live, resting) = lab.registry.vitals();
    assert_eq!((live.len(), resting), (0, 0));
    assert!(matches!(lab.registry.find("a", ME).await.unwrap(), Found::Ended(_)));
    assert!(matches!(lab.registry.find("a", "you").await.unwrap(), Found::Unknown));
    let listed: Vec<_> = lab
        .registry
        .list(ME, &ListSessions::default())
        .await
        .sessions
        .into_iter()
        .map(|summary| summary.status)
        .collect();
    assert_eq!(listed, [Liveness::Ended, Liveness::Ended]);
    assert!(lab.registry.list("you", &ListSessions::default()).await.sessions.is_empty());
    assert_eq!(lab.open("a", ME).await.err(), Some(OpenError::Ended));
    // Retention finds it there, and then it is as if it had never been.
    let retention =
        Retention { now_ms: u64::MAX, max_age_ms: Some(0), max_bytes: None, max_ended_per_owner: None };
    lab.registry.forget(retention).await.unwrap();
    assert!(matches!(lab.registry.find("a", ME).await.unwrap(), Found::Unknown));
    assert!(lab.open("a", ME).await.unwrap().1);
    lab.registry.drain(Instant::now()).await;
}

/// The session was taken up from what the store had before: a false gap, and messages run twice.
#[tokio::test]
async fn a_session_that_the_store_has_not_taken_yet_is_not_woken_up_without_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let shut = Shut { store: sqlite(&dir), open: watch::Sender::new(false), waiting: Mutex::default() };
    let store = Arc::new(shut);
    let limits = SessionLimits { session_grace: Duration::ZERO, ..SessionLimits::default() };
    let lab = Lab::new(limits, Some(Arc::clone(&store) as Arc<dyn Store>)).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("a")).await;
    // What the store would be waited for passes at once.
    tokio::time::pause();
    drop(cursor);
    handle.mailbox.closed().await;
    assert!(matches!(lab.registry.find("s", ME).await.unwrap(), Found::Dormant(_)));
    assert_eq!(lab.open("s", ME).await.err(), Some(OpenError::Store));
    tokio::time::resume();
    store.open();
    // Without any grace it may be gone to rest again before the command comes.
    let (handle, mut cursor) = loop {
        let handle = lab.open("s", ME).await.unwrap().0;
        if let Some(answer) = handle.command(&me.client, "attach".to_owned(), attach(false)).await {
            break (handle, answer.cursor.unwrap());
        }
    };
    assert_eq!(code(&handle.command(&me.client, "a".to_owned(), say()).await.unwrap()), "duplicate_message");
    handle.command(&me.client, "b".to_owned(), say()).await.unwrap();
    let again = me.read_until(&mut cursor, "result", Some("b")).await;
    assert_eq!(again[..events.len()], events);
    drop(cursor);
    lab.registry.drain(Instant::now()).await;
}

/// Its id was lost: found at work, without anybody who answered.
#[tokio::test]
async fn a_session_whose_task_panics_comes_back_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(SessionLimits::default(), Some(sqlite(&dir))).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    me.read_until(&mut cursor, "result", Some("a")).await;
    handle.mailbox.send(Box::new(Mail::BreakDown)).await.unwrap();
    let events = me.read_until(&mut cursor, "error", None).await;
    assert_eq!(events.last().unwrap()["code"], "internal");
    while !matches!(lab.registry.find("s", ME).await.unwrap(), Found::Dormant(_)) {
        tokio::task::yield_now().await;
    }
    let (handle, created) = lab.open("s", ME).await.unwrap();
    assert!(!created);
    let mut cursor = me.attach(&handle, false).await.cursor.unwrap();
    handle.command(&me.client, "b".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("b")).await;
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    lab.registry.drain(Instant::now()).await;
}

/// Until the store had its last words it was found at work, without anybody who answered: `internal`.
#[tokio::test]
async fn a_session_that_broke_down_is_taken_up_as_soon_as_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let shut = Shut { store: sqlite(&dir), open: watch::Sender::new(true), waiting: Mutex::default() };
    let store = Arc::new(shut);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store) as Arc<dyn Store>)).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    me.read_until(&mut cursor, "result", Some("a")).await;
    store.open.send_replace(false);
    handle.mailbox.send(Box::new(Mail::BreakDown)).await.unwrap();
    me.read_until(&mut cursor, "error", None).await;
    assert!(matches!(lab.registry.find("s", ME).await.unwrap(), Found::Dormant(_)));
    let (opened, ()) = tokio::join!(lab.open("s", ME), async { store.open() });
    let (handle, created) = opened.unwrap();
    assert!(!created);
    let mut cursor = me.attach(&handle, false).await.cursor.unwrap();
    handle.command(&me.client, "b".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("b")).await;
    assert_eq!(events.iter().filter(|event| event["code"] == "internal").count(), 1, "{events:?}");
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    lab.registry.drain(Instant::now()).await;
}

/// It was not found any more, and never deleted; those after it were not looked at.
#[tokio::test]
async fn a_deletion_that_fails_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SessionLimits { session_grace: Duration::from_millis(1), ..SessionLimits::default() };
    let lab = Lab::new(limits, Some(sqlite(&dir))).await;
    let me = client(1);
    for id in ["a", "b"] {
        let (handle, _) = lab.open(id, ME).await.unwrap();
        let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
        handle.command(&me.client, format!("m-{id}"), say()).await.unwrap();
        me.read_until(&mut cursor, "result", None).await;
        drop(cursor);
        handle.mailbox.closed().await;
    }
    let all =
        Retention { now_ms: u64::MAX / 4, max_age_ms: Some(1), max_bytes: None, max_ended_per_owner: None };
    let file = crate::store::raw(dir.path());
    file.execute_batch("ALTER TABLE doomed RENAME TO elsewhere").unwrap();
    assert!(lab.registry.forget(all).await.is_err());
    for id in ["a", "b"] {
        assert!(matches!(lab.registry.find(id, ME).await.unwrap(), Found::Dormant(_)), "{id} is hidden");
    }
    file.execute_batch("ALTER TABLE elsewhere RENAME TO doomed").unwrap();
    lab.registry.forget(all).await.unwrap();
    for id in ["a", "b"] {
        assert!(matches!(lab.registry.find(id, ME).await.unwrap(), Found::Unknown), "{id} is still there");
    }
    lab.registry.drain(Instant::now()).await;
}

/// It was said not to exist.
#[tokio::test]
async fn a_session_that_a_failing_store_may_have_is_not_called_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(SessionLimits::default(), Some(sqlite(&dir))).await;
    let file = crate::store::raw(dir.path());
    file.execute_batch("ALTER TABLE sessions RENAME TO elsewhere").unwrap();
    assert_eq!(lab.registry.find("s", ME).await.unwrap_err(), OpenError::Store);
    file.execute_batch("ALTER TABLE elsewhere RENAME TO sessions").unwrap();
    assert!(matches!(lab.registry.find("s", ME).await.unwrap(), Found::Unknown));
    lab.registry.drain(Instant::now()).await;
}

/// It was listed with the directory, the cost and the turns of a session that has just begun.
#[tokio::test]
async fn a_session_whose_record_cannot_be_read_is_not_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let me = client(1);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    for id in ["rests", "ended"] {
        let (handle, _) = lab.open(id, ME).await.unwrap();
        let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
        handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
        me.read_until(&mut cursor, "result", Some("a")).await;
        if id == "ended" {
            handle.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
            handle.mailbox.closed().await;
        }
    }
    lab.registry.drain(Instant::now()).await;
    assert_eq!(lab.registry.list(ME, &ListSessions::default()).await.sessions.len(), 2);
    let file = crate::store::raw(dir.path());
    file.execute_batch(r#"UPDATE sessions SET state = '{"config":7}'"#).unwrap();

    let next = Lab::new(SessionLimits::default(), Some(store)).await;
    assert!(next.registry.list(ME, &ListSessions::default()).await.sessions.is_empty());
    assert!(matches!(next.registry.find("rests", ME).await.unwrap(), Found::Dormant(_)), "its id is taken");
    assert!(matches!(next.registry.find("ended", ME).await.unwrap(), Found::Ended(_)));
    for id in ["rests", "ended"] {
        assert_eq!(next.registry.at_rest(id, ME).await.unwrap_err(), OpenError::Unreadable);
    }
    assert_eq!(next.open("rests", ME).await.err(), Some(OpenError::Unreadable));
    next.registry.drain(Instant::now()).await;
}

/// Whoever wanted it waited for its agent's end, here five seconds.
#[tokio::test]
async fn a_session_that_goes_to_rest_answers_before_its_agent_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SessionLimits { session_grace: Duration::from_millis(1), ..SessionLimits::default() };
    let program = crate::agent::locate::fake_claude().to_owned();
    let lab = Lab::with(limits, Some(sqlite(&dir)), program, 1 << 16).await;
    let cwd = Some(dir.path().to_str().unwrap().to_owned());
    let config = SessionConfig { cwd, ..SessionConfig::default() };
    let config = ready(Ok::<_, OpenError>(config));
    let (handle, created) = lab.registry.open("s", &ME.into(), &anywhere, config).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, created).await.cursor.unwrap();
    let content = Json::of("!ignore close").unwrap();
    let say = Command::UserMessage(UserMessage { content, parent_tool_use_id: None });
    handle.command(&me.client, "a".to_owned(), say).await.unwrap();
    me.read_until(&mut cursor, "result", Some("a")).await;
    drop(cursor);
    while handle.summary().status != Liveness::Dormant {
        tokio::task::yield_now().await;
    }
    let answer = handle.command(&me.client, "again".to_owned(), attach(false)).await;
    assert!(answer.expect("it is still there").cursor.is_some());
    lab.registry.drain(Instant::now()).await;
}

/// The events of an agent that outran the disk were dropped, although nothing was wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_waits_for_a_store_that_is_slow() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(DataDir::open(dir.path()).unwrap(), 8 << 20).unwrap());
    let program = crate::agent::locate::fake_claude().to_owned();
    let lab = Lab::with(SessionLimits::default(), Some(Arc::clone(&store)), program, 1 << 16).await;
    let config = || {
        Ok::<_, OpenError>(SessionConfig {
            cwd: Some(dir.path().to_str().unwrap().to_owned()),
            ..SessionConfig::default()
        })
    };
    let (handle, created) = lab.registry.open("s", &ME.into(), &anywhere, ready(config())).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, created).await.cursor.unwrap();
    // Somebody else writes to the file: the store's commit waits for it, and does not fail.
    let file = crate::store::raw(dir.path());
    store.flush().await.unwrap();
    let content = Json::of("deltas 20000 1000 0").unwrap();
    let say = Command::UserMessage(UserMessage { content, parent_tool_use_id: None });
    handle.command(&me.client, "a".to_owned(), say).await.unwrap();
    // (Not for as long as the store waits until it calls that a failure.)
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let until = Instant::now() + Duration::from_secs(4);
    while !store.backlog().has_lost() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    file.execute_batch("COMMIT").unwrap();
    me.read_until(&mut cursor, "result", Some("a")).await;
    assert!(!store.backlog().has_lost(), "events were dropped unstored");
    lab.registry.drain(Instant::now()).await;
}

/// Who made a session took away the one that had ended under the same id, whoever's it was.
#[tokio::test]
async fn what_the_store_has_of_others_is_not_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    let me = client(1);
    let (mine, _) = lab.open("s", ME).await.unwrap();
    let _answer = me.attach(&mine, true).await;
    mine.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
    mine.mailbox.closed().await;
    let (yours, created) = lab.open("s", "you").await.unwrap();
    assert!(created);
    let _answer = me.attach(&yours, true).await;
    lab.registry.drain(Instant::now()).await;
    let next = Lab::new(SessionLimits::default(), Some(store)).await;
    assert!(matches!(next.registry.find("s", ME).await.unwrap(), Found::Ended(_)));
    assert!(matches!(next.registry.find("s", "you").await.unwrap(), Found::Dormant(_)));
    assert!(matches!(next.registry.find("s", "they").await.unwrap(), Found::Unknown));
    assert!(next.registry.at_rest("s", "they").await.unwrap().is_none());
}
