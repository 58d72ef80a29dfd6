//! The flags of a store that several gateways share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{
    super::{Secret, SharedStore},
    values::time,
};

/// A store that several gateways share.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Several gateways")]
pub(super) struct StoreArgs {
    /// Redis that holds the sessions of several gateways: redis://[USER@]HOST[:PORT][/DB], rediss:// with TLS,
    /// redis+sentinel://HOST[:PORT],HOST…/NAME [default: a file in --data-dir, for this gateway alone]
    // Its value may hold a password, which must not be in --help.
    #[arg(long, env = "CLAUDE_WS_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<Url>,
    /// Who to be at Redis [default: as the URL says, or nobody]
    #[arg(long, env = "CLAUDE_WS_REDIS_USER", value_name = "NAME")]
    redis_user: Option<String>,
    /// File with the password for Redis; CLAUDE_WS_REDIS_PASSWORD holds it in the environment
    #[arg(long, env = "CLAUDE_WS_REDIS_PASSWORD_FILE", value_name = "FILE")]
    redis_password_file: Option<PathBuf>,
    /// Certificates (PEM) to trust at Redis besides the system's
    #[arg(long, env = "CLAUDE_WS_REDIS_CA_FILE", value_name = "FILE")]
    redis_ca_file: Option<PathBuf>,
    /// How long this gateway may be silent at Redis before others take its sessions; at least 500ms
    #[arg(long, env = "CLAUDE_WS_LEASE", default_value = "10s", value_parser = lease, value_name = "TIME")]
    lease: Duration,
    /// What people call this gateway [default: the machine's name]
    #[arg(long, env = "CLAUDE_WS_NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,
}

/// A URL that may hold a password.
#[derive(Clone)]
struct Url(Secret);

impl std::str::FromStr for Url {
    type Err = std::convert::Infallible;

    /// Read where it is used, by what knows such URLs.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Secret(text.to_owned())))
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl StoreArgs {
    pub(super) fn into_shared(self) -> Option<SharedStore> {
        let Url(url) = self.store?;
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(SharedStore {
            url,
            user: self.redis_user,
            // No flag: what stands on a command line is for everybody to see.
            password: given("CLAUDE_WS_REDIS_PASSWORD").map(Secret),
            password_file: self.redis_password_file,
            ca_file: self.redis_ca_file,
            lease: self.lease,
            node_name: self.node_name,
        })
    }
}

fn lease(text: &str) -> Result<Duration, &'static str> {
    let lease = time(text)?;
    if lease < Duration::from_millis(500) { Err("a lease is 500ms at least") } else { Ok(lease) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;

    #[test]
    fn a_shared_stores_url_is_kept_out_of_sight() {
        let cli = Cli::parse_from(["claude-ws", "--store", "redis://:hunter2@h", "--lease", "3s"]);
        assert!(!format!("{cli:?}").contains("hunter2"), "{cli:?}");
        let config = cli.into_config();
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        let shared = config.shared.unwrap();
        assert_eq!((shared.url.0.as_str(), shared.lease.as_secs()), ("redis://:hunter2@h", 3));
        assert!(Cli::parse_from(["claude-ws"]).into_config().shared.is_none());
        assert!(Cli::try_parse_from(["claude-ws", "--store", "redis://h", "--ephemeral"]).is_err());
        assert!(Cli::try_parse_from(["claude-ws", "--lease", "10ms"]).is_err());
    }
}
