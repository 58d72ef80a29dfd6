//! Bytes of a pipe to whole lines: a state machine without I/O.
//!
//! May assume only that lines end with a newline (a carriage return before it is dropped). Must not know what a line
//! means. Any chunking of the same bytes gives the same lines and the same skips in the same order.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

/// How much one read asks for: all that a pipe holds, so that a flood costs few reads and few writes to clients.
pub const READ_SIZE: usize = 64 << 10;

/// A buffer that grew beyond this for a long line is given back once the line is out.
const KEEP_CAPACITY: usize = 2 * READ_SIZE;

/// An unfinished line is put aside in parts of this size. (A buffer that grew with it would be copied again and again, and by
/// whoever reads.)
const PART: usize = 1 << 20;

/// Memory that must be left besides a line of which parts are put aside: others want some too.
const SPARE: usize = 16 << 20;

/// What the framer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// One or more whole lines.
    Lines(Lines),
    /// One line of more than a megabyte.
    Long(LongLine),
    /// A line over the limit, passed over.
    Skipped {
        /// Its length without the line end.
        bytes: u64,
    },
}

/// A run of whole lines, shared with nobody and copied by nobody: one slice of the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines(Bytes);

impl Lines {
    /// Lines from bytes that were framed elsewhere (tests, recorded streams). A last line without an end counts.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The lines, without their ends. Empty ones are left out.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// How many bytes they are, ends included: what holding on to them costs.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Lines {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterator over [`Lines`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let line = match memchr::memchr(b'\n', self.rest) {
                Some(end) => {
                    let line = &self.rest[..end];
                    self.rest = &self.rest[end + 1..];
                    line
                }
                None => std::mem::take(&mut self.rest),
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }
}

/// One long line, in the parts in which it was read: putting 20 MB together takes milliseconds, and is up to who takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongLine(Vec<Bytes>);

impl LongLine {
    /// Its length, end included.
    pub fn byte_len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// The line in one piece, without its end; `None` where there is no memory for it and what it becomes.
    pub fn into_line(self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        line.try_reserve_exact(self.byte_len()).ok()?;
        // What is said of it is about as long.
        if !has_room(self.byte_len() + SPARE) {
            return None;
        }
        for part in self.0 {
            line.extend_from_slice(&part);
        }
        for end in [b'\n', b'\r'] {
            line.pop_if(|last| *last == end);
        }
        Some(line)
    }
}

/// The state machine. Use: fill [`Framer::buffer`], call [`Framer::advance`] with what is new, take frames until none
/// is left; at the end of the stream [`Framer::finish`].
#[derive(Debug)]
pub struct Framer {
    /// The unfinished line, and behind it what was read last.
    buffer: BytesMut,
    /// How much of the buffer is known to hold no newline.
    scanned: usize,
    /// What of the unfinished line was put aside: it comes before the buffer.
    parts: Vec<Bytes>,
    part_size: usize,
    max_line: usize,
    /// Within a line over the limit: how much of it was thrown away.
    skipping: Option<u64>,
    ready: VecDeque<Frame>,
}

impl Framer {
    /// A framer for lines of up to `max_line` bytes.
    pub fn new(max_line: usize) -> Self {
        Self::with_parts(max_line, PART)
    }

