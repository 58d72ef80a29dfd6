//! A blocking client.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client::client_with_config};

use super::PATIENCE;

/// One connection. Dropping it breaks it off, without a close frame.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    sent: u64,
    /// Before the ids that it makes up.
    name: String,
    /// Every session event so far, in order.
    pub(crate) events: Vec<Value>,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// Where there may be nobody, or somebody on the way out.
    pub(crate) fn try_connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|problem| problem.to_string())?;
        Self::over(stream, address, &[])
    }

    /// With further header lines; `Err`: the status of the refusal.
    pub(crate) fn connect_with(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).unwrap();
        let outcome = Self::over(stream, address, headers);
        outcome.map_err(|problem| problem.parse().unwrap_or_else(|_| panic!("no handshake: {problem}")))
    }

    /// `Err`: the status of the refusal, or what else was wrong.
    fn over(
        stream: TcpStream,
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, String> {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        match client_with_config(request, stream, Some(config)) {
            Ok((socket, _)) => {
                let name = uuid::Uuid::new_v4().simple().to_string()[..6].to_owned();
                Ok(Self { socket, sent: 0, name, events: Vec::new() })
            }
            Err(HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16().to_string()),
            Err(other) => Err(other.to_string()),
        }
    }

    /// Sends a message, with an `id` where there is none and the session `s` where none is named; gives its id.
    pub(crate) fn send(&mut self, mut message: Value) -> String {
        self.sent += 1;
        if message["id"].is_null() {
            message["id"] = format!("{}-{}", self.name, self.sent).into();
        }
        if message["session_id"].is_null() {
            message["session_id"] = "s".into();
        }
        let id = message["id"].as_str().unwrap().to_owned();
        self.frame(Message::text(message.to_string()));
        id
    }

    /// Sends exactly this. A server that has closed already is no error: what it said shows when it is read.
    pub(crate) fn frame(&mut self, message: Message) {
        let _ = self.socket.send(message);
    }

    /// The next message; heartbeats are passed over. `Err`: the close code, 1006 when there was none.
    pub(crate) fn read(&mut self) -> Result<Value, u16> {
        let end = Instant::now() + PATIENCE;
        loop {
            // Heartbeats go on coming.
            assert!(
                Instant::now() < end,
                "waited for {PATIENCE:?}; the last event: {:?}",
                self.events.last()
            );
            match self.message() {
                Ok(message) if message["type"] == "heartbeat" => {}
                other => return other,
            }
        }
    }

    /// The same, heartbeats too.
    pub(crate) fn message(&mut self) -> Result<Value, u16> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let value: Value = serde_json::from_str(&text).unwrap();
                    if value.get("seq").is_some() {
                        self.events.push(value.clone());
                    }
                    return Ok(value);
                }
                Ok(Message::Close(frame)) => {
                    // The answer, and the server's end of the socket.
                    while self.socket.read().is_ok() {}
                    return Err(frame.map_or(1005, |frame| frame.code.into()));
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came for {PATIENCE:?}; the last event: {:?}", self.events.last())
                }
                Err(_) => return Err(1006),
            }
        }
    }

    pub(crate) fn next(&mut self) -> Value {
        self.read()
            .unwrap_or_else(|code| panic!("closed with {code}; the last event: {:?}", self.events.last()))
    }

    /// The next message that `is_it`.
    pub(crate) fn until(&mut self, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let message = self.next();
            if is_it(&message) {
                return message;
            }
        }
    }

    /// The next message of this type.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        self.until(|message| message["type"] == kind)
    }

    /// The next message of this type that answers `id`.
    pub(crate) fn answer(&mut self, id: &str, kind: &str) -> Value {
        self.until(|message| message["type"] == kind && message["request_id"] == id)
    }

    /// Reads until the server closes; gives the code.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.read() {
                return code;
            }
        }
    }

    /// `session_start` with these fields; gives `session_info`.
    pub(crate) fn start(&mut self, fields: Value) -> Value {
        let mut message = json!({"type": "session_start"});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let id = self.send(message);
        self.answer(&id, "session_info")
    }

    /// Sends a message of a kind that is answered with one of the kind `answer`; an `error` ends the wait too.
    pub(crate) fn ask(&mut self, message: Value, answer: &str) -> Value {
        let id = self.send(message);
        self.until(|message| {
            (message["type"] == answer || message["type"] == "error") && message["request_id"] == *id
        })
    }

    pub(crate) fn say(&mut self, content: &str) -> String {
        self.send(json!({"type": "user_message", "content": content}))
    }

    /// A whole turn; gives its result.
    pub(crate) fn turn(&mut self, content: &str) -> Value {
        let id = self.say(content);
        self.answer(&id, "result")
    }

    /// The text that the model said in the turn of `id`.
    pub(crate) fn text(&self, id: &str) -> String {
        text_of(self.events.iter().filter(|event| event["request_id"] == id))
    }

    /// A whole turn; gives its text.
    pub(crate) fn hear(&mut self, content: &str) -> String {
        let id = self.say(content);
        let result = self.answer(&id, "result");
        assert_eq!(result["subtype"], "success", "{result}");
        self.text(&id)
    }

    /// All sessions.
    pub(crate) fn list(&mut self) -> Vec<Value> {
        let mut sessions = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let page = json!({"type": "session_list", "limit": 1000, "cursor": cursor});
            let mut answer = self.ask(page, "session_list");
            sessions.append(answer["sessions"].as_array_mut().unwrap());
            cursor = answer["next_cursor"].take();
            if cursor.is_null() {
                return sessions;
            }
        }
    }

    /// Reads nothing any more; the socket stays open as long as what is given.
    pub(crate) fn fall_silent(self) -> TcpStream {
        self.socket.get_ref().try_clone().unwrap()
    }
}

/// The deltas' text, joined.
pub(crate) fn text_of<'a>(events: impl Iterator<Item = &'a Value>) -> String {
    events.filter_map(|event| event["delta"]["text"].as_str()).collect()
}
