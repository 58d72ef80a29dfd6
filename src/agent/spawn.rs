//! Starts processes, from threads that live as long as any of them.
//!
//! The parent-death signal of Linux fires when the *thread* that forked ends, not the process: forked from a pool
//! thread, an agent would be ended at random. The agents, which outlive the spawner's handle, keep the threads alive; they
//! end with the runtime or the process, and the agents with them.
//!
//! There is mostly one such thread. A fork waits for the child's change to its working directory, which may lie on a file
//! system that has just stopped to answer: then others fork beside it.
//! Must not know what is in arguments or lines.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{Access, access};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::args::{Argument, arguments};
use super::files::{self, PrivateFile};
use super::guard::Guard;
use super::launch::{Launch, SpawnError};
use super::marker::MARKER_VARIABLE;
use super::pump::AgentOutput;
use super::supervise::{Agent, supervise};
use super::sweep::{sweep_agent, sweep_run};
use super::workplace::{self, Workplace};
use crate::lookup::{Lookup, NoDirectory, Workers};

/// Sweeps that run at the same time: each reads all of `/proc`.
const PARALLEL_SWEEPS: usize = 2;

/// Processes that may be forked at once: as many threads.
const PARALLEL_FORKS: usize = 16;

/// How long a forking thread itself may sweep.
const LAST_SWEEP: Duration = Duration::from_secs(1);

/// Starts agents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spawner {
    shared: Shared,
}

/// What every agent holds on to.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    forks: Arc<Forks>,
    lookup: Lookup,
    pub(super) tracker: TaskTracker,
    pub(super) sweeps: Arc<Semaphore>,
}

/// The forking threads. They end with this.
#[derive(Debug)]
struct Forks {
    threads: Arc<Workers>,
    places: Arc<Semaphore>,
    /// `setpriv`, once it was looked for.
    setpriv: OnceLock<Option<PathBuf>>,
    guards: Mutex<Vec<Guard>>,
}

#[derive(Debug)]
struct Request {
    launch: Box<Launch>,
    runtime: Handle,
    reply: oneshot::Sender<Result<Started, SpawnError>>,
    /// Of those that may fork at once.
    _place: OwnedSemaphorePermit,
}

/// A process that was just started. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) launch: Box<Launch>,
    /// Removed when this is dropped.
    pub(super) files: Vec<PrivateFile>,
}

impl Spawner {
    /// The tasks of the agents run on `tracker`; `lookup` is asked for their working directories.
    pub fn new(tracker: TaskTracker, lookup: Lookup) -> Self {
        Self { shared: Shared::new(tracker, lookup, PARALLEL_FORKS) }
    }

    /// One whose threads are stuck: it takes requests and answers none.
    #[cfg(test)]
    pub(crate) fn stuck(tracker: TaskTracker) -> Self {
        Self { shared: Shared::new(tracker, Lookup::new(), 0) }
    }

    /// As [`spawn`](Self::spawn), in at most `limit`; then [`SpawnError::Late`].
    pub async fn spawn_within(
        &self,
        limit: Duration,
        launch: Launch,
    ) -> Result<(Agent, AgentOutput), SpawnError> {
        // A process that comes up after that is killed: nobody waits for it.
        timeout(limit, self.spawn(launch)).await.unwrap_or(Err(SpawnError::Late))
    }