    /// The same, with parts of another size: for tests.
    #[doc(hidden)]
    pub fn with_parts(max_line: usize, part_size: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(READ_SIZE),
            scanned: 0,
            parts: Vec::new(),
            part_size,
            max_line,
            skipping: None,
            ready: VecDeque::new(),
        }
    }

    /// Where the next read goes: at most [`READ_SIZE`] bytes.
    pub fn buffer(&mut self) -> impl BufMut + '_ {
        self.buffer.reserve(READ_SIZE);
        (&mut self.buffer).limit(READ_SIZE)
    }

    /// The next frame that is complete.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    /// Looks at what was read into [`Framer::buffer`].
    pub fn advance(&mut self) {
        if self.skipping.is_some() && !self.skip_to_line_end() {
            return;
        }
        let fresh = &self.buffer[self.scanned..];
        if !self.parts.is_empty()
            && let Some(end) = memchr::memchr(b'\n', fresh)
        {
            self.emit_long(self.scanned + end + 1);
        }
        if self.parts.is_empty()
            && let Some(last) = memchr::memrchr(b'\n', &self.buffer[self.scanned..])
        {
            let whole = self.scanned + last + 1;
            self.emit(whole);
        }
        self.scanned = self.buffer.len();
        // A line of exactly the limit may still be followed by `\r\n`, but by nothing else.
        if self.unfinished_len() > self.max_line {
            self.skipping = Some((self.put_aside() + self.buffer.len()) as u64);
            self.parts.clear();
            self.reset_buffer(&[]);
        } else if self.buffer.len() >= self.part_size && !self.buffer.ends_with(b"\r") {
            if !has_room(self.part_size + READ_SIZE + SPARE) {
                let bytes = self.put_aside() + self.buffer.len();
                log::error!("no memory for a line of an agent after {bytes} bytes: it is passed over");
                self.skipping = Some(bytes as u64);
                self.parts.clear();
                self.reset_buffer(&[]);
                return;
            }
            let room = BytesMut::with_capacity(self.part_size + READ_SIZE);
            self.parts.push(std::mem::replace(&mut self.buffer, room).freeze());
            self.scanned = 0;
        }
    }

    /// The end of the stream: a last line without an end is a line too.
    pub fn finish(&mut self) {
        if let Some(bytes) = self.skipping.take() {
            self.ready.push_back(Frame::Skipped { bytes });
        } else if !self.parts.is_empty() {
            self.emit_long(self.buffer.len());
        } else if !self.buffer.is_empty() {
            let whole = self.buffer.len();
            self.emit(whole);
            self.scanned = 0;
        }
    }

    /// Bytes of the unfinished line that were put aside.
    fn put_aside(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Length of the unfinished line as it counts against the limit.
    fn unfinished_len(&self) -> usize {
        self.put_aside() + self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer).len()
    }

    /// Throws away the rest of a line over the limit. False if its end is not there yet.
    fn skip_to_line_end(&mut self) -> bool {
        let skipped = self.skipping.unwrap_or(0);
        let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
            self.skipping = Some(skipped + self.buffer.len() as u64);
            self.buffer.clear();
            self.scanned = 0;
            return false;
        };
        self.ready.push_back(Frame::Skipped { bytes: skipped + end as u64 });
        self.skipping = None;
        let _ = self.buffer.split_to(end + 1);
        self.scanned = 0;
        true
    }

    /// Takes the first `end` bytes out, which are the last of a line of which parts were put aside.
    fn emit_long(&mut self, end: usize) {
        let last = self.buffer.split_to(end).freeze();
        let rest = std::mem::take(&mut self.buffer);
        self.reset_buffer(&rest);
        let raw = last.strip_suffix(b"\n").unwrap_or(&last).len();
        let text = last[..raw].strip_suffix(b"\r").map_or(raw, <[u8]>::len);
        let before = self.put_aside();
        let mut parts = std::mem::take(&mut self.parts);
        self.ready.push_back(if before + text > self.max_line {
            Frame::Skipped { bytes: (before + raw) as u64 }
        } else {
            parts.push(last);
            Frame::Long(LongLine(parts))
        });
    }

    /// Takes the first `whole` bytes, which end with a line end (or with the stream), out as frames.
    fn emit(&mut self, whole: usize) {
        let grown = self.buffer.capacity() > KEEP_CAPACITY;
        let batch = self.buffer.split_to(whole).freeze();
        if grown {
            // Otherwise the rest would keep the long line's allocation alive.
            let rest = std::mem::take(&mut self.buffer);
            self.reset_buffer(&rest);
        }
        // Only a batch longer than the limit can hold a line longer than the limit.
        if batch.len() <= self.max_line {
            self.push_lines(batch);
        } else {
            self.push_checked(&batch);
        }
    }

    fn push_checked(&mut self, batch: &Bytes) {
        let mut run = 0;
        let mut start = 0;
        while start < batch.len() {
            let end = memchr::memchr(b'\n', &batch[start..]).map_or(batch.len(), |at| start + at);
            let next = (end + 1).min(batch.len());
            let line = &batch[start..end];
            if line.strip_suffix(b"\r").unwrap_or(line).len() > self.max_line {
                self.push_lines(batch.slice(run..start));
                self.ready.push_back(Frame::Skipped { bytes: line.len() as u64 });
                run = next;
            }
            start = next;
        }
        self.push_lines(batch.slice(run..));
    }

    fn push_lines(&mut self, bytes: Bytes) {
        let lines = Lines(bytes);
        if lines.iter().next().is_some() {
            self.ready.push_back(Frame::Lines(lines));
        }
    }

    fn reset_buffer(&mut self, rest: &[u8]) {
        self.buffer = BytesMut::with_capacity(READ_SIZE + rest.len());
        self.buffer.extend_from_slice(rest);
        self.scanned = 0;
    }
}

