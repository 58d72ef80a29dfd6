//! Results of tools that are longer than a reader wants: their beginning, and pages of the whole.
//!
//! Works on `tool_result` events as the [encoder](super::encode) wrote them. Every field but `content` and `blocks` stays as it stands,
//! whether or not it is known here. Bytes are those of the content as UTF-8, not of its JSON; nothing is cut inside a character.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ResultReadReply, Text};

/// How such an event begins.
const BEGINNING: &str = r#"{"type":"tool_result","#;

/// The same event with at most `max_bytes` of its content, without `blocks`, and with `truncated` and `total_bytes`. None: it is no tool's
/// result, or no longer than that.
pub fn shortened(frame: &str, max_bytes: usize) -> Option<String> {
    let fields = Fields::of(frame)?;
    let content = fields.text("content")?;
    let content = content.decode();
    if content.len() <= max_bytes {
        return None;
    }
    let beginning = Text::Plain(content[..content.floor_char_boundary(max_bytes)].into());
    let mut out = String::with_capacity(max_bytes + max_bytes / 8 + 512);
    for (name, value) in fields.0.iter().filter(|(name, _)| name != "blocks") {
        out.push(if out.is_empty() { '{' } else { ',' });
        // Strings serialise, so neither is ever skipped.
        out.push_str(&serde_json::to_string(name).ok()?);
        out.push(':');
        if name == "content" {
            out.push_str(&serde_json::to_string(&beginning).ok()?);
            out.push_str(r#","truncated":true,"total_bytes":"#);
            out.push_str(&content.len().to_string());
        } else {
            out.push_str(value.get());
        }
    }
    out.push('}');
    Some(out)
}

/// A page of the content, from `offset` on and of at most `max_bytes`, but with at least one character where any is left. None: it is no
/// result of that call.
pub fn page(
    frame: &str,
    tool_use_id: &str,
    offset: u64,
    max_bytes: usize,
) -> Option<ResultReadReply<'static>> {
    let fields = Fields::of(frame)?;
    if fields.text("tool_use_id")?.decode() != tool_use_id {
        return None;
    }
    let content = fields.text("content")?;
    let content = content.decode();
    let begin = content.floor_char_boundary(usize::try_from(offset).unwrap_or(usize::MAX));
    let rest = &content[begin..];
    let one = rest.chars().next().map_or(0, char::len_utf8);
    let page = &rest[..rest.floor_char_boundary(max_bytes.max(one))];
    let end = begin + page.len();
    Some(ResultReadReply {
        tool_use_id: tool_use_id.to_owned().into(),
        offset: begin as u64,
        content: page.to_owned().into(),
        total_bytes: content.len() as u64,
        next_offset: (end < content.len()).then_some(end as u64),
    })
}

/// An object's fields in their order, the values as they stand.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Those of a `tool_result` event.
    fn of(frame: &'a str) -> Option<Self> {
        if !frame.starts_with(BEGINNING) {
            return None;
        }
        serde_json::from_str(frame).ok()
    }

    fn text(&self, name: &str) -> Option<Text<'a>> {
        let (_, value) = self.0.iter().find(|(field, _)| field == name)?;
        Text::token(value)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{page, shortened};
    use crate::protocol::encode::{Encoder, Header};
    use crate::protocol::{Json, MessageId, ServerFrame, ServerMessage, ToolResult};

    fn frame(content: &str, blocks: Option<&Value>) -> String {
        let result = ToolResult {
            tool_use_id: "toolu_\"1".into(),
            content: content.to_owned().into(),
            is_error: true,
            blocks: blocks.map(|blocks| Json::of(blocks).expect("it serialises")),
            parent_tool_use_id: Some("toolu_0".into()),
            task_id: None,
            truncated: false,
            total_bytes: None,
        };
        let header =
            Header { id: MessageId(7).into(), request_id: Some("c-1"), seq: Some(3), timestamp: Some(1) };
        Encoder::new("s").encode(&header, &ServerMessage::ToolResult(result)).as_str().to_owned()
    }

    fn value(frame: &str) -> Value {
        serde_json::from_str(frame).expect("valid JSON")
    }

    proptest! {
        #[test]
        fn what_is_cut_is_the_beginning_and_valid(content in any::<String>(), max in 0..200_usize) {
            let whole = frame(&content, Some(&json!([{"type": "image", "content": "\u{1F980}"}])));
            match shortened(&whole, max) {
                None => prop_assert!(content.len() <= max),
                Some(cut) => {
                    prop_assert!(content.len() > max);
                    let (mut cut, mut whole) = (value(&cut), value(&whole));
                    let beginning = cut["content"].take();
                    let beginning = beginning.as_str().expect("a string");
                    prop_assert!(content.starts_with(beginning));
                    prop_assert!(beginning.len() <= max && beginning.len() + 4 > max);
                    whole["content"].take();
                    whole.as_object_mut().expect("an object").remove("blocks");
                    whole["truncated"] = json!(true);
                    whole["total_bytes"] = json!(content.len());
                    prop_assert_eq!(cut, whole);
                }
            }
        }

        #[test]
        fn pages_of_any_size_are_the_whole(content in any::<String>(), max in 1..40_usize) {
            let whole = frame(&content, None);
            let (mut joined, mut next) = (String::new(), Some(0));
            while let Some(offset) = next {
                let page = page(&whole, "toolu_\"1", offset, max).expect("a page");
                prop_assert_eq!(page.offset, joined.len() as u64);
                prop_assert_eq!(page.total_bytes, content.len() as u64);
                prop_assert!(page.content.len() <= max.max(4));
                joined.push_str(&page.content);
                next = page.next_offset;
            }
            prop_assert_eq!(joined, content);
        }
    }

    #[test]
    fn a_cut_event_is_one_of_the_protocol() {
        let cut = shortened(&frame("0123456789", None), 4).expect("it is longer");
        let event = ServerFrame::parse(&cut).expect("a frame");
        let ServerMessage::ToolResult(result) = event.message else { panic!("{cut}") };
        assert_eq!(
            (result.content.decode().as_ref(), result.truncated, result.total_bytes),
            ("0123", true, Some(10))
        );
        assert_eq!(shortened(&cut, 4), None, "it is short now");
    }

    #[test]
    fn a_place_inside_a_character_or_behind_the_end_is_moved() {
        let whole = frame("a\u{1F980}b", None);
        let read = |offset| page(&whole, "toolu_\"1", offset, 4).expect("a page");
        assert_eq!(
            (read(3).offset, read(3).content.as_ref(), read(3).next_offset),
            (1, "\u{1F980}", Some(5))
        );
        assert_eq!((read(99).offset, read(99).content.as_ref(), read(99).next_offset), (6, "", None));
    }

    #[test]
    fn other_calls_and_other_events_have_no_page() {
        assert_eq!(page(&frame("a", None), "toolu_2", 0, 10), None);
        let other = r#"{"type":"user_message","tool_use_id":"t","content":"0123456789"}"#;
        assert_eq!((page(other, "t", 0, 10), shortened(other, 1)), (None, None));
    }
}