    /// Starts a process. Dropping the agent or its output kills it.
    pub async fn spawn(&self, mut launch: Launch) -> Result<(Agent, AgentOutput), SpawnError> {
        let forks = &self.shared.forks;
        if let Some(dir) = &launch.options.cwd {
            let path = std::path::absolute(dir)?;
            self.shared.lookup.directory(&path).await.map_err(|problem| match problem {
                NoDirectory::Missing => SpawnError::WorkingDirectory(dir.clone()),
                NoDirectory::Silent => SpawnError::Silent(dir.clone()),
            })?;
        }
        self.drop_bad_dirs(&mut launch).await?;
        let place = Arc::clone(&forks.places).acquire_owned().await.map_err(|_| SpawnError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let request = Request { launch: Box::new(launch), runtime: Handle::current(), reply, _place: place };
        // Not the thread's to keep: it would be its own last owner.
        let shared = Arc::downgrade(forks);
        forks.threads.run(Box::new(move || {
            if let Some(forks) = shared.upgrade() {
                forks.fork(request);
            }
        }));
        let started = answer.await.map_err(|_| SpawnError::Closed)??;
        supervise(started, &self.shared)
    }

    /// Takes out further directories that are gone or lie elsewhere by now. The agent opens the others by their names, later: what comes
    /// in their place in between cannot be seen from here.
    async fn drop_bad_dirs(&self, launch: &mut Launch) -> Result<(), SpawnError> {
        let Some(roots) = &launch.roots else { return Ok(()) };
        let mut kept = Vec::new();
        for dir in std::mem::take(&mut launch.options.add_dirs) {
            match self.shared.lookup.directory(&std::path::absolute(&dir)?).await {
                Ok(at) if workplace::lies_under(&at, roots) => kept.push(dir),
                _ => log::warn!(
                    "{} is gone or not under a workspace root: an agent starts without it",
                    dir.display()
                ),
            }
        }
        launch.options.add_dirs = kept;
        Ok(())
    }
}

impl Shared {
    fn new(tracker: TaskTracker, lookup: Lookup, forks: usize) -> Self {
        let forks = Forks {
            // None of them ends: its agents would.
            threads: Workers::new("agent-spawner", usize::MAX),
            places: Arc::new(Semaphore::new(forks)),
            setpriv: OnceLock::new(),
            guards: Mutex::default(),
        };
        let sweeps = Arc::new(Semaphore::new(PARALLEL_SWEEPS));
        Self { forks: Arc::new(forks), lookup, tracker, sweeps }
    }
}

impl Forks {
    /// On a thread of its own.
    fn fork(&self, request: Request) {
        let Request { launch, runtime, reply, _place } = request;
        if reply.is_closed() {
            return;
        }
        let setpriv = self.setpriv.get_or_init(|| {
            let setpriv = find_setpriv();
            if setpriv.is_none() {
                log::warn!(
                    "`setpriv` (util-linux) with --pdeathsig was not found: agents run on for a while if this process is killed"
                );
            }
            setpriv
        });
        guard_run(&mut self.guards.lock(), launch.marker.run_entry());
        let _context = runtime.enter();
        if let Err(Ok(unwanted)) = reply.send(start(launch, setpriv.as_deref())) {
            let marker = unwanted.launch.marker.clone();
            drop(unwanted);
            sweep_agent(&marker, LAST_SWEEP);
        }
    }
}

/// Nobody is left to start or end an agent. Normally none is there; after a runtime that was dropped some may be.
impl Drop for Forks {
    fn drop(&mut self) {
        let guards = std::mem::take(self.guards.get_mut());
        if guards.is_empty() {
            return;
        }
        let last = move || {
            for guard in &guards {
                sweep_run(guard.entry(), LAST_SWEEP);
            }
        };
        // It takes a while, and this thread may be anybody's.
        if let Err(problem) = std::thread::Builder::new().name("agent-sweep".into()).spawn(last) {
            log::warn!("no thread for the last sweep: {problem}");
        }
    }
}

/// One guard for each run; there is one run, except in tests.
fn guard_run(guards: &mut Vec<Guard>, entry: String) {
    if guards.iter().any(|guard| guard.entry() == entry) {
        return;
    }
    match Guard::start(entry) {
        Ok(guard) => guards.push(guard),
        Err(error) => log::warn!("no guard: what agents leave if this process is killed stays: {error}"),
    }
}

fn start(launch: Box<Launch>, setpriv: Option<&Path>) -> Result<Started, SpawnError> {
    let program = find_program(&launch.program)?;
    let cwd = launch.options.cwd.as_deref();
    let workplace = cwd.map(|dir| Workplace::open(dir, launch.roots.as_deref())).transpose()?;
    let (arguments, files) = write_files(&launch)?;
    let mut command = match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(arguments).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(workplace) = &workplace {
        command.current_dir(workplace.path());
    }
    for name in &launch.env_remove {
        command.env_remove(name);
    }
    command.envs(&launch.options.env);
    command.envs(launch.env.iter().map(|(name, value)| (name, value)));
    command.env(MARKER_VARIABLE, launch.marker.to_string());
    let child = command.spawn()?;
    drop(workplace);
    Ok(Started { child, launch, files })
}

/// Writes the private files; the rest of the arguments as they are.
fn write_files(launch: &Launch) -> Result<(Vec<OsString>, Vec<PrivateFile>), SpawnError> {
    let dir = std::path::absolute(&launch.scratch_dir).map_err(SpawnError::Files)?;
    let mut files = Vec::new();
    let mut plain = Vec::new();
    for argument in arguments(launch)?.items {
        plain.push(match argument {
            Argument::Plain(argument) => argument,
            Argument::File { flag, name, content } => {
                let file = files::write(&dir, &launch.marker, name, &content).map_err(SpawnError::Files)?;
                let mut argument = OsString::from(format!("--{flag}="));
                argument.push(file.path());
                files.push(file);
                argument
            }
        });
    }
    Ok((plain, files))
}

/// The program as an absolute path, so that the agent's working directory does not matter; a bare name is looked up.
fn find_program(program: &Path) -> Result<PathBuf, SpawnError> {
    let missing = || SpawnError::Program(program.to_owned());
    if program.as_os_str().as_bytes().contains(&b'/') {
        let path = std::path::absolute(program).map_err(|_| missing())?;
        return if is_executable(&path) { Ok(path) } else { Err(missing()) };
    }
    in_path(program).ok_or_else(missing)
}

/// Whether there is such a program, by the rules that agents are started by. Some calls of the system: quick.
pub fn is_program(program: &Path) -> bool {
    find_program(program).is_ok()
}

fn in_path(name: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// `setpriv`, if it is there and can do what is needed (that of `BusyBox` cannot).
fn find_setpriv() -> Option<PathBuf> {
    let setpriv = in_path(Path::new("setpriv"))?;
    let probe = std::process::Command::new(&setpriv)
        .args(["--pdeathsig", "TERM", "--"])
        .arg(&setpriv)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success()).then_some(setpriv)
}
