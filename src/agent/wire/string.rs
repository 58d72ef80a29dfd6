//! Where a JSON string ends, and whether it is one.
//!
//! Most strings are short, and end within a few words of eight bytes. The others (texts, file contents) are looked at 64 bytes at a
//! time: their quotes, backslashes and control characters as bits of a word, so that the number of escapes hardly counts. The
//! arithmetic that tells escaping backslashes from escaped ones is simdjson's.

use wide::u8x16;

/// So many bytes are looked at eight at a time before it goes on by blocks.
const SHORT: usize = 40;
/// Bytes of a block.
const BLOCK: usize = 64;

/// Where a string ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The position of the closing quote.
    pub(super) at: usize,
    /// There may be escapes before it.
    pub(super) escapes: bool,
}

/// The end of the string whose text begins at `start`; none if it does not end, or holds what no JSON string can (control
/// characters, unknown escapes).
#[inline]
pub(super) fn end(bytes: &[u8], start: usize) -> Option<End> {
    let mut at = start;
    while at < start + SHORT {
        let Some(eight) = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()) else { break };
        match special(u64::from_le_bytes(eight)) {
            None => at += 8,
            Some(offset) => match bytes.get(at + offset) {
                Some(b'"') => return Some(End { at: at + offset, escapes: false }),
                Some(b'\\') => {
                    at += offset;
                    break;
                }
                _ => return None,
            },
        }
    }
    by_blocks(bytes, at)
}

/// Which of eight bytes is the first quote, backslash or control character.
#[inline]
fn special(word: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bits of bytes below `limit`; above the first one there may be false ones.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let quote = below(word ^ (ONES * 0x22), 1);
    let backslash = below(word ^ (ONES * 0x5c), 1);
    let found = quote | backslash | below(word, 0x20);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

fn by_blocks(bytes: &[u8], start: usize) -> Option<End> {
    let mut at = start;
    let mut carry = 0;
    loop {
        let mut padded = [b' '; BLOCK];
        let whole = bytes.get(at..at + BLOCK).and_then(|block| <&[u8; BLOCK]>::try_from(block).ok());
        let block = if let Some(block) = whole {
            block
        } else {
            let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        };
        let bits = Bits::of(block);
        let escaped = escaped(bits.backslash, &mut carry);
        let quotes = bits.quote & !escaped;
        // What comes before the closing quote.
        let inside = if quotes == 0 { u64::MAX } else { (1 << quotes.trailing_zeros()) - 1 };
        if bits.control & inside != 0 || !are_known(bytes, at, escaped & inside) {
            return None;
        }
        if quotes != 0 {
            return Some(End { at: at + quotes.trailing_zeros() as usize, escapes: true });
        }
        at += BLOCK;
    }
}

/// The bytes of a block that matter, a bit each.
struct Bits {
    quote: u64,
    backslash: u64,
    control: u64,
}

impl Bits {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut bits = Self { quote: 0, backslash: 0, control: 0 };
        let (parts, _) = block.as_chunks::<16>();
        for (number, part) in parts.iter().enumerate() {
            let part = u8x16::new(*part);
            let bit = |found: u8x16| u64::from(found.to_bitmask()) << (16 * number);
            bits.quote |= bit(part.simd_eq(u8x16::splat(b'"')));
            bits.backslash |= bit(part.simd_eq(u8x16::splat(b'\\')));
            bits.control |= bit(part.min(u8x16::splat(0x1f)).simd_eq(part));
        }
        bits
    }
}

/// The bytes that a backslash before them escapes. `carry` is 1 if that goes for the next block's first byte.
#[inline]
fn escaped(backslash: u64, carry: &mut u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    // A backslash that is escaped escapes nothing.
    let backslash = backslash & !*carry;
    let follows = backslash << 1 | *carry;
    let odd_starts = backslash & !EVEN & !follows;
    let (even_runs, overflow) = odd_starts.overflowing_add(backslash);
    *carry = u64::from(overflow);
    (EVEN ^ (even_runs << 1)) & follows
}

/// Whether each escaped byte is one that may be.
#[inline]
fn are_known(bytes: &[u8], at: usize, mut escaped: u64) -> bool {
    while escaped != 0 {
        let position = at + escaped.trailing_zeros() as usize;
        escaped &= escaped - 1;
        let Some(byte) = bytes.get(position) else { return false };
        match ESCAPES[usize::from(*byte)] {
            SHORT_ESCAPE => {}
            LONG_ESCAPE => {
                let digits = bytes.get(position + 1..position + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// The backslash and this byte are all of the escape.
const SHORT_ESCAPE: u8 = 1;
/// Four hexadecimal digits follow.
const LONG_ESCAPE: u8 = 4;

/// What may follow a backslash. A table, as a branch would be guessed wrong all the time.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let known = *b"\"\\/bfnrt";
    let mut at = 0;
    while at < known.len() {
        table[known[at] as usize] = SHORT_ESCAPE;
        at += 1;
    }
    table[b'u' as usize] = LONG_ESCAPE;
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain way.
    fn plain(bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            match bytes.get(at)? {
                b'"' => return Some(at),
                b'\\' => match bytes.get(at + 1)? {
                    b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                    _ => return None,
                },
                0..0x20 => return None,
                _ => at += 1,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn it_is_the_end_that_the_plain_way_finds(
            head in r#"(a{0,70}|\\\\|\\n|é|\\u00e9|\\"){0,12}"#,
            tail in r#"("|\\|\\u12|\\x|\n|\\"|a{0,70}){0,6}"#,
        ) {
            let text = head + &tail;
            let found = end(text.as_bytes(), 0);
            prop_assert_eq!(found.map(|end| end.at), plain(text.as_bytes()));
            if let Some(End { at, escapes: false }) = found {
                prop_assert!(!text[..at].contains('\\'));
            }
        }
    }
}
