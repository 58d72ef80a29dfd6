//! Message types of both directions, as flat JSON objects.
//!
//! [`ClientMessage`] and [`ServerMessage`] name every message; the structs behind them hold the fields besides the common
//! ones. Strings and passed-on JSON are borrowed where the source allows it ([`Text`], [`Json`]), so the same types serve
//! the hot path (a view of the agent's line) and embedders (`'static`).

mod assistant;
mod client;
mod config;
mod elicitations;
mod mcp;
mod notices;
mod prompts;
pub(super) mod read;
mod replies;
mod rules;
mod server;
mod shape;
mod start;
mod tasks;
mod tools;
mod turns;
mod values;

pub use assistant::*;
pub use client::*;
pub use config::*;
pub use elicitations::*;
pub use mcp::{HIDDEN, McpServer, McpTransport, Pair, Pairs};
pub use notices::*;
pub use prompts::*;
pub use replies::*;
pub use rules::*;
pub use server::*;
pub use start::*;
pub use tasks::*;
pub use tools::*;
pub use turns::*;
pub use values::{Json, MAX_DEPTH, Text};
