//! The readers of the agent's two output pipes.
//!
//! stdout is read by whoever holds the [`AgentOutput`], in whole lines: who is slow does not read, and the agent waits in its
//! write. (No task of its own: that would be one more to wake for each piece that the agent says.) stderr is always read, so
//! that it never blocks the agent; only its end is kept. Must not know what a line means, nor when the agent is stopped: it
//! ends at the end of the pipes, or shortly after the process and its descendants are dead, should someone else hold a pipe
//! open.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::framing::{Frame, Framer};
use super::launch::{Exit, Output};
use crate::wake::Gate;

/// How much is still read after the process is gone: all that a pipe can hold was written before. (The most that an
/// unprivileged process can make a pipe hold.)
const LAST_BYTES: usize = 1 << 20;

/// The process is gone; how long to go on with its pipes, at whose other ends nobody should be any more.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub(super) token: CancellationToken,
    pub(super) drain: Duration,
}

impl Gone {
    /// Ends when the process is gone and that time has passed.
    pub(super) async fn over(self) {
        self.token.cancelled().await;
        sleep(self.drain).await;
    }
}

fn count(read: io::Result<usize>) -> usize {
    read.unwrap_or_else(|error| {
        log::debug!("reading from an agent: {error}");
        0
    })
}

/// What an agent says, and last and once, how it ended. It must be read, for the process waits when its pipe is full;
/// dropping it kills the process.
#[derive(Debug)]
pub struct AgentOutput<Pipe = ChildStdout> {
    /// None after its end.
    pipe: Option<Pipe>,
    framer: Framer,
    /// From the supervisor: how it ended, once all that belonged to it is gone.
    exit: mpsc::Receiver<Exit>,
    /// Before `exit`, which need not be looked at for each piece that the agent says.
    exits: Gate,
    exited: Option<Box<Exited>>,
    /// How long is waited after that for what it said before.
    drain: Duration,
    /// Bytes that were read after that.
    last: usize,
    /// Tells the supervisor that stdout ended.
    ended: CancellationToken,
}

#[derive(Debug)]
struct Exited {
    exit: Exit,
    /// Ends when waiting for what it said before is over. What is in the pipe by then is read all the same.
    over: Pin<Box<Sleep>>,
}

impl<Pipe: AsyncRead + Unpin> AgentOutput<Pipe> {
    pub(super) fn new(
        pipe: Pipe,
        max_line: usize,
        exit: mpsc::Receiver<Exit>,
        drain: Duration,
        ended: CancellationToken,
    ) -> Self {
        Self {
            pipe: Some(pipe),
            framer: Framer::new(max_line),
            exit,
            exits: Gate::new(),
            exited: None,
            drain,
            last: 0,
            ended,
        }
    }

    /// What it says next; `None` after [`Output::Exited`]. Cancel safe.
    pub async fn recv(&mut self) -> Option<Output> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv).
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Output>> {
        loop {
            if let Some(frame) = self.framer.next_frame() {
                return Poll::Ready(Some(match frame {
                    Frame::Lines(lines) => Output::Lines(lines),
                    Frame::Long(line) => Output::Long(line),
                    Frame::Skipped { bytes } => Output::Skipped { bytes },
                }));
            }
            let Some(pipe) = &mut self.pipe else { return self.poll_end(cx) };
            let mut buffer = self.framer.buffer();
            let read = pin!(pipe.read_buf(&mut buffer)).poll(cx).map(count);
            drop(buffer);
            match (read, &mut self.exited) {
                (Poll::Ready(read), _) => self.took(read),
                (Poll::Pending, Some(exited)) => {
                    ready!(exited.over.as_mut().poll(cx));
                    self.took(0);
                }
                (Poll::Pending, None) => {
                    let exit = ready!(self.exits.poll(cx, |cx| self.exit.poll_recv(cx)));
                    // A supervisor that is gone without a word was aborted with its runtime.
                    let exit = exit.unwrap_or_default();
                    self.exited = Some(Box::new(Exited { exit, over: Box::pin(sleep(self.drain)) }));
                }
            }
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Output>> {
        if let Some(exited) = self.exited.take() {
            return Poll::Ready(Some(Output::Exited(exited.exit)));
        }
        let exit = ready!(self.exits.poll(cx, |cx| self.exit.poll_recv(cx)));
        Poll::Ready(exit.map(Output::Exited))
    }

    /// The process and all that belonged to it is gone. (What it said before may still be there.)
    pub(crate) fn has_exited(&self) -> bool {
        self.exit.is_closed()
    }

    fn took(&mut self, read: usize) {
        if self.exited.is_some() {
            self.last += read;
        }
        self.framer.advance();
        if read == 0 || self.last > LAST_BYTES {
            self.pipe = None;
            self.ended.cancel();
            self.framer.finish();
        }
    }
}

/// The end of a stream, at most so many bytes of it.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    max: usize,
}

