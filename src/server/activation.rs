//! Socket activation: a socket that whoever started this process opened for it (systemd's `.socket` units, `LISTEN_FDS`).

use std::{io, net::TcpListener, os::unix::net::UnixListener};

use listenfd::ListenFd;

use super::Listener;

/// A socket that came with the process and listens already.
#[derive(Debug)]
pub struct Inherited(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Inherited {
    /// Takes it; `None`: none was given. More than one is an error, and so is one that is no listening stream socket.
    ///
    /// Call it first of all, while the process has one thread: it removes the variables that speak of the socket.
    pub fn take() -> io::Result<Option<Self>> {
        let mut given = ListenFd::from_env();
        let kind = match given.len() {
            0 => return Ok(None),
            1 => match given.take_unix_listener(0) {
                Ok(listener) => listener.map(Kind::Unix),
                Err(_) => given.take_tcp_listener(0)?.map(Kind::Tcp),
            },
            more => {
                let what = format!("{more} sockets were given by the service manager; one is expected");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        };
        Ok(kind.map(Self))
    }

    /// What [`take`](Self::take) gave, as a listener. Within a tokio runtime.
    pub fn listener(taken: io::Result<Option<Self>>) -> io::Result<Option<Listener>> {
        taken?.map(Self::into_listener).transpose()
    }

    fn into_listener(self) -> io::Result<Listener> {
        match self.0 {
            Kind::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Listener::from_tcp(tokio::net::TcpListener::from_std(listener)?)
            }
            Kind::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Listener::from_unix(tokio::net::UnixListener::from_std(listener)?)
            }
        }
    }
}
