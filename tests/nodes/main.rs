//! Several gateways over one Redis, at process level: the real binary, a real `redis-server`, clients over real sockets.
//!
//! `docs/reliability.md` says which promise each of these tests holds. The laboratory is that of `tests/rel`, with a Redis of each
//! test's own on a free port (`Cluster`), and where it is wanted a proxy in front of it that can fall silent.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]
#![expect(clippy::needless_pass_by_value, reason = "messages are written in place, as `json!` gives them")]

#[expect(unreachable_pub, reason = "unit tests include it too")]
#[path = "../fake_claude/locate.rs"]
mod locate;

mod cluster;
mod doors;
#[expect(
    dead_code,
    unused_imports,
    reason = "the laboratory of `tests/rel`, not all of which is needed here"
)]
#[path = "../rel/harness/mod.rs"]
mod harness;
mod proxy;
mod redis;
mod rolling;
mod takeover;
mod transcript;
mod trouble;
