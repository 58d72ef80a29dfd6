//! What a peer may not do, and what it is told.

use super::*;

/// What the peer sends, and the code that it gets.
fn violations() -> Vec<(Vec<u8>, u16)> {
    let mut endless_length = vec![0x82, 0xFF, 0x80];
    endless_length.extend([0; 11]);
    vec![
        (frame(0xC1, b"x"), 1002),
        (frame(0xA1, b"x"), 1002),
        (frame(0x91, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (frame(0x8B, b"x"), 1002),
        (frame(0x80, b"x"), 1002),
        (frame(0x09, b"x"), 1002),
        (frame(PING, &[0; 126]), 1002),
        (vec![TEXT, 1, b'x'], 1002),
        ([frame(0x01, b"a"), frame(TEXT, b"b")].concat(), 1002),
        (frame(CLOSE, &[3]), 1002),
        (frame(TEXT, &[0xFF]), 1007),
        (frame(TEXT, "ü".as_bytes().split_last().unwrap().1), 1007),
        ([frame(0x01, &[0xF0, 0x9F]), frame(0x00, b"x")].concat(), 1007),
        (frame(CLOSE, &[3, 232, 0xFF]), 1007),
        (endless_length, 1009),
        (frame(BINARY, &[0; 2001])[..14].to_vec(), 1009),
        ([frame(0x02, &[0; 1000]), frame(0x80, &[0; 1001])].concat(), 1009),
        ([vec![frame(0x02, b"")], vec![frame(0x00, b""); 50]].concat().concat(), 1009),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_violation_gets_its_code_after_the_answers_before_it() {
    for (bytes, code) in violations() {
        let settings = Settings { max_message_bytes: 2000, max_fragments: 50, ..Settings::default() };
        let mut link = start(Probe::default(), settings, 1 << 20);
        link.peer.write_all(&[frame(TEXT, b"before"), bytes.clone()].concat()).await.unwrap();
        assert_eq!(link.hear().await, "before", "{bytes:?}");
        let (first, payload) = link.next().await.expect("a close frame");
        assert_eq!((first, u16::from_be_bytes([payload[0], payload[1]])), (CLOSE, code), "{bytes:?}");
        assert!(link.next().await.is_none(), "the write half is shut down");
        let (end, _) = link.end().await;
        assert_eq!(end.code(), code);
    }
}

/// Two connections share what may be coming in; small messages always come through.
#[tokio::test(start_paused = true)]
async fn too_much_that_comes_in_from_all_together_closes_with_1013() {
    const HALF: usize = 30_000;
    let settings = Settings { max_message_bytes: 50_000, max_inbound_bytes: 60_000, ..Settings::default() };
    let stats = Arc::default();
    let mut one = start_with(&stats, Probe::default(), settings.clone(), 1 << 20);
    let mut two = start_with(&stats, Probe::default(), settings, 1 << 20);
    let large = frame(TEXT, &vec![b'x'; 40_000]);
    one.peer.write_all(&large[..HALF]).await.unwrap();
    while stats.snapshot().inbound < HALF as u64 - 8 {
        tokio::task::yield_now().await;
    }
    two.say("small").await;
    assert_eq!(two.hear().await, "small");
    two.peer.write_all(&large).await.unwrap();
    two.expect_close(1013).await;
    drop(two.peer);
    two.task.await.unwrap();
    one.peer.write_all(&large[HALF..]).await.unwrap();
    assert_eq!(one.hear().await.len(), 40_000);
    assert_eq!(stats.snapshot().inbound, 0);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_code_in_a_close_frame_is_answered_with_1002() {
    let mut link = simple();
    link.send(CLOSE, 1005_u16.to_be_bytes()).await;
    let (first, payload) = link.next().await.unwrap();
    assert_eq!((first, &payload[..2]), (CLOSE, &1002_u16.to_be_bytes()[..]));
    assert!(link.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_on_after_its_violation_is_read_for_a_bounded_time() {
    let mut link = simple();
    link.send(0xC1, "").await;
    assert_eq!(link.next().await.unwrap().0, CLOSE);
    // More than what is swallowed: the rest finds nobody.
    let flood = vec![0; 1 << 21];
    assert!(link.peer.write_all(&flood).await.is_err());
    let started = tokio::time::Instant::now();
    link.end().await;
    assert!(started.elapsed() <= Settings::default().linger);
}

#[tokio::test(start_paused = true)]
async fn over_100_bad_frames_in_a_row_close_with_1008() {
    let settings = Settings { max_frame_rate: 0, ..Settings::default() };
    let mut link = start(Probe::default(), settings, 1 << 20);
    for _ in 0..3 {
        for _ in 0..100 {
            link.say("bad").await;
        }
        link.say("good").await;
        assert_eq!(link.hear().await, "good");
    }
    for _ in 0..101 {
        link.say("bad").await;
    }
    link.expect_close(1008).await;
    link.end().await;
}

#[tokio::test(start_paused = true)]
async fn frames_over_the_rate_are_answered_and_at_last_closed_with_1008() {
    let settings = Settings { max_frame_rate: 10, max_excess_frames: 3, ..Settings::default() };
    let mut link = start(Probe::default(), settings, 1 << 20);
    for _ in 0..2 {
        for _ in 0..10 {
            link.say("a").await;
            assert_eq!(link.hear().await, "a");
        }
        link.say("b").await;
        assert_eq!(link.hear().await, "limited b");
        link.send(BINARY, "c").await;
        assert_eq!(link.hear().await, "limited binary");
        // A pause forgives.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    for _ in 0..10 {
        link.say("a").await;
        assert_eq!(link.hear().await, "a");
    }
    for _ in 0..3 {
        link.say("d").await;
        assert_eq!(link.hear().await, "limited d");
    }
    link.send(PING, "").await;
    assert_eq!(link.next().await.unwrap().0, PONG);
    link.expect_close(1008).await;
    link.end().await;
    // Reached only by frames that were within the rate.
}