impl Tail {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: Arc::default(), max }
    }

    fn push(&self, new: &[u8]) {
        let new = &new[new.len().saturating_sub(self.max)..];
        let mut bytes = self.bytes.lock();
        let over = (bytes.len() + new.len()).saturating_sub(self.max);
        bytes.drain(..over);
        bytes.extend(new);
    }

    /// As text; a character that was cut or is not UTF-8 shows as U+FFFD.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.lock().iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Reads stderr to its end and keeps the tail.
pub(super) async fn stderr(mut pipe: impl AsyncRead + Unpin, tail: Tail, gone: Gone) {
    let mut buffer = vec![0; 4096];
    let mut last = 0;
    // One time for all that is read after the end: whoever writes on must not hold it for ever.
    let mut over = pin!(gone.clone().over());
    while last < LAST_BYTES {
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => count(read),
            () = &mut over => 0,
        };
        if read == 0 {
            return;
        }
        if gone.token.is_cancelled() {
            last += read;
        }
        tail.push(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn the_tail_is_the_end() {
        let tail = Tail::new(5);
        tail.push(b"ab");
        tail.push(b"cdef");
        assert_eq!(tail.text(), "bcdef");
        tail.push(b"0123456789");
        assert_eq!(tail.text(), "56789");
        tail.push("é€".as_bytes());
        assert_eq!(tail.text(), "é€");
        tail.push(b"xyz");
        assert_eq!(tail.text(), "\u{fffd}\u{fffd}xyz".chars().collect::<String>());
    }

    #[tokio::test]
    async fn a_pipe_that_someone_else_holds_open_does_not_hold_the_end() {
        let (near, far) = tokio::io::duplex(10);
        let (exit, exits) = mpsc::channel(1);
        let ended = CancellationToken::new();
        let drain = Duration::from_millis(1);
        let mut output = AgentOutput::new(near, 100, exits, drain, ended.clone());
        let mut far = far;
        far.write_all(b"a\nb").await.unwrap();
        exit.send(Exit::default()).await.unwrap();
        drop(exit);
        let mut said = Vec::new();
        loop {
            match output.recv().await {
                Some(Output::Lines(lines)) => said.extend(lines.iter().map(<[u8]>::to_vec)),
                Some(Output::Exited(_)) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(said, [b"a", b"b"]);
        assert!(ended.is_cancelled() && output.recv().await.is_none());
    }

    /// Who writes on is cut off at some point; what stands before it are lines all the same.
    #[tokio::test]
    async fn lines_before_the_cut_stay_lines() {
        let (near, mut far) = tokio::io::duplex(4 << 20);
        let (exit, exits) = mpsc::channel(1);
        let mut output =
            AgentOutput::new(near, 64 << 20, exits, Duration::from_mins(1), CancellationToken::new());
        exit.send(Exit::default()).await.unwrap();
        // Seen before the pipe is.
        assert!(futures_util::FutureExt::now_or_never(output.recv()).is_none());
        let long = "x".repeat(LAST_BYTES + 1);
        far.write_all(format!("{long}\nshort\n").as_bytes()).await.unwrap();
        let mut said = Vec::new();
        loop {
            match output.recv().await {
                Some(Output::Lines(lines)) => said.extend(lines.iter().map(<[u8]>::len)),
                Some(Output::Long(line)) => said.push(line.into_line().unwrap().len()),
                Some(Output::Exited(_)) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(said, [LAST_BYTES + 1, 5]);
    }

    /// Whoever had other things to do at times waited for ever: with each of them the time began anew.
    #[tokio::test(start_paused = true)]
    async fn the_time_for_the_rest_is_one_however_often_it_is_waited_for() {
        let (near, _far) = tokio::io::duplex(10);
        let (exit, exits) = mpsc::channel(1);
        let drain = Duration::from_millis(250);
        let mut output = AgentOutput::new(near, 100, exits, drain, CancellationToken::new());
        exit.send(Exit::default()).await.unwrap();
        let begun = Instant::now();
        let said = loop {
            if let Ok(said) = tokio::time::timeout(drain / 2, output.recv()).await {
                break said;
            }
            assert!(begun.elapsed() < drain * 10, "still waiting");
        };
        assert!(matches!(said, Some(Output::Exited(_))), "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_on_does_not_hold_the_end_of_stderr() {
        let (near, mut far) = tokio::io::duplex(10);
        let gone = Gone { token: CancellationToken::new(), drain: Duration::from_millis(250) };
        gone.token.cancel();
        let tail = Tail::new(100);
        let writes_on = async {
            while far.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::join!(stderr(near, tail.clone(), gone), writes_on);
        assert_eq!(tail.text(), "xxx");
    }
}
