//! A gateway as a child process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{Client, Lab, MARK, PATIENCE, real_claude, wait};
use crate::locate::fake_claude;

/// How a gateway is started.
pub(crate) struct Options<'a> {
    lab: &'a Lab,
    args: Vec<String>,
    env: Vec<(String, String)>,
    claude: PathBuf,
    data: Option<PathBuf>,
    bind: String,
    /// What `ulimit` is called with.
    ulimit: Option<String>,
    last: Vec<String>,
    socket: Option<OwnedFd>,
}

impl<'a> Options<'a> {
    pub(super) fn new(lab: &'a Lab, args: &[&str]) -> Self {
        let ephemeral = args.contains(&"--ephemeral");
        Self {
            lab,
            args: args.iter().map(ToString::to_string).collect(),
            env: Vec::new(),
            claude: fake_claude().to_owned(),
            data: (!ephemeral).then(|| lab.data()),
            bind: "127.0.0.1:0".to_owned(),
            ulimit: None,
            last: Vec::new(),
            socket: None,
        }
    }

    /// Flags in place of those that every gateway gets.
    pub(crate) fn last(mut self, args: &[&str]) -> Self {
        self.last = args.iter().map(ToString::to_string).collect();
        self
    }

    /// Hands it a socket, as systemd does.
    pub(crate) fn socket(mut self, socket: OwnedFd) -> Self {
        self.socket = Some(socket);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn real_claude(mut self) -> Self {
        self.claude = real_claude();
        self
    }

    pub(crate) fn data(mut self, name: &str) -> Self {
        self.data = Some(self.lab.path(name));
        self
    }

    pub(crate) fn bind(mut self, bind: &str) -> Self {
        bind.clone_into(&mut self.bind);
        self
    }

    /// No file may grow beyond so many KiB: a full disk that needs no root. `prlimit` lifts it.
    pub(crate) fn max_file_kib(mut self, kib: u64) -> Self {
        self.ulimit = Some(format!("-Sf {kib}"));
        self
    }

    /// No more than so many descriptors.
    pub(crate) fn max_descriptors(mut self, number: usize) -> Self {
        self.ulimit = Some(format!("-n {number}"));
        self
    }

    /// This Claude Code in place of the fake one.
    pub(crate) fn claude(mut self, path: PathBuf) -> Self {
        self.claude = path;
        self
    }

    fn command(&mut self) -> Command {
        let binary = env!("CARGO_BIN_EXE_claude-ws");
        let mut setup = String::new();
        if let Some(limit) = &self.ulimit {
            setup = format!("trap '' XFSZ; ulimit {limit}; ");
        }
        if self.socket.is_some() {
            setup += "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; ";
        }
        let mut command = if setup.is_empty() {
            Command::new(binary)
        } else {
            let mut command = Command::new("bash");
            command.args(["-c", &format!("{setup} exec \"$0\" \"$@\""), binary]);
            command
        };
        self.flags(&mut command);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CLAUDE"))
        {
            command.env_remove(name);
        }
        command.env(MARK, &self.lab.mark).env("HOME", self.lab.path("home")).env_remove("XDG_STATE_HOME");
        command.env("FAKE_CLAUDE_SCRIPT", format!("@{}", self.lab.path("script.json").display()));
        command.env("FAKE_CLAUDE_STATE", self.lab.path("state"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        // What is sent to the tests' group from a terminal is not for it.
        command.process_group(0).stdin(self.socket.take().map_or_else(Stdio::null, Stdio::from));
        command
    }

    fn flags(&self, command: &mut Command) {
        let mut usual =
            vec![("--bind", OsString::from(&self.bind)), ("--claude-bin", self.claude.clone().into())];
        usual.push(("--workspace-root", self.lab.path("work").into()));
        usual.extend(self.data.clone().map(|data| ("--data-dir", data.into())));
        for (flag, value) in usual {
            if !self.last.iter().any(|last| last == flag) {
                command.arg(flag).arg(value);
            }
        }
        command.args(&self.args).args(&self.last);
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(mut self) -> Gateway {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let log = self.lab.path(&format!("gateway-{}.txt", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("ws://")?;
            rest.strip_suffix("/ws")?.parse().ok()
        });
        let Some(address) = address else {
            let status = child.wait().unwrap();
            panic!("no gateway ({status}): {}", std::fs::read_to_string(&log).unwrap());
        };
        Gateway { child, address, log }
    }

    /// Starts one that is expected to refuse: gives its exit code and what it said on stderr.
    pub(crate) fn refused(mut self) -> (Option<i32>, String) {
        let output = self.command().output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Starts one that ends by itself: gives its exit code and what it said on stdout.
    pub(crate) fn outcome(mut self) -> (Option<i32>, String) {
        let output = self.command().output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Gateway {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// `kill -9`, and waits for its death.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        wait("the gateway's end", || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None if Instant::now() > end => panic!("the gateway does not end: {}", self.log()),
            None => Err("it runs".to_owned()),
        })
    }

    /// SIGTERM, and an end in order.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        wait(text, || {
            let log = self.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        });
    }

    /// How many agents it has started.
    pub(crate) fn starts(&self) -> usize {
        self.log().matches("agent started").count()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The status of an HTTP request with these header lines; 0 when there was no answer.
    pub(crate) fn http(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut socket = self.socket();
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head = format!("{head}{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        // A refusal may come, and the socket be closed, before all of it is written.
        let _ = socket.write_all(head.as_bytes());
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            match socket.read(&mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(&chunk[..read]),
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    /// The body of the answer to a GET.
    pub(crate) fn body(&self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        wait(path, || {
            let mut socket = self.socket();
            // Where the header's time is short and this side was slow, the socket is closed by now.
            let _ = socket.write_all(head.as_bytes());
            let mut answer = String::new();
            let _ = socket.read_to_string(&mut answer);
            let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            body.ok_or(answer)
        })
    }

    /// What `/metrics` says under this name, with its labels; 0 for what has not happened yet.
    pub(crate) fn metric(&self, name: &str) -> usize {
        let page = self.body("/metrics");
        assert!(page.starts_with("# HELP "), "{page}");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until this is what `/metrics` says.
    pub(crate) fn wait_for_metric(&self, name: &str, wanted: usize) {
        wait(name, || match self.metric(name) {
            now if now == wanted => Ok(()),
            now => Err(format!("{now}, {wanted} wanted")),
        });
    }

    /// The status that an upgrade with these header lines is answered with.
    pub(crate) fn upgrade(&self, headers: &[(&str, &str)]) -> u16 {
        let mut all = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        all.extend_from_slice(headers);
        self.http("/ws", &all).0
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Over already: nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!("--- the gateway said (newest first):\n{}", tail.join("\n"));
        }
    }
}
