//! The laboratory: each test gets a [`Lab`], starts gateways in it and connects clients to them.
//!
//! Whatever a test does, at its end everything is shut down, every transcript is held against the protocol's invariants, and no
//! process that a gateway started may be left. A test that waits in vain fails with the transcripts so far.

pub(crate) mod check;
pub(crate) mod client;
mod lab;
mod schema;
mod server;
mod transcript;
mod turn;

pub(crate) use client::Client;
pub(crate) use lab::{Lab, fake, real};
pub(crate) use server::Server;
pub(crate) use transcript::Transcript;
pub(crate) use turn::{Turn, standing};

use std::path::{Path, PathBuf};

/// The versions of Claude Code that the tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cli {
    /// 2.1.332, or what `CLAUDE_WS_TEST_CLI_NEW` names.
    New,
    /// 2.1.330, or what `CLAUDE_WS_TEST_CLI_MID` names.
    Mid,
    /// 2.1.197, or what `CLAUDE_WS_TEST_CLI_OLD` names.
    Old,
}

impl Cli {
    /// The binary. A missing one fails the test: none is ever skipped.
    pub(crate) fn path(self) -> PathBuf {
        let (variable, version) = match self {
            Self::New => ("CLAUDE_WS_TEST_CLI_NEW", "2.1.332"),
            Self::Mid => ("CLAUDE_WS_TEST_CLI_MID", "2.1.330"),
            Self::Old => ("CLAUDE_WS_TEST_CLI_OLD", "2.1.197"),
        };
        let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!(".claude-code/{version}/node_modules/.bin/claude"));
        let path = std::env::var_os(variable).map_or(installed, PathBuf::from);
        assert!(
            path.exists(),
            "{} is missing; `make test` installs it (or: scripts/get-claude.sh {version} DIR, and {variable})",
            path.display()
        );
        path
    }
}

/// Makes two tests of each flow, `new::flow` and `old::flow`: one for each version of Claude Code.
macro_rules! on_both_clis {
    ($($flow:ident),+ $(,)?) => {
        mod new {
            $(#[test] fn $flow() { crate::harness::real(crate::harness::Cli::New, super::$flow); })+
        }
        mod old {
            $(#[test] fn $flow() { crate::harness::real(crate::harness::Cli::Old, super::$flow); })+
        }
    };
}

/// Makes three tests of each flow: as `on_both_clis!`, and `mid::flow` with the version between. For what the agent does by itself,
/// where neighbouring versions have differed.
macro_rules! on_all_clis {
    ($($flow:ident),+ $(,)?) => {
        on_both_clis!($($flow),+);
        mod mid {
            $(#[test] fn $flow() { crate::harness::real(crate::harness::Cli::Mid, super::$flow); })+
        }
    };
}

/// Makes a test of each flow, with the fake CLI in Claude Code's place.
macro_rules! on_the_fake_cli {
    ($($flow:ident),+ $(,)?) => {
        mod fake {
            $(#[test] fn $flow() { crate::harness::fake(super::$flow); })+
        }
    };
}
