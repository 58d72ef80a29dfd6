//! The laboratory: directories, gateways as child processes, clients, and a look at what runs.

mod client;
mod gateway;
mod proc;
mod raw;

pub(crate) use client::{Client, text_of};
pub(crate) use gateway::{Gateway, Options};
pub(crate) use proc::{Process, children, descriptors, find_all, peak_memory, sockets};
pub(crate) use raw::{Raw, frame};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything that is waited for may take before the test fails. Generous: it only bounds a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// The variable by which everything that a laboratory's gateways start is found again.
pub(crate) const MARK: &str = "REL_TEST_LAB";

/// One test's surroundings.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    pub(crate) mark: String,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["work", "state", "home"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let lab = Self { dir, mark: uuid::Uuid::new_v4().to_string() };
        lab.script(&json!({}));
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the fake CLI plays from its next start on; see `tests/fake_claude/cli.rs`.
    pub(crate) fn script(&self, script: &Value) {
        let new = self.path("script.new");
        std::fs::write(&new, script.to_string()).unwrap();
        std::fs::rename(new, self.path("script.json")).unwrap();
    }

    /// A gateway with the fake CLI and the data directory `data`.
    pub(crate) fn gateway(&self, args: &[&str]) -> Gateway {
        self.options(args).start()
    }

    pub(crate) fn options(&self, args: &[&str]) -> Options<'_> {
        Options::new(self, args)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Every process that a gateway of this laboratory started, the gateways themselves not counted.
    pub(crate) fn processes(&self) -> Vec<Process> {
        find_all(MARK, &self.mark)
    }

    /// Those among them that are an agent or were started by one. The rest look at the CLI only (`--version`), at any moment
    /// after a gateway's start.
    pub(crate) fn agent_processes(&self) -> Vec<Process> {
        let mut all = self.processes();
        all.retain(|process| process.environment.iter().any(|entry| entry.starts_with("CLAUDE_WS_AGENT=")));
        all
    }

    pub(crate) fn wait_for_no_processes(&self) {
        wait("every process to be gone", || {
            let left = self.processes();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        });
    }

    /// The store's file, for looking into it from outside.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.data().join("sessions.db")).unwrap()
    }

    /// Waits until the event `seq` of `session` is in the file.
    pub(crate) fn wait_for_commit(&self, session: &str, seq: u64) {
        let database = self.database();
        wait("the commit", || {
            let stored: i64 = database
                .query_row(
                    "SELECT coalesce(max(runs.last_seq), 0) FROM runs JOIN sessions ON runs.session = sessions.key
                     WHERE sessions.id = ?1",
                    [session],
                    |row| row.get(0),
                )
                .unwrap_or(0);
            if stored.unsigned_abs() >= seq { Ok(()) } else { Err(format!("{stored} of {seq}")) }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let left = self.agent_processes();
        for process in &self.processes() {
            process.signal(rustix::process::Signal::KILL);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes were left behind: {left:#?}");
        }
    }
}

/// Looks again and again until `look` gives something.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(now) if Instant::now() > end => panic!("waited {PATIENCE:?} for {what}; now: {now}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The real CLI.
pub(crate) fn real_claude() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join(".claude-code/2.1.332/node_modules/.bin/claude");
    let path = std::env::var_os("CLAUDE_WS_TEST_CLI_NEW").map_or(installed, PathBuf::from);
    assert!(path.exists(), "{} is missing; `make test` installs it", path.display());
    path
}
