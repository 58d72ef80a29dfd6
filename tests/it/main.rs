//! Integration tests: whole gateways, real clients, and the real Claude Code (two versions of it) with a scripted model.
//!
//! What the real CLI cannot be told to do wrong, the fake one does (`tests/fake_claude`).

#![allow(
    clippy::too_many_lines,
    clippy::format_collect,
    clippy::assigning_clones,
    reason = "tests are tables and stories; what they build is small"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod harness;
#[path = "../fake_claude/locate.rs"]
#[expect(unreachable_pub, reason = "the unit tests use the same file")]
mod locate;

mod answers;
mod bounds;
mod command;
mod configuration;
mod content;
mod elicitations;
mod faults;
mod frames;
mod http;
mod identity;
mod interrupts;
mod mcp;
mod peers;
mod plans;
mod prompts;
mod queue;
mod replay;
mod rules;
mod sessions;
mod taken_back;
mod tasks;
mod tools;
