//! The grammar, against `serde_json`'s.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn agrees(text: &str) {
    let wanted = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let found = read::<Span<'_>>(text);
    assert_eq!(found.is_ok(), wanted, "{text:?}");
    if let Ok(Span(Some(found))) = found {
        assert_eq!(found, text.trim_matches([' ', '\n', '\r', '\t']));
    }
}

#[test]
fn the_grammar_is_that_of_serde_json() {
    for text in [
        "0",
        "-0",
        "01",
        "1.",
        "1.5e+10",
        "1e",
        ".5",
        "+1",
        "--1",
        "1e999",
        "truex",
        "tru",
        "null",
        "nul",
        "[1,]",
        "[,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":1]",
        "[}",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"",
        "\"\u{1}\"",
        "\"\t\"",
        " \r\n\t[ 1 , { } , [ ] ] ",
        "[1 2]",
        "",
        " ",
        "1 1",
        "\u{feff}1",
        "\u{a0}1",
        "[[[]]",
        "{\"a\":{\"b\":[{\"c\":null}]}}",
        "\"a\\\"",
        "\"a\\\\\"",
        "{\"a\":\"b\" \"c\"}",
        "-",
        "\"\u{7f}\"",
    ] {
        agrees(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn on_texts_near_json(text in r#"( |\n|[\[\]{},:]|"a{0,40}"|"[\\a-f"u/0-9]{0,12}"|true|null|-?[0-9]{1,3}(\.[0-9])?([eE][+-]?1)?){0,16}"#) {
        agrees(&text);
    }

    #[test]
    fn on_strings(text: String, cut in 0..40_usize) {
        let token = serde_json::to_string(&text).expect("JSON");
        agrees(&token);
        agrees(&format!("\"{text}\""));
        agrees(&token.chars().take(cut).collect::<String>());
    }

    #[test]
    fn depth_is_counted_right(brackets in prop::collection::vec(any::<bool>(), 0..300), wrong: prop::sample::Index) {
        let open = |object: &bool| if *object { "{\"a\":" } else { "[" };
        let mut text: String = brackets.iter().map(open).collect();
        text.push('1');
        text.extend(brackets.iter().rev().map(|object| if *object { '}' } else { ']' }));
        agrees(&text);
        let at = wrong.index(text.len());
        agrees(&format!("{}}}{}", &text[..at], &text[at..]));
    }
}
