//! A proxy between a gateway and its Redis: a network that can be cut without either end being told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

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

/// Every piece takes its time by itself: those behind it do not wait for it and then as long again.
fn pump(mut from: TcpStream, mut to: TcpStream, state: &Arc<State>) {
    let (pieces, arriving) = sync_channel::<(Instant, Vec<u8>)>(1024);
    let (end, shared) = (from.try_clone().unwrap(), Arc::clone(state));
    std::thread::spawn(move || {
        for (due, piece) in arriving {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut silent = shared.silent.lock().unwrap();
            while *silent {
                silent = shared.changed.wait(silent).unwrap();
            }
            drop(silent);
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = end.shutdown(Shutdown::Both);
    });
    let mut space = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut space) {
        let delay = Duration::from_micros(state.delay.load(Ordering::Relaxed));
        if pieces.send((Instant::now() + delay, space[..read].to_vec())).is_err() {
            return;
        }
    }
}
