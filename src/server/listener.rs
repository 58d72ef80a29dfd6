//! Listening sockets: TCP and unix, behind one type.

use std::{
    fmt, fs,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Bytes that the kernel may hold of one connection on top of what is on the way to the peer.
const UNSENT: u32 = 128 << 10;
/// A unix socket is for its owner and group (nginx's, say).
const UNIX_MODE: u32 = 0o660;

/// Where to listen: `127.0.0.1:3000`, `[::1]:3000`, port 0 for any, or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddr {
    /// An address and port.
    Tcp(SocketAddr),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// Not a [`BindAddr`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected ADDRESS:PORT (127.0.0.1:3000, [::1]:3000) or unix:/absolute/path")]
pub struct BadBind;

impl FromStr for BindAddr {
    type Err = BadBind;

    fn from_str(text: &str) -> Result<Self, BadBind> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            return if path.is_absolute() { Ok(Self::Unix(path.to_owned())) } else { Err(BadBind) };
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            let port = port.parse().map_err(|_| BadBind)?;
            return Ok(Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        text.parse().map(Self::Tcp).map_err(|_| BadBind)
    }
}

impl fmt::Display for BindAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl BindAddr {
    /// Only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// Where a [`Listener`] really listens (the port, where 0 was asked for).
pub type LocalAddr = BindAddr;

/// A bound socket. Dropping it stops listening; a unix socket's file that it made is removed.
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
    local: BindAddr,
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a unix socket that this process made.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another gateway may have put its own socket there in the meantime.
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Binds. A unix socket's file that nobody listens on is replaced; one in use gives `AddrInUse`.
    pub async fn bind(address: &BindAddr) -> io::Result<Self> {
        match address {
            BindAddr::Tcp(address) => {
                let socket = if address.is_ipv4() {
                    tokio::net::TcpSocket::new_v4()?
                } else {
                    tokio::net::TcpSocket::new_v6()?
                };
                // A restart must not wait for the last connections' TIME_WAIT.
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                Self::from_tcp(socket.listen(BACKLOG)?)
            }
            BindAddr::Unix(path) => {
                clear_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
                let inode = fs::symlink_metadata(path)?.ino();
                let file = Some(SocketFile { path: path.clone(), inode });
                Ok(Self { inner: Inner::Unix(listener), local: address.clone(), file })
            }
        }
    }

    /// Takes over a TCP socket that listens already (socket activation).
    pub fn from_tcp(listener: TcpListener) -> io::Result<Self> {
        let local = BindAddr::Tcp(listener.local_addr()?);
        Ok(Self { inner: Inner::Tcp(listener), local, file: None })
    }

    /// Takes over a unix socket that listens already; its file stays.
    pub fn from_unix(listener: UnixListener) -> io::Result<Self> {
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
        Ok(Self { inner: Inner::Unix(listener), local: BindAddr::Unix(path), file: None })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> &LocalAddr {
        &self.local
    }

    /// The next connection; `None` as address for a unix socket's. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match &self.inner {
            Inner::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Frames are small and flushed whole: nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                // Else the kernel takes megabytes ahead of a slow link, and pongs and closes wait behind them.
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
                Ok((Socket(Stream::Tcp(stream)), Some(peer.ip().to_canonical())))
            }
            Inner::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket(Stream::Unix(stream)), None))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Named here so that the field has a reader: the file goes with the listener.
        drop(self.file.take());
    }
}

/// Removes a socket's file that nobody listens on.
async fn clear_stale(path: &Path) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        let what = format!("{} exists and is not a socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => {
            let what = format!("somebody listens on {}", path.display());
            Err(io::Error::new(io::ErrorKind::AddrInUse, what))
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub struct Socket(Stream);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
