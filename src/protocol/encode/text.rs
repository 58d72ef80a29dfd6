//! Strings and numbers as JSON text.

use std::io;
use std::sync::LazyLock;

use bytes::BufMut;
use memchr::memmem;

use crate::protocol::Text;

/// Bytes that a text takes, about.
pub(super) fn text_size(text: &Text<'_>) -> usize {
    match text {
        // Room for some escapes; the buffer grows when there are more.
        Text::Plain(text) => text.len() + text.len() / 8 + 2,
        Text::Token(token) => token.len(),
    }
}

/// Writes a text as a JSON string.
pub(super) fn write_text(out: &mut impl BufMut, text: &Text<'_>) {
    match text {
        Text::Plain(text) => write_string(out, text),
        Text::Token(token) => out.put_slice(token.as_bytes()),
    }
}

/// Writes `text` as a JSON string.
pub(super) fn write_string(out: &mut impl BufMut, text: &str) {
    // No short circuit, so that it is done many bytes at a time.
    let special = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    if text.bytes().fold(0, |found, byte| found | special(byte)) == 0 {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        // Writing to memory does not fail, and a string always serializes.
        let _ = serde_json::to_writer(Output(out), text);
    }
}

/// Writes a number.
pub(super) fn write_number(out: &mut impl BufMut, number: u64) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `io::Write` for a growing buffer.
pub(super) struct Output<'a, B>(pub(super) &'a mut B);

impl<B: BufMut> io::Write for Output<'_, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.put_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces the escapes of lone surrogates in JSON text by `\ufffd`, which is as long.
pub(super) fn repair_surrogates(json: &mut [u8]) {
    static ESCAPE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(br"\u"));
    let Some(first) = ESCAPE.find(json) else { return };
    // What looks like an escape may be the end of an escaped backslash: start where the row of backslashes begins.
    let mut at = json[..first].iter().rposition(|byte| *byte != b'\\').map_or(0, |before| before + 1);
    while let Some(offset) = memchr::memchr(b'\\', &json[at..]) {
        let escape = at + offset;
        at = match unit(json, escape) {
            Some(0xd800..0xdc00) if matches!(unit(json, escape + 6), Some(0xdc00..0xe000)) => escape + 12,
            Some(0xd800..0xe000) => {
                json[escape + 2..escape + 6].copy_from_slice(b"fffd");
                escape + 6
            }
            _ => escape + 2,
        };
        if at >= json.len() {
            return;
        }
    }
}

/// The UTF-16 unit that the `\uXXXX` at `at` stands for, if there is one.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
