//! Decides what the model says: finds the rule and the turn, fills the templates, plans the blocks.
//!
//! Stateless but for the count of errors already given (`Attempts`): where a conversation stands is read from the
//! request itself, so any number of sessions, retries and resumed conversations play side by side.

use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    asked::Asked,
    script::{ApiError, Block, Break, Count, Ending, Matcher, OneOrMany, Pace, Rule, Script, Turn},
    side,
    text::{Names, contains_ignore_case},
};

/// Longest text that one block may grow to by `repeat`, in bytes.
pub(super) const MAX_TEXT: usize = 16 << 20;
/// How many different requests the error count remembers.
pub(super) const MAX_ATTEMPTS: usize = 256;

/// What the API answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Message(Plan),
    Error(ApiError),
    /// Nothing, for ever.
    Silence,
}

/// One message of the model, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) blocks: Vec<Planned>,
    pub(super) stop_reason: String,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Silence before the first byte.
    pub(super) wait: Duration,
    /// After the last block: silence instead of an end.
    pub(super) hang: bool,
    /// The stream does not come to its end; its `block` is one of `blocks`, if that is not empty.
    pub(super) breaks: Option<Break>,
}

/// One content block, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) kind: Kind,
    /// The text, the thinking, or the tool's input as JSON.
    pub(super) text: String,
    /// Characters a delta.
    pub(super) chunk: usize,
    /// Silence before each delta but the first.
    pub(super) delay: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    ToolUse { id: String, name: String },
}

/// How often a request has been answered with an error; bounded, the oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Attempts(pub(super) VecDeque<(u64, u32)>);

impl Attempts {
    /// Counts one more attempt of `request`; the number of those before it.
    pub(super) fn count(&mut self, request: u64) -> u32 {
        if let Some((_, attempts)) = self.0.iter_mut().find(|(known, _)| *known == request) {
            *attempts = attempts.saturating_add(1);
            return *attempts - 1;
        }
        if self.0.len() == MAX_ATTEMPTS {
            self.0.pop_front();
        }
        self.0.push_back((request, 1));
        0
    }
}

/// The answer to a request with `body_bytes` bytes; `fingerprint` is equal for retries of the same request.
pub(super) fn choose(
    script: &Script,
    asked: &Asked,
    body_bytes: usize,
    fingerprint: u64,
    attempts: &mut Attempts,
) -> Answer {
    let input_tokens = (body_bytes / 4) as u64;
    if let Some(text) = side::answer(asked) {
        return Answer::Message(one_text(asked, text, input_tokens));
    }
    let mut names = names(script, asked);
    let rule = find_rule(script, asked, &mut names);
    let done = Turn { blocks: vec![plain_text("Done.")], ..Turn::default() };
    let turn = match rule.turns.get(asked.rounds) {
        Some(turn) => turn,
        None if rule.repeat => &rule.turns[asked.rounds % rule.turns.len()],
        None => &done,
    };
    if let Some(error) = &turn.error
        && error.times.is_none_or(|times| attempts.count(fingerprint) < times)
    {
        return Answer::Error(ApiError { message: names.fill(&error.message), ..error.clone() });
    }
    if turn.blocks.is_empty() {
        return Answer::Silence;
    }
    let planner = Planner { asked, names, pace: script.pace };
    let mut plan = planner.plan(turn, input_tokens);
    plan.breaks = turn.breaks.filter(|broken| attempts.count(fingerprint) < broken.times);
    if plan.breaks.is_some_and(|broken| broken.how == Ending::NoCall) {
        "tool_use".clone_into(&mut plan.stop_reason);
        plan.breaks = None;
    }
    Answer::Message(plan)
}

fn one_text(asked: &Asked, text: String, input_tokens: u64) -> Plan {
    let block = Planned { kind: Kind::Text, text, chunk: usize::MAX, delay: Duration::ZERO };
    Plan {
        id: message_id(),
        model: asked.model.clone(),
        output_tokens: tokens(&block.text),
        blocks: vec![block],
        stop_reason: "end_turn".into(),
        input_tokens,
        wait: Duration::ZERO,
        hang: false,
        breaks: None,
    }
}

fn find_rule<'a>(script: &'a Script, asked: &Asked, names: &mut Names) -> &'a Rule {
    for rule in &script.rules {
        for matcher in rule.when.as_slice() {
            if let Some(captures) = fits(matcher, asked) {
                for (name, value) in captures {
                    names.set(&name, value);
                }
                return rule;
            }
        }
    }
    &script.default
}

/// The captures, if the matcher fits.
fn fits(matcher: &Matcher, asked: &Asked) -> Option<Vec<(String, String)>> {
    let text = &asked.user_text;
    let fits = match matcher {
        Matcher::Equals(wanted) => text.trim().eq_ignore_ascii_case(wanted.trim()),
        Matcher::Contains(wanted) => contains_ignore_case(text, wanted),
        Matcher::Pattern(pattern) => return pattern.captures(text),
        Matcher::Images(at_least) => asked.images >= *at_least,
    };
    fits.then(Vec::new)
}

fn names(script: &Script, asked: &Asked) -> Names {
    let mut names = Names::default();
    let help: Vec<String> =
        script.rules.iter().filter_map(|rule| Some(format!("- {}", rule.help.as_ref()?))).collect();
    names.set("script", script.name.clone());
    names.set("help", help.join("\n"));
    names.set("user_text", asked.user_text.clone());
    names.set("said", asked.said.join(" | "));
    names.set("tool_result", asked.tool_result_text());
    names.set("images", asked.images.to_string());
    names.set("model", asked.model.clone());
    names.set("cwd", asked.cwd());
    names
}

