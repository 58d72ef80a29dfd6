//! A small process that outlives this one, to end the agents when this one is killed.
//!
//! The parent-death signal reaches only the agents themselves: 2.1.197 then leaves its tools behind, and 2.1.330 with a
//! tool running takes 3.5 s to go. The guard is a shell that waits for the end of its stdin, which only this process
//! holds open: the kernel closes it however this process ends. Then it kills what carries the markers of this *run*
//! (a new run of the same instance may be starting already) and exits.
//! May assume a POSIX shell and a `grep` with `-z`; without them the next start's sweep does it.
//! Must not carry a marker itself.

use std::io;
use std::process::{Child, Command, Stdio};

/// `$1` is the beginning of the environment entry to look for; it holds no character that is special to `grep`. The
/// second is for the agents to end by themselves and write their transcripts. Each process is looked at again right
/// before it is killed.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r _
sleep 1
looks=0
clean=0
while [ $looks -lt 50 ] && [ $clean -lt 2 ]; do
    looks=$((looks + 1))
    clean=$((clean + 1))
    for file in $(grep -lzs "^$1" /proc/[0-9]*/environ); do
        pid=${file#/proc/}
        grep -qzs "^$1" "$file" && kill -9 "${pid%/environ}" && clean=0
    done
    [ $clean -eq 0 ] && sleep 0.1
done
"#;

/// A running guard. Dropping it ends it, without its doing anything.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    entry: String,
}

impl Guard {
    /// Starts a guard over the processes whose environment has an entry that begins with `entry`.
    pub(super) fn start(entry: String) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "claude-ws-guard", &entry]).current_dir("/");
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env_clear().env("PATH", path).env("LC_ALL", "C");
        // A group of its own: what a terminal sends to ours must not reach it. No output: nobody shall wait for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()?, entry })
    }

    /// What it looks for.
    pub(super) fn entry(&self) -> &str {
        &self.entry
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It is a child and not reaped yet, so the id is its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::MARKER_VARIABLE;
    use uuid::Uuid;

    fn sleeper(marker: &str) -> Child {
        let mut command = Command::new("sleep");
        command.arg("60").env(MARKER_VARIABLE, marker).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn the_end_of_its_stdin_ends_this_runs_agents_and_no_others() {
        let run = format!("guard-{}:r1.", Uuid::new_v4().simple());
        let mut guard = Guard::start(format!("{MARKER_VARIABLE}={run}")).unwrap();
        let mut own = sleeper(&format!("{run}7"));
        let mut next_run = sleeper(&run.replace(":r1.", ":r2."));
        drop(guard.child.stdin.take());
        assert!(!own.wait().unwrap().success());
        guard.child.wait().unwrap();
        assert!(next_run.try_wait().unwrap().is_none(), "a process of another run was killed");
        next_run.kill().unwrap();
        next_run.wait().unwrap();
    }

    #[test]
    fn a_dropped_guard_does_nothing() {
        let run = format!("guard-{}:r1.", Uuid::new_v4().simple());
        let mut own = sleeper(&run);
        drop(Guard::start(format!("{MARKER_VARIABLE}={run}")).unwrap());
        assert!(own.try_wait().unwrap().is_none());
        own.kill().unwrap();
        own.wait().unwrap();
    }
}
