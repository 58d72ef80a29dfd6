//! Heartbeats and stalls.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;

const HEARTBEAT: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_closed_with_4000_after_two_heartbeats() {
    let mut link = simple();
    sleep(Duration::from_secs(2)).await;
    link.say("last words").await;
    let last = Instant::now();
    assert_eq!(link.hear().await, "last words");
    assert_eq!(link.next().await.unwrap(), (PING, vec![]));
    assert_eq!(last.elapsed() + Duration::from_secs(2), HEARTBEAT);
    assert_eq!(link.hear().await, "beat");
    assert_eq!(link.next().await.unwrap().0, PING);
    assert_eq!(link.hear().await, "beat");
    link.expect_close(4000).await;
    let waited = last.elapsed();
    assert!(waited >= HEARTBEAT * 2 && waited < HEARTBEAT * 2 + Duration::from_millis(10), "{waited:?}");
    link.end().await;
}

#[tokio::test(start_paused = true)]
async fn pongs_and_bytes_of_a_slow_message_are_signs_of_life() {
    let mut link = simple();
    for _ in 0..10 {
        assert_eq!(link.next().await.unwrap().0, PING);
        assert_eq!(link.hear().await, "beat");
        link.send(PONG, "").await;
    }
    for byte in frame(TEXT, b"slowly") {
        link.peer.write_all(&[byte]).await.unwrap();
        sleep(Duration::from_secs(20)).await;
    }
    loop {
        match link.next().await.unwrap() {
            (TEXT, text) if text == b"slowly" => break,
            (TEXT | PING, _) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_not_silent_while_its_message_is_being_handled() {
    let mut link = simple();
    link.say("wait").await;
    link.probe.hears("wait").await;
    sleep(HEARTBEAT * 10).await;
    link.probe.release.notify_one();
    link.say("done").await;
    loop {
        match link.next().await.unwrap() {
            (TEXT, text) if text == b"done" => break,
            (TEXT | PING, _) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_is_dropped_after_the_send_timeout() {
    let mut link = start(Probe::default(), Settings::default(), 512);
    link.say("flood 1").await;
    let blocked = Instant::now();
    let alive = async {
        loop {
            sleep(Duration::from_secs(10)).await;
            if link.peer.write_all(&frame(PONG, b"")).await.is_err() {
                break;
            }
        }
    };
    alive.await;
    assert_eq!(link.task.await.unwrap(), End::Stalled);
    assert!(blocked.elapsed() >= Duration::from_secs(30) && blocked.elapsed() <= Duration::from_secs(41));
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_a_little_is_kept() {
    let settings = Settings { heartbeat: Duration::from_hours(10), ..Settings::default() };
    let mut link = start(Probe::default(), settings, 64);
    link.say("flood 2").await;
    let mut taken = 0;
    while taken < 2 * 1004 {
        sleep(Duration::from_secs(29)).await;
        let mut byte = [0; 64];
        taken += link.peer.read(&mut byte).await.unwrap();
    }
    link.say("still here").await;
    assert_eq!(link.hear().await, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_half_dead_socket_ends_in_bounded_time() {
    // It takes nothing and says nothing: found silent first, and the close frame cannot be delivered.
    let settings = Settings { heartbeat: Duration::from_secs(5), ..Settings::default() };
    let close = settings.close_timeout + settings.linger;
    let mut link = start(Probe::default(), settings, 512);
    link.say("flood 1").await;
    let started = Instant::now();
    let end = (&mut link.task).await.unwrap();
    assert_eq!(end.code(), 4000);
    assert!(started.elapsed() <= Duration::from_secs(11) + close, "{:?}", started.elapsed());
}

/// 8 MB at 100 kB/s, 6 MB of which the way holds: what is written says nothing of the peer, and its pongs must.
#[tokio::test(start_paused = true)]
async fn a_large_message_arrives_over_a_slow_link_with_deep_buffers() {
    let mut link = start(Probe::default(), Settings::default(), 6 << 20);
    let large = "z".repeat(8_000_000);
    link.outbox.frame(large.as_str().into()).await.unwrap();
    let began = Instant::now();
    let at_100_kb = |bytes: usize| sleep(Duration::from_micros(10) * u32::try_from(bytes).unwrap());
    assert!(link.hear_paced(at_100_kb).await == large);
    assert!(began.elapsed() > HEARTBEAT * 4);
    link.say("still here").await;
    while link.hear_next_text().await != "still here" {}
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_peer_takes_is_a_sign_of_its_life() {
    let mut link = start(Probe::default(), Settings::default(), 4096);
    let large = "z".repeat(1 << 20);
    link.outbox.frame(large.as_str().into()).await.unwrap();
    let began = Instant::now();
    let mut frames = Vec::new();
    // It says nothing at all, and takes a little now and then.
    while frames.len() < large.len() {
        let mut some = vec![0; 40_000];
        let len = link.peer.read(&mut some).await.unwrap();
        frames.extend_from_slice(&some[..len]);
        sleep(Duration::from_millis(500)).await;
    }
    assert!(began.elapsed() > HEARTBEAT * 4);
    assert!(!link.task.is_finished());
    // Then nothing is left to be taken, and it is silent.
    let (end, _) = {
        let mut rest = Vec::new();
        let _ = link.peer.read_to_end(&mut rest).await;
        link.end().await
    };
    assert_eq!(end.code(), 4000);
}

/// Twenty seconds in which nothing ran, and with them both heartbeats: each of its peers was closed, and had said something.
#[tokio::test(start_paused = true)]
async fn a_gateway_that_stood_still_closes_nobody_for_it() {
    let mut link = simple();
    for _ in 0..5 {
        // To the moment before the end.
        sleep(Duration::from_millis(29_950)).await;
        tokio::time::advance(Duration::from_secs(20)).await;
        link.say("I was here").await;
        while link.hear_next_text().await != "I was here" {}
    }
    // It forgives that time and no other.
    let silent = Instant::now();
    let (end, _) = {
        let mut rest = Vec::new();
        let _ = link.peer.read_to_end(&mut rest).await;
        link.end().await
    };
    assert_eq!(end.code(), 4000);
    assert!(silent.elapsed() < HEARTBEAT * 3, "{:?}", silent.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_is_not_stalled_by_the_gateways_own_pause() {
    let mut link = start(Probe::default(), Settings::default(), 512);
    link.say("flood 1").await;
    link.probe.hears("flood 1").await;
    sleep(Duration::from_secs(10)).await;
    tokio::time::advance(Duration::from_secs(25)).await;
    assert_eq!(link.hear().await.len(), 1000);
}

/// Its own library gave it up: the pong that it waited for stood behind megabytes that a proxy had taken.
#[tokio::test(start_paused = true)]
async fn a_large_message_goes_out_no_faster_than_it_is_read() {
    let mut link = start(Probe::default(), Settings::default(), 6 << 20);
    let large = "z".repeat(8_000_000);
    link.outbox.frame(large.as_str().into()).await.unwrap();
    let ahead = async |link: &Test| {
        // As far as it goes by itself.
        sleep(Duration::from_secs(1)).await;
        link.stats.snapshot().bytes_out
    };
    let first = ahead(&link).await;
    assert!(first < 600 << 10, "{first}");
    // One that does not answer pings is not waited for, after a while.
    sleep(HEARTBEAT).await;
    assert!(ahead(&link).await > 1 << 20);
    assert!(link.hear().await == large);
}
