//! A `redis-server` as a child process.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::wait;

/// A Redis with a log of its own; killed when dropped.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    dir: std::path::PathBuf,
}

impl Redis {
    /// On a free port, with its files in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        loop {
            // Free a moment ago: if somebody else took it, another is tried.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = launch(dir, port) {
                return Self { child, port, dir: dir.to_owned() };
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends it at once; what it had acknowledged is in its log.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        // Somebody else's connection may have the port as its own for a moment.
        self.child =
            wait("the port", || launch(&self.dir, self.port).ok_or_else(|| "it is taken".to_owned()));
    }

    /// What a command answers, as `redis-cli` prints it.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`: it did not come up.
fn launch(dir: &Path, port: u16) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"]);
    // What was written outlives the process; only the machine's death would lose the last second.
    command.args(["--appendfsync", "everysec", "--dir"]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child =
        command.spawn().expect("redis-server is installed (Debian: apt-get install redis-server)");
    loop {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
