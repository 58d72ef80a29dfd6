//! The task that owns one process: it waits for its end, climbs the ladder, sweeps, and says how it ended.
//!
//! May assume that it alone reaps the process: until then the ids of process and group cannot be given to others, so
//! signals are sent only before. Must not know why a stop is asked for.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::control;
use super::files::PrivateFile;
use super::launch::{Exit, Ladder, SendError, SpawnError, Stop};
use super::marker::Marker;
use super::pump::{self, AgentOutput, Gone, Tail};
use super::spawn::{Shared, Started};
use super::stdin::{self, StdinQueue};
use super::sweep::sweep_agent;

/// The `request_id` of the interrupt that the ladder sends; its answer may show up among the lines.
pub(super) const STOP_REQUEST_ID: &str = "claude-ws-stop";

/// A running agent. Dropping it kills the process and sweeps.
#[derive(Debug)]
pub struct Agent {
    pid: u32,
    stdin: StdinQueue,
    /// From this handle to the supervisor: the strongest stop asked for.
    stop: watch::Sender<Option<Stop>>,
}

impl Agent {
    /// Queues a line (with its newline, as [`control`] builds them) for the agent's stdin. Never waits.
    pub fn send(&self, line: Bytes) -> Result<(), SendError> {
        self.stdin.send(line)
    }

    /// Asks for the end, and returns at once; [`Output::Exited`](super::Output::Exited) tells when it is reached. A stronger stop escalates a
    /// weaker one, asking again changes nothing.
    pub fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|asked| {
            let stronger = *asked < Some(how);
            if stronger {
                *asked = Some(how);
            }
            stronger
        });
    }

    /// The process id. It is valid until [`Output::Exited`](super::Output::Exited).
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop(Stop::Now);
    }
}

/// Sets the tasks of a started process to work.
pub(super) fn supervise(started: Started, shared: &Shared) -> Result<(Agent, AgentOutput), SpawnError> {
    let Started { mut child, launch, files } = started;
    let limits = &launch.limits;
    let (Some(raw_pid), Some(input), Some(stdout), Some(stderr)) =
        (child.id(), child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(SpawnError::Os(std::io::Error::other("the process has no pipes")));
    };
    let pid = i32::try_from(raw_pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| SpawnError::Os(std::io::Error::other("the process has no id")))?;
    // From the supervisor to who reads the output, once. Never full. Closed: nobody wants the agent any more, it is killed.
    let (exit, exits) = mpsc::channel(1);
    let (stop, stop_asked) = watch::channel(None);
    let queue = StdinQueue::new(limits.stdin_queue_bytes);
    let tail = Tail::new(limits.stderr_tail);
    let gone = Gone { token: CancellationToken::new(), drain: limits.ladder.drain };
    let stdout_ended = CancellationToken::new();
    let output = AgentOutput::new(stdout, limits.max_line, exits, limits.ladder.drain, stdout_ended.clone());
    let tracker = &shared.tracker;
    let supervisor = Supervisor {
        pid,
        child,
        rung: Rung::Running,
        deadline: None,
        ladder: limits.ladder,
        stdin: queue.clone(),
        stop_asked: Some(stop_asked),
        stdout_ended,
        exit,
        requested: false,
        killed: false,
    };
    let after = Aftermath {
        marker: launch.marker.clone(),
        files,
        writer: tracker.spawn(stdin::write(queue.clone(), input, gone.clone().over(), left_in_pipe)),
        stderr: tracker.spawn(pump::stderr(stderr, tail.clone(), gone.clone())),
        tail,
        gone,
        shared: shared.clone(),
    };
    tracker.spawn(supervisor.run(after));
    Ok((Agent { pid: raw_pid, stdin: queue, stop }, output))
}

/// Bytes that were written and not read. 0 where the system does not say.
fn left_in_pipe(pipe: &ChildStdin) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Running,
    /// It closed its stdout: whatever it does now, nobody hears of it.
    Silent,
    /// Interrupted, stdin closed.
    Finishing,
    /// SIGTERM was sent.
    Terminating,
    /// SIGKILL was sent.
    Killed,
}

#[derive(Debug)]
enum Event {
    /// The process ended and is reaped. `None`: how is not known.
    Ended(Option<ExitStatus>),
    StopAsked(Stop),
    /// Nobody holds the output.
    Abandoned,
    StdoutEnded,
    DeadlinePassed,
}

struct Supervisor {
    pid: Pid,
    child: Child,
    rung: Rung,
    /// When the next rung is due.
    deadline: Option<Instant>,
    ladder: Ladder,
    stdin: StdinQueue,
    /// `None` after the handle was dropped, which asked for the strongest stop.
    stop_asked: Option<watch::Receiver<Option<Stop>>>,
    stdout_ended: CancellationToken,
    exit: mpsc::Sender<Exit>,
    requested: bool,
    killed: bool,
}

