//! The agent's stdin: a queue with a bound in bytes, and the task that writes it.
//!
//! Sender: anyone with the agent's handle, never waiting. Reader: one writer task. Full: the line is refused and the
//! sender told. Closed: lines are refused; what was taken before the close is still written, then the pipe is closed.
//! Must not know what a line means.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::launch::SendError;

/// The most that an unprivileged process can make a pipe hold.
const MAX_PIPE: usize = 1 << 20;
/// Lines of which it is remembered that they were written; of more, a pipe that was never read knows only the last.
const MAX_NOTED: usize = 4096;

/// The sending side.
#[derive(Debug, Clone)]
pub(super) struct StdinQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Rung after every change of the state; the writer task alone waits.
    changed: Notify,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Bytes>,
    /// Of `lines` and of the line that is being written.
    bytes: usize,
    closed: bool,
    /// Lengths of the lines that were written last, as many as a pipe can hold.
    written: VecDeque<usize>,
    written_bytes: usize,
    /// Bytes of the line that is being written, or was when writing ended: the last in the pipe.
    begun: usize,
    /// Lines that were refused because of the close, or taken and not written: the last ones that were sent.
    unwritten: u64,
    /// Lines that were written and not read.
    unread: u64,
}

impl StdinQueue {
    pub(super) fn new(max_bytes: usize) -> Self {
        let shared = Shared { state: Mutex::new(State::default()), changed: Notify::new(), max_bytes };
        Self { shared: Arc::new(shared) }
    }

    /// Queues a line. One that is larger than the bound is taken when nothing else waits.
    pub(super) fn send(&self, line: Bytes) -> Result<(), SendError> {
        let mut state = self.shared.state.lock();
        if state.closed {
            state.unwritten += 1;
            return Err(SendError::Closed);
        }
        if state.bytes > 0 && state.bytes + line.len() > self.shared.max_bytes {
            return Err(SendError::Full);
        }
        state.push(line);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Queues a last line, whatever the bound, and closes.
    pub(super) fn finish(&self, last: Bytes) {
        let mut state = self.shared.state.lock();
        if !state.closed {
            state.push(last);
            state.closed = true;
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Closes and forgets what was not written: the agent is gone or reads no more.
    pub(super) fn abandon(&self) {
        let mut state = self.shared.state.lock();
        state.unwritten += state.lines.len() as u64;
        state.lines.clear();
        state.bytes = 0;
        state.closed = true;
        drop(state);
        self.shared.changed.notify_one();
    }

    /// The next line, or `None` when closed and empty.
    async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.shared.state.lock();
                if let Some(line) = state.lines.pop_front() {
                    return Some(line);
                }
                if state.closed {
                    return None;
                }
            }
            self.shared.changed.notified().await;
        }
    }

    /// So many bytes of a line were written.
    fn wrote(&self, bytes: usize) {
        self.shared.state.lock().begun += bytes;
    }

    /// A line of so many bytes was written, or could not be.
    fn written(&self, bytes: usize, ok: bool) {
        let mut state = self.shared.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        if ok {
            state.begun = 0;
            state.note_written(bytes);
        } else {
            state.unwritten += 1;
        }
    }

    /// Nothing is written any more; so many bytes are still in the pipe.
    fn ends(&self, left: u64) {
        let mut state = self.shared.state.lock();
        let State { written, unread, begun, .. } = &mut *state;
        // Of a line that was not written to its end, which counts as unwritten: they say nothing of the lines before it.
        let mut left = usize::try_from(left).unwrap_or(usize::MAX).saturating_sub(*begun);
        // A line of which one byte was not read was not read.
        *unread = 0;
        while left > 0
            && let Some(line) = written.pop_back()
        {
            left = left.saturating_sub(line);
            *unread += 1;
        }
        written.clear();
    }

    /// How many of the last lines that were sent the agent has not read. Known when the writer has ended. Where more lines are in
    /// the pipe than are remembered ([`MAX_NOTED`]) it is fewer, and never more: what counts as unread was not read. (A line that
    /// was refused as too much is not among them; who is refused one ends the agent.)
    pub(super) fn unread_lines(&self) -> u64 {
        let state = self.shared.state.lock();
        state.unread + state.unwritten
    }
}

impl State {
    fn push(&mut self, line: Bytes) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn note_written(&mut self, bytes: usize) {
        self.written.push_back(bytes);
        self.written_bytes += bytes;
        while let Some(oldest) = self.written.front().copied()
            && (self.written_bytes - oldest >= MAX_PIPE || self.written.len() > MAX_NOTED)
        {
            self.written_bytes -= oldest;
            self.written.pop_front();
        }
    }
}

