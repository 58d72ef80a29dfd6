//! The routes beside the WebSocket.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Lab;

on_the_fake_cli![health_and_readiness, paths_and_methods, not_a_websocket];

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn error_code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

async fn health_and_readiness(lab: &Lab) {
    let server = lab.server().await;
    for path in ["/healthz", "/readyz"] {
        let answer = ask(server.address, "GET", path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
        assert!(answer.head.contains("content-type: application/json"));
        assert_eq!(ask(server.address, "HEAD", path, "").await.body, "");
    }
}

async fn paths_and_methods(lab: &Lab) {
    let server = lab.server().await;
    for path in ["/nothing", "/ws/", "/WS", "/healthz/x", "//"] {
        let answer = ask(server.address, "GET", path, "").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (404, "not_found"), "{path}");
    }
    for (path, allow) in [("/healthz", "get, head"), ("/readyz", "get, head"), ("/ws", "get")] {
        let answer = ask(server.address, "POST", path, "Content-Length: 0\r\n").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (405, "method_not_allowed"), "{path}");
        assert!(
            answer.head.contains(&format!("allow: {allow}\r\n")) || answer.head.ends_with(allow),
            "{}",
            answer.head
        );
    }
}

async fn not_a_websocket(lab: &Lab) {
    let server = lab.server().await;
    let answer = ask(server.address, "GET", "/ws", "").await;
    assert_eq!(answer.status, 426, "{}", answer.head);
    assert!(answer.head.contains("upgrade: websocket"));
    answer.error_code();
    let half = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(ask(server.address, "GET", "/ws", half).await.status, 400, "no key");
    let foreign =
        format!("{half}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://evil.example\r\n");
    assert_eq!(ask(server.address, "GET", "/ws", &foreign).await.status, 403);
}
