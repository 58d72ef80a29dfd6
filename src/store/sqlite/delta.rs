//! A frame, told by what it has in common with the frame before it.
//!
//! Neighbouring events of a session are mostly text deltas that differ in a few digits and a few words, at the same places. Written
//! as it is each takes some 250 bytes, which then go through the database's cache, its log and its file; this way it takes little
//! more than its text. It costs less than the copies that it saves, which no general compressor does at this size.
//!
//! A frame is pieces until it is whole. A piece is two LEB128 numbers, and bytes: so many bytes are as in the frame before, at the
//! same place; and so many follow here.

use super::chunks::{put_number, take_number};

/// Equal bytes for which a piece is ended: what a new one costs, and some.
const WORTH: usize = 8;

/// Adds `frame` to `out`, told by `before`.
pub(super) fn put(out: &mut Vec<u8>, before: &[u8], frame: &[u8]) {
    let (mut before, mut frame) = (before, frame);
    while !frame.is_empty() {
        let same = common(before, frame);
        frame = &frame[same..];
        before = &before[same..];
        let new = different(before, frame);
        put_number(out, same as u64);
        put_number(out, new as u64);
        out.extend_from_slice(&frame[..new]);
        frame = &frame[new..];
        before = before.get(new..).unwrap_or_default();
    }
}

/// What [`put`] adds before the bytes of a frame that has none before it.
pub(super) fn put_head_of_first(out: &mut Vec<u8>, len: usize) {
    put_number(out, 0);
    put_number(out, len as u64);
}

/// Takes a frame of `len` bytes from `from`; `frame` is the one before, and then this one. `None`: it is damaged.
pub(super) fn take(from: &mut &[u8], frame: &mut Vec<u8>, len: usize) -> Option<()> {
    let mut at = 0;
    while at < len {
        let mut number = || usize::try_from(take_number(from)?).ok();
        let (same, new) = (number()?, number()?);
        let begin = at.checked_add(same)?;
        let end = begin.checked_add(new)?;
        // Neither more than there is, nor more than is wanted, nor nothing.
        if begin > frame.len() || end > len || end == at {
            return None;
        }
        let (bytes, rest) = from.split_at_checked(new)?;
        *from = rest;
        let (over, beyond) = bytes.split_at(new.min(frame.len() - begin));
        frame[begin..begin + over.len()].copy_from_slice(over);
        frame.extend_from_slice(beyond);
        at = end;
    }
    frame.truncate(len);
    Some(())
}

/// How many bytes are the same at the front.
fn common(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0);
    let same = 16 * words.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes of `b` come before the first [`WORTH`] that are as in `a`.
fn different(a: &[u8], b: &[u8]) -> usize {
    let windows = a.array_windows::<WORTH>().zip(b.array_windows::<WORTH>());
    windows.enumerate().find(|(_, (a, b))| a == b).map_or(b.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(before: &[u8], frame: &[u8]) -> usize {
        let mut out = Vec::new();
        put(&mut out, before, frame);
        let (mut rest, mut read) = (&out[..], before.to_vec());
        take(&mut rest, &mut read, frame.len()).expect("whole");
        assert!(rest.is_empty());
        assert_eq!(read, frame);
        out.len()
    }

    #[test]
    fn examples() {
        assert_eq!(there_and_back(b"", b""), 0);
        assert_eq!(there_and_back(b"before", b""), 0);
        assert_eq!(there_and_back(b"", b"frame"), 2 + 5);
        assert_eq!(there_and_back(b"the same", b"the same"), 2);
        assert_eq!(there_and_back(b"the same, and more", b"the same"), 2);
        assert_eq!(there_and_back(b"the same", b"the same, and more"), 2 + 10);
        assert_eq!(
            there_and_back(b"\"seq\":101,\"text\":\"ab\"", b"\"seq\":102,\"text\":\"cde\""),
            2 + 1 + 2 + 4
        );
    }

    proptest! {
        #[test]
        fn every_frame_comes_back(
            before in prop::collection::vec(0..3_u8, 0..200),
            frame in prop::collection::vec(0..3_u8, 0..200),
            shared in 0..200_usize,
        ) {
            let mut frame = frame;
            let shared = shared.min(before.len()).min(frame.len());
            frame[..shared].copy_from_slice(&before[..shared]);
            there_and_back(&before, &frame);
        }

        #[test]
        fn damage_is_found_or_harmless(
            before in prop::collection::vec(any::<u8>(), 0..50),
            bytes in prop::collection::vec(any::<u8>(), 0..50),
            len in 0..200_usize,
        ) {
            let mut frame = before;
            if take(&mut &bytes[..], &mut frame, len).is_some() {
                prop_assert_eq!(frame.len(), len);
            }
        }
    }
}
