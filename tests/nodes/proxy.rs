//! A proxy between a gateway and its Redis: a network that can be cut without either end being told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Passes everything on, unless it was [silenced](Self::silence).
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    silent: Mutex<bool>,
    changed: Condvar,
    /// Each way, microseconds.
    delay: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = socket else { continue };
                let Ok(server) = TcpStream::connect(to) else { continue };
                for stream in [&client, &server] {
                    let _ = stream.set_nodelay(true);
                }
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&shared);
                    std::thread::spawn(move || pump(from, to, &state));
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes, and nobody is told.
    pub(crate) fn silence(&self) {
        *self.state.silent.lock().unwrap() = true;
    }

    /// What waited passes, and what comes.
    pub(crate) fn heal(&self) {
        *self.state.silent.lock().unwrap() = false;
        self.state.changed.notify_all();
    }

    /// So long takes every piece, each way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.delay.store(u64::try_from(delay.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        self.heal();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut space = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut space).unwrap_or(0);
        let delay = state.delay.load(Ordering::Relaxed);
        if delay > 0 {
            std::thread::sleep(Duration::from_micros(delay));
        }
        let mut silent = state.silent.lock().unwrap();
        while *silent {
            silent = state.changed.wait(silent).unwrap();
        }
        drop(silent);
        if read == 0 || to.write_all(&space[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
}
