//! A WebSocket gateway for Claude Code sessions.
//!
//! A front end speaks a flat JSON protocol over a WebSocket (`docs/protocol.md`); the gateway drives the Claude Code command-line
//! program, turns its messages into protocol messages, brings permission prompts to people, and keeps sessions alive across
//! connections, crashes and restarts.
//!
//! # Rooms
//!
//! Imports point one way, from top to bottom of this table (`tests/architecture.rs` holds it).
//!
//! | module | its one job |
//! | --- | --- |
//! | [`gateway`] | puts the rooms together: [`gateway::Gateway`] |
//! | [`server`] | accept loop, limits, HTTP answers, upgrade checks, drain |
//! | [`connection`] | one socket: reader, cursors, writer, heartbeat |
//! | [`nodes`] | several gateways over one store: messages to the one that runs the session, and its answers back |
//! | [`dispatch`] | the table from message type to handler |
//! | [`session`] | registry; per session a state machine and its task |
//! | [`converter`] | the agent's messages into protocol messages, and back |
//! | [`log`] and [`store`] | the event log, a session's only output; `SQLite` behind it |
//! | [`agent`] | one Claude Code process |
//! | [`protocol`] | message types of both directions, parser, encoder, schema |
//! | [`scripted_model`] | a Messages API that answers from a script |
//! | [`console`], [`metrics`] | the web console's files; counters and their text |
//! | [`config`] | every setting, with its default |
//! | [`lookup`] | looks into file systems that may not answer |
//!
//! # A gateway of one's own
//!
//! Here without a store and with a scripted model, so that it needs no credentials:
//!
//! ```no_run
//! use claude_ws::config::Config;
//! use claude_ws::gateway::{Demo, Gateway};
//! use claude_ws::server::Listener;
//! use tokio_util::{sync::CancellationToken, task::TaskTracker};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config { workspace_roots: vec!["/srv/projects".into()], ..Config::default() };
//! let tasks = TaskTracker::new();
//! let _demo = Demo::start(&mut config, None, &tasks).await?;
//! let listener = Listener::bind(&"127.0.0.1:0".parse()?).await?;
//! println!("ws://{}/ws", listener.local_addr());
//! Gateway::new(config).await?.serve(listener, CancellationToken::new()).await;
//! # Ok(()) }
//! ```

pub mod agent;
pub mod config;
pub mod connection;
pub mod console;
pub mod converter;
pub mod dispatch;
pub mod gateway;
mod lengthy;
pub mod log;
pub mod lookup;
pub mod metrics;
pub mod nodes;
pub mod protocol;
pub mod scripted_model;
pub mod server;
pub mod session;
pub mod store;
mod wake;

/// The README's examples, tried as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The guide's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
