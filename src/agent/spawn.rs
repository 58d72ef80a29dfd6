//! Starts processes, all from one thread that lives as long as any of them.
//!
//! The parent-death signal of Linux fires when the *thread* that forked ends, not the process: forked from a pool
//! thread, an agent would be ended at random. The agents, which outlive the spawner's handle, keep the thread alive; it
//! ends with the runtime or the process, and they with it.
//! Must not know what is in arguments or lines.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, access};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
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

/// Sweeps that run at the same time: each reads all of `/proc`.
const PARALLEL_SWEEPS: usize = 2;

/// How long the forking thread itself may sweep.
const LAST_SWEEP: Duration = Duration::from_secs(1);

/// Starts agents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spawner {
    shared: Shared,
}

/// What every agent holds on to.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// From anyone who starts an agent to the forking thread. Full: the sender waits. Closed: the thread ended, which it
    /// does only when nobody holds this.
    requests: mpsc::Sender<Request>,
    pub(super) tracker: TaskTracker,
    pub(super) sweeps: Arc<Semaphore>,
}

#[derive(Debug)]
struct Request {
    launch: Box<Launch>,
    runtime: Handle,
    reply: oneshot::Sender<Result<Started, SpawnError>>,
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
    /// Starts the forking thread. The tasks of the agents run on `tracker`.
    pub fn new(tracker: TaskTracker) -> io::Result<Self> {
        let (requests, receiver) = mpsc::channel(16);
        std::thread::Builder::new().name("agent-spawner".into()).spawn(move || fork_all(receiver))?;
        Ok(Self { shared: Shared { requests, tracker, sweeps: Arc::new(Semaphore::new(PARALLEL_SWEEPS)) } })
    }

    /// One whose thread is stuck: it takes requests, as long as what it gives is held, and answers none.
    #[cfg(test)]
    pub(crate) fn stuck(tracker: TaskTracker) -> (Self, impl Sized) {
        let (requests, receiver) = mpsc::channel(16);
        (Self { shared: Shared { requests, tracker, sweeps: Arc::new(Semaphore::new(1)) } }, receiver)
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
    pub async fn spawn(&self, launch: Launch) -> Result<(Agent, AgentOutput), SpawnError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { launch: Box::new(launch), runtime: Handle::current(), reply };
        self.shared.requests.send(request).await.map_err(|_| SpawnError::Closed)?;
        let started = answer.await.map_err(|_| SpawnError::Closed)??;
        supervise(started, &self.shared)
    }
}

/// The forking thread.
fn fork_all(mut requests: mpsc::Receiver<Request>) {
    let setpriv = find_setpriv();
    if setpriv.is_none() {
        log::warn!(
            "`setpriv` (util-linux) with --pdeathsig was not found: agents run on for a while if this process is killed"
        );
    }
    let mut guards = Vec::new();
    while let Some(Request { launch, runtime, reply }) = requests.blocking_recv() {
        if reply.is_closed() {
            continue;
        }
        guard_run(&mut guards, launch.marker.run_entry());
        let _context = runtime.enter();
        if let Err(Ok(unwanted)) = reply.send(start(launch, setpriv.as_deref())) {
            let marker = unwanted.launch.marker.clone();
            drop(unwanted);
            sweep_agent(&marker, LAST_SWEEP);
        }
    }
    // Nobody is left to start or end an agent. Normally none is there; after a runtime that was dropped some may be.
    for guard in &guards {
        sweep_run(guard.entry(), LAST_SWEEP);
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
    if let Some(dir) = launch.options.cwd.as_ref().filter(|dir| !dir.is_dir()) {
        return Err(SpawnError::WorkingDirectory(dir.clone()));
    }
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
    if let Some(dir) = &launch.options.cwd {
        command.current_dir(dir);
    }
    for name in &launch.env_remove {
        command.env_remove(name);
    }
    command.envs(&launch.options.env);
    command.envs(launch.env.iter().map(|(name, value)| (name, value)));
    command.env(MARKER_VARIABLE, launch.marker.to_string());
    let child = command.spawn()?;
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
                let path = files::path(&dir, &launch.marker, name);
                let mut argument = OsString::from(format!("--{flag}="));
                argument.push(&path);
                files.push(PrivateFile::write(path, &content).map_err(SpawnError::Files)?);
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
