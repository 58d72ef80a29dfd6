//! Errors that name the field by its path, in words of JSON and not of Rust.

use std::fmt;

use serde::de::DeserializeOwned;

/// Longest part of a frame that an error repeats, in characters.
const LONGEST_QUOTE: usize = 80;
/// Longest text of a problem, in characters.
const LONGEST_PROBLEM: usize = 240;

/// A field that is not as the protocol wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Where: `config.metadata`, `mcp_servers[1].name`; empty for the frame itself.
    pub path: String,
    /// What is wrong with it, as the rest of a sentence.
    pub problem: String,
}

impl Invalid {
    /// `problem` continues a sentence that begins with the field.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }

    /// The same problem, seen from the object that holds `parent`.
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        let path = match self.path.as_str() {
            "" => parent.to_owned(),
            path if path.starts_with('[') => format!("{parent}{path}"),
            path => format!("{parent}.{path}"),
        };
        Self { path, ..self }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "the frame: {}", self.problem);
        }
        write!(f, "`{}` {}", brief(&self.path), self.problem)
    }
}

impl std::error::Error for Invalid {}

/// Reads `T` from JSON text; the error says where.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Invalid> {
    let mut parser = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        named(path, without_position(&error.inner().to_string()))
    })
}

/// Gives serde's messages about a field the path of that field, and words that a JavaScript developer knows.
fn named(path: String, problem: &str) -> Invalid {
    let about_field = |start: &str| problem.strip_prefix(start)?.strip_suffix('`').map(str::to_owned);
    if let Some(field) = about_field("missing field `") {
        return Invalid::new(field, "is missing").under_if(&path);
    }
    if let Some(field) = about_field("duplicate field `") {
        return Invalid::new(field, "is given twice").under_if(&path);
    }
    let problem = ["u32", "u64", "usize"].iter().fold(problem.to_owned(), |problem, integer| {
        match problem.strip_suffix(&format!("expected {integer}")) {
            Some(start) => format!("{start}expected a whole number, 0 or more"),
            None => problem,
        }
    });
    let problem = match problem.strip_suffix("expected a sequence") {
        Some(start) => format!("{start}expected an array"),
        None => problem,
    };
    let problem = match problem.strip_suffix("expected a map") {
        Some(start) => format!("{start}expected an object"),
        None => problem,
    };
    Invalid::new(path, format!("is not valid: {}", brief(&problem)))
}

impl Invalid {
    fn under_if(self, parent: &str) -> Self {
        if parent.is_empty() { self } else { self.under(parent) }
    }
}

/// `serde_json` ends its messages with a position, which says little about a frame of one line.
pub(super) fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

/// `text`, cut: whatever a client sent is never sent back at length. Control characters are escaped.
pub(super) fn brief(text: &str) -> String {
    cut(text, LONGEST_PROBLEM)
}

/// `text` in quotes, cut, with everything escaped that could mislead in a log.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text, LONGEST_QUOTE).replace('"', "\\\""))
}

fn cut(text: &str, longest: usize) -> String {
    let mut short = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == longest {
            short.push('…');
            break;
        }
        match character {
            _ if misleading(character) => short.extend(character.escape_unicode()),
            _ => short.push(character),
        }
    }
    short
}

/// Control characters, and those that change the direction or the line of the text around them.
fn misleading(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
