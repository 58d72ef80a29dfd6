//! Kills whatever still carries an environment marker, and removes the private files that belong to it.
//!
//! May assume Linux (`/proc/PID/environ`) and that only processes of the own user can be read. Blocking: callers run it
//! on a blocking thread. Must not signal a process whose environment it has not read right before.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal};

use super::marker::{Instance, Marker, Scope};

/// Pause between two looks: long enough for a killed process to go, short beside everything else.
const PAUSE: Duration = Duration::from_millis(10);

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Processes that it killed.
    pub killed: usize,
    /// Processes that were still there at the deadline (uninterruptible, or forking faster than they are found).
    pub left: usize,
}

/// Kills what earlier runs of this instance left running and removes their private files from `scratch_dir`. Returns
/// when nothing is left, or after `deadline`. Blocks. For the start of a gateway, before it starts any agent: it would
/// kill those too.
pub fn sweep(instance: &Instance, scratch_dir: Option<&Path>, deadline: Duration) -> Swept {
    let swept = kill_marked(&Scope::instance(instance), deadline);
    if let Some(dir) = scratch_dir {
        super::files::remove_left_over(dir, instance);
    }
    swept
}

/// Kills what one agent left.
pub(super) fn sweep_agent(marker: &Marker, deadline: Duration) -> Swept {
    kill_marked(&Scope::agent(marker), deadline)
}

/// Kills what is left of all agents of a run whose environment entries begin so.
pub(super) fn sweep_run(entry: &str, deadline: Duration) -> Swept {
    kill_marked(&Scope::Prefix(entry.to_owned()), deadline)
}

/// Kills until two looks in a row find nothing: a process may fork while the first one passes.
fn kill_marked(scope: &Scope, deadline: Duration) -> Swept {
    let end = Instant::now() + deadline;
    let mut killed = Vec::new();
    let mut clean_looks = 0;
    let mut left = 0;
    while clean_looks < 2 {
        let found = marked(scope);
        left = found.len();
        if found.is_empty() {
            clean_looks += 1;
        } else {
            clean_looks = 0;
            for pid in found {
                if kill_if_marked(pid, scope) && !killed.contains(&pid) {
                    killed.push(pid);
                }
            }
        }
        if clean_looks < 2 {
            if Instant::now() >= end {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
    Swept { killed: killed.len(), left }
}

/// Every process in scope but this one.
fn marked(scope: &Scope) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = getpid();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| *pid != own && is_marked(*pid, scope))
        .collect()
}

/// Unreadable (another user's), gone and dead-but-not-reaped processes count as not marked: the latter have no
/// environment any more.
fn is_marked(pid: Pid, scope: &Scope) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| scope.covers(&environ))
}

/// Kills through a pidfd that is opened before the environment is read again: were the id given to another process in
/// between, the signal goes nowhere. Without pidfds (before Linux 5.3) the second look alone must do.
fn kill_if_marked(pid: Pid, scope: &Scope) -> bool {
    let handle = pidfd_open(pid, PidfdFlags::empty());
    if !is_marked(pid, scope) {
        return false;
    }
    let sent = match handle {
        Ok(handle) => pidfd_send_signal(&handle, Signal::KILL),
        Err(rustix::io::Errno::SRCH) => return false,
        Err(_) => kill_process(pid, Signal::KILL),
    };
    match sent {
        Ok(()) => true,
        Err(error) => {
            if error != rustix::io::Errno::SRCH {
                log::warn!("cannot kill process {pid} that an agent left: {}", io::Error::from(error));
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::agent::marker::MARKER_VARIABLE;

    fn sleeper(marker: &str, prefix: &[&str]) -> std::process::Child {
        let mut command = Command::new(prefix.first().unwrap_or(&"sleep"));
        if let [_, rest @ ..] = prefix {
            command.args(rest).arg("sleep");
        }
        command.arg("60").env(MARKER_VARIABLE, marker).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn kills_all_of_its_own_and_nothing_else() {
        let instance = Instance::new(&format!("sweep-test-{}", getpid())).unwrap();
        let mut own = sleeper(&instance.marker().to_string(), &[]);
        let mut other = sleeper(&format!("{}x:1", instance.id()), &[]);
        // In a session of its own, and orphaned at once.
        let mut parent = sleeper(&instance.marker().to_string(), &["setsid", "--fork"]);
        parent.wait().unwrap();

        let swept = sweep(&instance, None, Duration::from_secs(10));

        assert_eq!(swept, Swept { killed: 2, left: 0 });
        assert!(!own.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "a foreign process was killed");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn an_agents_sweep_leaves_other_agents_alone() {
        let instance = Instance::new(&format!("sweep-one-{}", getpid())).unwrap();
        let (first, second) = (instance.marker(), instance.marker());
        let mut one = sleeper(&first.to_string(), &[]);
        let mut two = sleeper(&second.to_string(), &[]);
        assert_eq!(sweep_agent(&first, Duration::from_secs(10)), Swept { killed: 1, left: 0 });
        one.wait().unwrap();
        assert!(two.try_wait().unwrap().is_none());
        assert_eq!(sweep_agent(&second, Duration::from_secs(10)).killed, 1);
        two.wait().unwrap();
    }
}
