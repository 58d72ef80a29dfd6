//! Two building blocks of messages: JSON that is passed on untouched, and strings that may still be JSON tokens.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::protocol::parse::within_depth;

/// How deep JSON that is passed on may nest. Clients' parsers give up some way beyond (Python's at about 1,000 levels).
pub const MAX_DEPTH: usize = 512;

/// Any JSON value, kept as the text it arrived in and written out again without being parsed.
///
/// Deserialize it only straight from JSON text (serde's buffered modes, `tag` and `flatten`, cannot carry raw text).
#[derive(Debug, Clone)]
pub struct Json<'a>(Repr<'a>);

#[derive(Debug, Clone)]
enum Repr<'a> {
    Raw(Cow<'a, RawValue>),
    /// Text that somebody else's parser has found valid.
    Checked(&'a str),
}

impl<'a> Json<'a> {
    /// A view of JSON text that a parser has already found valid.
    pub fn borrowed(raw: &'a RawValue) -> Self {
        Self(Repr::Raw(Cow::Borrowed(raw)))
    }

    /// A view of text that a parser has found to be one JSON value, without white space around it. Anything else in here is a
    /// bug of whoever built it; frames that hold it would not be JSON.
    pub fn checked(text: &'a str) -> Self {
        Self(Repr::Checked(text))
    }

    /// The JSON form of `value`. Fails only where serde does (map keys that are not strings, a failing `Serialize`).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self::owned)
    }

    /// Checks that `text` is one JSON value and takes it as it is.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self::owned)
    }

    fn owned(raw: Box<RawValue>) -> Self {
        Self(Repr::Raw(Cow::Owned(raw)))
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        match &self.0 {
            Repr::Raw(raw) => raw.get(),
            Repr::Checked(text) => text,
        }
    }

    /// The JSON text as serde's raw value.
    pub fn raw(&self) -> &RawValue {
        match &self.0 {
            Repr::Raw(raw) => raw,
            Repr::Checked(text) => serde_json::from_str(text).unwrap_or(RawValue::NULL),
        }
    }

    /// The same value without the borrow.
    pub fn into_owned(self) -> Json<'static> {
        Json::owned(match self.0 {
            Repr::Raw(raw) => raw.into_owned(),
            Repr::Checked(text) => {
                RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
            }
        })
    }

    /// Reads the value as `T`.
    pub fn to<'s, T: Deserialize<'s>>(&'s self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// Whether it nests deeper than [`MAX_DEPTH`]: then it is told as a string that holds its text.
    pub fn is_too_deep(&self) -> bool {
        // An open and a close for each level.
        let text = self.get();
        // So many are seldom open in all, and looking for them alone is quick.
        let opens = || memchr::memchr2_iter(b'[', b'{', text.as_bytes());
        text.len() > 2 * MAX_DEPTH && opens().nth(MAX_DEPTH).is_some() && !within_depth(text, MAX_DEPTH)
    }

    /// An empty object, `{}`.
    pub fn empty_object() -> Json<'static> {
        Json::checked("{}")
    }

    /// Whether the value is a JSON object.
    pub fn is_object(&self) -> bool {
        self.get().starts_with('{')
    }
}

/// Equal as JSON: key order and white space do not count.
impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.get() == other.get() {
            return true;
        }
        let parse = |json: &Self| serde_json::from_str::<serde_json::Value>(json.get()).ok();
        parse(self).is_some_and(|mine| Some(mine) == parse(other))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_too_deep() {
            serializer.serialize_str(self.get())
        } else {
            self.raw().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Json<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Boxed, so that `Json<'static>` fields can be read too; hot paths borrow through `&RawValue` themselves.
        Box::<RawValue>::deserialize(deserializer).map(Self::owned)
    }
}

impl JsonSchema for Json<'_> {
    fn schema_name() -> Cow<'static, str> {
        "AnyJson".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

/// A string that is either plain or still the JSON string token it arrived as (`"…"`, escapes and all).
///
/// A token is written out as it stands: no unescaping, no escaping, no copy in between.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// An ordinary string.
    Plain(Cow<'a, str>),
    /// A JSON string token, quotes included. Anything else in here is a bug of whoever built it.
    Token(&'a str),
}

impl<'a> Text<'a> {
    /// The string itself, unescaped where it is a token.
    pub fn decode(&self) -> Cow<'_, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Token(token) => decode_token(token),
        }
    }

    /// The same string without the borrow.
    pub fn into_owned(self) -> Text<'static> {
        Text::Plain(Cow::Owned(match self {
            Self::Plain(text) => text.into_owned(),
            Self::Token(token) => decode_token(token).into_owned(),
        }))
    }

    /// A token, if `raw` is a JSON string.
    pub fn token(raw: &'a RawValue) -> Option<Self> {
        raw.get().starts_with('"').then_some(Self::Token(raw.get()))
    }

    /// Whether the string is empty, told without unescaping.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Plain(text) => text.is_empty(),
            Self::Token(token) => *token == "\"\"",
        }
    }
}

fn decode_token(token: &str) -> Cow<'_, str> {
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        // A lone surrogate escape (`\ud800`) is JSON but no string: lossless is impossible, so the token's text stands in.
        _ => serde_json::from_str::<String>(token).map_or(Cow::Borrowed(token), Cow::Owned),
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Plain(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Plain(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Plain(text)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.decode() == other.decode()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.decode() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.decode() == *other
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(text) => serializer.serialize_str(text),
            Self::Token(token) => Json::checked(token).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Text<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for Text<'_> {
    fn schema_name() -> Cow<'static, str> {
        "string".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}
