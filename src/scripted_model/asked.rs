//! Reads a Messages API request as far as a script needs it: who speaks, what was said last, how far the turn is.
//!
//! Takes any JSON; what it does not know it skips. It decides nothing.

use serde_json::Value;

/// What one request asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) system: String,
    pub(super) tools: Vec<String>,
    /// The last text that a person (or, for a subagent, the agent above it) wrote.
    pub(super) user_text: String,
    /// Every text that a person wrote in the conversation, in order.
    pub(super) said: Vec<String>,
    /// How much the model is to think, where the request says that.
    pub(super) effort: Option<String>,
    /// Images beside that text.
    pub(super) images: usize,
    /// Answers that the model has given since that text.
    pub(super) rounds: usize,
    /// The results in the last message.
    pub(super) tool_results: Vec<ToolResult>,
    /// A JSON schema that the answer has to follow.
    pub(super) schema: Option<Value>,
    /// The conversation that the client says this belongs to.
    pub(super) conversation: String,
}

/// What a tool gave back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolResult {
    /// The call that it answers.
    pub tool_use_id: String,
    /// Its text blocks, joined by newlines.
    pub text: String,
    /// Whether it failed (or was denied).
    pub is_error: bool,
}

/// Notes that the CLI itself writes into user messages; a person's text is what begins with none of them.
const NOTES: [&str; 11] = [
    "<system-reminder>",
    "[Request interrupted by user",
    "[Image: ",
    "<local-command-",
    "<command-",
    "<task-notification>",
    "Your response above was ",
    "The previous response failed to produce a valid tool call",
    "Your tool call was malformed",
    "Output token limit hit",
    "This session is being continued from a previous conversation",
];

impl Asked {
    pub(super) fn read(request: &Value) -> Self {
        let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let mut asked = Self {
            model: text_of(&request["model"]),
            stream: request["stream"].as_bool().unwrap_or(false),
            system: joined_text(&request["system"]),
            tools: names(&request["tools"]),
            schema: schema(request),
            conversation: text_of(&request["metadata"]["user_id"]),
            effort: request["output_config"]["effort"].as_str().map(str::to_owned),
            said: messages.iter().filter(|message| message["role"] == "user").flat_map(texts).collect(),
            ..Self::default()
        };
        let mut after_assistant = false;
        for message in messages.iter().rev() {
            match message["role"].as_str() {
                Some("assistant") => {
                    // One answer can be spread over neighbouring messages, one a block.
                    asked.rounds += usize::from(!after_assistant);
                    after_assistant = true;
                }
                Some("user") => {
                    after_assistant = false;
                    if let Some((text, images)) = said(&message["content"]) {
                        asked.user_text = text;
                        asked.images = images;
                        break;
                    }
                }
                _ => {}
            }
        }
        let last = messages.iter().rev().find(|message| message["role"] == "user");
        asked.tool_results = last.map(|message| tool_results(&message["content"])).unwrap_or_default();
        asked
    }

    /// The texts of the results in the last message.
    pub(super) fn tool_result_text(&self) -> String {
        let texts: Vec<&str> = self.tool_results.iter().map(|result| result.text.as_str()).collect();
        texts.join("\n")
    }

    /// The working directory, as the system prompt names it (or `.`).
    pub(super) fn cwd(&self) -> &str {
        let named = self.system.lines().find_map(|line| {
            let (label, path) = line.split_once("orking directory: ")?;
            (label.len() < 16).then_some(path.trim())
        });
        named.unwrap_or(".")
    }
}

/// The text and the number of images, if a person wrote any of this content.
///
/// The CLI joins neighbouring user messages, so blocks of earlier ones that got no answer may stand before: the
/// last text counts, and the images since the text before it.
fn said(content: &Value) -> Option<(String, usize)> {
    let Some(blocks) = content.as_array() else {
        let text = content.as_str()?;
        return is_a_persons(text).then(|| (text.to_owned(), 0));
    };
    let (mut text, mut images) = (None, 0);
    let mut images_before_text = 0;
    for block in blocks {
        match block["type"].as_str() {
            Some("image") => images += 1,
            Some("text") => {
                if let Some(said) = block["text"].as_str().filter(|text| is_a_persons(text)) {
                    images_before_text = images;
                    images = 0;
                    text = Some(said.to_owned());
                }
            }
            _ => {}
        }
    }
    let images = images + images_before_text;
    (text.is_some() || images > 0).then(|| (text.unwrap_or_default(), images))
}

