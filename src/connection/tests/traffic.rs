//! Messages in and out.

use super::*;

#[tokio::test(start_paused = true)]
async fn text_and_binary_come_back_and_are_counted() {
    let mut link = simple();
    link.say("hello").await;
    link.send(BINARY, [0, 255]).await;
    assert_eq!(link.hear().await, "hello");
    assert_eq!(link.next().await.unwrap(), (BINARY, vec![0, 255]));
    link.send(CLOSE, 1000_u16.to_be_bytes()).await;
    assert_eq!(link.next().await.unwrap(), (CLOSE, vec![3, 232]));
    assert!(link.next().await.is_none());
    let (end, snapshot) = link.end().await;
    assert_eq!(end, End::PeerClosed(Some(1000)));
    assert_eq!((snapshot.frames_in, snapshot.frames_out), (3, 2));
    assert_eq!((snapshot.bytes_in, snapshot.bytes_out), (11 + 8 + 8, 7 + 4 + 4));
}

#[tokio::test(start_paused = true)]
async fn fragments_are_joined_around_control_frames() {
    let mut link = simple();
    link.send(0x01, "he").await;
    link.send(PING, "ping").await;
    link.send(0x00, "").await;
    link.send(0x80, "llo").await;
    assert_eq!(link.next().await.unwrap(), (PONG, b"ping".to_vec()));
    assert_eq!(link.hear().await, "hello");
}

#[tokio::test(start_paused = true)]
async fn large_messages_pass_and_leave_no_buffers_behind() {
    let mut link = simple();
    let large = "x".repeat(3 << 20);
    for round in 0..3 {
        link.say(&large).await;
        loop {
            let text = link.hear().await;
            if text != "beat" {
                assert_eq!(text.len(), large.len());
                break;
            }
        }
        // Half a frame is on its way while the heartbeat frees what can be freed.
        let bytes = frame(TEXT, b"after");
        link.peer.write_all(&bytes[..5 + round]).await.unwrap();
        assert_eq!(link.next().await.unwrap().0, PING);
        assert_eq!(link.hear().await, "beat");
        link.peer.write_all(&bytes[5 + round..]).await.unwrap();
        assert_eq!(link.hear().await, "after");
        // And now a whole heartbeat of rest.
        assert_eq!(link.next().await.unwrap().0, PING);
        assert_eq!(link.hear().await, "beat");
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocked_write_does_not_stop_reading() {
    let mut link = start(Probe::default(), Settings::default(), 512);
    link.say("flood 16").await;
    for text in ["quiet 1", "quiet 2"] {
        link.say(text).await;
        link.probe.hears(text).await;
    }
    for _ in 0..16 {
        assert_eq!(link.hear().await.len(), 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_finds_the_socket_full_is_sent_once_there_is_room() {
    let mut link = start(Probe::default(), Settings::default(), 512);
    // With its head it fills the pipe to the last byte: nothing but the pong waits for room.
    let text = "x".repeat(508);
    link.say(&text).await;
    while link.stats.snapshot().bytes_out < 512 {
        tokio::task::yield_now().await;
    }
    link.send(PING, "ping").await;
    while link.stats.snapshot().frames_in < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(link.hear().await, text);
    assert_eq!(link.next().await.unwrap(), (PONG, b"ping".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_into_the_middle_of_a_large_frame() {
    let mut link = start(Probe::default(), Settings::default(), 4096);
    let large = "y".repeat(1 << 20);
    for text in ["a", &large, "b"] {
        link.outbox.frame(text.into()).await.unwrap();
    }
    assert_eq!(link.hear().await, "a");
    // Half of it is out.
    let mut half = vec![0; 1 << 19];
    link.peer.read_exact(&mut half).await.unwrap();
    link.send(PING, "ping").await;
    link.say("quiet 1").await;
    link.probe.hears("quiet 1").await;
    let mut rest = vec![0; 10 + large.len() - half.len()];
    link.peer.read_exact(&mut rest).await.unwrap();
    assert_eq!(half[..10], [TEXT, 127, 0, 0, 0, 0, 0, 16, 0, 0]);
    assert!(half[10..].iter().chain(&rest).all(|byte| *byte == b'y'));
    let mut after = [link.next().await.unwrap(), link.next().await.unwrap()];
    after.sort_unstable();
    assert_eq!(after, [(TEXT, b"b".to_vec()), (PONG, b"ping".to_vec())]);
}

#[tokio::test(start_paused = true)]
async fn a_close_during_a_large_frame_comes_after_it() {
    let mut link = start(Probe::default(), Settings::default(), 4096);
    let large = "y".repeat(1 << 20);
    link.outbox.frame(large.as_str().into()).await.unwrap();
    link.say("close").await;
    link.probe.hears("close").await;
    assert_eq!(link.hear().await.len(), large.len());
    link.expect_close(1000).await;
    link.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_without_reading_is_no_longer_read() {
    let settings = Settings { outbox_bytes: 10_000, max_frame_rate: 0, ..Settings::default() };
    let mut link = start(Probe::default(), settings, 1000);
    let text = "y".repeat(900);
    let stuck = async {
        for _ in 0..1000 {
            link.say(&text).await;
        }
    };
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), stuck).await.is_err());
    assert!(link.probe.heard.lock().len() < 400, "the socket's buffers and the outbox are all that fills");
}

#[tokio::test(start_paused = true)]
async fn senders_to_an_ended_connection_learn_it() {
    let link = start(Probe::default(), Settings { outbox_bytes: 10, ..Settings::default() }, 16);
    let outbox = link.outbox.clone();
    let sender = TaskTracker::new().spawn(async move {
        while outbox.frame("0123456789abcdef".into()).await.is_ok() {}
        (outbox.binary(Bytes::new()).await, outbox.detach("x").await)
    });
    let Test { peer, task, .. } = link;
    drop(peer);
    assert_eq!(task.await.unwrap(), End::PeerGone);
    assert_eq!(sender.await.unwrap(), (Err(super::super::Gone), Err(super::super::Gone)));
}
