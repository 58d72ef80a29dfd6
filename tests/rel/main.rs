//! Reliability, at process level: the real binary as a child, clients over real sockets, signals from outside.
//!
//! `docs/reliability.md` says which promise each of these tests holds. Each has a laboratory of its own ([`harness::Lab`]), at
//! whose end no process that a gateway started may be left.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]
#![expect(clippy::needless_pass_by_value, reason = "messages are written in place, as `json!` gives them")]
#![expect(clippy::similar_names, reason = "`last` and `list` are what they are")]

#[expect(unreachable_pub, reason = "unit tests include it too")]
#[path = "../fake_claude/locate.rs"]
mod locate;

mod crashes;
mod crowd;
mod disk;
mod doors;
mod drain;
mod harness;
mod identity;
mod killed;
mod limits;
mod memory;
mod metrics;
mod mounts;
mod peers;
mod ready;
mod real;
mod sleep;
mod slow;
mod start;
mod store;
mod violations;
