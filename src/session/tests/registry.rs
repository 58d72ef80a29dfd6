//! Who gets which session, and what its connections are told.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::agent::Spawner;
use crate::protocol::ListSessions;
use crate::session::handle::Mail;
use crate::session::{Answer, Command, Found, OpenError, SessionLimits};

use super::lab::{Lab, ME, attach, client, code, say};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_opens_of_one_id_at_once_make_one_session() {
    let lab = Lab::plain().await;
    let opened = join_all((0..16).map(|_| lab.open("s", ME))).await;
    let made = opened.into_iter().filter(|opened| opened.as_ref().unwrap().1).count();
    assert_eq!(made, 1);
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn ids_of_different_owners_do_not_meet() {
    let lab = Lab::plain().await;
    let (mine, _) = lab.open("s", ME).await.unwrap();
    assert!(matches!(lab.registry.find("s", "you").await.unwrap(), Found::Unknown));
    assert!(lab.registry.list("you", &ListSessions::default()).await.sessions.is_empty());
    let (yours, created) = lab.open("s", "you").await.unwrap();
    assert!(created, "the id is free");
    assert_eq!((mine.id(), yours.id()), ("s", "s"));
    let me = client(1);
    let _answer = me.attach(&mine, true).await;
    mine.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
    mine.mailbox.closed().await;
    assert!(matches!(lab.registry.find("s", ME).await.unwrap(), Found::Ended(_)));
    assert!(matches!(lab.registry.find("s", "you").await.unwrap(), Found::Live(_)));
    for owner in [ME, "you"] {
        let list = lab.registry.list(owner, &ListSessions::default()).await.sessions;
        assert_eq!(list.iter().map(|summary| &*summary.session_id).collect::<Vec<_>>(), ["s"]);
    }
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn an_ended_session_stays_ended() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let answer = me.attach(&handle, true).await;
    let end = handle.command(&me.client, "end".to_owned(), Command::End { reason: None });
    assert!(end.await.is_some());
    let mut cursor = answer.cursor.unwrap();
    me.read_until(&mut cursor, "session_ended", Some("end")).await;
    handle.mailbox.closed().await;
    assert!(matches!(lab.registry.find("s", ME).await.unwrap(), Found::Ended(_)));
    assert!(matches!(lab.registry.find("s", "you").await.unwrap(), Found::Unknown));
    assert_eq!(lab.open("s", ME).await.err(), Some(OpenError::Ended));
    assert!(handle.command(&me.client, "late".to_owned(), Command::Info).await.is_none());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn an_owner_has_only_so_many_sessions() {
    let lab = Lab::plain().await;
    for id in ["a", "b", "c"] {
        lab.open(id, ME).await.unwrap();
    }
    assert_eq!(lab.open("d", ME).await.err(), Some(OpenError::TooMany(3)));
    assert!(lab.open("a", ME).await.is_ok(), "one that exists is no new one");
    assert!(lab.open("d", "you").await.is_ok());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_command_that_waits_while_its_session_is_removed_is_told() {
    let lab = Lab::plain().await;
    for round in 0..50 {
        let (handle, created) = lab.open("s", ME).await.unwrap();
        let me = client(round);
        let answer = me.attach(&handle, created).await;
        assert!(answer.cursor.is_some());
        // The last client leaves, and another one is just coming.
        drop(answer);
        let other = client(1000 + round);
        let answer = handle.command(&other.client, "attach".to_owned(), attach(false)).await;
        // Either it was in time or it looks again; it never waits for ever, and is never told that the server goes down.
        if let Some(answer) = answer {
            assert!(answer.cursor.is_some(), "{:?}", answer.frames);
        }
        handle.mailbox.closed().await;
        assert!(matches!(lab.registry.find("s", ME).await.unwrap(), Found::Unknown));
    }
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn only_so_many_connections_attach_to_a_session() {
    let limits = SessionLimits { max_attached: 2, ..SessionLimits::default() };
    let lab = Lab::new(limits, None).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let (one, two, three) = (client(1), client(2), client(3));
    let first = one.attach(&handle, true).await;
    let second = two.attach(&handle, false).await;
    assert!(first.cursor.is_some() && second.cursor.is_some());
    let refused = three.attach(&handle, false).await;
    assert!(refused.cursor.is_none());
    assert_eq!(code(&refused), "capacity");
    // Again on the same connection: its new cursor takes the place of the old one.
    assert!(two.attach(&handle, false).await.cursor.is_some());
    drop(second);
    assert!(three.attach(&handle, false).await.cursor.is_some());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn connections_that_asked_something_and_left_are_forgotten() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let mut waiting = Vec::new();
    for id in 0..200 {
        let me = client(id);
        handle.command(&me.client, "i".to_owned(), Command::Info).await.unwrap();
        waiting.push(me.client.notices.downgrade());
    }
    let held = waiting.iter().filter(|sender| sender.upgrade().is_some()).count();
    assert!(held <= 64, "{held} are still held");
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn what_is_announced_goes_to_who_is_attached() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let mut onlooker = client(1);
    handle.command(&onlooker.client, "i".to_owned(), Command::Info).await.unwrap();
    let me = client(2);
    let answer = me.attach(&handle, true).await;
    drop((me, answer));
    handle.mailbox.closed().await;
    assert!(onlooker.notices.try_recv().is_err());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_drain_ends_every_session_and_lets_no_new_one_in() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    lab.registry.drain(Instant::now() + Duration::from_mins(1)).await;
    me.read_until(&mut cursor, "session_ended", None).await;
    assert_eq!(lab.open("t", ME).await.err(), Some(OpenError::Draining));
}

/// They got nothing at all: events go to those who are attached.
#[tokio::test]
async fn who_is_not_attached_is_told_when_it_is_done() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    let mut other = client(2);
    let first = |answer: Answer| serde_json::from_str::<Value>(&answer.frames[0]).unwrap();
    let answer = first(handle.command(&other.client, "a".to_owned(), say()).await.unwrap());
    assert_eq!((&answer["type"], &answer["request_id"]), (&"session_info".into(), &"a".into()));
    assert!(answer["last_seq"].as_u64() >= Some(1), "its message is in the log: {answer}");
    me.read_until(&mut cursor, "result", Some("a")).await;
    let interrupt = Command::Interrupt { reason: None, tasks: false };
    let answer = first(handle.command(&other.client, "i".to_owned(), interrupt).await.unwrap());
    assert_eq!(answer["outcome"], "nothing_running");
    let end = Command::End { reason: None };
    let answer = first(handle.command(&other.client, "end".to_owned(), end).await.unwrap());
    assert_eq!((&answer["request_id"], &answer["status"]), (&"end".into(), &"ended".into()));
    assert!(other.notices.try_recv().is_err(), "each once");
    me.read_until(&mut cursor, "session_ended", Some("end")).await;
    lab.registry.drain(Instant::now()).await;
}

/// It waited for ever, and so did its end.
#[tokio::test]
async fn an_agent_that_is_never_started_fails_the_message() {
    let tasks = TaskTracker::new();
    let spawner = Spawner::stuck(tasks.clone());
    let limits = SessionLimits { start_timeout: Duration::from_millis(20), ..SessionLimits::default() };
    let lab = Lab::of(limits, None, ("/nonexistent/claude".into(), spawner), 1 << 20, tasks).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("a")).await;
    let result = events.iter().find(|event| event["type"] == "result").unwrap();
    assert_eq!(result["error_code"], "agent_unavailable");
    assert!(result["error"].as_str().unwrap().contains("--agent-start-timeout"), "{result}");
    handle.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
    me.read_until(&mut cursor, "session_ended", Some("end")).await;
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_session_whose_task_panics_is_over_where_there_is_no_store() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.mailbox.send(Box::new(Mail::BreakDown)).await.unwrap();
    let events = me.read_until(&mut cursor, "session_ended", None).await;
    assert_eq!(events.last().unwrap()["reason"], "failed");
    while !matches!(lab.registry.find("s", ME).await.unwrap(), Found::Ended(_)) {
        tokio::task::yield_now().await;
    }
    lab.registry.drain(Instant::now()).await;
}
