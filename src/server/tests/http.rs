//! Plain HTTP.

use super::*;

#[tokio::test]
async fn each_path_and_method_has_its_answer() {
    let server = server(Settings::default()).await;
    for (method, path, status, code) in [
        ("GET", "/healthz", 200, None),
        ("HEAD", "/healthz", 200, None),
        ("GET", "/readyz", 200, None),
        ("GET", "/", 200, None),
        ("GET", "/?a=b", 200, None),
        ("GET", "/metrics", 200, None),
        ("GET", "/ws", 426, Some("upgrade_required")),
        ("POST", "/ws", 405, Some("method_not_allowed")),
        ("DELETE", "/healthz", 405, Some("method_not_allowed")),
        ("PUT", "/", 405, Some("method_not_allowed")),
        ("GET", "/nothing", 404, Some("not_found")),
        ("POST", "/nothing", 404, Some("not_found")),
        ("GET", "/ws/", 404, Some("not_found")),
        ("GET", "//ws", 404, Some("not_found")),
    ] {
        let answered = server.ask(method, path, "").await;
        assert_eq!(answered.status, status, "{method} {path}");
        assert_eq!(answered.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answered.header("cache-control"), Some("no-store"));
        match code {
            Some(code) => {
                assert_eq!(answered.code(), code);
                assert_eq!(answered.header("content-type"), Some("application/json"));
            }
            None if path.ends_with('z') && method == "GET" => {
                assert_eq!(answered.body, r#"{"status":"ok"}"#);
            }
            None => {}
        }
        if status == 405 {
            let allow = if path == "/ws" { "GET" } else { "GET, HEAD" };
            assert_eq!(answered.header("allow"), Some(allow));
        }
    }
    assert_eq!(server.ask("GET", "/ws", "").await.header("upgrade"), Some("websocket"));
    server.stop().await;
}

#[tokio::test]
async fn a_connection_is_kept_alive_but_not_behind_a_body() {
    let server = server(Settings::default()).await;
    let mut stream = server.connect().await;
    for method in ["GET", "HEAD", "GET"] {
        let answered = ask_on(&mut stream, method, "/healthz", "Host: x\r\n").await.unwrap();
        assert_eq!(answered.status, 200);
    }
    let lines = "Host: localhost\r\nContent-Length: 100000\r\n";
    let answered = ask_on(&mut stream, "POST", "/nothing", lines).await.unwrap();
    assert_eq!((answered.status, answered.header("connection")), (404, Some("close")));
    assert!(ask_on(&mut stream, "GET", "/healthz", "Host: x\r\n").await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn readiness_is_the_services_word() {
    let server = server_of(Echo { not_ready: true, ..Echo::default() }, Settings::default()).await;
    let answered = server.ask("GET", "/readyz", "").await;
    assert_eq!((answered.status, answered.code().as_str()), (503, "not_ready"));
    assert_eq!(server.ask("GET", "/healthz", "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn with_tokens_all_but_public_paths_need_one() {
    let server = server(Settings { tokens: Some(tokens("me:t1")), ..Settings::default() }).await;
    for (path, without, with) in [
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
        ("/", 200, 200),
        ("/metrics", 401, 200),
        ("/nothing", 401, 404),
        ("/ws", 401, 426),
    ] {
        let answered = server.ask("GET", path, "").await;
        assert_eq!(answered.status, without, "{path}");
        if without == 401 {
            assert_eq!(answered.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answered.code(), "unauthorized");
        }
        assert_eq!(server.ask("GET", path, "Authorization: Bearer t1\r\n").await.status, with, "{path}");
        assert_eq!(server.ask("GET", &format!("{path}?token=t1"), "").await.status, without, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_has_one_host() {
    let server = server(Settings::default()).await;
    for (lines, status) in [
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: \r\n", 403),
        ("Host: localhost\r\n", 200),
        ("Host: 127.0.0.1:1\r\n", 200),
        ("Host: [::1]\r\n", 200),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost.evil.example\r\n", 403),
    ] {
        assert_eq!(server.ask_with("GET", "/", lines).await.status, status, "{lines:?}");
    }
    let absolute = server.ask_with("GET", "http://evil.example/", "Host: localhost\r\n").await;
    assert_eq!(absolute.status, 403);
    // Probes may ask by any name.
    assert_eq!(server.ask_with("GET", "/healthz", "Host: evil.example\r\n").await.status, 200);
    server.stop().await;
    let origins = AllowedOrigins::parse(["https://app.example"]).unwrap();
    let server = super::server(Settings { origins, ..Settings::default() }).await;
    assert_eq!(server.ask_with("GET", "/", "Host: app.example\r\n").await.status, 200);
    server.stop().await;
    let server = super::server(Settings { tokens: Some(tokens("t")), ..Settings::default() }).await;
    assert_eq!(server.ask_with("GET", "/", "Host: any.example\r\n").await.status, 200);
    server.stop().await;
}
