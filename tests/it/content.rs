//! What is said arrives exactly, in both directions.

use serde_json::json;

use crate::harness::Lab;

on_both_clis![text_arrives_exactly, thinking_and_text, images_and_other_blocks];

/// Numbers that look random and are always the same (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Any characters: every plane of Unicode, and many of those that JSON, JavaScript and terminals treat in special ways.
    fn text(&mut self, length: usize) -> String {
        const SPECIAL: &[char] = &[
            '"',
            '\\',
            '/',
            '\u{2028}',
            '\u{2029}',
            '\u{85}',
            '\u{feff}',
            '\u{200d}',
            '\u{0}',
            '\u{7f}',
            '\t',
            '<',
            '{',
            '}',
            '😀',
            '\u{10ffff}',
            '\u{e000}',
            '\u{fffd}',
            '\u{301}',
            'é',
            'ß',
            '漢',
            '\u{1b}',
            ' ',
        ];
        let mut text = String::new();
        while text.chars().count() < length {
            let number = self.next();
            let special = SPECIAL[usize::try_from(number >> 32).unwrap() % SPECIAL.len()];
            match number % 4 {
                0 => text.push(special),
                1 => text.extend(char::from_u32(u32::try_from(number >> 40).unwrap() % 0x11_0000)),
                2 => text.extend(char::from_u32(0x20 + u32::try_from(number >> 48).unwrap() % 0x60)),
                _ => text.extend(char::from_u32(0xa0 + u32::try_from(number >> 48).unwrap() % 0x3000)),
            }
        }
        text
    }
}

async fn text_arrives_exactly(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let mut texts = vec![
        "plain".to_owned(),
        r#"quotes " and \ backslashes \" \u0041 and {"json":["in","it"]}"#.to_owned(),
        "lines\nand\r\nreturns\u{2028}and\u{2029}separators\u{85}".to_owned() + "x",
        "😀 𝄞 👩‍👩‍👧 é e\u{301} \u{fffd} \u{10ffff} end".to_owned(),
        "[1,2,3]".to_owned(),
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    texts.extend((0..4).map(|round| format!("<{}>", random.text(20 + 60 * round))));
    for text in &texts {
        let turn = client.turn(format!("echo {text}")).await.succeeded();
        assert_eq!(turn.text(), *text);
        assert_eq!(turn.result["result"], **text);
        assert_eq!(turn.one("user_message")["content"], format!("echo {text}"));
        assert_eq!(turn.one("assistant_message_complete")["stop_reason"], "end_turn");
        let asked = server.model().request_where(|request| request.user_text == format!("echo {text}"));
        asked.await;
    }
    // Escapes that nobody needs, and surrogate pairs among them.
    client
        .send_text(
            r#"{"type":"user_message","id":"esc","session_id":"s","content":"ech\u006f \ud83d\ude00\u2028\u0022\/\u00e9"}"#,
        )
        .await;
    let turn = client.finish("esc").await.succeeded();
    assert_eq!(turn.text(), "😀\u{2028}\"/é");
    // A long text comes whole.
    let turn = client.turn("count 3000").await.succeeded();
    let expected: String = (1..=3000)
        .fold(String::new(), |text, n| text + &format!("{n}: the quick brown fox jumps over dogs\n"));
    assert_eq!(turn.text(), expected);
}

async fn thinking_and_text(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let turn = client.turn("think").await.succeeded();
    assert!(turn.thinking().starts_with("The user wants to see me think."), "{}", turn.thinking());
    assert_eq!(turn.text(), "I have thought about it, and the answer is 42.");
    let kinds: Vec<_> =
        turn.of_type("assistant_message_delta").into_iter().map(|m| &m["delta"]["delta_type"]).collect();
    let first_text = kinds.iter().position(|kind| *kind == "text").unwrap();
    assert!(kinds[..first_text].iter().all(|kind| *kind == "thinking"), "thinking comes first: {kinds:?}");
    assert_eq!(
        turn.of_type("assistant_message_start").len(),
        1,
        "one message of the model is one message here"
    );
    let usage = &turn.one("assistant_message_complete")["usage"];
    assert!(usage["output_tokens"].is_u64(), "{usage}");
    for number in ["duration_ms", "duration_api_ms", "num_turns", "total_cost_usd"] {
        assert!(turn.result[number].is_number(), "{number}: {}", turn.result);
    }
}

/// One white pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==";

async fn images_and_other_blocks(lab: &Lab) {
    let server = lab.server().await;
    let mut client = server.session(json!({})).await;
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}});
    let blocks = json!([{"type": "text", "text": "look"}, image.clone(), image]);
    let turn = client.turn(blocks.clone()).await.succeeded();
    assert_eq!(turn.text(), "I got 2 image block(s). Your text was: look");
    assert_eq!(turn.one("user_message")["content"], blocks);
    let turn = client.turn(blocks.to_string()).await.succeeded();
    assert_eq!(turn.text(), "I got 2 image block(s). Your text was: look");
    assert_eq!(turn.one("user_message")["content"], blocks.to_string(), "as the client sent it");
    for text in
        [r#"{"type":"text"}"#, "[1, 2", r#"["a","b"]"#, r#"[{"no":"type"}]"#, "[]", "\"quoted\"", "null", "7"]
    {
        let turn = client.turn(text).await.succeeded();
        assert!(turn.text().ends_with(&format!("You said: {text}")), "{text}: {}", turn.text());
    }
    let turn = client.turn(json!([{"type": "text", "text": "echo a block"}])).await.succeeded();
    assert_eq!(turn.text(), "a block");
    assert_eq!(turn.one("user_message")["content"], json!([{"type": "text", "text": "echo a block"}]));
}