/// Writes the queue into the pipe until it is closed and empty, the agent has closed its end, or `over` ends: nobody reads any
/// more. Ends by dropping the pipe, which the agent sees as the end of its input. `left`: how many bytes a pipe holds.
pub(super) async fn write<P: AsyncWrite + Unpin>(
    queue: StdinQueue,
    mut pipe: P,
    over: impl Future<Output = ()>,
    left: impl Fn(&P) -> u64,
) {
    let mut over = pin!(over);
    while let Some(line) = queue.next().await {
        let written = tokio::select! {
            biased;
            written = write_line(&queue, &mut pipe, &line) => written,
            () = &mut over => Err(io::ErrorKind::TimedOut.into()),
        };
        queue.written(line.len(), written.is_ok());
        if let Err(error) = written {
            log::debug!("the agent's stdin is closed: {error}");
            queue.abandon();
            queue.ends(left(&pipe));
            return;
        }
    }
    queue.ends(left(&pipe));
    // A pipe needs no flush; other writers might.
    let _ = pipe.shutdown().await;
}

async fn write_line<P: AsyncWrite + Unpin>(queue: &StdinQueue, pipe: &mut P, line: &[u8]) -> io::Result<()> {
    let mut rest = line;
    while !rest.is_empty() {
        let count = pipe.write(rest).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        queue.wrote(count);
        rest = &rest[count..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_was_taken_is_written_in_order_and_then_the_pipe_closes() {
        let queue = StdinQueue::new(100);
        let (near, mut far) = tokio::io::duplex(4);
        queue.send("one\n".into()).unwrap();
        queue.send("two\n".into()).unwrap();
        queue.finish("last\n".into());
        assert_eq!(queue.send("late\n".into()), Err(SendError::Closed));
        let mut seen = String::new();
        tokio::join!(write(queue, near, pending(), |_| 0), async {
            far.read_to_string(&mut seen).await.unwrap()
        });
        assert_eq!(seen, "one\ntwo\nlast\n");
    }

    #[tokio::test]
    async fn the_bound_counts_bytes_and_a_larger_line_goes_alone() {
        let queue = StdinQueue::new(10);
        queue.send(vec![b'x'; 50].into()).unwrap();
        assert_eq!(queue.send("y".into()), Err(SendError::Full));
        let (near, mut far) = tokio::io::duplex(100);
        let mut buffer = [0; 50];
        let writer = write(queue.clone(), near, pending(), |_| 0);
        tokio::pin!(writer);
        tokio::select! {
            () = &mut writer => panic!("ended early"),
            read = far.read_exact(&mut buffer) => { read.unwrap(); }
        }
        queue.send("y".into()).unwrap();
        queue.finish("z".into());
        writer.await;
        let mut rest = String::new();
        far.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "yz");
    }

    #[tokio::test]
    async fn an_agent_that_closed_its_input_closes_the_queue() {
        let queue = StdinQueue::new(10);
        let (near, far) = tokio::io::duplex(1);
        drop(far);
        queue.send("abc".into()).unwrap();
        write(queue.clone(), near, pending(), |_| 0).await;
        assert_eq!(queue.send("x".into()), Err(SendError::Closed));
        assert_eq!(queue.unread_lines(), 2);
    }

    #[tokio::test]
    async fn lines_that_the_agent_has_not_read_are_counted() {
        let queue = StdinQueue::new(100);
        let (near, _far) = tokio::io::duplex(100);
        for line in ["one\n", "two\n", "three\n"] {
            queue.send(line.into()).unwrap();
        }
        let writer = write(queue.clone(), near, pending(), |_| 7);
        tokio::pin!(writer);
        // Everything is written, and the agent is gone before it has read the end of the second line.
        assert!(futures_util::poll!(&mut writer).is_pending());
        queue.abandon();
        writer.await;
        assert_eq!(queue.unread_lines(), 2);
        assert_eq!(queue.send("late".into()), Err(SendError::Closed));
        assert_eq!(queue.unread_lines(), 3);
    }

    /// The bytes of the line that was cut off were taken for the end of the line before it, which was sent to the next agent too.
    #[tokio::test]
    async fn a_line_that_was_begun_says_nothing_of_the_one_before_it() {
        let queue = StdinQueue::new(100);
        let (near, mut far) = tokio::io::duplex(4);
        queue.send("one\n".into()).unwrap();
        queue.send("second\n".into()).unwrap();
        let writer = write(queue.clone(), near, pending(), |_| 4);
        tokio::pin!(writer);
        assert!(futures_util::poll!(&mut writer).is_pending());
        far.read_exact(&mut [0; 4]).await.unwrap();
        assert!(futures_util::poll!(&mut writer).is_pending());
        // It is gone with "seco" in its pipe.
        drop(far);
        writer.await;
        assert_eq!(queue.unread_lines(), 1);
    }

    /// The writer was ended from outside, and nothing was counted: the message that the agent never saw failed.
    #[tokio::test]
    async fn lines_are_counted_too_where_somebody_else_holds_a_full_pipe() {
        let queue = StdinQueue::new(100);
        let (near, _held) = tokio::io::duplex(4);
        for line in ["one\n", "two\n", "three\n"] {
            queue.send(line.into()).unwrap();
        }
        let writer = write(queue.clone(), near, ready(()), |_| 4);
        writer.await;
        assert_eq!(queue.unread_lines(), 3);
    }
}
