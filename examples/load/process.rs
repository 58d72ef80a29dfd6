//! Processes under test: started on a core or on all, and what they use.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A server that says its address on stdout. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) is_gateway: bool,
    _scratch: Option<tempfile::TempDir>,
}

/// Where the gateway keeps its sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Ephemeral,
    Disk,
}

impl Server {
    /// The real gateway, with this binary as its agent.
    pub(crate) fn gateway(store: Store, one_core: bool, flags: &[&str]) -> Result<Self, String> {
        let me = std::env::current_exe().map_err(|problem| problem.to_string())?;
        Self::build(&gateway_binary(&me)?, store, one_core, flags)
    }

    /// The same with another build of it.
    pub(crate) fn build(
        program: &Path,
        store: Store,
        one_core: bool,
        flags: &[&str],
    ) -> Result<Self, String> {
        let me = std::env::current_exe().map_err(|problem| problem.to_string())?;
        let scratch = tempfile::tempdir().map_err(|problem| problem.to_string())?;
        let defaults = [
            "--bind=127.0.0.1:0".to_owned(),
            "--log=error".to_owned(),
            "--no-console".to_owned(),
            "--max-agents=5000".to_owned(),
            "--heartbeat=60s".to_owned(),
            format!("--claude-bin={}", me.display()),
            format!("--workspace-root={}", scratch.path().display()),
        ];
        // What the scenario says itself comes instead.
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let is_default = |flag: &String| !flags.iter().any(|own| name(own) == name(flag));
        let mut arguments: Vec<String> = defaults.into_iter().filter(is_default).collect();
        match store {
            Store::Ephemeral => arguments.push("--ephemeral".to_owned()),
            Store::Disk => arguments.push(format!("--data-dir={}/data", scratch.path().display())),
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self::start(program, &arguments, one_core, true, Some(scratch))
    }

    /// The bare relay; with a count, the bare broadcast.
    pub(crate) fn relay(broadcast: Option<usize>, one_core: bool) -> Result<Self, String> {
        let me = std::env::current_exe().map_err(|problem| problem.to_string())?;
        let mut arguments = vec!["relay".to_owned()];
        arguments.extend(broadcast.map(|count| count.to_string()));
        Self::start(&me, &arguments, one_core, false, None)
    }

    fn start(
        program: &Path,
        arguments: &[String],
        one_core: bool,
        is_gateway: bool,
        scratch: Option<tempfile::TempDir>,
    ) -> Result<Self, String> {
        let fail = |problem: std::io::Error| format!("{}: {problem}", program.display());
        let mut command = if one_core {
            let mut command = Command::new(std::env::current_exe().map_err(fail)?);
            command.args(["pin", "0"]).arg(program).env("LOAD_EMITTER_CPU", "1");
            command
        } else {
            Command::new(program)
        };
        let mut child =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(fail)?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut address = None;
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(fail)?;
            if let Some((_, rest)) = line.split_once("ws://") {
                address = rest.split('/').next().map(str::to_owned);
                break;
            }
        }
        let address = address.ok_or_else(|| format!("{} did not say its address", program.display()))?;
        Ok(Self { child, address, is_gateway, _scratch: scratch })
    }

    /// CPU time of all its threads, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let schedstat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            schedstat.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Resident memory, bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most there ever was, bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gateway_binary(me: &Path) -> Result<PathBuf, String> {
    let built = me.parent().and_then(Path::parent).map(|dir| dir.join("claude-ws"));
    built
        .filter(|path| path.exists())
        .ok_or_else(|| "build the gateway first: cargo build --release --bins --examples".to_owned())
}

/// Lets all others go first: the agent and the client of large results are parts of the tool, on cores that a real gateway does
/// not share with its clients.
pub(crate) fn step_back() {
    // Refused or not, the run goes on.
    let _ = rustix::process::nice(19);
}

/// Runs this thread, and what it will start, on one core.
pub(crate) fn pin(cpu: usize) -> Result<(), String> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).map_err(|problem| problem.to_string())
}

/// Keeps this thread off the server's core until it is dropped.
pub(crate) struct Aside(CpuSet);

impl Aside {
    pub(crate) fn step() -> Result<Self, String> {
        let all = sched_getaffinity(None).map_err(|problem| problem.to_string())?;
        pin(1)?;
        Ok(Self(all))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// `pin CPU PROGRAM ARGUMENTS…`
pub(crate) fn pinned(arguments: &[String]) -> Result<(), String> {
    let [cpu, program, arguments @ ..] = arguments else { return Err("pin CPU PROGRAM …".to_owned()) };
    pin(cpu.parse().map_err(|_| "pin: no core")?)?;
    Err(Command::new(program).args(arguments).exec().to_string())
}