impl Supervisor {
    async fn run(mut self, after: Aftermath) {
        let status = loop {
            match self.next_event().await {
                Event::Ended(status) => break status,
                Event::DeadlinePassed if self.rung == Rung::Killed => {
                    log::error!("agent process {} does not die", self.pid);
                    break None;
                }
                event => self.handle(&event),
            }
        };
        self.stdin.abandon();
        let stderr = after.clean_up(self.ladder).await;
        let by_itself = !self.killed && !self.requested;
        let exit = Exit {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stderr,
            killed: self.killed,
            requested: self.requested,
            unread_lines: if by_itself { self.stdin.unread_lines() } else { 0 },
        };
        // Closed: nobody wants to know.
        let _ = self.exit.send(exit).await;
    }

    async fn next_event(&mut self) -> Event {
        let silence_is_news = self.rung == Rung::Running;
        let can_escalate = self.rung < Rung::Killed;
        tokio::select! {
            status = self.child.wait() => Event::Ended(status.ok()),
            how = stop_asked(&mut self.stop_asked), if can_escalate => Event::StopAsked(how),
            () = self.exit.closed(), if can_escalate => Event::Abandoned,
            () = self.stdout_ended.cancelled(), if silence_is_news => Event::StdoutEnded,
            () = passed(self.deadline) => Event::DeadlinePassed,
        }
    }

    fn handle(&mut self, event: &Event) {
        match (event, self.rung) {
            (Event::StopAsked(Stop::Orderly), Rung::Running | Rung::Silent) => {
                self.requested = true;
                self.stdin.finish(control::interrupt(STOP_REQUEST_ID, false));
                self.climb(Rung::Finishing, self.ladder.finish);
            }
            (Event::StopAsked(Stop::Orderly) | Event::Ended(_), _) => {}
            (Event::StopAsked(Stop::Now) | Event::Abandoned, _) => {
                self.requested = true;
                self.kill();
            }
            (Event::StdoutEnded, _) => {
                self.stdin.abandon();
                self.climb(Rung::Silent, self.ladder.silent);
            }
            (Event::DeadlinePassed, Rung::Silent | Rung::Finishing) => {
                self.signal(Signal::TERM);
                self.climb(Rung::Terminating, self.ladder.terminate);
            }
            (Event::DeadlinePassed, _) => self.kill(),
        }
    }

    fn kill(&mut self) {
        self.stdin.abandon();
        self.signal(Signal::KILL);
        self.climb(Rung::Killed, self.ladder.sweep);
    }

    fn climb(&mut self, rung: Rung, time: Duration) {
        self.rung = rung;
        self.deadline = Some(Instant::now() + time);
    }

    /// To the whole group: the agent itself and those of its children that stayed in it.
    fn signal(&mut self, signal: Signal) {
        self.killed = true;
        if let Err(error) = kill_process_group(self.pid, signal) {
            log::debug!("cannot signal agent process {}: {error}", self.pid);
        }
    }
}

async fn stop_asked(asked: &mut Option<watch::Receiver<Option<Stop>>>) -> Stop {
    loop {
        let Some(receiver) = asked else {
            return std::future::pending().await;
        };
        if receiver.changed().await.is_err() {
            *asked = None;
        } else if let Some(how) = *receiver.borrow_and_update() {
            return how;
        }
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What is to be done once the process is dead.
struct Aftermath {
    marker: Marker,
    files: Vec<PrivateFile>,
    writer: JoinHandle<()>,
    stderr: JoinHandle<()>,
    tail: Tail,
    gone: Gone,
    shared: Shared,
}

impl Aftermath {
    /// Sweeps and waits for the pipes. Gives the end of stderr.
    async fn clean_up(self, ladder: Ladder) -> String {
        let Self { marker, files, writer, stderr, tail, gone, shared } = self;
        let permit = shared.sweeps.acquire().await;
        let sweep = shared.tracker.spawn_blocking(move || {
            let swept = sweep_agent(&marker, ladder.sweep);
            drop(files);
            (swept, marker)
        });
        if let Ok((swept, marker)) = sweep.await {
            if swept.killed > 0 {
                log::info!("agent {marker}: killed {} processes that it left", swept.killed);
            }
            if swept.left > 0 {
                log::error!("agent {marker}: {} processes do not die", swept.left);
            }
        }
        drop(permit);
        // From now on the pipes have their drain time: somebody else may hold them open.
        gone.token.cancel();
        let _ = writer.await;
        let _ = stderr.await;
        tail.text()
    }
}
