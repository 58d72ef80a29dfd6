//! The handshake, and who may come in.

use super::*;

#[tokio::test]
async fn a_good_handshake_is_upgraded() {
    let server = server(Settings::default()).await;
    let (mut stream, answered) = server.upgrade("").await;
    assert_eq!(answered.status, 101);
    assert_eq!(answered.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answered.header("sec-websocket-protocol"), None);
    echo(&mut stream).await;
    assert_eq!(server.stats.snapshot().connections, 1);
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn frames_right_behind_the_request_are_not_lost() {
    let server = server(Settings::default()).await;
    let mut stream = server.connect().await;
    let mut bytes = format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{HANDSHAKE}\r\n").into_bytes();
    bytes.extend(b"\x81\x82\0\0\0\0hi\x81");
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(read_answer(&mut stream, true).await.unwrap().status, 101);
    stream.write_all(b"\x82\0\0\0\0ho").await.unwrap();
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"\x81\x02hi\x81\x02ho");
    drop(stream);
    server.stop().await;
}

/// It repeated `close`, and Tcl's library took that at its word and waited for ever.
#[tokio::test]
async fn a_request_that_wants_close_and_upgrade_is_upgraded_without_a_close() {
    let server = server(Settings::default()).await;
    for connection in ["close, Upgrade", "Upgrade, Close", "upgrade\r\nConnection: close"] {
        let mut stream = server.connect().await;
        let handshake = HANDSHAKE.replace("keep-alive, Upgrade", connection);
        let request = format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{handshake}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answered = read_answer(&mut stream, true).await.unwrap();
        assert_eq!((answered.status, answered.header("connection")), (101, Some("upgrade")), "{connection}");
        assert!(!answered.head.to_lowercase().contains("close"), "{}", answered.head);
        echo(&mut stream).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_asked_for_something_before_is_upgraded() {
    let server = server(Settings::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream, true).await.unwrap().status, 200);
    stream
        .write_all(format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{HANDSHAKE}\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(read_answer(&mut stream, true).await.unwrap().status, 101);
    echo(&mut stream).await;
    server.stop().await;
}

#[tokio::test]
async fn a_bad_handshake_is_told_what_is_wrong() {
    let server = server(Settings::default()).await;
    for (from, to, status) in [
        ("Upgrade: websocket\r\n", "", 426),
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 426),
        ("Upgrade: websocket\r\n", "Upgrade: h2c, WebSocket\r\n", 101),
        ("Version: 13", "Version: 13\r\nContent-Length: 5", 400),
        ("Version: 13", "Version: 13\r\nTransfer-Encoding: chunked", 400),
        ("Version: 13", "Version: 13\r\nContent-Length: 0", 101),
        ("keep-alive, Upgrade", "keep-alive", 400),
        ("Version: 13", "Version: 12", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 400),
        ("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "AAAA", 400),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            400,
        ),
    ] {
        let lines = format!("Host: localhost\r\n{}", HANDSHAKE.replace(from, to));
        let answered = server.ask_with("GET", "/ws", &lines).await;
        let version = answered.header("sec-websocket-version");
        match (answered.status, to) {
            (101, _) => assert_eq!(status, 101),
            (got, _) => {
                assert_eq!(got, status, "{from:?} -> {to:?}");
                let about_upgrade = from.starts_with("Upgrade");
                assert_eq!(version, (!about_upgrade).then_some("13"), "{to:?}");
                answered.code();
            }
        }
    }
    let mut stream = server.connect().await;
    stream
        .write_all(format!("GET /ws HTTP/1.0\r\nHost: localhost\r\n{HANDSHAKE}\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(read_answer(&mut stream, true).await.unwrap().status, 400);
    server.stop().await;
}

#[tokio::test]
async fn tokens_come_in_a_header_or_as_a_subprotocol() {
    let server = server(Settings { tokens: Some(tokens("me:t1\nt2~+.x")), ..Settings::default() }).await;
    for (lines, status) in [
        ("", 401),
        ("Authorization: Bearer t1\r\n", 101),
        ("authorization: bEARER  t1 \r\n", 101),
        ("Authorization: Bearer t\r\n", 401),
        ("Authorization: Bearer t11\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        ("Authorization: Bearer\r\n", 401),
        ("Authorization: Basic dDE=\r\n", 401),
        ("Authorization: t1\r\n", 401),
        ("Authorization: Bearer t1\r\nAuthorization: Bearer t1\r\n", 401),
        ("Sec-WebSocket-Protocol: claude-ws.v1, bearer.t1\r\n", 101),
        ("Sec-WebSocket-Protocol: claude-ws.v1\r\nSec-WebSocket-Protocol: bearer.t2~+.x\r\n", 101),
        ("Sec-WebSocket-Protocol: claude-ws.v1, bearer.nope\r\n", 401),
        ("Sec-WebSocket-Protocol: bearer.t1, bearer.t1\r\n", 401),
        ("Sec-WebSocket-Protocol: claude-ws.v1, t1\r\n", 401),
        ("Authorization: Basic dDE=\r\nSec-WebSocket-Protocol: bearer.t1, claude-ws.v1\r\n", 101),
        // Alone it is not chosen, and the browser hangs up without a word.
        ("Sec-WebSocket-Protocol: bearer.t1\r\n", 400),
        ("Authorization: Bearer t1\r\nSec-WebSocket-Protocol: bearer.t1, chat\r\n", 400),
        ("Sec-WebSocket-Protocol: bearer.nope\r\n", 401),
        ("Authorization: Bearer nope\r\nSec-WebSocket-Protocol: bearer.t1\r\n", 401),
    ] {
        let (_, answered) = server.upgrade(lines).await;
        assert_eq!(answered.status, status, "{lines:?}");
        assert!(!answered.head.contains("t1") && !answered.head.contains("t2"), "{}", answered.head);
        if status == 400 {
            assert!(
                answered.body.contains("claude-ws.v1") && !answered.body.contains("t1"),
                "{}",
                answered.body
            );
        }
        let chosen = answered.header("sec-websocket-protocol");
        let offered = status == 101 && lines.contains("claude-ws.v1");
        assert_eq!(chosen, offered.then_some("claude-ws.v1"), "{lines:?}");
    }
    let owners: Vec<_> = server.app.owners.lock().iter().map(|(owner, _)| owner.clone()).collect();
    assert_eq!(owners.iter().filter(|owner| *owner == "me").count(), 4);
    assert_eq!(owners.iter().filter(|owner| owner.starts_with("token-")).count(), 1);
    server.stop().await;
}

#[tokio::test]
async fn replaced_tokens_count_at_once() {
    let store = tokens("old");
    let server = server(Settings { tokens: Some(Arc::clone(&store)), ..Settings::default() }).await;
    assert_eq!(server.status("Authorization: Bearer old\r\n").await, 101);
    store.replace(Tokens::parse("new").unwrap());
    assert_eq!(server.status("Authorization: Bearer old\r\n").await, 401);
    assert_eq!(server.status("Authorization: Bearer new\r\n").await, 101);
    server.stop().await;
}

#[tokio::test]
async fn foreign_pages_stay_outside() {
    let origins = AllowedOrigins::parse(["https://good.example"]).unwrap();
    let server = server(Settings { origins, ..Settings::default() }).await;
    let own = format!("Origin: http://{}\r\n", server.address);
    for (lines, status) in [
        ("", 101),
        (own.as_str(), 101),
        ("Origin: https://good.example\r\n", 101),
        ("Origin: https://good.example.evil\r\n", 403),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://localhost\r\n", 403),
        ("Origin: https://good.example\r\nOrigin: https://good.example\r\n", 403),
    ] {
        let (_, answered) = server.upgrade(lines).await;
        assert_eq!(answered.status, status, "{lines:?}");
        if status == 403 {
            assert_eq!(answered.code(), "forbidden_origin");
        }
    }
    let (_, answered) = server.upgrade("Origin: https://evil.example\r\n").await;
    let host = server.address.to_string();
    for what in ["https://evil.example", &host, "--allow-origin"] {
        assert!(answered.body.contains(what), "{}", answered.body);
    }
    assert!(!answered.body.contains("good.example"), "{}", answered.body);
    server.stop().await;
}

#[tokio::test]
async fn the_token_is_asked_for_before_the_origin() {
    let server = server(Settings { tokens: Some(tokens("t")), ..Settings::default() }).await;
    assert_eq!(server.status("Origin: https://evil.example\r\n").await, 401);
    assert_eq!(server.status("Origin: https://evil.example\r\nAuthorization: Bearer t\r\n").await, 403);
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_of_the_service_is_a_503() {
    let server = server_of(Echo { refuse: true, ..Echo::default() }, Settings::default()).await;
    let (_, answered) = server.upgrade("").await;
    assert_eq!((answered.status, answered.code().as_str()), (503, "capacity"));
    server.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client() {
    let proxies = TrustedProxies::parse(["127.0.0.0/8"]).unwrap();
    let server = server(Settings { proxies, max_per_address: 1, ..Settings::default() }).await;
    let (mut one, answered) = server.upgrade("X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n").await;
    assert_eq!(answered.status, 101);
    assert_eq!(server.status("X-Forwarded-For: 192.0.2.1\r\n").await, 503);
    assert_eq!(server.status("X-Forwarded-For: 192.0.2.2\r\n").await, 101);
    echo(&mut one).await;
    let addresses: Vec<_> =
        server.app.owners.lock().iter().map(|(_, address)| address.unwrap().to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1", "192.0.2.2"]);
    drop(one);
    server.stop().await;
}

/// They stayed until they went by themselves.
#[tokio::test]
async fn connections_of_revoked_tokens_are_closed_and_others_stay() {
    let tokens = tokens("alice:one\nbob:two\ncarol:three");
    let server = server(Settings { tokens: Some(Arc::clone(&tokens)), ..Settings::default() }).await;
    let mut streams = Vec::new();
    for token in ["one", "two", "three"] {
        let (mut stream, answered) = server.upgrade(&format!("Authorization: Bearer {token}\r\n")).await;
        assert_eq!(answered.status, 101);
        echo(&mut stream).await;
        streams.push(stream);
    }
    let [mut alice, mut bob, mut carol] = <[TcpStream; 3]>::try_from(streams).unwrap();
    tokens.replace(Tokens::parse("alice:one\nmallory:two\nnew:four").unwrap());
    // The token of the one is somebody else's now, that of the other is gone.
    for stream in [&mut bob, &mut carol] {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!((head[0], u16::from_be_bytes([head[2], head[3]])), (0x88, 1008));
    }
    echo(&mut alice).await;
    drop((alice, bob, carol));
    server.stop().await;
}
