//! One Claude Code process: how it is started, spoken to, read and ended.
//!
//! Its job: arguments from the SDK's options ([`args`]), lines from its stdout ([`framing`]), lines for its stdin
//! ([`control`]), the borrowed types of what it says ([`wire`]), and an end that leaves nothing running ([`sweep()`]).
//! It may assume Linux and Claude Code 2.1.197 or newer. It must not know the clients' protocol, sessions or turns: it
//! carries lines and does not read them.
//!
//! ```text
//! Spawner::spawn(Launch) ─▶ a thread forks ─▶ supervisor task (owns the process, climbs the ladder)
//!    Agent::send ─▶ queue, bound in bytes ─▶ writer task ─▶ stdin
//!    AgentOutput::recv ◀─ stdout, read by who wants it                   stderr task keeps the last 8 KiB
//! ```
//!
//! The end, by [`Agent::stop`], by dropping the [`Agent`] or its output, by a crash or by a process that closed its
//! stdout: interrupt and close stdin → SIGTERM to the process group → SIGKILL to it → sweep of everything that carries
//! the agent's environment marker, which also runs after every exit. Then [`Output::Exited`], once.

pub mod args;
pub mod control;
mod files;
pub mod framing;
mod guard;
mod launch;
mod marker;
mod pump;
mod spawn;
mod stdin;
mod supervise;
mod sweep;
pub mod wire;
mod workplace;

/// Where the fake CLI is, for every room's tests.
#[cfg(test)]
#[path = "../../tests/fake_claude/locate.rs"]
#[expect(unreachable_pub, reason = "shared with integration tests")]
pub(crate) mod locate;
#[cfg(test)]
mod tests;

pub use args::ArgsError;
pub use framing::{Lines, LongLine};
pub use launch::{AgentLimits, Conversation, Exit, Ladder, Launch, Output, SendError, SpawnError, Stop};
pub use marker::{BadInstance, Instance, MARKER_VARIABLE, Marker};
pub use pump::AgentOutput;
pub use spawn::{Spawner, is_program};
pub use supervise::Agent;
pub use sweep::{Swept, sweep};
