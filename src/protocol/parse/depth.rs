//! How deep JSON text nests, told by a scan without recursion, before any parser that recurses sees the text.

use memchr::memchr2;

/// Whether arrays and objects in `json` nest at most `limit` deep. The text need not be valid JSON.
pub fn within_depth(json: &str, limit: usize) -> bool {
    let bytes = json.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// The position after the closing quote of the string that began before `at`, or the end of the text.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::within_depth;

    #[test]
    fn counts_what_is_open_and_not_what_stands_in_strings() {
        assert!(within_depth("", 0));
        assert!(within_depth(r#"{"a":[[1],[2],[3]]}"#, 3));
        assert!(!within_depth(r#"{"a":[[1],[2],[3]]}"#, 2));
        assert!(within_depth(r#"["[[[[", "\"[[[", "\\", "[["]"#, 1));
        assert!(!within_depth(r#"["\\", [[]]]"#, 2));
        assert!(within_depth(r#"["unfinished \"#, 1));
        assert!(!within_depth(&"[".repeat(1_000_000), 64));
    }
}
