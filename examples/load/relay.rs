//! The bare relay: reads lines from a pipe and sends each as a frame, one flush a read, 4 KiB read buffer, and nothing else.
//!
//! With a count it is the bare broadcast: one agent, so many clients, each frame shared by all of them.

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::task::TaskTracker;

type Batch = Arc<Vec<Utf8Bytes>>;

pub(crate) fn main(broadcast: Option<usize>) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|problem| problem.to_string())?;
    runtime.block_on(serve(broadcast)).map_err(|problem| problem.to_string())
}

async fn serve(broadcast: Option<usize>) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ws://{}/ws", listener.local_addr()?);
    let tasks = TaskTracker::new();
    if let Some(count) = broadcast {
        return self::broadcast(&listener, count, &tasks).await;
    }
    loop {
        let (socket, _) = listener.accept().await?;
        tasks.spawn(async move {
            // The client that is gone is the end of it.
            let _ = relay(socket).await;
        });
    }
}

async fn accept(socket: TcpStream) -> Result<WebSocketStream<TcpStream>, io::Error> {
    socket.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4096);
    tokio_tungstenite::accept_async_with_config(socket, Some(config)).await.map_err(io::Error::other)
}

async fn relay(socket: TcpStream) -> io::Result<()> {
    let mut socket = accept(socket).await?;
    let Some(Ok(Message::Text(order))) = socket.next().await else { return Ok(()) };
    let (_child, mut pipe) = agent(&order).await?;
    let mut buffer = BytesMut::with_capacity(16 << 10);
    loop {
        let batch = read(&mut pipe, &mut buffer).await?;
        for line in batch {
            socket.feed(Message::Text(line)).await.map_err(io::Error::other)?;
        }
        socket.flush().await.map_err(io::Error::other)?;
    }
}

async fn broadcast(listener: &TcpListener, count: usize, tasks: &TaskTracker) -> io::Result<()> {
    let mut sockets = Vec::new();
    while sockets.len() < count {
        let (socket, _) = listener.accept().await?;
        sockets.push(accept(socket).await?);
    }
    let mut clients = Vec::new();
    let mut order = None;
    for mut socket in sockets {
        if let Some(Ok(Message::Text(text))) = socket.next().await {
            order = Some(text);
        }
        // From the reader of the pipe to one client's writer. Full: all wait for that client. Closed: it is gone.
        let (sender, mut batches) = mpsc::channel::<Batch>(8);
        clients.push(sender);
        tasks.spawn(async move {
            while let Some(batch) = batches.recv().await {
                for line in batch.iter() {
                    if socket.feed(Message::Text(line.clone())).await.is_err() {
                        return;
                    }
                }
                if socket.flush().await.is_err() {
                    return;
                }
            }
        });
    }
    let (_child, mut pipe) = agent(&order.unwrap_or_default()).await?;
    let mut buffer = BytesMut::with_capacity(16 << 10);
    loop {
        let batch = Arc::new(read(&mut pipe, &mut buffer).await?);
        for client in &clients {
            let _ = client.send(Arc::clone(&batch)).await;
        }
    }
}

async fn agent(order: &str) -> io::Result<(Child, ChildStdout)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--print")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(stdin) = &mut child.stdin {
        stdin.write_all(format!("{order}\n").as_bytes()).await?;
    }
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no stdout"))?;
    Ok((child, stdout))
}

/// The whole lines that one read (or more, for a long line) brings.
async fn read(pipe: &mut ChildStdout, buffer: &mut BytesMut) -> io::Result<Vec<Utf8Bytes>> {
    loop {
        buffer.reserve(16 << 10);
        if pipe.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut lines = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', buffer) {
            let mut line = buffer.split_to(end + 1);
            line.truncate(end);
            lines.push(Utf8Bytes::try_from(line.freeze()).map_err(io::Error::other)?);
        }
        if !lines.is_empty() {
            return Ok(lines);
        }
    }
}
