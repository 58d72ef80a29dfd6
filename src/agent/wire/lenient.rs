//! Reading JSON that somebody else's program writes, without ever stumbling over it.
//!
//! The agent's lines gain fields every week and change shapes between versions. The types made here take what they know and
//! step over the rest: unknown keys, repeated keys (the last one counts), values of another kind than expected. They borrow from the
//! line, and everything that is only passed on stays JSON text ([`RawValue`]). They must be read straight from JSON text.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Defines a struct whose fields are read from an object's keys of the given names; anything but an object gives the default.
macro_rules! lenient {
    ($(#[$meta:meta])* $vis:vis $name:ident { $( $(#[$field_meta:meta])* $field:ident : $type:ty = $key:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default)]
        $vis struct $name<'a> { $( $(#[$field_meta])* $vis $field: $type ),* }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            #[inline]
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::agent::wire::lenient::Object::<Self>::NEW)
            }
        }

        impl<'de: 'a, 'a> $crate::agent::wire::lenient::FromMap<'de> for $name<'a> {
            #[inline]
            fn from_map<M: serde::de::MapAccess<'de>>(mut map: M) -> Result<Self, M::Error> {
                let mut this = Self::default();
                while let Some(key) = map.next_key::<$crate::agent::wire::lenient::Key<'de>>()? {
                    match &*key.0 {
                        $( $key => this.$field = map.next_value()?, )*
                        _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                    }
                }
                Ok(this)
            }
        }
    };
}
pub(super) use lenient;

/// An object's key, borrowed unless it is written with escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text).map(Self)
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    #[inline]
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// What the `lenient!` types are built from.
pub(super) trait FromMap<'de>: Default {
    /// Reads the object.
    fn from_map<M: MapAccess<'de>>(map: M) -> Result<Self, M::Error>;
}

/// Reads an object as `T`, and any other value as `T`'s default.
pub(super) struct Object<T>(PhantomData<T>);

impl<T> Object<T> {
    pub(super) const NEW: Self = Self(PhantomData);
}

/// The visits of values that are of another kind than the one that was hoped for: they count as absent.
macro_rules! absent {
    ($lifetime:lifetime: $($kind:ident)*) => { $( absent!(@$kind $lifetime); )* };
    (@scalar $lifetime:lifetime) => {
        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    (@string $lifetime:lifetime) => {
        fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    (@seq $lifetime:lifetime) => {
        fn visit_seq<S: SeqAccess<$lifetime>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@map $lifetime:lifetime) => {
        fn visit_map<M: MapAccess<$lifetime>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
}

impl<'de, T: FromMap<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    #[inline]
    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
        T::from_map(map)
    }

    absent!('de: scalar string seq);
}

/// A string, if the value is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Str<'a>(pub Option<Cow<'a, str>>);

impl<'a> Str<'a> {
    /// The string, `""` where there is none.
    pub fn get(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }

    /// The string, if there is one.
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The string, `""` where there is none.
    pub fn into_text(self) -> Cow<'a, str> {
        self.0.unwrap_or(Cow::Borrowed(""))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaybeText)
    }
}

struct MaybeText;

impl<'de> Visitor<'de> for MaybeText {
    type Value = Str<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    #[inline]
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Str(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Str(Some(Cow::Owned(text.to_owned()))))
    }

    absent!('de: scalar seq map);
}

/// Any value, as its JSON text; `null` counts as absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw<'a>(pub Option<&'a RawValue>);

impl<'a> Raw<'a> {
    /// The JSON text.
    pub fn get(self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }

    /// The value, if it is a string: still as its token.
    pub fn string(self) -> Option<&'a RawValue> {
        self.0.filter(|raw| raw.get().starts_with('"'))
    }

    /// The value, if it is an array.
    pub fn array(self) -> Option<&'a RawValue> {
        self.0.filter(|raw| raw.get().starts_with('['))
    }

    /// The value, if it is an object.
    pub fn object(self) -> Option<&'a RawValue> {
        self.0.filter(|raw| raw.get().starts_with('{'))
    }

    /// The value, if it is a string; what no string can hold (lone surrogates) is replaced by U+FFFD.
    pub fn text(self) -> Option<Cow<'a, str>> {
        self.string().map(|token| decode(token.get()))
    }

    /// The value as `T`, if it is one.
    pub fn to<T: Deserialize<'a>>(self) -> Option<T> {
        self.0.and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// The value, if it is a number that is not negative; fractions are cut off, too large ones capped.
    pub fn count(self) -> Option<u64> {
        self.get().and_then(count)
    }

    /// The value, if it is a finite number.
    pub fn number(self) -> Option<f64> {
        self.get()?.parse::<f64>().ok().filter(|number| number.is_finite())
    }

    /// The value, if it is a boolean.
    pub fn flag(self) -> Option<bool> {
        self.get().and_then(flag)
    }
}

/// A number that is not negative; fractions are cut off, too large ones capped.
pub(super) fn count(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().or_else(|| {
        let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates; and is not negative"
        )]
        Some(number as u64)
    })
}

/// A boolean.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        Ok(Self((raw.get() != "null").then_some(raw)))
    }
}

/// A JSON string token's text; lone surrogates become U+FFFD.
#[inline]
pub(super) fn decode(token: &str) -> Cow<'_, str> {
    let inner = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(token);
    if inner.contains('\\') { unescape(token, inner) } else { Cow::Borrowed(inner) }
}

#[cold]
fn unescape<'a>(token: &'a str, inner: &'a str) -> Cow<'a, str> {
    if let Ok(text) = serde_json::from_str::<String>(token) {
        return Cow::Owned(text);
    }
    match serde_json::from_str::<Bytes>(token) {
        Ok(Bytes(mut bytes)) => {
            // serde_json reads a lone surrogate into bytes as WTF-8: 0xed 0xa0–0xbf and one more, which no UTF-8 has.
            for at in 1..bytes.len().saturating_sub(1) {
                if bytes[at - 1] == 0xed && bytes[at] >= 0xa0 {
                    bytes[at - 1..=at + 1].copy_from_slice("\u{fffd}".as_bytes());
                }
            }
            Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(_) => Cow::Borrowed(inner),
    }
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(V)
    }
}

/// The elements of an array; anything else counts as an array without elements.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Elements(PhantomData))
    }
}

struct Elements<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<List<T>, S::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            list.push(element);
        }
        Ok(List(list))
    }

    absent!('de: scalar string map);
}
