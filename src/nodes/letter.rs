//! What gateways write to each other: a line of JSON, and behind it the frames as they are.
//!
//! Both ends run the same version or neighbouring ones: what cannot be read is dropped, and whoever waits for an answer is told after
//! [`ASK`](super::router::ASK).

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::protocol::ErrorCode;
use crate::store::NodeId;

/// One message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) from: NodeId,
    pub(super) head: Head,
    /// Frames, or what else is text.
    pub(super) bodies: Vec<Utf8Bytes>,
}

/// What it is about. `n` names a question among those of the node that asks; `connection` one of the door's connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Head {
    /// Door to owner: a client's message, the body; `owner` is the token's name.
    Ask { n: u64, connection: u64, owner: String },
    /// Owner to door: what the session answers, the bodies.
    Answer { n: u64, bad: Option<ErrorCode>, place: Option<Place> },
    /// Owner to door: the session is not run here.
    NotHere { n: u64 },
    /// Owner to door: something for the connection that answers nothing.
    Notice { connection: u64 },
    /// Door to owner: the connection has ended.
    Goodbye { connection: u64 },
    /// Owner to door: the session is not run here any more. `session` is its key.
    Moved { session: String, epoch: String },
    /// How are these sessions of that token's? (None: all that you run, as former versions ask.)
    List {
        n: u64,
        owner: String,
        #[serde(default)]
        sessions: Vec<String>,
    },
    /// The answer: the body is a JSON list of summaries.
    Listed { n: u64 },
    /// You had no lease for a while: your connections are not known here any more.
    Forgotten,
}

/// Where an attached connection is to read on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its key.
    pub(super) session: String,
    pub(super) epoch: String,
    /// After this event.
    pub(super) position: u64,
    /// The store has everything up to here.
    pub(super) durable: u64,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    from: &'a str,
    head: Head,
    lengths: Vec<usize>,
}

/// A letter that nobody can read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadLetter {
    #[error("it has no first line")]
    NoLine,
    #[error("its first line: {0}")]
    Line(#[from] serde_json::Error),
    #[error("it is cut off, or not UTF-8")]
    Bodies,
}

impl Letter {
    pub(super) fn write(self) -> Bytes {
        let lengths: Vec<_> = self.bodies.iter().map(|body| body.len()).collect();
        let line = Line { from: self.from.as_str(), head: self.head, lengths };
        let line = serde_json::to_vec(&line).unwrap_or_default();
        let bodies: usize = line_lengths(&self.bodies);
        let mut bytes = BytesMut::with_capacity(line.len() + 1 + bodies);
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(b"\n");
        for body in &self.bodies {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes.freeze()
    }

    pub(super) fn read(mut bytes: Bytes) -> Result<Self, BadLetter> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(BadLetter::NoLine)?;
        let line = bytes.split_to(end);
        let Line { from, head, lengths } = serde_json::from_slice(&line)?;
        let _ = bytes.split_to(1);
        let mut bodies = Vec::with_capacity(lengths.len().min(64));
        for length in lengths {
            if length > bytes.len() {
                return Err(BadLetter::Bodies);
            }
            bodies.push(Utf8Bytes::try_from(bytes.split_to(length)).map_err(|_| BadLetter::Bodies)?);
        }
        Ok(Self { from: from.into(), head, bodies })
    }
}

fn line_lengths(bodies: &[Utf8Bytes]) -> usize {
    bodies.iter().map(|body| body.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::{Head, Letter, Place};
    use crate::protocol::ErrorCode;

    fn letter(head: Head, bodies: &[&str]) -> Letter {
        Letter { from: "node".into(), head, bodies: bodies.iter().map(|body| (*body).into()).collect() }
    }

    #[test]
    fn what_is_written_is_read() {
        let place = Place { session: "s".into(), epoch: "e".into(), position: 7, durable: 5 };
        for letter in [
            letter(Head::Ask { n: 1, connection: 2, owner: "\n\u{e9}".into() }, &["{\"type\":\"x\"}\n"]),
            letter(
                Head::Answer { n: 1, bad: Some(ErrorCode::InvalidJson), place: Some(place) },
                &["", "\u{1f600}", "b"],
            ),
            letter(Head::Forgotten, &[]),
        ] {
            assert_eq!(Letter::read(letter.clone().write()).unwrap(), letter);
        }
    }

    #[test]
    fn what_is_no_letter_is_refused() {
        let good = letter(Head::Notice { connection: 1 }, &["\u{e9}"]).write();
        for end in 0..good.len() {
            assert!(Letter::read(good.slice(..end)).is_err(), "cut at {end}");
        }
        for bad in ["\n", "{}\n", "null\n", r#"{"from":"a","head":{"other":{}},"lengths":[]}"#] {
            assert!(Letter::read(format!("{bad}\n").into()).is_err(), "{bad}");
        }
        let huge = r#"{"from":"a","head":"forgotten","lengths":[18446744073709551615,1]}"#;
        assert!(Letter::read(format!("{huge}\n").into()).is_err());
    }
}
