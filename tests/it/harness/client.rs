//! A client as a front end would be one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::transcript::Entry;
use super::{Transcript, Turn};

type Socket = WebSocketStream<TcpStream>;

/// How long the next message of the server may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// One connection. It reads on when this is dropped, until the server ends it; [`Client::vanish`] breaks it off.
pub(crate) struct Client {
    pub(crate) session: String,
    transcript: Arc<Transcript>,
    sink: SplitSink<Socket, Message>,
    leave: CancellationToken,
    gone: TaskTracker,
    /// Entries of the transcript that were looked at.
    seen: usize,
    sent: u64,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, name: &str, tasks: &TaskTracker) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) =
            client_async_with_config(format!("ws://{address}/ws"), stream, Some(config)).await.unwrap();
        let (sink, stream) = socket.split();
        let transcript = Arc::new(Transcript::new(name));
        let (leave, gone) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(gone.track_future(read(stream, Arc::clone(&transcript), leave.clone())));
        gone.close();
        Self { session: "s".to_owned(), transcript, sink, leave, gone, seen: 0, sent: 0 }
    }

    pub(crate) fn transcript(&self) -> Arc<Transcript> {
        Arc::clone(&self.transcript)
    }

    /// Everything the server has said so far.
    pub(crate) fn got(&self) -> Vec<Value> {
        let entries = self.transcript.entries().into_iter();
        entries.filter_map(|entry| if let Entry::Got(value) = entry { Some(value) } else { None }).collect()
    }

    /// Sends a message, with `id` and `session_id` added where there are none; gives its id.
    pub(crate) async fn send(&mut self, mut message: Value) -> String {
        self.sent += 1;
        if message["id"].is_null() {
            message["id"] = format!("{}-{}", self.transcript.name(), self.sent).into();
        }
        if message["session_id"].is_null() {
            message["session_id"] = self.session.clone().into();
        }
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        self.send_text(message.to_string()).await;
        id
    }

    /// Sends exactly this text.
    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.transcript.add(Entry::Sent(text.clone()));
        self.send_frame(Message::text(text)).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: Message) {
        // The server may have closed already; what it said then stands in the transcript.
        let _ = self.sink.send(frame).await;
    }

    /// The next entry that `is_it`; those before it are passed over.
    async fn entry(&mut self, wanted: &str, mut is_it: impl FnMut(&Entry) -> bool) -> Entry {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let next = tokio::time::timeout_at(deadline, self.transcript.at(self.seen)).await;
            let Ok(entry) = next else {
                panic!("{}: waited {PATIENCE:?} for {wanted}", self.transcript.name())
            };
            self.seen += 1;
            if is_it(&entry) {
                return entry;
            }
        }
    }

    /// The next message that `is_it`; those before it are passed over.
    pub(crate) async fn until(&mut self, wanted: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let entry = self.entry(wanted, |entry| match entry {
            Entry::Got(message) => is_it(message),
            Entry::Closed(_) => true,
            Entry::Sent(_) | Entry::Left => false,
        });
        match entry.await {
            Entry::Got(message) => message,
            _ => panic!("{}: closed while waiting for {wanted}", self.transcript.name()),
        }
    }

    /// The next message of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        self.until(kind, |message| message["type"] == kind).await
    }

    /// The next message that answers `id` (or stems from it) and is of this type. An `error` instead fails the test.
    pub(crate) async fn answer(&mut self, id: &str, kind: &str) -> Value {
        let wanted = format!("{kind} for {id}");
        let of_interest = |message: &Value| message["type"] == kind || message["type"] == "error";
        let answer = self.until(&wanted, |message| message["request_id"] == id && of_interest(message)).await;
        assert_eq!(answer["type"], kind, "{answer}");
        answer
    }

    /// Sends `message` and waits for the answer of this type.
    pub(crate) async fn ask(&mut self, message: Value, kind: &str) -> Value {
        let id = self.send(message).await;
        self.answer(&id, kind).await
    }

    /// The next delta with text or thinking in it.
    pub(crate) async fn some_text(&mut self) -> Value {
        self.until("text", |message| message["delta"]["delta_type"] == "text").await
    }

    /// `status_update` with this status.
    pub(crate) async fn status(&mut self, status: &str) {
        self.until(status, |message| message["type"] == "status_update" && message["status"] == status).await;
    }

    /// Starts the session, or attaches to it; gives `session_info`.
    pub(crate) async fn start(&mut self, options: Value) -> Value {
        let mut message = json!({"type": "session_start"});
        message.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        self.ask(message, "session_info").await
    }

    /// Sends a user message; gives its id.
    pub(crate) async fn say(&mut self, content: impl Into<Value>) -> String {
        self.send(json!({"type": "user_message", "content": content.into()})).await
    }

    /// Waits for that user message's result; gives its whole turn.
    pub(crate) async fn finish(&mut self, id: &str) -> Turn {
        let is_result = |message: &Value| message["type"] == "result" && message["request_id"] == id;
        if !self.got().iter().any(is_result) {
            self.answer(id, "result").await;
        }
        Turn::of(id, &self.got())
    }

    /// A whole turn.
    pub(crate) async fn turn(&mut self, content: impl Into<Value>) -> Turn {
        let id = self.say(content).await;
        self.finish(&id).await
    }

    /// Waits for a permission prompt.
    pub(crate) async fn prompt(&mut self) -> Value {
        self.expect("permission_request").await
    }

    /// Answers a prompt, with `more` fields; gives the answer's id.
    pub(crate) async fn decide(&mut self, prompt: &Value, decision: &str, more: Value) -> String {
        let mut message =
            json!({"type": "permission_response", "request_id": prompt["id"], "decision": decision});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(message).await
    }

    /// Allows it, as it stands.
    pub(crate) async fn allow(&mut self, prompt: &Value) -> String {
        self.decide(prompt, "allow", json!({})).await
    }

    /// Waits for the server to close; gives the code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        match self.entry("the close", |entry| matches!(entry, Entry::Closed(_))).await {
            Entry::Closed(code) => code,
            _ => None,
        }
    }

    /// Leaves in the orderly way.
    pub(crate) async fn close(mut self) {
        self.send_frame(Message::Close(Some(CloseFrame { code: 1000.into(), reason: "".into() }))).await;
        self.closed().await;
    }

    /// Breaks the connection off, without a word.
    pub(crate) async fn vanish(self) {
        self.leave.cancel();
        drop(self.sink);
        self.gone.wait().await;
    }
}

async fn read(mut stream: SplitStream<Socket>, transcript: Arc<Transcript>, leave: CancellationToken) {
    let mut code = None;
    loop {
        let frame = tokio::select! {
            frame = stream.next() => frame,
            () = leave.cancelled() => return transcript.add(Entry::Left),
        };
        match frame {
            Some(Ok(Message::Text(text))) => {
                let value = serde_json::from_str(&text).unwrap_or_else(
                    |error| json!({"type": "not_json", "error": error.to_string(), "text": text.as_str()}),
                );
                transcript.add(Entry::Got(value));
            }
            Some(Ok(Message::Close(frame))) => code = frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return transcript.add(Entry::Closed(code)),
        }
    }
}
