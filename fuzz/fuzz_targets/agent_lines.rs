//! Whatever an agent writes, however it is cut: the framing gives the same lines, and the parser ends on each.
#![no_main]

use bytes::BufMut;
use claude_ws::agent::framing::{Frame, Framer};
use claude_ws::agent::wire;
use libfuzzer_sys::fuzz_target;

const MAX_LINE: usize = 4096;

fn frames(mut framer: Framer, chunks: impl Iterator<Item = impl AsRef<[u8]>>) -> (Vec<Vec<u8>>, u64) {
    let (mut lines, mut skipped) = (Vec::new(), 0);
    let mut take = |framer: &mut Framer| {
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Lines(some) => lines.extend(some.iter().map(<[u8]>::to_vec)),
                Frame::Long(line) => lines.push(line.into_line().expect("there is memory")),
                Frame::Skipped { bytes } => skipped += bytes,
            }
        }
    };
    for chunk in chunks {
        let mut chunk = chunk.as_ref();
        while !chunk.is_empty() {
            let mut buffer = framer.buffer();
            let some = chunk.len().min(buffer.remaining_mut());
            buffer.put_slice(&chunk[..some]);
            drop(buffer);
            chunk = &chunk[some..];
            framer.advance();
            take(&mut framer);
        }
    }
    framer.finish();
    take(&mut framer);
    (lines, skipped)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = frames(Framer::new(MAX_LINE), std::iter::once(bytes));
    let size = usize::from(size).max(1);
    // Long lines are put aside in parts of some size, too.
    let cut = frames(Framer::with_parts(MAX_LINE, 4 * size), bytes.chunks(size));
    assert_eq!(whole, cut);
    for line in &whole.0 {
        assert!(line.len() <= MAX_LINE);
        let _ = wire::parse(line);
    }
});
