//! Ends that this side wants.

use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_close_comes_after_what_was_sent_before() {
    let mut link = simple();
    for text in ["a", "b", "close", "never handled"] {
        link.say(text).await;
    }
    assert_eq!(link.hear().await, "a");
    assert_eq!(link.hear().await, "b");
    let (first, payload) = link.next().await.unwrap();
    assert_eq!((first, &payload[..]), (CLOSE, &b"\x03\xe8bye"[..]));
    // The peer may still send before it answers.
    link.say("late").await;
    link.send(CLOSE, 1000_u16.to_be_bytes()).await;
    assert!(link.next().await.is_none());
    assert_eq!(*link.probe.heard.lock(), ["a", "b", "close"]);
    let (end, _) = link.end().await;
    assert_eq!(end, End::Ours(CloseCode::Normal, "bye"));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_ends_in_bounded_time() {
    let mut link = simple();
    link.say("close").await;
    assert_eq!(link.next().await.unwrap().0, CLOSE);
    let started = tokio::time::Instant::now();
    link.end().await;
    let settings = Settings::default();
    assert_eq!(started.elapsed().as_millis(), (settings.close_timeout + settings.linger).as_millis());
}

#[tokio::test(start_paused = true)]
async fn going_away_closes_with_1001() {
    let mut link = simple();
    link.say("a").await;
    assert_eq!(link.hear().await, "a");
    link.going_away.cancel();
    link.expect_close(1001).await;
    link.end().await;
}

#[tokio::test(start_paused = true)]
async fn going_away_does_not_wait_for_who_does_not_read() {
    let mut link = start(Probe::default(), Settings::default(), 512);
    link.say("flood 16").await;
    link.probe.hears("flood 16").await;
    link.going_away.cancel();
    let started = tokio::time::Instant::now();
    let end = (&mut link.task).await.unwrap();
    assert_eq!(end.code(), 1001);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_handler_closes_with_1011() {
    let mut link = simple();
    link.say("a").await;
    link.say("panic").await;
    assert_eq!(link.hear().await, "a");
    link.expect_close(1011).await;
    link.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_vanished_peer_is_gone() {
    let Test { peer, task, stats, .. } = simple();
    drop(peer);
    assert_eq!(task.await.unwrap(), End::PeerGone);
    assert_eq!(stats.snapshot().closes, vec![(1006, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_came_with_the_request_is_read_first() {
    let (mut peer, server) = duplex(1000);
    let bytes = frame(TEXT, b"early");
    let who = Peer { id: 7, address: None, owner: "".into() };
    let connection =
        Connection::prepare(Arc::new(Probe::default()), who, Arc::default(), Arc::default()).unwrap();
    let early = Bytes::copy_from_slice(&bytes[..4]);
    let task = TaskTracker::new()
        .spawn(async move { connection.run(server, early, &CancellationToken::new()).await });
    peer.write_all(&bytes[4..]).await.unwrap();
    let mut answer = [0; 7];
    peer.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"\x81\x05early");
    drop(peer);
    task.await.unwrap();
}

/// The handler was dropped after two seconds, and what came behind it was never looked at.
#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_amid_a_long_request_is_let_go_once_all_are_handled() {
    let mut link = simple();
    let requests = ["answer this", "slow 3", "slow 3", "last"];
    let requests: Vec<u8> = requests.iter().flat_map(|text| frame(TEXT, text.as_bytes())).collect();
    link.peer.write_all(&requests).await.unwrap();
    let Test { peer, probe, task, .. } = link;
    drop(peer);
    assert_eq!(task.await.unwrap(), End::PeerGone);
    assert_eq!(*probe.heard.lock(), ["answer this", "slow 3", "done", "slow 3", "done", "last"]);
}

/// As long as a socket that takes nothing is borne with.
#[tokio::test(start_paused = true)]
async fn a_request_without_end_of_a_peer_that_left_is_given_up() {
    let mut link = simple();
    let requests: Vec<u8> =
        ["answer this", "wait"].iter().flat_map(|text| frame(TEXT, text.as_bytes())).collect();
    link.peer.write_all(&requests).await.unwrap();
    let started = tokio::time::Instant::now();
    let Test { peer, task, .. } = link;
    drop(peer);
    assert_eq!(task.await.unwrap(), End::PeerGone);
    assert_eq!(started.elapsed().as_millis(), Settings::default().send_timeout.as_millis());
}

/// It takes no answer, so the queue is full while its requests are still being handled.
#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_amid_its_requests_is_let_go_once_they_are_handled() {
    let mut link = simple();
    let requests: Vec<u8> = (0..200).flat_map(|number| frame(TEXT, format!("{number}").as_bytes())).collect();
    link.peer.write_all(&requests).await.unwrap();
    let Test { peer, probe, stats, task, .. } = link;
    drop(peer);
    assert_eq!(tokio::time::timeout(Duration::from_mins(1), task).await.unwrap().unwrap(), End::PeerGone);
    assert_eq!(probe.heard.lock().len(), 200);
    assert_eq!(stats.snapshot().connections, 0);
}