/// Whether there is so much memory. Asked before an allocation that could only end the process where there is not.
fn has_room(bytes: usize) -> bool {
    let mut room = Vec::<u8>::new();
    let is_there = room.try_reserve_exact(bytes).is_ok();
    // What nobody looks at need not be allocated.
    std::hint::black_box(&mut room);
    is_there
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Line(Vec<u8>),
        Skip(u64),
    }

    fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, max_line: usize) -> Vec<Seen> {
        run_framer(Framer::new(max_line), chunks)
    }

    fn run_framer<'a>(mut framer: Framer, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
        let mut seen = Vec::new();
        for chunk in chunks {
            for part in chunk.chunks(READ_SIZE) {
                framer.buffer().put_slice(part);
                framer.advance();
                drain(&mut framer, &mut seen);
            }
        }
        framer.finish();
        drain(&mut framer, &mut seen);
        seen
    }

    fn drain(framer: &mut Framer, seen: &mut Vec<Seen>) {
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Lines(lines) => seen.extend(lines.iter().map(|line| Seen::Line(line.to_vec()))),
                Frame::Long(line) => seen.push(Seen::Line(line.into_line().unwrap())),
                Frame::Skipped { bytes } => seen.push(Seen::Skip(bytes)),
            }
        }
    }

    /// The same in the most naive way.
    fn model(stream: &[u8], max_line: usize) -> Vec<Seen> {
        stream
            .split(|byte| *byte == b'\n')
            .filter_map(|raw| {
                let line = raw.strip_suffix(b"\r").unwrap_or(raw);
                if line.len() > max_line {
                    Some(Seen::Skip(raw.len() as u64))
                } else if line.is_empty() {
                    None
                } else {
                    Some(Seen::Line(line.to_vec()))
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            stream in proptest::collection::vec(
                prop_oneof![3 => Just(b'\n'), 2 => Just(b'\r'), 8 => Just(b'a'), 3 => any::<u8>()], 0..300),
            cuts in proptest::collection::vec(0usize..40, 0..60),
            max_line in 1usize..30,
            part_size in 1usize..40,
        ) {
            let mut rest = &stream[..];
            let mut chunks = Vec::new();
            for cut in cuts {
                let (chunk, tail) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            chunks.push(rest);
            let framer = Framer::with_parts(max_line, part_size);
            prop_assert_eq!(run_framer(framer, chunks), model(&stream, max_line));
        }
    }

    #[test]
    fn a_last_line_without_an_end_is_a_line() {
        assert_eq!(run([&b"a\r\n\r\n\nb"[..]], 10), [Seen::Line(b"a".to_vec()), Seen::Line(b"b".to_vec())]);
    }

    #[test]
    fn memory_falls_back_after_a_giant_line() {
        let mut framer = Framer::new(64 << 20);
        let mut giant = vec![b'x'; 3 << 20];
        giant.extend_from_slice(b"\nrest");
        for part in giant.chunks(READ_SIZE) {
            framer.buffer().put_slice(part);
            framer.advance();
        }
        let Some(Frame::Long(line)) = framer.next_frame() else { panic!("no line") };
        assert_eq!(line.into_line().unwrap().len(), 3 << 20);
        assert!(framer.buffer.capacity() <= 2 * READ_SIZE, "{}", framer.buffer.capacity());
        framer.finish();
        assert_eq!(framer.next_frame(), Some(Frame::Lines(Lines::new(&b"rest"[..]))));
    }

    #[test]
    fn skipping_holds_no_memory() {
        let mut framer = Framer::new(100);
        for _ in 0..1000 {
            framer.buffer().put_slice(&vec![b'x'; READ_SIZE]);
            framer.advance();
            assert!(framer.buffer.capacity() <= KEEP_CAPACITY);
        }
        framer.buffer().put_slice(b"\nok\n");
        framer.advance();
        assert_eq!(framer.next_frame(), Some(Frame::Skipped { bytes: 1000 * READ_SIZE as u64 }));
        assert_eq!(framer.next_frame(), Some(Frame::Lines(Lines::new(&b"ok\n"[..]))));
    }
}
