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

/// A message in one frame let no pong and no close pass for minutes.
#[tokio::test(start_paused = true)]
async fn pongs_pass_between_the_fragments_of_a_large_message_and_nothing_else_does() {
    let mut link = start(Probe::default(), Settings::default(), 4096);
    // Three bytes a character: no fragment ends amid one.
    let large = "\u{20ac}".repeat(350_000);
    for text in ["a", &large, "b"] {
        link.outbox.frame(text.into()).await.unwrap();
    }
    assert_eq!(link.hear().await, "a");
    // Amid the first fragment.
    let mut head = [0; 1000];
    link.peer.read_exact(&mut head).await.unwrap();
    assert_eq!(head[..4], [0x01, 126, 0xFF, 0xFF]);
    link.send(PING, "ping").await;
    link.say("quiet 1").await;
    link.probe.hears("quiet 1").await;
    let mut rest = vec![0; 4 + 0xFFFF - head.len()];
    link.peer.read_exact(&mut rest).await.unwrap();
    let mut text = [&head[4..], &rest[..]].concat();
    let (mut pings, mut answers, mut is_last) = (0, Vec::new(), false);
    while !is_last {
        match link.next().await.unwrap() {
            (PING, payload) => {
                pings += 1;
                link.send(PONG, payload).await;
            }
            (PONG, payload) => answers.push((text.len(), payload)),
            (first @ (0x00 | 0x80), more) => {
                text.extend(more);
                is_last = first == 0x80;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(text, large.as_bytes());
    assert_eq!(answers, [(0xFFFF, b"ping".to_vec())], "right behind the fragment that was under way");
    assert_eq!(pings, 5);
    assert_eq!(link.hear().await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_close_comes_after_a_large_message_that_is_taken() {
    let mut link = start(Probe::default(), Settings::default(), 4096);
    let large = "y".repeat(1 << 20);
    link.outbox.frame(large.as_str().into()).await.unwrap();
    link.say("close").await;
    link.probe.hears("close").await;
    assert_eq!(link.hear().await.len(), large.len());
    link.expect_close(1000).await;
    link.end().await;
}

/// It was no close at all: the frame had to end before it.
#[tokio::test(start_paused = true)]
async fn a_close_cuts_a_large_message_that_is_not_taken_in_time() {
    let mut link = start(Probe::default(), Settings::default(), 4096);
    link.outbox.frame("y".repeat(1 << 20).into()).await.unwrap();
    link.say("close").await;
    tokio::time::sleep(Settings::default().close_timeout + std::time::Duration::from_millis(100)).await;
    let (first, fragment) = link.next().await.unwrap();
    assert_eq!((first, fragment.len()), (0x01, 64 << 10));
    link.expect_close(1000).await;
    link.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_amid_a_large_message_is_answered() {
    let mut link = start(Probe::default(), Settings::default(), 4096);
    link.outbox.frame("y".repeat(1 << 20).into()).await.unwrap();
    while link.stats.snapshot().bytes_out < 4096 {
        tokio::task::yield_now().await;
    }
    link.send(CLOSE, 1000_u16.to_be_bytes()).await;
    let (first, fragment) = link.next().await.unwrap();
    assert_eq!((first, fragment.len()), (0x01, 64 << 10));
    assert_eq!(link.next().await.unwrap(), (CLOSE, vec![3, 232]));
    assert!(link.next().await.is_none());
    assert_eq!(link.end().await.0, End::PeerClosed(Some(1000)));
}

#[tokio::test(start_paused = true)]
async fn large_messages_are_announced() {
    let probe = Probe { announces: true, ..Probe::default() };
    let mut link = start(probe, Settings::default(), 1 << 20);
    for len in [100, 256 << 10, 300_000] {
        link.outbox.frame("y".repeat(len).into()).await.unwrap();
    }
    assert_eq!(link.hear().await.len(), 100);
    assert_eq!(link.hear().await.len(), 256 << 10);
    assert_eq!(link.hear().await, "announced 300000");
    assert_eq!(link.hear().await.len(), 300_000);
}

/// 12 MiB became 736.
#[tokio::test(start_paused = true)]
async fn who_pings_without_reading_is_no_longer_read() {
    let settings = Settings { max_frame_rate: 0, ..Settings::default() };
    let mut link = start(Probe::default(), settings, 1000);
    let ping = frame(PING, &[b'p'; 125]);
    let mut sent = 0;
    while let Ok(written) =
        tokio::time::timeout(std::time::Duration::from_secs(1), link.peer.write(&ping[sent % ping.len()..]))
            .await
    {
        sent += written.unwrap();
        assert!(sent < 100_000, "the socket's buffers and some pongs are all that fills");
    }
    // And goes on as soon as it is.
    let pings = sent.div_ceil(ping.len());
    let rest = ping[..pings * ping.len() - sent].len();
    let (mut reader, mut writer) = tokio::io::split(&mut link.peer);
    let write = async {
        writer.write_all(&ping[ping.len() - rest..]).await.unwrap();
        writer.write_all(&frame(TEXT, b"end")).await.unwrap();
    };
    let read = async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\x81\x03end") {
            reader.read_buf(&mut bytes).await.unwrap();
        }
        bytes.len()
    };
    let ((), heard) = tokio::join!(write, read);
    assert_eq!(heard, pings * 127 + 5, "a pong for each");
}

/// 160 at once for 20 MB, and a peer has 500 a second.
#[tokio::test(start_paused = true)]
async fn pongs_that_were_asked_for_do_not_count_against_the_rate() {
    let settings = Settings { max_frame_rate: 10, ..Settings::default() };
    let mut link = start(Probe::default(), settings, 1 << 20);
    let large = "y".repeat(4 << 20);
    link.outbox.frame(large.as_str().into()).await.unwrap();
    assert_eq!(link.hear().await.len(), large.len());
    link.say("a").await;
    assert_eq!(link.hear().await, "a");
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
