//! The server over real loopback sockets, asked byte by byte.

mod drain;
mod http;
mod limits;
mod sockets;
mod upgrade;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use hyper::{Response, http::request::Parts};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use super::*;
use crate::connection::{Outbox, Peer, Refusal, Service, Stats, Verdict};

/// Echoes; its HTTP and its readiness are told to it.
#[derive(Debug, Default)]
struct Echo {
    not_ready: bool,
    refuse: bool,
    owners: parking_lot::Mutex<Vec<(String, Option<std::net::IpAddr>)>>,
}

impl Service for Echo {
    type Client = ();

    fn connected(&self, peer: &Peer, _: &Outbox) -> Result<(), Refusal> {
        self.owners.lock().push((peer.owner.to_string(), peer.address));
        if self.refuse {
            return Err(Refusal { code: "capacity", message: "no agents".to_owned() });
        }
        Ok(())
    }

    async fn text(&self, (): &mut (), frame: Utf8Bytes, outbox: &Outbox) -> Verdict {
        let _ = outbox.frame(frame).await;
        Verdict::Good
    }

    async fn binary(&self, (): &mut (), _: Bytes, _: &Outbox) -> Verdict {
        Verdict::Bad
    }

    async fn rate_limited(&self, (): &mut (), _: Option<&Utf8Bytes>, _: &Outbox) {}

    fn heartbeat(&self) -> Option<Utf8Bytes> {
        None
    }

    fn announce(&self, _: usize) -> Option<Utf8Bytes> {
        None
    }

    fn cut(&self, _: &Utf8Bytes, _: usize) -> Option<Utf8Bytes> {
        None
    }

    fn gap(&self, _: &str, _: u64) -> Option<Utf8Bytes> {
        None
    }
}

impl Application for Echo {
    fn http(&self, request: &Parts) -> Option<Reply> {
        let public = match request.uri.path() {
            "/" => true,
            "/metrics" => false,
            _ => return None,
        };
        Some(Reply { public, response: Response::new(Body::new("page".into())) })
    }

    fn ready(&self) -> Result<Option<String>, String> {
        if self.not_ready { Err("no agent".to_owned()) } else { Ok(None) }
    }
}

struct Server {
    address: SocketAddr,
    app: Arc<Echo>,
    stats: Arc<Stats>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

async fn server(settings: Settings) -> Server {
    server_of(Echo::default(), settings).await
}

async fn server_of(app: Echo, settings: Settings) -> Server {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let BindAddr::Tcp(address) = *listener.local_addr() else { unreachable!() };
    let (app, stats, shutdown) = (Arc::new(app), Arc::clone(&settings.stats), Shutdown::default());
    let task = TaskTracker::new().spawn(serve(listener, Arc::clone(&app), settings, shutdown.clone()));
    Server { address, app, stats, shutdown, task }
}

/// An answer.
#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// `error.code` of the body.
    fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect("a JSON body");
        assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// Reads one answer, by its `content-length`.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin), has_body: bool) -> Option<Answered> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answered = Answered { status, head, body: String::new() };
    let len = answered.header("content-length").map_or(0, |len| len.parse().unwrap());
    if has_body {
        let mut body = vec![0; len];
        stream.read_exact(&mut body).await.unwrap();
        answered.body = String::from_utf8(body).unwrap();
    }
    Some(answered)
}

const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own; `lines` with their line ends.
    async fn ask(&self, method: &str, path: &str, lines: &str) -> Answered {
        self.ask_with(method, path, &format!("Host: {}\r\n{lines}", self.address)).await
    }

    async fn ask_with(&self, method: &str, path: &str, lines: &str) -> Answered {
        let mut stream = self.connect().await;
        ask_on(&mut stream, method, path, lines).await.expect("an answer")
    }

    /// A handshake with more header lines.
    async fn upgrade(&self, lines: &str) -> (TcpStream, Answered) {
        let mut stream = self.connect().await;
        let lines = format!("Host: {}\r\n{HANDSHAKE}{lines}", self.address);
        let answered = ask_on(&mut stream, "GET", "/ws", &lines).await.expect("an answer");
        (stream, answered)
    }

    async fn status(&self, lines: &str) -> u16 {
        self.upgrade(lines).await.1.status
    }

    /// Stops it; everything is back at zero.
    async fn stop(self) {
        self.shutdown.closing.cancel();
        self.task.await.unwrap();
        let end = self.stats.snapshot();
        assert_eq!((end.sockets, end.connections), (0, 0));
    }
}

async fn ask_on(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    method: &str,
    path: &str,
    lines: &str,
) -> Option<Answered> {
    let request = format!("{method} {path} HTTP/1.1\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    read_answer(stream, method != "HEAD").await
}

/// Says something through an upgraded socket and hears it.
async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"\x81\x02hi");
}

fn tokens(text: &str) -> Arc<TokenStore> {
    Arc::new(TokenStore::new(Tokens::parse(text).unwrap()))
}
