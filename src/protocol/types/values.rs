//! Two building blocks of messages: JSON that is passed on untouched, and strings that may still be JSON tokens.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Any JSON value, kept as the text it arrived in and written out again without being parsed.
///
/// Deserialize it only straight from JSON text (serde's buffered modes, `tag` and `flatten`, cannot carry raw text).
#[derive(Debug, Clone)]
pub struct Json<'a>(Cow<'a, RawValue>);

impl<'a> Json<'a> {
    /// A view of JSON text that a parser has already found valid.
    pub fn borrowed(raw: &'a RawValue) -> Self {
        Self(Cow::Borrowed(raw))
    }

    /// The JSON form of `value`. Fails only where serde does (map keys that are not strings, a failing `Serialize`).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(Cow::Owned(raw)))
    }

    /// Checks that `text` is one JSON value and takes it as it is.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(|raw| Self(Cow::Owned(raw)))
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The JSON text as serde's raw value.
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// The same value without the borrow.
    pub fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }

    /// Reads the value as `T`.
    pub fn to<'s, T: Deserialize<'s>>(&'s self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// An empty object, `{}`.
    #[expect(clippy::missing_panics_doc, reason = "`{}` is JSON")]
    pub fn empty_object() -> Json<'static> {
        Json(Cow::Owned(RawValue::from_string("{}".to_owned()).expect("`{}` is JSON")))
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
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Boxed, so that `Json<'static>` fields can be read too; hot paths borrow through `&RawValue` themselves.
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(Cow::Owned(raw)))
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
    Token(&'a RawValue),
}

impl<'a> Text<'a> {
    /// The string itself, unescaped where it is a token.
    pub fn decode(&self) -> Cow<'_, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Token(token) => decode_token(token.get()),
        }
    }

    /// The same string without the borrow.
    pub fn into_owned(self) -> Text<'static> {
        Text::Plain(Cow::Owned(match self {
            Self::Plain(text) => text.into_owned(),
            Self::Token(token) => decode_token(token.get()).into_owned(),
        }))
    }

    /// A token, if `raw` is a JSON string.
    pub fn token(raw: &'a RawValue) -> Option<Self> {
        raw.get().starts_with('"').then_some(Self::Token(raw))
    }

    /// Whether the string is empty, told without unescaping.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Plain(text) => text.is_empty(),
            Self::Token(token) => token.get() == "\"\"",
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
            Self::Token(token) => token.serialize(serializer),
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
