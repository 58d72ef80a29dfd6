//! JSON text, read from the front in one go: what is wanted is cut out, everything is checked.
//!
//! serde reads strings to build values from them; here nearly all strings are only passed on, so it is enough to find their
//! ends. Accepts exactly JSON's grammar. Nesting is counted in bits, not in calls, so depth is no danger.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::lenient::{self, Str};
use super::string;

/// What is not JSON; where that is, is for [`Scan::column`] to say.
#[derive(Debug)]
pub(super) struct Bad;

/// A place in JSON text.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// A type that can be read from JSON text, whatever the value there is.
pub(super) trait Scanned<'a>: Default {
    /// Reads the value into `self` (so that large ones need not be moved), or steps over one of another kind.
    fn fill(&mut self, scan: &mut Scan<'a>) -> Result<(), Bad>;
}

/// Reads all of `text` as one value.
pub(super) fn read<'a, T: Scanned<'a>>(text: &'a str) -> Result<T, usize> {
    let mut scan = Scan::new(text);
    let mut value = T::default();
    match value.fill(&mut scan) {
        Ok(()) if scan.peek().is_none() => Ok(value),
        _ => Err(scan.at + 1),
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is not white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Bad> {
        if self.eat(byte) { Ok(()) } else { Err(Bad) }
    }

    fn since(&self, start: usize) -> Result<&'a str, Bad> {
        self.text.get(start..self.at).ok_or(Bad)
    }

    /// A string, as its token, quotes included, and whether it may hold escapes.
    #[inline]
    fn string(&mut self) -> Result<(&'a str, bool), Bad> {
        self.expect(b'"')?;
        let start = self.at - 1;
        let end = string::end(self.bytes(), self.at).ok_or(Bad)?;
        self.at = end.at + 1;
        Ok((self.since(start)?, end.escapes))
    }

    /// A string's text.
    #[inline]
    fn text(&mut self) -> Result<Cow<'a, str>, Bad> {
        let (token, escapes) = self.string()?;
        match token.get(1..token.len() - 1) {
            Some(text) if !escapes => Ok(Cow::Borrowed(text)),
            _ => Ok(lenient::decode(token)),
        }
    }

    /// A key that nobody wants, and its colon.
    #[inline]
    fn key(&mut self) -> Result<(), Bad> {
        self.string()?;
        self.expect(b':')
    }

    /// An object: `field` reads each value.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&str, &mut Self) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        self.expect(b'{')?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            field(&key, self)?;
            if !self.eat(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// An array: `element` reads each value.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Bad>) -> Result<(), Bad> {
        self.expect(b'[')?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.eat(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Any value, as its text.
    pub(super) fn value(&mut self) -> Result<&'a str, Bad> {
        let first = self.peek();
        let start = self.at;
        if !matches!(first, Some(b'{' | b'[')) {
            self.scalar()?;
            return self.since(start);
        }
        let mut nesting = Nesting::default();
        loop {
            match self.peek().ok_or(Bad)? {
                b'{' => {
                    self.at += 1;
                    if !self.eat(b'}') {
                        self.key()?;
                        nesting.enter(true);
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if !self.eat(b']') {
                        nesting.enter(false);
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // A value is over; with it perhaps what it was the last one of.
            loop {
                let Some(in_object) = nesting.innermost() else { return self.since(start) };
                if self.eat(b',') {
                    if in_object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(if in_object { b'}' } else { b']' })?;
                nesting.leave();
            }
        }
    }

    /// A string, number or word.
    #[inline]
    fn scalar(&mut self) -> Result<(), Bad> {
        match self.peek().ok_or(Bad)? {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Bad> {
        let found = self.bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += word.len();
        if found { Ok(()) } else { Err(Bad) }
    }

    /// `-`? (`0` | `1`–`9` digits) (`.` digits)? ((`e`|`E`) (`+`|`-`)? digits)?
    fn number(&mut self) -> Result<(), Bad> {
        let byte = |scan: &Self| scan.bytes().get(scan.at).copied();
        self.at += usize::from(byte(self) == Some(b'-'));
        if byte(self) == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if byte(self) == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(byte(self), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(byte(self), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Bad> {
        let count = self.bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Bad) } else { Ok(()) }
    }
}

/// Which brackets are open, a bit each: set for an object.
#[derive(Default)]
struct Nesting {
    bits: u64,
    /// How many of `bits` count.
    depth: u32,
    /// Full words below them.
    below: Vec<u64>,
}

impl Nesting {
    fn enter(&mut self, object: bool) {
        if self.depth == u64::BITS {
            self.below.push(self.bits);
            self.depth = 0;
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }

    fn leave(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
        if self.depth == 0
            && let Some(bits) = self.below.pop()
        {
            self.bits = bits;
            self.depth = u64::BITS;
        }
    }
}

/// A value's JSON text, cut out of the line; `null` counts as absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span<'a>(pub Option<&'a str>);

impl<'a> Span<'a> {
    fn beginning_with(self, byte: char) -> Option<&'a str> {
        self.0.filter(|text| text.starts_with(byte))
    }

    /// The value, if it is a string: still as its token.
    pub fn string(self) -> Option<&'a str> {
        self.beginning_with('"')
    }

    /// The value, if it is an array.
    pub fn array(self) -> Option<&'a str> {
        self.beginning_with('[')
    }

    /// The value, if it is an object.
    pub fn object(self) -> Option<&'a str> {
        self.beginning_with('{')
    }

    /// The value, if it is a string; what no string can hold (lone surrogates) is replaced by U+FFFD.
    pub fn text(self) -> Option<Cow<'a, str>> {
        self.string().map(lenient::decode)
    }

    /// The value, if it is a number that is not negative; fractions are cut off, too large ones capped.
    pub fn count(self) -> Option<u64> {
        self.0.and_then(lenient::count)
    }

    /// The value, if it is a boolean.
    pub fn flag(self) -> Option<bool> {
        self.0.and_then(lenient::flag)
    }
}

impl<'a> Scanned<'a> for Span<'a> {
    #[inline]
    fn fill(&mut self, scan: &mut Scan<'a>) -> Result<(), Bad> {
        let text = scan.value()?;
        self.0 = (text != "null").then_some(text);
        Ok(())
    }
}

impl<'a> Scanned<'a> for Str<'a> {
    #[inline]
    fn fill(&mut self, scan: &mut Scan<'a>) -> Result<(), Bad> {
        self.0 = if scan.peek() == Some(b'"') {
            Some(scan.text()?)
        } else {
            scan.value()?;
            None
        };
        Ok(())
    }
}

impl<'a, T: Scanned<'a>> Scanned<'a> for Vec<T> {
    fn fill(&mut self, scan: &mut Scan<'a>) -> Result<(), Bad> {
        self.clear();
        if scan.peek() != Some(b'[') {
            return scan.value().map(drop);
        }
        scan.array(|scan| {
            self.push(T::default());
            self.last_mut().map_or(Ok(()), |element| element.fill(scan))
        })
    }
}

/// Defines a struct whose fields are read from an object's keys of the given names (of repeated ones the last); anything but an
/// object gives the default.
macro_rules! scanned {
    ($(#[$meta:meta])* $vis:vis $name:ident { $( $(#[$field_meta:meta])* $field:ident : $type:ty = $key:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default)]
        $vis struct $name<'a> { $( $(#[$field_meta])* $vis $field: $type ),* }

        impl<'a> $crate::agent::wire::scan::Scanned<'a> for $name<'a> {
            #[inline]
            fn fill(
                &mut self,
                scan: &mut $crate::agent::wire::scan::Scan<'a>,
            ) -> Result<(), $crate::agent::wire::scan::Bad> {
                $( self.$field = Default::default(); )*
                if scan.peek() != Some(b'{') {
                    return scan.value().map(drop);
                }
                scan.object(|key, scan| match key {
                    $( $key => $crate::agent::wire::scan::Scanned::fill(&mut self.$field, scan), )*
                    _ => scan.value().map(drop),
                })
            }
        }
    };
}
pub(super) use scanned;