struct Planner<'a> {
    asked: &'a Asked,
    names: Names,
    pace: Pace,
}

impl Planner<'_> {
    fn plan(mut self, turn: &Turn, input_tokens: u64) -> Plan {
        let mut blocks = Vec::new();
        for block in &turn.blocks {
            self.plan_block(block, &mut blocks);
        }
        let tool = blocks.iter().any(|block: &Planned| matches!(block.kind, Kind::ToolUse { .. }));
        let natural = if tool { "tool_use" } else { "end_turn" };
        let counted = blocks.iter().map(|block| tokens(&block.text)).sum();
        Plan {
            id: message_id(),
            model: self.asked.model.clone(),
            stop_reason: turn.stop_reason.clone().unwrap_or_else(|| natural.into()),
            input_tokens: turn.usage.and_then(|usage| usage.input_tokens).unwrap_or(input_tokens),
            output_tokens: turn.usage.and_then(|usage| usage.output_tokens).unwrap_or(counted),
            wait: Duration::from_millis(turn.wait_ms),
            hang: turn.hang,
            breaks: None,
            blocks,
        }
    }

    fn plan_block(&mut self, block: &Block, blocks: &mut Vec<Planned>) {
        match block {
            Block::Text { text, repeat, chunk, delay_ms } => {
                let text = self.repeated(text, repeat.as_ref());
                let pace = Pace { chunk: *chunk, delay_ms: *delay_ms };
                blocks.push(self.planned(Kind::Text, text, pace));
            }
            Block::Thinking { thinking, chunk, delay_ms } => {
                let pace = Pace { chunk: *chunk, delay_ms: *delay_ms };
                blocks.push(self.planned(Kind::Thinking, self.names.fill(thinking), pace));
            }
            Block::ToolUse { name, input, input_json, id } => {
                let name = self.offered(name);
                let input = match input_json {
                    Some(template) => self.parse(template),
                    None => Ok(self.names.fill_json(input)),
                };
                let mut call = self.tool_or_excuse(input.map(|input| (name, input)));
                if let (Kind::ToolUse { id, .. }, Some(template)) = (&mut call.kind, id) {
                    *id = self.names.fill(template);
                }
                blocks.push(call);
            }
            Block::ToolCalls { json } => match self.parse(json) {
                Ok(Value::Array(calls)) if !calls.is_empty() => {
                    blocks.extend(calls.iter().map(|call| self.tool_or_excuse(named_call(call))));
                }
                parsed => blocks.push(self.tool_or_excuse(parsed.and_then(|call| named_call(&call)))),
            },
        }
    }

    fn planned(&self, kind: Kind, text: String, pace: Pace) -> Planned {
        let pace = pace.or(self.pace);
        Planned {
            kind,
            text,
            chunk: pace.chunk.unwrap_or(24),
            delay: Duration::from_millis(pace.delay_ms.unwrap_or(0)),
        }
    }

    /// A tool call; or, where the user's JSON is not one, a text that says so.
    fn tool_or_excuse(&self, call: Result<(String, Value), String>) -> Planned {
        match call {
            Ok((name, input)) => {
                let input = if input.is_null() { json!({}) } else { input };
                let kind = Kind::ToolUse { id: format!("toolu_{}", Uuid::new_v4().simple()), name };
                self.planned(kind, input.to_string(), Pace::default())
            }
            Err(why) => self.planned(Kind::Text, format!("I cannot call that tool: {why}"), Pace::default()),
        }
    }

    fn offered(&self, wanted: &OneOrMany<String>) -> String {
        let wanted: Vec<String> = wanted.as_slice().iter().map(|name| self.names.fill(name)).collect();
        let offered = wanted.iter().find(|name| self.asked.tools.contains(name));
        offered.or(wanted.first()).cloned().unwrap_or_default()
    }

    fn parse(&self, template: &str) -> Result<Value, String> {
        serde_json::from_str(&self.names.fill(template)).map_err(|error| error.to_string())
    }

    fn repeated(&mut self, template: &str, repeat: Option<&Count>) -> String {
        let times = match repeat {
            None => return self.names.fill(template),
            Some(Count::Fixed(times)) => *times,
            Some(Count::Template(times)) => self.names.fill(times).trim().parse().unwrap_or(1),
        };
        let mut text = String::new();
        for n in 1..=times {
            self.names.set("n", n.to_string());
            let piece = self.names.fill(template);
            self.names.forget_last();
            if piece.is_empty() || text.len() + piece.len() > MAX_TEXT {
                break;
            }
            text.push_str(&piece);
        }
        text
    }
}

fn named_call(call: &Value) -> Result<(String, Value), String> {
    let name = call["name"].as_str().filter(|name| !name.is_empty()).ok_or("`name` is missing")?;
    match &call["input"] {
        input @ (Value::Object(_) | Value::Null) => Ok((name.to_owned(), input.clone())),
        _ => Err("`input` is not an object".into()),
    }
}

fn plain_text(text: &str) -> Block {
    Block::Text { text: text.into(), repeat: None, chunk: None, delay_ms: None }
}

fn message_id() -> String {
    format!("msg_{}", Uuid::new_v4().simple())
}

/// A rough count, never 0, so that a turn has a cost.
fn tokens(text: &str) -> u64 {
    (text.len() / 4 + 1) as u64
}
