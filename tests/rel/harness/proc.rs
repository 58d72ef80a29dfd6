//! What `/proc` says.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process as it was when it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
    pub(crate) environment: Vec<String>,
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        // Gone already: nothing to do.
        let _ = kill_process(Pid::from_raw(self.pid).unwrap(), signal);
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn texts(pid: i32, file: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

fn look(pid: i32) -> Process {
    Process { pid, command: texts(pid, "cmdline").join(" "), environment: texts(pid, "environ") }
}

/// The living processes with this variable that are not gateways themselves.
pub(crate) fn find_all(variable: &str, value: &str) -> Vec<Process> {
    let entry = format!("{variable}={value}");
    let marked = pids().map(look).filter(|process| process.environment.contains(&entry));
    marked.filter(|process| !process.command.starts_with(env!("CARGO_BIN_EXE_claude-ws"))).collect()
}

/// Children of a process: id, state (`Z`: not reaped) and command.
pub(crate) fn children(parent: u32) -> Vec<(Process, char)> {
    let parent = parent.to_string();
    let stat = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, a parenthesis too.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        (fields.next()? == parent).then_some((look(pid), state))
    };
    pids().filter_map(stat).collect()
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// How many of them are sockets.
pub(crate) fn sockets(pid: u32) -> usize {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// The most memory that a process has had, bytes.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
