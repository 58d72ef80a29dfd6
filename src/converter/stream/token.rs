//! Lengths and tails of JSON string tokens, without unescaping them.
//!
//! Counted in UTF-16 units, as the agent (JavaScript) does: then an escape is one unit, and a pair that was cut apart adds up.

use serde_json::value::RawValue;

/// The text between the quotes.
fn inner(token: &str) -> &str {
    token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or("")
}

/// UTF-16 units of the string that a token stands for.
pub(super) fn units(token: &str) -> u64 {
    let text = inner(token).as_bytes();
    let count = |matches: fn(u8) -> bool| text.iter().filter(|byte| matches(**byte)).count() as u64;
    // Each character's first byte is a unit, and that of a four-byte one is two.
    let mut units = count(|byte| byte & 0xc0 != 0x80) + count(|byte| byte >= 0xf0);
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
pub(super) fn tail(token: &RawValue, told: u64) -> Option<Box<RawValue>> {
    let text = inner(token.get());
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
    RawValue::from_string(format!("\"{rest}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::value::to_raw_value(text).expect("a string is JSON")
    }

    #[test]
    fn a_tail_begins_after_what_was_told() {
        assert_eq!(tail(&raw("Hello"), 2).expect("a rest").get(), "\"llo\"");
        assert_eq!(tail(&raw("a\n😀\u{2028}b"), 4).expect("a rest").get(), "\"\u{2028}b\"");
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
            prop_assert_eq!(units(raw(&text).get()), text.encode_utf16().count() as u64);
        }

        #[test]
        fn head_and_tail_make_the_text(head: String, rest: String) {
            let whole = raw(&format!("{head}{rest}"));
            let tail = tail(&whole, units(raw(&head).get()));
            let tail = tail.map_or(String::new(), |raw| serde_json::from_str(raw.get()).expect("a string"));
            prop_assert_eq!(tail, rest);
        }
    }
}
