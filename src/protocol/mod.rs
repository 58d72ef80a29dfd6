//! The wire protocol: message types of both directions, codes and limits.
//!
//! This room holds vocabulary only. It knows nothing of the agent, of sessions or of sockets; `docs/protocol.md` is its
//! prose, `types` its Rust form.

pub mod codes;
pub mod cut;
pub mod encode;
pub mod parse;
pub mod schema;
pub mod sink;
pub mod types;

#[cfg(test)]
mod documented;

pub use codes::{CloseCode, ErrorCode, WarningCode};
pub use sink::{EventSink, MessageId};
pub use types::*;

/// The version of the protocol that this crate speaks (`session_info.server.protocol`).
pub const VERSION: u32 = 1;
/// The WebSocket subprotocol that is chosen where a client offers it.
pub const SUBPROTOCOL: &str = "claude-ws.v1";
