//! `--check`: looks at everything that a start needs, says what it found, starts nothing.

use std::fmt;
use std::path::Path;

use super::Gateway;
use crate::config::{Config, DataDir, SharedStore};
use crate::dispatch::WorkspaceRoots;
use crate::lookup::Lookup;
use crate::scripted_model::Script;
use crate::server::{AllowedOrigins, BindAddr, Listener, Tokens, TrustedProxies};
use crate::session::ClientMcp;
use crate::store::{self, RedisStore, SqliteStore, Store};

/// Oldest and newest version of Claude Code that this gateway's tests run against.
pub const TRIED: [&str; 2] = ["2.1.197", "2.1.332"];

/// What was found, one line each.
#[derive(Debug, Default)]
pub struct Findings {
    lines: Vec<(Level, &'static str, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Good,
    Warning,
    Bad,
}

impl Findings {
    /// Looks at everything. `bind`: where it is to listen, `None` where the service manager gives the socket.
    pub async fn of(config: &Config, bind: Option<&BindAddr>, script: Option<&Path>) -> Self {
        let mut found = Self::default();
        found.address(config, bind).await;
        found.claude(config).await;
        if let Some(path) = script {
            found.add("demo", demo_script(path));
        }
        found.workspace(config);
        found.store(config).await;
        found.doors(config).await;
        let limits = &config.limits;
        let agents =
            format!("at most {} agents at once, {} connections", limits.max_agents, limits.max_connections);
        found.good("limits", agents);
        found
    }

    /// With variables of the environment that look like settings and are none.
    #[must_use]
    pub fn and_unknown(mut self, names: &[String]) -> Self {
        for name in names {
            self.warn("variables", format!("{name} is no setting; --help names those that are"));
        }
        self
    }

    /// Nothing was found that would keep the gateway from starting.
    pub fn is_good(&self) -> bool {
        self.lines.iter().all(|(level, ..)| *level != Level::Bad)
    }

    /// Prints them; `Err` if the gateway would not start.
    pub fn print(&self) -> Result<(), String> {
        print!("{self}");
        if self.is_good() { Ok(()) } else { Err("the check failed".to_owned()) }
    }

    async fn address(&mut self, config: &Config, bind: Option<&BindAddr>) {
        let Some(bind) = bind else { return self.good("listen", "on the socket of the service manager") };
        if let Err(problem) = config.allow_bind(&bind.to_string(), bind.is_local()) {
            return self.bad("listen", problem);
        }
        match Listener::bind(bind).await {
            Ok(listener) => self.good("listen", format!("{} is free", listener.local_addr())),
            Err(problem) => self.bad("listen", format!("{bind}: {problem}; choose another with --bind")),
        }
    }

    async fn claude(&mut self, config: &Config) {
        let program = config.claude_bin.display();
        match Gateway::find_claude(config).await {
            Ok(version) if is_tried(&version) => self.good("claude", format!("{version} ({program})")),
            Ok(version) => {
                let [oldest, newest] = TRIED;
                let text = format!(
                    "{version} ({program}): tried are {oldest} to {newest}; see docs/upgrading-claude-code.md"
                );
                self.warn("claude", text);
            }
            Err(problem) => {
                self.bad("claude", format!("{problem}; install it, or name it with --claude-bin"));
            }
        }
    }

    fn workspace(&mut self, config: &Config) {
        match WorkspaceRoots::new(&config.workspace_roots, Lookup::new()) {
            Err(problem) => self.bad("workspace", problem.to_string()),
            Ok(roots) if is_writable(Path::new(roots.first())) => {
                self.good("workspace", super::welcome::workspace(config));
            }
            Ok(roots) => self.warn(
                "workspace",
                format!("{} cannot be written: agents can only read there", roots.first()),
            ),
        }
    }

    async fn store(&mut self, config: &Config) {
        if let Some(shared) = &config.shared {
            return self.shared_store(shared, &config.data_dir).await;
        }
        let DataDir::Path(path) = &config.data_dir else {
            return self.warn("store", "none (--ephemeral): sessions end with the process");
        };
        match stored_sessions(path).await {
            Ok(count) => self.good("store", format!("{}, {}", path.display(), counted_sessions(&count))),
            Err(problem) => self.bad("store", problem),
        }
    }

    async fn shared_store(&mut self, shared: &SharedStore, data_dir: &DataDir) {
        if *data_dir == DataDir::Ephemeral {
            return self.bad("store", "with --store this gateway needs a --data-dir too");
        }
        let options = match super::shared_store::options(shared) {
            Ok(options) => options,
            Err(problem) => return self.bad("store", problem),
        };
        match RedisStore::look(&options).await {
            Err(problem) => self.bad("store", problem.to_string()),
            Ok(found) => {
                self.good(
                    "store",
                    format!("{}, {} of all gateways", options.address, counted_sessions(&found.sessions)),
                );
                for unwise in found.unwise {
                    self.warn("store", unwise);
                }
            }
        }
    }

