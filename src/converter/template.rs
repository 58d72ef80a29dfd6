//! The short way for deltas, which are nearly all that an agent says while the model writes.
//!
//! A delta's line is compared with the shapes in which both versions write it, byte for byte; anything else goes to the
//! parser. Neighbouring deltas differ in their text and their `uuid` only, so what was around those in the last one is compared
//! first, as a whole. Assumes nothing: what does not match exactly is not taken. What is taken must mean the same to the parser,
//! on every input; a property test holds that.

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
const START: &[u8] = br#"{"type":"stream_event","event":{"#;

/// The event's keys in the API's own order; what follows is the index.
const API_ORDER: &[u8] = br#""type":"content_block_delta","index":"#;
/// Behind the index, up to the token.
const PIECES: [(Piece, &[u8]); 3] = [
    (Piece::Text, br#","delta":{"type":"text_delta","text":"#),
    (Piece::Thinking, br#","delta":{"type":"thinking_delta","thinking":"#),
    (Piece::Input, br#","delta":{"type":"input_json_delta","partial_json":"#),
];

/// The event's keys in alphabetical order, as proxies write them: up to the token, and from it to the index.
const SORTED: [(Piece, &[u8], &[u8]); 3] = [
    (Piece::Text, br#""delta":{"text":"#, br#","type":"text_delta"},"index":"#),
    (Piece::Thinking, br#""delta":{"thinking":"#, br#","type":"thinking_delta"},"index":"#),
    (Piece::Input, br#""delta":{"partial_json":"#, br#","type":"input_json_delta"},"index":"#),
];

/// What stood around the last delta's token and `uuid`, if there was one.
#[derive(Debug, Default)]
pub(super) struct Template(Option<Box<Known>>);

#[derive(Debug)]
struct Known {
    /// Up to the token.
    head: Vec<u8>,
    /// From the token to the `uuid`.
    middle: Vec<u8>,
    /// From the `uuid`'s closing quote to the end.
    tail: Vec<u8>,
    parent: Option<Box<str>>,
    index: u64,
    piece: Piece,
}

impl Template {
    /// Reads a line that has exactly the known shape of a delta.
    #[inline]
    pub(super) fn delta<'a>(&'a mut self, line: &'a [u8]) -> Option<Delta<'a>> {
        if let Some(token) = self.0.as_ref().and_then(|known| known.token(line)) {
            let known = self.0.as_deref()?;
            return Some(Delta {
                parent: known.parent.as_deref(),
                index: known.index,
                piece: known.piece,
                token,
            });
        }
        self.learn(line)
    }

    /// Reads a line by the known shapes, and remembers what is around token and `uuid`.
    #[cold]
    fn learn<'a>(&'a mut self, line: &'a [u8]) -> Option<Delta<'a>> {
        let found = Shape::of(line)?;
        let between = |from: &[u8], to: &[u8]| line.get(line.len() - from.len()..line.len() - to.len());
        self.0 = Some(Box::new(Known {
            head: between(line, found.from_token)?.to_vec(),
            middle: between(found.from_middle, found.from_uuid)?.to_vec(),
            tail: found.from_tail.to_vec(),
            parent: found.parent.map(Box::from),
            index: found.index,
            piece: found.piece,
        }));
        Some(Delta { parent: found.parent, index: found.index, piece: found.piece, token: found.token })
    }
}

impl Known {
    /// The token of a line that is like the last one.
    #[inline]
    fn token<'a>(&self, line: &'a [u8]) -> Option<&'a str> {
        let (token, rest) = wire::token(line.strip_prefix(&*self.head)?)?;
        let rest = rest.strip_prefix(&*self.middle)?;
        let (uuid, tail) = rest.split_at_checked(rest.len().checked_sub(self.tail.len())?)?;
        (tail == self.tail && is_word(uuid)).then_some(token)
    }
}

/// What was found in a line; the slices go from the place that they are called after to the line's end.
struct Shape<'a> {
    piece: Piece,
    index: u64,
    parent: Option<&'a str>,
    token: &'a str,
    from_token: &'a [u8],
    from_middle: &'a [u8],
    from_uuid: &'a [u8],
    from_tail: &'a [u8],
}

impl<'a> Shape<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let mut rest = Rest(line.strip_prefix(START)?);
        let (piece, index, token, from_token, from_middle);
        if rest.eat(API_ORDER).is_some() {
            index = rest.index()?;
            piece = PIECES.iter().find_map(|(piece, keys)| rest.eat(keys).map(|()| *piece))?;
            from_token = rest.0;
            token = rest.token()?;
            from_middle = rest.0;
            rest.eat(b"}}")?;
        } else {
            let after;
            (piece, after) =
                SORTED.iter().find_map(|(piece, keys, after)| rest.eat(keys).map(|()| (*piece, *after)))?;
            from_token = rest.0;
            token = rest.token()?;
            from_middle = rest.0;
            rest.eat(after)?;
            index = rest.index()?;
            rest.eat(br#","type":"content_block_delta"}"#)?;
        }
        rest.eat(br#","session_id":""#)?;
        rest.word()?;
        rest.eat(br#","parent_tool_use_id":"#)?;
        let parent = if rest.eat(b"null").is_some() {
            None
        } else {
            rest.eat(b"\"")?;
            Some(rest.word()?)
        };
        rest.eat(br#","uuid":""#)?;
        let from_uuid = rest.0;
        let uuid = rest.word()?;
        let from_tail = from_uuid.get(uuid.len()..)?;
        for key in [br#","thinking_display":""#.as_slice(), br#","api_message_id":""#] {
            if rest.eat(key).is_some() {
                rest.word()?;
            }
        }
        (rest.0 == b"}").then_some(Self {
            piece,
            index,
            parent,
            token,
            from_token,
            from_middle,
            from_uuid,
            from_tail,
        })
    }
}

/// Whether that is a string's text for sure: letters, digits and what ids are joined with.
#[inline]
fn is_word(text: &[u8]) -> bool {
    // No short circuit, so that it is done many bytes at a time.
    let odd = |byte: u8| u8::from(byte < 0x23) | u8::from(byte >= 0x7f) | u8::from(byte == b'\\');
    text.iter().fold(0, |found, byte| found | odd(*byte)) == 0
}

/// What of the line has not been matched yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn eat(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    /// The text of a plain string, up to and with its closing quote.
    fn word(&mut self) -> Option<&'a str> {
        let end = memchr::memchr(b'"', self.0)?;
        let (word, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        std::str::from_utf8(word).ok().filter(|word| is_word(word.as_bytes()))
    }

    /// A block's index: up to four digits.
    fn index(&mut self) -> Option<u64> {
        let digits = self.0.iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !(1..5).contains(&digits) || digits > 1 && number.starts_with(b"0") {
            return None;
        }
        self.0 = rest;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    /// A JSON string, as its token.
    fn token(&mut self) -> Option<&'a str> {
        let (token, rest) = wire::token(self.0)?;
        self.0 = rest;
        Some(token)
    }
}
