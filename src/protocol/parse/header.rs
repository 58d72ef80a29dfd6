//! The common fields of a client frame, in any order, borrowed; all else is skipped, but must be JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::path::{Invalid, brief, without_position};
use super::{FrameError, FrameLimits};
use crate::protocol::{ClientMessage, ErrorCode};

/// Longest `id` and `session_id`, in characters.
const LONGEST_ID: usize = 128;

/// The common fields of a frame whose type is known and has the ids that the type needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// One of [`ClientMessage::TYPES`].
    pub kind: &'static str,
    /// 1–128 characters; absent only where the type allows it.
    pub id: Option<Cow<'a, str>>,
    /// 1–128 of `A-Z a-z 0-9 . _ : -`; absent only where the type allows it.
    pub session_id: Option<Cow<'a, str>>,
}

/// Whether a type needs an `id`.
fn needs_id(kind: &str) -> bool {
    !matches!(kind, "new_session" | "heartbeat")
}

/// Whether a type needs a `session_id`.
fn needs_session(kind: &str) -> bool {
    kind != "session_start" && !ignores_session(kind)
}

/// Whether a type has no use for a `session_id`, so that even an empty one does no harm.
fn ignores_session(kind: &str) -> bool {
    matches!(kind, "new_session" | "session_list" | "heartbeat")
}

/// Reads and checks the common fields, and checks that `text` is one JSON object that nests no deeper than allowed.
pub fn header<'a>(text: &'a str, limits: &FrameLimits) -> Result<Header<'a>, FrameError> {
    let mut found = Found::default();
    // Skipping values takes no recursion, so the ids can be read however deep the rest goes.
    if let Err(error) = read(text, &mut found) {
        return Err(found.refused(ErrorCode::InvalidJson, error));
    }
    if !super::within_depth(text, limits.depth) {
        let message = format!("the frame nests deeper than {} levels", limits.depth);
        return Err(found.refused(ErrorCode::InvalidMessage, message));
    }
    match found.checked() {
        Ok((kind, id, session_id)) => known(&kind, &found).map(|kind| Header { kind, id, session_id }),
        Err(invalid) => Err(found.refused(ErrorCode::InvalidMessage, invalid.to_string())),
    }
}

fn known(kind: &str, found: &Found<'_>) -> Result<&'static str, FrameError> {
    let known = ClientMessage::TYPES.iter().find(|name| **name == kind);
    known
        .copied()
        .ok_or_else(|| found.refused(ErrorCode::UnknownType, FrameError::unknown_type(kind).message))
}

/// The common fields as they stand in the text. What was read before an error stays, so that the error can be addressed.
#[derive(Default)]
struct Found<'a> {
    kind: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    twice: Option<&'static str>,
}

type Checked<'a> = (Cow<'a, str>, Option<Cow<'a, str>>, Option<Cow<'a, str>>);

impl<'a> Found<'a> {
    fn checked(&self) -> Result<Checked<'a>, Invalid> {
        if let Some(field) = self.twice {
            return Err(Invalid::new(field, "is given twice"));
        }
        let kind = string("type", self.kind)?.ok_or_else(|| Invalid::new("type", "is missing"))?;
        if kind.is_empty() {
            return Err(Invalid::new("type", "is empty"));
        }
        let id = string("id", self.id)?;
        if let Some(id) = &id {
            valid_id(id).map_err(|problem| Invalid::new("id", problem))?;
        }
        let session_id = string("session_id", self.session_id)?;
        let session_id = session_id.filter(|session| !(session.is_empty() && ignores_session(&kind)));
        if let Some(session) = &session_id {
            valid_session(session).map_err(|problem| Invalid::new("session_id", problem))?;
        }
        // A frame of an unknown type is told so, rather than what fields such a type might need.
        if ClientMessage::TYPES.contains(&kind.as_ref()) {
            if id.is_none() && needs_id(&kind) {
                return Err(Invalid::new("id", "is missing"));
            }
            if session_id.is_none() && needs_session(&kind) {
                return Err(Invalid::new("session_id", "is missing"));
            }
        }
        Ok((kind, id, session_id))
    }

    fn refused(&self, code: ErrorCode, message: String) -> FrameError {
        let usable = |raw: Option<&RawValue>, valid: fn(&str) -> Result<(), &'static str>| {
            let text = string("", raw).ok().flatten()?;
            valid(&text).is_ok().then(|| text.into_owned())
        };
        FrameError {
            code,
            message,
            request_id: usable(self.id, valid_id),
            session_id: usable(self.session_id, valid_session),
        }
    }
}

fn valid_id(id: &str) -> Result<(), &'static str> {
    match id.chars().nth(LONGEST_ID) {
        _ if id.is_empty() => Err("is empty"),
        Some(_) => Err("is longer than 128 characters"),
        None => Ok(()),
    }
}

fn valid_session(id: &str) -> Result<(), &'static str> {
    valid_id(id)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if id.bytes().all(allowed) { Ok(()) } else { Err("may hold only A-Z a-z 0-9 . _ : -") }
}

/// The string behind a token; `None` for an absent or `null` one. Borrowed where nothing is escaped.
fn string<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Invalid> {
    let Some(token) = raw.map(RawValue::get).filter(|token| *token != "null") else { return Ok(None) };
    let Some(inner) = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Err(Invalid::new(field, "is not a string"));
    };
    if !inner.contains('\\') {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    // An escape can be JSON and yet no character: half of a surrogate pair.
    match serde_json::from_str(token) {
        Ok(text) => Ok(Some(Cow::Owned(text))),
        Err(_) => Err(Invalid::new(field, "holds an escape that is no character")),
    }
}

/// Reads `text` to its end. The error is for the client.
fn read<'a>(text: &'a str, found: &mut Found<'a>) -> Result<(), String> {
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let mut parser = serde_json::Deserializer::from_str(text);
    let result = if start.starts_with('{') {
        Scan(found).deserialize(&mut parser)
    } else {
        IgnoredAny::deserialize(&mut parser).map(|_| ())
    };
    if let Err(error) = result.and_then(|()| parser.end()) {
        let (line, column) = (error.line(), error.column());
        let problem = without_position(&error.to_string()).to_owned();
        return Err(format!("the frame is not JSON: {} at line {line} column {column}", brief(&problem)));
    }
    if start.starts_with('{') { Ok(()) } else { Err("the frame is not a JSON object".to_owned()) }
}

/// Walks the frame's object into the `Found` it holds.
struct Scan<'f, 'a>(&'f mut Found<'a>);

impl<'de: 'a, 'a> DeserializeSeed<'de> for Scan<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Scan<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            let (name, slot) = match string("", Some(key)).ok().flatten().as_deref() {
                Some("type") => ("type", &mut self.0.kind),
                Some("id") => ("id", &mut self.0.id),
                Some("session_id") => ("session_id", &mut self.0.session_id),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value()?).is_some() {
                self.0.twice = Some(name);
            }
        }
        Ok(())
    }
}