    async fn doors(&mut self, config: &Config) {
        let doors = &config.doors;
        match &doors.token_file {
            None => self.good("access", "without tokens: anyone who reaches the address"),
            Some(path) => match Tokens::load(path).await {
                Ok(tokens) => self.good("access", format!("with a token, {} known", tokens.len())),
                Err(problem) => self.bad("access", format!("--auth-token-file: {problem}")),
            },
        }
        if let Err(problem) = AllowedOrigins::parse(doors.origins.iter().map(String::as_str)) {
            self.bad("access", format!("--allow-origin: {problem}"));
        }
        if let Err(problem) = TrustedProxies::parse(doors.proxies.iter().map(String::as_str)) {
            self.bad("access", format!("--trusted-proxy: {problem}"));
        }
        if let Some(Err(problem)) = config.client_mcp.as_deref().map(ClientMcp::only) {
            self.bad("access", format!("--allow-client-mcp: {problem}"));
        }
        if config.allow_bypass {
            self.warn("access", "--allow-bypass: sessions may run every tool unasked");
        }
    }

    fn add(&mut self, what: &'static str, found: Result<String, String>) {
        match found {
            Ok(text) => self.good(what, text),
            Err(problem) => self.bad(what, problem),
        }
    }

    fn good(&mut self, what: &'static str, text: impl Into<String>) {
        self.lines.push((Level::Good, what, text.into()));
    }

    fn warn(&mut self, what: &'static str, text: impl Into<String>) {
        self.lines.push((Level::Warning, what, text.into()));
    }

    fn bad(&mut self, what: &'static str, text: impl Into<String>) {
        self.lines.push((Level::Bad, what, text.into()));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "claude-ws {} looked at what it needs", env!("CARGO_PKG_VERSION"))?;
        for (level, what, text) in &self.lines {
            let mark = match level {
                Level::Good => "ok",
                Level::Warning => "note",
                Level::Bad => "FAIL",
            };
            writeln!(out, "  {mark:<5}{what:<10} {text}")?;
        }
        out.write_str(if self.is_good() { "It would start.\n" } else { "It would not start.\n" })
    }
}

fn demo_script(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|problem| format!("{shown}: {problem}"))?;
    Script::from_json(&text).map(|_| shown.to_string()).map_err(|problem| format!("{shown}: {problem}"))
}

/// Opens the store as a start would, and lets go of it.
async fn stored_sessions(path: &Path) -> Result<usize, String> {
    let dir = store::DataDir::open(path).map_err(|problem| problem.to_string())?;
    let store = SqliteStore::open(dir, 1 << 20).map_err(|problem| problem.to_string())?;
    let count = store.sessions().await.map_err(|problem| problem.to_string())?.len();
    // So that a start right afterwards finds the directory free.
    store.close().await.map_err(|problem| problem.to_string())?;
    Ok(count)
}

/// `1 session`, `2 sessions`.
pub(super) fn counted_sessions<N: PartialEq + From<u8> + fmt::Display>(count: &N) -> String {
    let ending = if *count == N::from(1) { "" } else { "s" };
    format!("{count} session{ending}")
}

fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Whether the version lies between those that were tried.
fn is_tried(version: &str) -> bool {
    let parts =
        |version: &str| -> Option<Vec<u64>> { version.split('.').map(|part| part.parse().ok()).collect() };
    let [oldest, newest] = TRIED.map(parts);
    parts(version)
        .is_some_and(|version| Some(&version) >= oldest.as_ref() && Some(&version) <= newest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(is_tried("2.1.197") && is_tried("2.1.332") && is_tried("2.1.200"));
        assert!(!is_tried("2.1.99") && !is_tried("2.1.1000") && !is_tried("3.0.0") && !is_tried("x"));
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_named_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = Config { claude_bin: "/nowhere/claude".into(), ..Config::default() };
        config.workspace_roots = vec![dir.path().join("missing")];
        config.data_dir = DataDir::Path(dir.path().join("data"));
        config.doors.proxies = vec!["nonsense".to_owned()];
        let bind = "0.0.0.0:0".parse().expect("an address");
        let found = Findings::of(&config, Some(&bind), None).await;
        let text = found.to_string();
        assert!(!found.is_good());
        let bad: Vec<_> = found.lines.iter().filter(|line| line.0 == Level::Bad).map(|line| line.1).collect();
        assert_eq!(bad, ["listen", "claude", "workspace", "access"], "{text}");
        assert!(text.contains("--auth-token-file") && text.contains("--claude-bin"), "{text}");
        assert!(text.contains("0 sessions"), "{text}");
    }
}
