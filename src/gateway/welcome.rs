//! What the command says to the person who starts it.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use crate::config::{Config, DataDir};
use crate::server::BindAddr;

/// What is served, where, with which Claude Code.
pub fn text(address: &BindAddr, config: &Config, claude: &str, demo: bool) -> String {
    let mut text = format!("claude-ws {} is ready\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    match address {
        BindAddr::Unix(path) => line("socket", &path.display().to_string()),
        BindAddr::Tcp(address) => {
            line("WebSocket", &format!("ws://{address}/ws"));
            if config.console {
                line("console", &format!("http://{address}/"));
            }
        }
    }
    line("Claude", &format!("{claude} ({})", config.claude_bin.display()));
    if demo {
        line("model", "a script (--demo): nothing leaves this machine; type \"help\" for what it knows");
    }
    line("workspace", &workspace(config));
    match (&config.shared, &config.data_dir) {
        (Some(shared), _) => line("sessions", &super::shared_store::shown(shared)),
        (None, DataDir::Ephemeral) => line("sessions", "in memory only (--ephemeral)"),
        (None, DataDir::Path(path)) => line("sessions", &path.display().to_string()),
    }
    let doors = if config.doors.token_file.is_some() { "with a token" } else { "anyone on this machine" };
    line("access", doors);
    text
}

/// The workspace roots, as they are used: absolute, symbolic links resolved.
pub(super) fn workspace(config: &Config) -> String {
    let resolved =
        |root: &PathBuf| root.canonicalize().unwrap_or_else(|_| root.clone()).display().to_string();
    config.workspace_roots.iter().map(resolved).collect::<Vec<_>>().join(", ")
}

/// Why the socket that came with the process is of no use.
pub fn bad_socket(problem: &io::Error) -> String {
    format!(
        "the service manager's socket cannot be used: {problem}. It must be one TCP or unix stream socket that listens."
    )
}

/// Why it cannot listen there, and the way out.
pub fn no_address(address: &BindAddr, problem: &io::Error) -> String {
    let hint = match problem.kind() {
        io::ErrorKind::AddrInUse => {
            "\n\nSomething listens there already, another gateway perhaps. Stop it, or choose another place: --bind 127.0.0.1:0 \
             takes any free port."
        }
        io::ErrorKind::PermissionDenied => match address {
            BindAddr::Tcp(_) => {
                "\n\nPorts below 1024 are for root. Choose another with --bind, and put nginx before it."
            }
            BindAddr::Unix(_) => {
                "\n\nThe directory of the socket must be writable. Choose another with --bind."
            }
        },
        io::ErrorKind::NotFound => {
            "\n\nThe directory of the socket must be there. Make it, or choose another with --bind."
        }
        io::ErrorKind::AddrNotAvailable => "\n\nThis machine has no such address.",
        _ => "",
    };
    format!("cannot listen on {address}: {problem}{hint}")
}

/// Why there is nothing to serve with, and the way out.
pub fn no_claude(problem: &str) -> String {
    format!(
        "{problem}\n\nClaude Code is needed. Install it with\n\n    npm install -g @anthropic-ai/claude-code@{}\n\n\
         or name it with --claude-bin PATH (or CLAUDE_WS_CLAUDE_BIN).",
        super::check::TRIED[1]
    )
}
