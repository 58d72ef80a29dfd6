//! A planned message as bytes: server-sent events one by one, or one JSON object.
//!
//! The shapes are those of the Messages API's streaming reference. Encoding is lazy: a long text costs one delta of
//! memory at a time. No clock and no socket here: each step says how long to wait before it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{Kind, Plan, Planned},
    script::{Break, Ending},
    text::take_chars,
};

/// Silence before a connection is cut, so that what was sent before has been read: a reset may discard it.
const BEFORE_A_CUT: Duration = Duration::from_millis(200);

/// The next thing to do on the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this after this silence.
    Send(Duration, Bytes),
    /// Stay silent until the client goes away.
    Hang,
    /// End the connection after this silence, in the middle of the body.
    Cut(Duration),
}

/// The events of one message, in order.
#[derive(Debug)]
pub(super) struct Events {
    plan: Plan,
    state: State,
    /// Deltas of the current block so far.
    deltas: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Start,
    Ping,
    BlockStart(usize),
    /// Block, and the byte of its text that comes next.
    Delta(usize, usize),
    Signature(usize),
    BlockStop(usize),
    MessageDelta,
    MessageStop,
    Over,
}

impl Events {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, state: State::Start, deltas: 0 }
    }

    /// How the stream breaks, if it does so now.
    fn breaks(&self) -> Option<Ending> {
        let Break { block, deltas, how, .. } = self.plan.breaks?;
        let last = self.plan.blocks.len().saturating_sub(1);
        let block = block.unwrap_or(last);
        let now = match (self.state, deltas) {
            (State::Delta(index, _) | State::Signature(index) | State::BlockStop(index), Some(deltas)) => {
                index == block && self.deltas >= deltas
            }
            (State::BlockStart(index), None) => index == block + 1,
            (State::MessageDelta, None) => block == last,
            _ => false,
        };
        now.then_some(how)
    }

    fn block_start(&mut self, index: usize) -> Value {
        self.state = State::Delta(index, 0);
        self.deltas = 0;
        let content_block = match &self.plan.blocks[index].kind {
            Kind::Text => json!({"type": "text", "text": ""}),
            Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Kind::ToolUse { id, name } => json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
        };
        json!({"type": "content_block_start", "index": index, "content_block": content_block})
    }

    fn delta(&mut self, index: usize, from: usize) -> (Duration, Value) {
        let block = &self.plan.blocks[index];
        let (piece, rest) = take_chars(&block.text[from..], block.chunk);
        let delta = match &block.kind {
            Kind::Text => json!({"type": "text_delta", "text": piece}),
            Kind::Thinking => json!({"type": "thinking_delta", "thinking": piece}),
            Kind::ToolUse { .. } => json!({"type": "input_json_delta", "partial_json": piece}),
        };
        let delay = if from == 0 { Duration::ZERO } else { block.delay };
        self.deltas += 1;
        self.state = if !rest.is_empty() {
            State::Delta(index, from + piece.len())
        } else if block.kind == Kind::Thinking {
            State::Signature(index)
        } else {
            State::BlockStop(index)
        };
        (delay, json!({"type": "content_block_delta", "index": index, "delta": delta}))
    }

    fn block_stop(&mut self, index: usize) -> Value {
        self.state = if index + 1 < self.plan.blocks.len() {
            State::BlockStart(index + 1)
        } else {
            State::MessageDelta
        };
        json!({"type": "content_block_stop", "index": index})
    }
}

impl Iterator for Events {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let mut delay = Duration::ZERO;
        match self.breaks() {
            Some(Ending::Cut) => {
                self.state = State::Over;
                return Some(Step::Cut(BEFORE_A_CUT));
            }
            Some(Ending::Error) => {
                self.state = State::Over;
                let error = json!({"type": "overloaded_error", "message": "Overloaded"});
                return Some(Step::Send(delay, frame(&json!({"type": "error", "error": error}))));
            }
            Some(Ending::NoCall) | None => {}
        }
        let event = match self.state {
            State::Start => {
                self.state = State::Ping;
                delay = self.plan.wait;
                let mut message = message(&self.plan, &[]);
                message["stop_reason"] = Value::Null;
                message["usage"]["output_tokens"] = json!(1);
                json!({"type": "message_start", "message": message})
            }
            State::Ping => {
                self.state = State::BlockStart(0);
                json!({"type": "ping"})
            }
            State::BlockStart(index) => self.block_start(index),
            State::Delta(index, from) => {
                let (pause, event) = self.delta(index, from);
                delay = pause;
                event
            }
            State::Signature(index) => {
                self.state = State::BlockStop(index);
                let delta = json!({"type": "signature_delta", "signature": SIGNATURE});
                json!({"type": "content_block_delta", "index": index, "delta": delta})
            }
            State::BlockStop(index) => self.block_stop(index),
            State::MessageDelta if self.plan.hang => return Some(Step::Hang),
            State::MessageDelta => {
                self.state = State::MessageStop;
                json!({"type": "message_delta",
                    "delta": {"stop_reason": self.plan.stop_reason, "stop_sequence": null},
                    "usage": {"output_tokens": self.plan.output_tokens}})
            }
            State::MessageStop => {
                self.state = State::Over;
                json!({"type": "message_stop"})
            }
            State::Over => return None,
        };
        Some(Step::Send(delay, frame(&event)))
    }
}

