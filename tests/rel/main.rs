//! Reliability, at process level: the real binary as a child, clients over real sockets, signals from outside.
//!
//! `docs/reliability.md` says which promise each of these tests holds. Each has a laboratory of its own ([`harness::Lab`]), at
//! whose end no process that a gateway started may be left.

#[expect(unreachable_pub, reason = "unit tests include it too")]
#[path = "../fake_claude/locate.rs"]
mod locate;

mod crashes;
mod doors;
mod drain;
mod harness;
mod killed;
mod limits;
mod real;
mod sleep;
mod slow;
mod store;
