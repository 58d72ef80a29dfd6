//! The API as a client sees it, over a socket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::scripted_model::{Script, ScriptedModel};

struct Running {
    model: ScriptedModel,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

async fn start() -> Running {
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let model = ScriptedModel::start(Script::builtin(), &tracker, shutdown.clone()).await.unwrap();
    Running { model, tracker, shutdown }
}

impl Running {
    async fn connect(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.model.address).await.unwrap();
        let length = body.len();
        let request =
            format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }

    /// Status line and everything after the head.
    async fn call(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect(head, body).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn ask(&self, text: &str, stream: bool) -> (u16, String) {
        self.call("POST /v1/messages?beta=true", question(text, stream).to_string().as_bytes()).await
    }
}

fn question(text: &str, stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "tools": [{"name": "Bash"}], "system": "be nice",
        "messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn streams_an_answer_and_remembers_the_question() {
    let running = start().await;
    let (status, body) = running.ask("echo \u{1F980}", true).await;
    assert_eq!(status, 200);
    assert!(body.contains("event: message_start") && body.contains("event: message_stop"));
    assert!(body.contains('\u{1F980}'));
    let request = running.model.request_where(|request| request.user_text.starts_with("echo")).await;
    assert_eq!((request.model.as_str(), request.system.as_str(), request.stream), ("m", "be nice", true));
    assert_eq!(running.model.requests().len(), 1);
}

#[tokio::test]
async fn answers_whole_where_nothing_is_streamed() {
    let (status, body) = start().await.ask("echo hi", false).await;
    let message: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &message["content"][0]["text"]), (200, &json!("hi")));
}

#[tokio::test]
async fn errors_have_the_apis_shape() {
    let running = start().await;
    let cases: [(&str, &[u8], u16, &str); 7] = [
        ("HEAD /", b"", 404, ""),
        ("GET /nothing", b"", 404, "not_found_error"),
        ("GET /v1/messages", b"", 405, "invalid_request_error"),
        ("POST /v1/messages", b"{", 400, "invalid_request_error"),
        ("POST /v1/messages", b"{}", 400, "invalid_request_error"),
        ("POST /v1/messages", b"[[[\xff", 400, "invalid_request_error"),
        ("POST /v1/messages/count_tokens", b"{\"a\":1}", 200, ""),
    ];
    for (head, body, status, kind) in cases {
        let (got, answer) = running.call(head, body).await;
        assert_eq!(got, status, "{head}");
        if !kind.is_empty() {
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["error"]["type"], kind, "{head}");
        }
    }
    let (status, body) = running.ask("error", true).await;
    assert_eq!(status, 400);
    assert!(body.contains("invalid_request_error"));
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused() {
    let running = start().await;
    let mut stream = TcpStream::connect(running.model.address).await.unwrap();
    let head =
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The refusal may come, and the socket close, before all is written.
    let (mut read, mut write) = stream.into_split();
    let writing = async move {
        let chunk = vec![b' '; 1 << 20];
        for _ in 0..40 {
            if write.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    let mut first = [0; 12];
    let ((), got) = tokio::join!(writing, read.read_exact(&mut first));
    got.unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
}

#[tokio::test]
async fn shutdown_ends_open_answers() {
    let running = start().await;
    let body = question("hang", true).to_string();
    let mut stream = running.connect("POST /v1/messages", body.as_bytes()).await;
    running.model.request_where(|request| request.user_text == "hang").await;
    running.shutdown.cancel();
    running.tracker.close();
    tokio::time::timeout(Duration::from_secs(30), running.tracker.wait()).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_in_silence() {
    let running = start().await;
    for text in ["hang", "stall"] {
        let body = question(text, true).to_string();
        let stream = running.connect("POST /v1/messages", body.as_bytes()).await;
        running.model.request_where(|request| request.user_text == text).await;
        drop(stream);
    }
    let only_the_acceptor = async {
        while running.tracker.len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), only_the_acceptor).await.unwrap();
}

#[tokio::test]
async fn an_agent_gets_the_address_and_the_directory() {
    let running = start().await;
    let env = running.model.env(std::path::Path::new("/private"));
    let get =
        |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap();
    assert_eq!(get("CLAUDE_CONFIG_DIR"), "/private");
    assert!(get("ANTHROPIC_BASE_URL").to_string_lossy().starts_with("http://127.0.0.1:"));
}
