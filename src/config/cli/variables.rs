//! Variables of the environment that look like settings and are none: a flag with a slip in it would be refused, so they are told.

use std::ffi::OsStr;

use clap::CommandFactory;

use super::Cli;

const PREFIX: &str = "CLAUDE_WS_";

/// Read elsewhere than from flags: a password has no flag, and the last marks the agents of a gateway.
const OTHERS: [&str; 2] = ["CLAUDE_WS_REDIS_PASSWORD", "CLAUDE_WS_AGENT"];

/// Those of `names` that begin as a setting does and are none, sorted.
pub(super) fn unknown<S: AsRef<OsStr>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    let command = Cli::command();
    let known = |name: &str| {
        OTHERS.contains(&name)
            || command.get_arguments().any(|flag| flag.get_env().is_some_and(|variable| variable == name))
    };
    let texts = names.into_iter().map(|name| name.as_ref().to_string_lossy().into_owned());
    let mut unknown: Vec<_> =
        texts.filter(|name| name.starts_with(PREFIX) && !known(name) && !is_of_kubernetes(name)).collect();
    unknown.sort();
    unknown
}

/// Kubernetes gives every pod the addresses of the services beside it; one named `claude-ws` gives names like these.
fn is_of_kubernetes(name: &str) -> bool {
    let rest = &name[PREFIX.len()..];
    rest == "PORT" || ["SERVICE_HOST", "SERVICE_PORT", "PORT_"].iter().any(|begin| rest.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::unknown;

    #[test]
    fn a_slip_is_found_and_nothing_else() {
        let names = [
            "CLAUDE_WS_MAX_AGENT",
            "CLAUDE_WS_MAX_AGENTS",
            "CLAUDE_WS_BIN",
            "CLAUDE_WS_REDIS_PASSWORD",
            "CLAUDE_WS_SERVICE_HOST",
            "CLAUDE_WS_SERVICE_PORT_HTTP",
            "CLAUDE_WS_PORT",
            "CLAUDE_WS_PORT_3000_TCP_ADDR",
            "HOME",
        ];
        assert_eq!(unknown(names), ["CLAUDE_WS_BIN", "CLAUDE_WS_MAX_AGENT"]);
    }
}
