//! The end of a server.

use super::*;

#[tokio::test]
async fn draining_lets_nobody_in_and_leaves_the_others() {
    let server = server(Settings { tokens: Some(tokens("t")), ..Settings::default() }).await;
    let (mut stream, _) = server.upgrade("Authorization: Bearer t\r\n").await;
    server.shutdown.draining.cancel();
    let (_, answered) = server.upgrade("").await;
    assert_eq!((answered.status, answered.code().as_str()), (503, "draining"), "before the token");
    assert_eq!(server.ask("GET", "/readyz", "").await.status, 503);
    assert_eq!(server.ask("GET", "/healthz", "").await.status, 200);
    echo(&mut stream).await;
    server.shutdown.closing.cancel();
    let mut close = [0; 4];
    stream.read_exact(&mut close).await.unwrap();
    assert_eq!((close[0], &close[2..]), (0x88, &1001_u16.to_be_bytes()[..]));
    stream.write_all(b"\x88\x82\0\0\0\0\x03\xe9").await.unwrap();
    let address = server.address;
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn idle_http_connections_do_not_hold_up_the_end() {
    let server = server(Settings::default()).await;
    let mut stream = server.connect().await;
    ask_on(&mut stream, "GET", "/healthz", "Host: x\r\n").await.unwrap();
    let fresh = server.connect().await;
    while server.stats.snapshot().sockets < 2 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    drop(fresh);
}

#[tokio::test]
async fn who_does_not_end_in_time_is_cut_off() {
    let settings = Settings { close_deadline: std::time::Duration::from_millis(100), ..Settings::default() };
    let server = server(settings).await;
    let (stream, _) = server.upgrade("").await;
    server.stop().await;
    drop(stream);
}