/// What a person wrote in a message.
fn texts(message: &Value) -> Vec<String> {
    let blocks = message["content"].as_array().map_or(&[][..], Vec::as_slice);
    let texts = blocks.iter().filter_map(|block| block["text"].as_str()).chain(message["content"].as_str());
    texts.filter(|text| is_a_persons(text)).map(str::to_owned).collect()
}

fn is_a_persons(text: &str) -> bool {
    !NOTES.iter().any(|note| text.trim_start().starts_with(note))
}

fn tool_results(content: &Value) -> Vec<ToolResult> {
    let blocks = content.as_array().map_or(&[][..], Vec::as_slice);
    let results = blocks.iter().filter(|block| block["type"] == "tool_result");
    results
        .map(|block| ToolResult {
            tool_use_id: text_of(&block["tool_use_id"]),
            text: joined_text(&block["content"]),
            is_error: block["is_error"].as_bool().unwrap_or(false),
        })
        .collect()
}

fn names(tools: &Value) -> Vec<String> {
    let tools = tools.as_array().map_or(&[][..], Vec::as_slice);
    tools.iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect()
}

/// `output_config.format` is today's place, `output_format` the one before.
fn schema(request: &Value) -> Option<Value> {
    [&request["output_config"]["format"], &request["output_format"]]
        .into_iter()
        .find_map(|format| format.get("schema").cloned())
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A string, or the text blocks of an array joined by newlines.
fn joined_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(messages: &Value) -> Asked {
        Asked::read(&json!({ "messages": messages }))
    }

    #[test]
    fn the_last_text_of_a_person_counts() {
        let asked = read(&json!([
            {"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>\nx</system-reminder>"}, {"type": "text", "text": "hello"}]},
            {"role": "system", "content": "note"},
        ]));
        assert_eq!((asked.user_text.as_str(), asked.rounds), ("hello", 0));
        assert_eq!(read(&json!([{"role": "user", "content": "plain"}])).user_text, "plain");
    }

    #[test]
    fn rounds_count_answers_since_that_text() {
        let asked = read(&json!([
            {"role": "user", "content": "old"},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            {"role": "user", "content": [{"type": "text", "text": "new"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": [{"type": "tool_use"}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "no"}], "is_error": true},
                {"type": "text", "text": "<system-reminder>do</system-reminder>"}]},
        ]));
        assert_eq!((asked.user_text.as_str(), asked.rounds), ("new", 1));
        assert_eq!(asked.said, ["old", "new"]);
        let result = ToolResult { tool_use_id: "t".into(), text: "no".into(), is_error: true };
        assert_eq!(asked.tool_results, [result]);
    }

    #[test]
    fn an_interrupted_turn_is_over() {
        let asked = read(&json!([{"role": "user", "content": [
            {"type": "text", "text": "slow"}, {"type": "text", "text": "[Request interrupted by user]"},
            {"type": "text", "text": "next"}]}]));
        assert_eq!(asked.user_text, "next");
    }

    #[test]
    fn images_are_counted_without_the_clis_note() {
        let asked = read(&json!([{"role": "user", "content": [
            {"type": "text", "text": "look"}, {"type": "image"}, {"type": "image"},
            {"type": "text", "text": "[Image: source: /x.png]"}]}]));
        assert_eq!((asked.user_text.as_str(), asked.images), ("look", 2));
        assert_eq!(read(&json!([{"role": "user", "content": [{"type": "image"}]}])).images, 1);
    }

    #[test]
    fn anything_is_read_without_harm() {
        for odd in
            [json!(null), json!([]), json!({"messages": 3}), json!({"messages": [null, {"role": "user"}]})]
        {
            assert_eq!(Asked::read(&odd), Asked::default());
        }
    }
}
