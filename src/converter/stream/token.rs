//! Lengths and tails of JSON string tokens, without unescaping them.
//!
//! Counted in UTF-16 units, as the agent (JavaScript) does: then an escape is one unit, and a pair that was cut apart adds up.

/// The text between the quotes.
fn inner(token: &str) -> &str {
    token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or("")
}

/// UTF-16 units of the string that a token stands for.
pub(super) fn units(token: &str) -> u64 {
    let text = inner(token);
    if text.is_ascii() && memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return text.len() as u64;
    }
    let text = text.as_bytes();
    // Each character's first byte is a unit, and that of a four-byte one is two. Sums of bytes are made many at a time.
    let count = |chunk: &[u8]| {
        chunk.iter().fold(0, |sum, byte| sum + u8::from(byte & 0xc0 != 0x80) + u8::from(*byte >= 0xf0))
    };
    let mut units: u64 = text.chunks(u8::MAX as usize / 2).map(|chunk| u64::from(count(chunk))).sum();
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'\\', &text[at..]) {
        let length = escape_length(text, at + offset);
        units -= length as u64 - 1;
        at += offset + length;
    }
    units
}

/// Bytes of the escape at `at`: `\uXXXX` or `\x`.
fn escape_length(text: &[u8], at: usize) -> usize {
    let length = if text.get(at + 1) == Some(&b'u') { 6 } else { 2 };
    length.min(text.len() - at)
}

/// What follows after the first `told` units, as a token of its own; none if nothing does.
pub(super) fn tail(token: &str, told: u64) -> Option<String> {
    if units(token) <= told {
        return None;
    }
    let text = inner(token);
    let bytes = text.as_bytes();
    let (mut at, mut left) = (0, told);
    while left > 0 {
        let byte = *bytes.get(at)?;
        let (length, units) = match byte {
            b'\\' => (escape_length(bytes, at), 1),
            0..0x80 => (1, 1),
            0x80..0xe0 => (2, 1),
            0xe0..0xf0 => (3, 1),
            _ => (4, 2),
        };
        at += length;
        left = left.saturating_sub(units);
    }
    let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
    Some(format!("\"{rest}\""))
}

/// What stands before a [`tail`], as a token of its own.
pub(super) fn head(token: &str, tail: &str) -> String {
    let text = inner(token);
    let head = text.strip_suffix(inner(tail)).unwrap_or(text);
    format!("\"{head}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(text: &str) -> String {
        serde_json::to_string(text).expect("a string is JSON")
    }

    #[test]
    fn a_tail_begins_after_what_was_told() {
        assert_eq!(tail(&raw("Hello"), 2).expect("a rest"), "\"llo\"");
        assert_eq!(tail(&raw("a\n😀\u{2028}b"), 4).expect("a rest"), "\"\u{2028}b\"");
        assert!(tail(&raw("Hello"), 5).is_none());
        assert!(tail(&raw("Hello"), 50).is_none());
    }

    #[test]
    fn halves_of_a_pair_add_up() {
        assert_eq!(units(r#""\ud83d""#) + units(r#""\ude00""#), units("\"😀\""));
    }

    proptest! {
        #[test]
        fn units_are_those_of_utf_16(text: String) {
            prop_assert_eq!(units(&raw(&text)), text.encode_utf16().count() as u64);
        }

        #[test]
        fn head_and_tail_make_the_text(head: String, rest: String) {
            let whole = raw(&format!("{head}{rest}"));
            let tail = tail(&whole, units(&raw(&head)));
            if let Some(tail) = &tail {
                prop_assert_eq!(super::head(&whole, tail), raw(&head));
            }
            let tail = tail.map_or(String::new(), |raw| serde_json::from_str(&raw).expect("a string"));
            prop_assert_eq!(tail, rest);
        }
    }
}
