//! A small terminal client: one session, streamed answers, permission prompts, reconnect without loss.
//!
//! `cargo run --example client -- [--url ws://127.0.0.1:3000/ws] [--token T] [--session ID] [--allow] [TEXT …]`
//!
//! Says the texts one after the other (without any: the lines of stdin), answers prompts with `--allow` or a denial, and ends.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, Write as _};
use std::time::Duration;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest pause before a reconnect.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Parser)]
struct Options {
    /// The gateway
    #[arg(long, default_value = "ws://127.0.0.1:3000/ws")]
    url: String,
    /// The token, where the gateway wants one
    #[arg(long)]
    token: Option<String>,
    /// Go on with this session
    #[arg(long)]
    session: Option<String>,
    /// Allow every prompt instead of denying it
    #[arg(long)]
    allow: bool,
    /// What to say
    text: Vec<String>,
}

/// One session, over as many connections as it takes.
struct Session {
    id: String,
    /// How far its events were seen, and in which life of the session.
    last_seq: u64,
    epoch: Option<String>,
    to_say: VecDeque<String>,
    /// The user message whose result is not here yet. Sent again after a reconnect: the same id is never run twice.
    said: Option<Value>,
    allow: bool,
    failed: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let to_say = if options.text.is_empty() {
        std::io::stdin().lock().lines().collect::<std::io::Result<_>>()?
    } else {
        options.text.clone().into()
    };
    let id = options.session.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    println!("[session {id}]");
    let mut session =
        Session { id, last_seq: 0, epoch: None, to_say, said: None, allow: options.allow, failed: false };
    let mut pause = Duration::from_millis(250);
    loop {
        match connect(&options).await {
            Ok(mut socket) => {
                pause = Duration::from_millis(250);
                match session.run(&mut socket).await {
                    Ok(()) => break,
                    Err(problem) => eprintln!("[connection lost: {problem}]"),
                }
            }
            Err(problem) => eprintln!("[cannot connect: {problem}]"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PATIENCE);
    }
    if session.failed { Err("a turn ended with an error".into()) } else { Ok(()) }
}

async fn connect(options: &Options) -> Result<Socket> {
    let mut request = ClientRequestBuilder::new(options.url.parse()?).with_sub_protocol("claude-ws.v1");
    if let Some(token) = &options.token {
        request = request.with_header("Authorization", format!("Bearer {token}"));
    }
    Ok(connect_async(request).await?.0)
}

impl Session {
    /// Until everything was said and answered; `Err`: the connection broke.
    async fn run(&mut self, socket: &mut Socket) -> Result<()> {
        let start = json!({"last_seq": self.last_seq, "epoch": self.epoch});
        self.send(socket, "session_start", start).await?;
        while let Some(frame) = socket.next().await {
            let Message::Text(text) = frame? else { continue };
            let message: Value = serde_json::from_str(&text)?;
            if let Some(seq) = message["seq"].as_u64() {
                self.last_seq = seq;
            }
            if self.handle(&message, socket).await? {
                socket.close(None).await?;
                return Ok(());
            }
        }
        Err("the server closed it".into())
    }

    /// `true`: nothing is left to do.
    async fn handle(&mut self, message: &Value, socket: &mut Socket) -> Result<bool> {
        match message["type"].as_str().unwrap_or_default() {
            // With a request id it answers our `session_start`.
            "session_info" if message["request_id"].is_string() => {
                self.epoch = message["epoch"].as_str().map(str::to_owned);
                return self.say(socket).await;
            }
            "assistant_message_delta" => {
                print!("{}", message["delta"]["text"].as_str().unwrap_or_default());
                std::io::stdout().flush()?;
            }
            "assistant_message_complete" => println!(),
            // What is printed cannot be taken back; a screen would show what is kept in the message's place.
            "assistant_message_retracted" => {
                println!("[of what Claude just said this stands: {}]", message["kept"]);
            }
            "tool_use" => println!("[{} {}]", message["tool_name"], message["tool_input"]),
            "tool_result" => println!("[{}]", message["content"].as_str().unwrap_or_default()),
            "permission_request" => {
                let decision = if self.allow { "allow" } else { "deny" };
                println!("[{decision} {} {}]", message["tool_name"], message["tool_input"]);
                let answer = json!({"request_id": message["id"], "decision": decision});
                self.send(socket, "permission_response", answer).await?;
            }
            "result" if self.said.as_ref().is_some_and(|said| said["id"] == message["request_id"]) => {
                self.failed |= message["is_error"] == true;
                self.said = None;
                return self.say(socket).await;
            }
            "error" => eprintln!("[{}: {}]", message["code"], message["message"]),
            _ => {}
        }
        Ok(false)
    }

    /// Says what is to be said next; `true`: nothing is.
    async fn say(&mut self, socket: &mut Socket) -> Result<bool> {
        if self.said.is_none() {
            let Some(text) = self.to_say.pop_front() else { return Ok(true) };
            println!("> {text}");
            self.said = Some(json!({"id": Uuid::new_v4().to_string(), "content": text}));
        }
        let said = self.said.clone().unwrap_or_default();
        self.send(socket, "user_message", said).await?;
        Ok(false)
    }

    async fn send(&self, socket: &mut Socket, kind: &str, mut message: Value) -> Result<()> {
        message["type"] = kind.into();
        message["session_id"] = self.id.as_str().into();
        if message["id"].is_null() {
            message["id"] = Uuid::new_v4().to_string().into();
        }
        if message["epoch"].is_null() {
            message.as_object_mut().map(|fields| fields.remove("epoch"));
        }
        socket.send(Message::text(message.to_string())).await?;
        Ok(())
    }
}
