//! Patterns with captures, templates, and cutting text into deltas.
//!
//! Pure functions on strings. Captured and substituted text is never changed: tests compare it byte for byte.

use serde::Deserialize;
use serde_json::Value;

/// Literal text with `{name}` captures, such as `write {file} with {text}`.
///
/// A capture takes at least one character, and as few as it can; the last one, at the end, takes the rest.
/// Literals are compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Capture(String),
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(source: String) -> Result<Self, String> {
        let parts = split(&source);
        let touching = parts.windows(2).any(|pair| matches!(pair, [Part::Capture(_), Part::Capture(_)]));
        if touching {
            return Err(format!("pattern {source:?}: two captures need text between them"));
        }
        if !parts.iter().any(|part| matches!(part, Part::Literal(_))) {
            return Err(format!("pattern {source:?}: needs some literal text"));
        }
        Ok(Self(parts))
    }
}

impl Pattern {
    /// The captures, if the pattern fits the whole of `text`.
    pub(super) fn captures(&self, text: &str) -> Option<Vec<(String, String)>> {
        let mut rest = text;
        let mut found = Vec::new();
        let mut parts = self.0.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(literal) => rest = strip_prefix_ignore_case(rest, literal)?,
                Part::Capture(name) => {
                    let end = match parts.peek() {
                        Some(Part::Literal(next)) => find_ignore_case(rest, next, 1)?,
                        _ => rest.len(),
                    };
                    if end == 0 {
                        return None;
                    }
                    found.push((name.clone(), rest[..end].to_owned()));
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty().then_some(found)
    }
}

/// `{name}` with a name of ASCII letters, digits and `_` is a capture; every other brace is literal.
fn split(source: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = source;
    while let Some(open) = rest.find('{') {
        literal.push_str(&rest[..open]);
        rest = &rest[open..];
        if let Some(name) = leading_name(rest) {
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Capture(name.to_owned()));
            rest = &rest[name.len() + 2..];
        } else {
            literal.push('{');
            rest = &rest[1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

/// The name in a `{name}` that `text` begins with.
fn leading_name(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?;
    let name = &inner[..inner.find('}')?];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(plain)).then_some(name)
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Where `needle` begins in `text`, at or after byte `from`.
fn find_ignore_case(text: &str, needle: &str, from: usize) -> Option<usize> {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    // A match starts at a character's first byte, because the needle does and bytes over 127 are compared exactly.
    (from..=text.len().checked_sub(needle.len())?)
        .find(|&at| text[at..at + needle.len()].eq_ignore_ascii_case(needle))
}

/// Whether `needle` occurs in `text`, whatever its ASCII case.
pub(super) fn contains_ignore_case(text: &str, needle: &str) -> bool {
    find_ignore_case(text, needle, 0).is_some()
}

/// The names a template may use, looked up in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Takes back the last `set`.
    pub(super) fn forget_last(&mut self) {
        self.0.pop();
    }

    fn get(&self, name: &str) -> Option<&str> {
        // The last one set wins, so that `{n}` can be set anew.
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `template` with each known `{name}` replaced, in one pass: what is put in is not looked at again.
    /// Unknown names and other braces stay as they are.
    pub(super) fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            filled.push_str(&rest[..open]);
            rest = &rest[open..];
            let known = leading_name(rest).and_then(|name| Some((name, self.get(name)?)));
            if let Some((name, value)) = known {
                filled.push_str(value);
                rest = &rest[name.len() + 2..];
            } else {
                filled.push('{');
                rest = &rest[1..];
            }
        }
        filled.push_str(rest);
        filled
    }

    /// The same for every string in a JSON value (not for keys).
    pub(super) fn fill_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(items) => items.iter().map(|item| self.fill_json(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (key.clone(), self.fill_json(value))).collect()
            }
            other => other.clone(),
        }
    }
}

/// The first `chars` characters of `text` (at least one, if there is any) and the rest.
pub(super) fn take_chars(text: &str, chars: usize) -> (&str, &str) {
    let end = text.char_indices().nth(chars.max(1)).map_or(text.len(), |(at, _)| at);
    text.split_at(end)
}

/// At most `bytes` bytes of `text`, cut at a character boundary.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(source: &str) -> Pattern {
        Pattern::try_from(source.to_owned()).unwrap()
    }

    fn captured(source: &str, text: &str) -> Option<Vec<String>> {
        Some(pattern(source).captures(text)?.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn captures_between_and_after_literals() {
        assert_eq!(captured("write {file}", "write a b"), Some(vec!["a b".into()]));
        assert_eq!(captured("write {file} with {text}", "Write a with b with c").unwrap(), ["a", "b with c"]);
        assert_eq!(captured("{a}!", "hey!").unwrap(), ["hey"]);
        assert_eq!(captured("write {file}", "write "), None);
        assert_eq!(captured("write {file}", "rewrite x"), None);
        assert_eq!(captured("{a}!", "hey!?"), None);
        assert_eq!(captured("tool {json}", r#"tool {"a":{}}"#).unwrap(), [r#"{"a":{}}"#]);
        assert_eq!(captured("a {", "a {"), Some(vec![]));
    }

    #[test]
    fn templates_are_filled_once() {
        let mut names = Names::default();
        names.set("user_text", "{n} {user_text}");
        names.set("n", "1");
        names.set("n", "2");
        assert_eq!(names.fill("{n}: {user_text} {unknown} { {}"), "2: {n} {user_text} {unknown} { {}");
        let json = serde_json::json!({"{n}": ["{n}", 1, null]});
        assert_eq!(names.fill_json(&json), serde_json::json!({"{n}": ["2", 1, null]}));
    }

    proptest! {
        #[test]
        fn any_text_is_captured_and_echoed_exactly(text in "(?s).{1,80}") {
            let said = format!("echo {text}");
            let captures = pattern("echo {text}").captures(&said).unwrap();
            prop_assert_eq!(&captures[0].1, &text);
            let mut names = Names::default();
            names.set("text", text.clone());
            prop_assert_eq!(names.fill("{text}"), text);
        }

        #[test]
        fn chunks_join_to_the_text(text in "(?s).{0,80}", chars in 0usize..9) {
            let (mut rest, mut joined) = (text.as_str(), String::new());
            while !rest.is_empty() {
                let (head, tail) = take_chars(rest, chars);
                prop_assert!(!head.is_empty() && head.chars().count() <= chars.max(1));
                joined.push_str(head);
                rest = tail;
            }
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn no_text_makes_matching_panic(source in "(?s).{0,20}", text in "(?s).{0,40}") {
            if let Ok(pattern) = Pattern::try_from(source) {
                let _ = pattern.captures(&text);
            }
        }
    }
}