/// Stands for the signature that the real API puts under its thinking.
const SIGNATURE: &str = "c2NyaXB0ZWQtbW9kZWw=";

fn frame(event: &Value) -> Bytes {
    // `type` is one of our own literals.
    let kind = event["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
}

/// The whole message as one object, for requests that do not stream.
pub(super) fn whole_message(plan: &Plan) -> Value {
    let content: Vec<Value> = plan.blocks.iter().map(content).collect();
    message(plan, &content)
}

fn message(plan: &Plan, content: &[Value]) -> Value {
    json!({
        "id": plan.id, "type": "message", "role": "assistant", "model": plan.model, "content": content,
        "stop_reason": plan.stop_reason, "stop_sequence": null,
        "usage": {
            "input_tokens": plan.input_tokens, "output_tokens": plan.output_tokens,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        },
    })
}

fn content(block: &Planned) -> Value {
    match &block.kind {
        Kind::Text => json!({"type": "text", "text": block.text}),
        Kind::Thinking => json!({"type": "thinking", "thinking": block.text, "signature": SIGNATURE}),
        Kind::ToolUse { id, name } => {
            // The text was made from a value when it was planned.
            let input: Value = serde_json::from_str(&block.text).unwrap_or_default();
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(blocks: Vec<Planned>) -> Plan {
        Plan {
            id: "msg_1".into(),
            model: "m".into(),
            blocks,
            stop_reason: "tool_use".into(),
            input_tokens: 3,
            output_tokens: 5,
            wait: Duration::from_millis(7),
            hang: false,
            breaks: None,
        }
    }

    fn block(kind: Kind, text: &str) -> Planned {
        Planned { kind, text: text.into(), chunk: 2, delay: Duration::from_millis(9) }
    }

    fn bytes(plan: Plan) -> String {
        let mut all = Vec::new();
        for step in Events::new(plan) {
            match step {
                Step::Send(_, bytes) => all.extend_from_slice(&bytes),
                Step::Hang | Step::Cut(_) => break,
            }
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn events_have_the_apis_bytes() {
        let tool = Kind::ToolUse { id: "toolu_1".into(), name: "Read".into() };
        let text = bytes(plan(vec![
            block(Kind::Thinking, "hm"),
            block(Kind::Text, "ä\u{2028}\"b"),
            block(tool, r#"{"a":1}"#),
        ]));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn only_later_deltas_wait() {
        let delays: Vec<u64> = Events::new(plan(vec![block(Kind::Text, "abcd")]))
            .map(|step| match step {
                Step::Send(delay, _) => u64::try_from(delay.as_millis()).unwrap(),
                Step::Hang | Step::Cut(_) => unreachable!(),
            })
            .collect();
        assert_eq!(delays, [7, 0, 0, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn a_hang_comes_after_the_last_block() {
        let mut hanging = plan(vec![block(Kind::Text, "a")]);
        hanging.hang = true;
        let mut events = Events::new(hanging);
        let last = events.by_ref().take(6).last();
        assert_eq!(last, Some(Step::Hang));
        assert_eq!(events.next(), Some(Step::Hang));
    }

    #[test]
    fn a_stream_breaks_where_it_is_told_to() {
        let tool = Kind::ToolUse { id: "toolu_1".into(), name: "Read".into() };
        let broken = |at: Option<usize>, deltas, how| {
            let mut broken = plan(vec![block(Kind::Text, "abcd"), block(tool.clone(), r#"{"a":1}"#)]);
            broken.breaks = Some(Break { block: at, deltas, how, times: 1 });
            let steps: Vec<Step> = Events::new(broken).collect();
            let cut = matches!(steps.last(), Some(Step::Cut(_)));
            let sent = steps.into_iter().filter_map(|step| match step {
                Step::Send(_, bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
                _ => None,
            });
            (sent.collect::<Vec<_>>(), cut)
        };
        let (sent, cut) = broken(Some(0), Some(1), Ending::Cut);
        assert!(cut);
        assert!(sent.last().unwrap().contains(r#""text":"ab""#), "{sent:?}");
        let (sent, cut) = broken(None, Some(1), Ending::Error);
        assert!(!cut);
        assert!(sent[sent.len() - 2].contains("input_json_delta"), "{sent:?}");
        assert!(sent.last().unwrap().contains("overloaded_error"), "{sent:?}");
        for at in [Some(0), None] {
            let (sent, _) = broken(at, None, Ending::Cut);
            assert!(sent.last().unwrap().contains("content_block_stop"), "{sent:?}");
        }
    }

    #[test]
    fn the_whole_message_holds_the_same() {
        let tool = Kind::ToolUse { id: "toolu_1".into(), name: "Read".into() };
        let whole = whole_message(&plan(vec![block(Kind::Text, "abc"), block(tool, r#"{"a":1}"#)]));
        assert_eq!(whole["content"][0]["text"], "abc");
        assert_eq!(whole["content"][1]["input"]["a"], 1);
        assert_eq!(whole["usage"]["output_tokens"], 5);
    }
}
