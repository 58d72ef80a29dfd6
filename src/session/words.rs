//! Other people's words, made fit for a log line or for a client. Must not know where they come from.

/// Characters of them that a log line shows.
const MAX_LOGGED: usize = 200;
/// A word of so many letters and digits may be a key.
const MAX_WORD: usize = 24;

/// For a log line: one line, no control characters, 200 characters at most.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text, MAX_LOGGED))
}

/// The first `max` characters, and a mark where there were more.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Without the sequences that colour a terminal, and without control characters.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char == '\u{1b}' {
            if rest.as_str().starts_with('[') {
                rest.by_ref().skip(1).find(|char| ('\u{40}'..='\u{7e}').contains(char));
            }
        } else {
            plain.push(if char.is_control() { ' ' } else { char });
        }
    }
    plain
}

/// For clients: paths of this machine and what may be a key are left out. (Conversations' ids may stay, and so may `/login`, which
/// is what Claude Code tells people to say.)
pub(super) fn for_clients(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_bearer = false;
    let is_separator = |char: char| char.is_whitespace() || "'\"`()[]{}<>,;=|&?".contains(char);
    for piece in text.split_inclusive(is_separator) {
        let (word, separator) = match piece.char_indices().next_back() {
            Some((at, last)) if is_separator(last) => piece.split_at(at),
            _ => (piece, ""),
        };
        if after_bearer && !word.is_empty() || may_be_key(word) {
            out.push_str("[removed]");
        } else if let Some(at) = path_in(word) {
            out.push_str(&word[..at]);
            out.push_str("[path]");
        } else {
            out.push_str(word);
        }
        if !word.is_empty() {
            after_bearer = word.eq_ignore_ascii_case("bearer");
        }
        out.push_str(separator);
    }
    out
}

/// Where an absolute path begins in this word.
fn path_in(word: &str) -> Option<usize> {
    if let Some(at) = word.find("file://") {
        return Some(at);
    }
    let at = match word {
        _ if word.starts_with("~/") => return Some(0),
        _ if word.starts_with('/') => 0,
        _ => word.find(":/").filter(|at| !word[at + 2..].starts_with('/'))? + 1,
    };
    word[at + 1..].contains('/').then_some(at)
}

fn may_be_key(word: &str) -> bool {
    if word.contains("://") {
        // Name and password of a URL.
        return word.contains('@');
    }
    let known = ["sk-", "sk_", "ghp_", "gho_", "github_pat_", "xox", "eyJ", "AKIA"];
    let word = word.trim_matches(|char: char| ".:!".contains(char));
    // With its hyphens: 32 hexadecimal digits may be anything.
    let is_uuid = word.len() == 36 && uuid::Uuid::try_parse(word).is_ok();
    if is_uuid || path_in(word).is_some() {
        return false;
    }
    // `name:value` and `name:value:more`.
    word.split(':').any(|part| {
        let is_long = part.len() >= MAX_WORD
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+/.".contains(&byte))
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_long || (part.len() > 8 && known.iter().any(|prefix| part.starts_with(prefix)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{for_clients, plain, quoted};

    #[test]
    fn a_log_line_stays_one_line_of_bounded_length() {
        let reason = format!("a\nb\u{1b}[31m{}", "x".repeat(1_000_000));
        let shown = quoted(&reason);
        assert!(shown.chars().count() < 220 && !shown.contains(char::is_control), "{shown}");
        assert!(shown.starts_with(r#""a\nb"#), "{shown}");
    }

    #[test]
    fn paths_and_keys_do_not_reach_clients() {
        for (said, told) in [
            ("Error: Cannot find module '/opt/claude/cli.js'", "Error: Cannot find module '[path]'"),
            ("at file:///home/ada/x.js:3:1", "at [path]"),
            ("EACCES:/home/ada/.claude: denied", "EACCES:[path] denied"),
            ("no such file ~/.claude/settings.json.", "no such file [path]"),
            ("invalid x-api-key: sk-ant-api03-abcdef", "invalid x-api-key: [removed]"),
            ("Authorization: Bearer abc", "Authorization: Bearer [removed]"),
            ("token=0123456789abcdef0123456789abcdef!", "token=[removed]"),
            ("via http://ada:secret@proxy:3128/", "via [removed]"),
            ("key:0123456789abcdef0123456789abcdef", "[removed]"),
        ] {
            assert_eq!(for_clients(said), told);
        }
    }

    #[test]
    fn what_helps_stays() {
        for said in [
            "Invalid API key · Please run /login",
            "No conversation found with session ID: 3f2c8a52-5f58-4c3e-9a0e-5b3a1d3f6f11",
            "exited with code 1: error: unknown option '--frobnicate'",
            "API Error: 529 https://api.example.com/v1/messages",
            "JavaScript heap out of memory and/or worse",
            "",
        ] {
            assert_eq!(for_clients(said), said);
        }
    }

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(plain("\u{1b}[1;31merror\u{1b}[0m:\tno\u{7}"), "error: no ");
        assert_eq!(plain("\u{1b}[31"), "");
        assert_eq!(plain("\u{1b}"), "");
    }

    proptest! {
        #[test]
        fn any_words_are_taken(text in "\\PC{0,80}", more in any::<String>()) {
            for text in [text, more] {
                let _ = (quoted(&text), plain(&text), for_clients(&text));
            }
        }
    }
}
