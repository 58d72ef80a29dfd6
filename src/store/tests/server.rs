//! A Redis for one test: a child process on a free port of loopback, that keeps its data in a directory of its own.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Killed when dropped.
#[derive(Debug)]
pub(in crate::store) struct Server {
    child: Option<Child>,
    port: u16,
    dir: TempDir,
    options: Vec<String>,
}

impl Server {
    /// One that keeps what it acknowledged, over restarts.
    pub(in crate::store) fn start() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// One with these options besides.
    pub(in crate::store) fn with(options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { child: None, port: 0, dir: TempDir::new().unwrap(), options };
        // Another process may take the port between our look and the server's.
        while server.child.is_none() {
            server.port = free_port();
            server.begin();
        }
        server
    }

    /// Starts it again, on the same port; it is ready when this returns.
    pub(in crate::store) fn go_on(&mut self) {
        // Meanwhile the port may have been given to somebody's outgoing connection.
        while self.child.is_none() {
            self.begin();
        }
    }

    /// It stays away if its port is taken.
    fn begin(&mut self) {
        let mut command = in_test_only("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--dir"])
            .arg(self.dir.path())
            .args(&self.options);
        if !self.options.iter().any(|option| option == "--tls-port") {
            command.args(["--port", &self.port.to_string()]);
        }
        self.child = started(command, "Ready to accept connections");
    }

    /// As a crash ends it; its data stays.
    pub(in crate::store) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its data is gone.
    pub(in crate::store) fn wipe(&self) {
        assert!(self.child.is_none(), "while it does not run");
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        }
    }

    /// Its data as it is now, file by file.
    pub(in crate::store) fn copy(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_all(self.dir.path(), copy.path());
        copy
    }

    /// Its data is what it was.
    pub(in crate::store) fn put_back(&self, copy: &TempDir) {
        self.wipe();
        copy_all(copy.path(), self.dir.path());
    }

    pub(in crate::store) fn port(&self) -> u16 {
        self.port
    }

    pub(in crate::store) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A command as somebody beside the gateways gives it.
    pub(in crate::store) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = connection(&self.url()).await;
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        cmd.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A sentinel that watches the server under the name `main`.
#[derive(Debug)]
pub(in crate::store) struct Sentinel {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Sentinel {
    pub(in crate::store) fn watch(server: &Server) -> Self {
        loop {
            let (dir, port) = (TempDir::new().unwrap(), free_port());
            let file: PathBuf = dir.path().join("sentinel.conf");
            let text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\n\
                 sentinel down-after-milliseconds main 1500\nsentinel failover-timeout main 10000\n",
                dir.path().display(),
                server.port
            );
            std::fs::write(&file, text).unwrap();
            let mut command = in_test_only("redis-server");
            command.arg(&file).arg("--sentinel");
            if let Some(child) = started(command, "+monitor master main") {
                return Self { child, port, _dir: dir };
            }
        }
    }

    pub(in crate::store) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.port)
    }

    /// Before that it would not know whom to make the primary.
    pub(in crate::store) async fn knows_a_replica(&self) {
        let mut connection = connection(&format!("redis://127.0.0.1:{}", self.port)).await;
        loop {
            let mut cmd = redis::cmd("SENTINEL");
            let known: Vec<redis::Value> =
                cmd.arg("REPLICAS").arg("main").query_async(&mut connection).await.unwrap();
            if !known.is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As patient as a test on a busy machine is.
async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(in crate::store) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Does not outlive the test, also where that is killed.
fn in_test_only(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// When it says that it is ready; `None`: it ended before, as where its port is taken.
fn started(mut command: Command, ready: &str) -> Option<Child> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect(
        "redis-server must be installed: `scripts/need.sh redis-server=redis-server`, or Debian's package redis-server",
    );
    let mut said = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    loop {
        let before = said.len();
        match lines.read_line(&mut said) {
            Ok(0) | Err(_) => {
                child.wait().unwrap();
                assert!(said.contains("Address already in use"), "{said}");
                return None;
            }
            Ok(_) if said[before..].contains(ready) => break,
            Ok(_) => {}
        }
    }
    // It goes on talking; read so that it never waits.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    Some(child)
}
