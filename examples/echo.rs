//! An echo server from the `server` and `connection` rooms: the same framing, close and UTF-8 behaviour and the same limits as
//! the gateway, with nothing behind it. For WebSocket conformance suites from outside:
//!
//! ```sh
//! cargo run --release --example echo -- --bind 127.0.0.1:9001
//! wstest -m fuzzingclient -s fuzzingclient.json   # Autobahn
//! ```

use std::{io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use clap::Parser;
use claude_ws::{
    connection::{self, Outbox, Peer, Refusal, Service, Verdict},
    server::{Application, BindAddr, Listener, Settings, Shutdown, serve},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A WebSocket echo server at /ws (and, for test suites, nowhere else).
#[derive(Debug, Parser)]
struct Flags {
    /// Where to listen; port 0 for any.
    #[arg(long, default_value = "127.0.0.1:9001")]
    bind: BindAddr,
    /// Largest message in bytes; larger ones close with 1009.
    #[arg(long, default_value_t = 64 << 20)]
    max_message_bytes: usize,
    /// Frames a second; 0: no limit.
    #[arg(long, default_value_t = 0)]
    max_frame_rate: u32,
    /// Ping this often.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    heartbeat: Duration,
    /// Drop a socket that takes no byte for this long.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    send_timeout: Duration,
    /// Sockets at once.
    #[arg(long, default_value_t = 10_000)]
    max_connections: usize,
}

/// Says what it hears.
struct Echo;

impl Service for Echo {
    type Client = ();

    fn connected(&self, _: &Peer, _: &Outbox) -> Result<(), Refusal> {
        Ok(())
    }

    async fn text(&self, (): &mut (), frame: Utf8Bytes, outbox: &Outbox) -> Verdict {
        // An error means that the connection has ended: there is nobody left to tell.
        let _ = outbox.frame(frame).await;
        Verdict::Good
    }

    async fn binary(&self, (): &mut (), frame: Bytes, outbox: &Outbox) -> Verdict {
        let _ = outbox.binary(frame).await;
        Verdict::Good
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

impl Application for Echo {}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    env_logger::init();
    let flags = Flags::parse();
    let listener = Listener::bind(&flags.bind).await?;
    // For scripts that asked for port 0.
    println!("listening on {}", listener.local_addr());
    std::io::stdout().flush()?;
    let shutdown = Shutdown::default();
    let settings = Settings {
        max_connections: flags.max_connections,
        max_per_address: flags.max_connections,
        connection: Arc::new(connection::Settings {
            max_message_bytes: flags.max_message_bytes,
            max_frame_rate: flags.max_frame_rate,
            heartbeat: flags.heartbeat,
            send_timeout: flags.send_timeout,
            ..Default::default()
        }),
        ..Default::default()
    };
    let stats = Arc::clone(&settings.stats);
    let server = serve(listener, Arc::new(Echo), settings, shutdown.clone());
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => {}
        _ = tokio::signal::ctrl_c() => {
            shutdown.draining.cancel();
            shutdown.closing.cancel();
            server.await;
        }
    }
    println!("{:?}", stats.snapshot());
    Ok(())
}
