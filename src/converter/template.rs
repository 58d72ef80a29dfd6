//! The short way for deltas, which are nearly all that an agent says while the model writes.
//!
//! A delta's line is compared with the shapes in which both versions write it, byte for byte; anything else goes to the
//! parser. Assumes nothing: what does not match exactly is not taken. What is taken must mean the same to the parser, on every
//! input; a property test holds that.

use super::stream::Piece;
use crate::agent::wire;

/// A delta, as far as the protocol wants it.
#[derive(Debug)]
pub(super) struct Delta<'a> {
    pub(super) parent: Option<&'a str>,
    pub(super) index: u64,
    pub(super) piece: Piece,
    pub(super) token: &'a str,
}

/// How every such line begins.
const START: &str = r#"{"type":"stream_event","event":{"#;

/// The kinds, with the event's keys in the API's own order; what follows is the index.
const API_ORDER: &str = r#""type":"content_block_delta","index":"#;
/// Behind the index, up to the token.
const PIECES: [(Piece, &str); 3] = [
    (Piece::Text, r#","delta":{"type":"text_delta","text":"#),
    (Piece::Thinking, r#","delta":{"type":"thinking_delta","thinking":"#),
    (Piece::Input, r#","delta":{"type":"input_json_delta","partial_json":"#),
];

/// The kinds, with the event's keys in alphabetical order, as proxies write them; what follows is the token.
const SORTED: [(Piece, &str, &str); 3] = [
    (Piece::Text, r#""delta":{"text":"#, r#","type":"text_delta"},"index":"#),
    (Piece::Thinking, r#""delta":{"thinking":"#, r#","type":"thinking_delta"},"index":"#),
    (Piece::Input, r#""delta":{"partial_json":"#, r#","type":"input_json_delta"},"index":"#),
];

/// Reads a line that has exactly the known shape of a delta.
pub(super) fn delta(line: &[u8]) -> Option<Delta<'_>> {
    if !line.starts_with(START.as_bytes()) {
        return None;
    }
    let text = simdutf8::basic::from_utf8(line).ok()?;
    let mut rest = Rest(text.get(START.len()..)?);
    let (piece, index, token);
    if rest.eat(API_ORDER).is_some() {
        index = rest.index()?;
        piece = PIECES.iter().find_map(|(piece, keys)| rest.eat(keys).map(|()| *piece))?;
        token = rest.token()?;
        rest.eat("}}")?;
    } else {
        let after;
        (piece, after) =
            SORTED.iter().find_map(|(piece, keys, after)| rest.eat(keys).map(|()| (*piece, *after)))?;
        token = rest.token()?;
        rest.eat(after)?;
        index = rest.index()?;
        rest.eat(r#","type":"content_block_delta"}"#)?;
    }
    rest.eat(r#","session_id":""#)?;
    rest.word()?;
    rest.eat(r#","parent_tool_use_id":"#)?;
    let parent = if rest.eat("null").is_some() {
        None
    } else {
        rest.eat("\"")?;
        Some(rest.word()?)
    };
    rest.eat(r#","uuid":""#)?;
    rest.word()?;
    for key in [r#","thinking_display":""#, r#","api_message_id":""#] {
        if rest.eat(key).is_some() {
            rest.word()?;
        }
    }
    (rest.0 == "}").then_some(Delta { parent, index, piece, token })
}

/// What of the line has not been matched yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    #[inline]
    fn eat(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    /// The text of a string without escapes, up to and with its closing quote.
    #[inline]
    fn word(&mut self) -> Option<&'a str> {
        let end = memchr::memchr(b'"', self.0.as_bytes())?;
        let (word, rest) = self.0.split_at_checked(end)?;
        // No short circuit, so that it is done many bytes at a time.
        let plain = word.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'\\'));
        self.0 = rest.get(1..)?;
        plain.then_some(word)
    }

    /// A block's index: up to four digits.
    #[inline]
    fn index(&mut self) -> Option<u64> {
        let digits = self.0.bytes().take(5).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !(1..5).contains(&digits) || digits > 1 && number.starts_with('0') {
            return None;
        }
        self.0 = rest;
        number.parse().ok()
    }

    /// A JSON string, as its token.
    #[inline]
    fn token(&mut self) -> Option<&'a str> {
        let token = self.0.starts_with('"').then(|| wire::token(self.0)).flatten()?;
        self.0 = token.1;
        Some(token.0)
    }
}
