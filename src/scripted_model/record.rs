//! Remembers the last requests, so that tests can prove what reached the model.
//!
//! Bounded: the last `KEPT` requests, each text clipped to `MAX_TEXT` bytes.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    asked::{Asked, ToolResult},
    text::clip,
};

const KEPT: usize = 128;
const MAX_TEXT: usize = 64 << 10;

/// What one `POST /v1/messages` asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Counts from 1.
    pub number: u64,
    /// The model's name.
    pub model: String,
    /// The last text that a person wrote (at most 64 KiB of it).
    pub user_text: String,
    /// Every text that a person wrote in the conversation, in order (at most 64 KiB of each).
    pub said: Vec<String>,
    /// How much the model is to think, where the request says that.
    pub effort: Option<String>,
    /// Images beside it.
    pub images: usize,
    /// Answers of the model since that text.
    pub rounds: usize,
    /// Results of tools in the last message (at most 64 KiB of each text).
    pub tool_results: Vec<ToolResult>,
    /// The names of the tools on offer.
    pub tools: Vec<String>,
    /// The system prompt (at most 64 KiB of it).
    pub system: String,
    /// Whether the answer was to be streamed.
    pub stream: bool,
}

impl Request {
    fn of(number: u64, asked: &Asked) -> Self {
        let clipped = |text: &str| clip(text, MAX_TEXT).to_owned();
        let result = |result: &ToolResult| ToolResult { text: clipped(&result.text), ..result.clone() };
        Self {
            number,
            model: asked.model.clone(),
            user_text: clipped(&asked.user_text),
            said: asked.said.iter().map(|text| clipped(text)).collect(),
            effort: asked.effort.clone(),
            images: asked.images,
            rounds: asked.rounds,
            tool_results: asked.tool_results.iter().map(result).collect(),
            tools: asked.tools.clone(),
            system: clipped(&asked.system),
            stream: asked.stream,
        }
    }
}

/// The requests so far; shared by the connections that write it and the tests that read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<(u64, VecDeque<Request>)>,
    news: Notify,
}

impl Requests {
    pub(super) fn add(&self, asked: &Asked) {
        {
            let mut seen = self.0.seen.lock();
            seen.0 += 1;
            let request = Request::of(seen.0, asked);
            if seen.1.len() == KEPT {
                seen.1.pop_front();
            }
            seen.1.push_back(request);
        }
        self.0.news.notify_waiters();
    }

    pub(super) fn snapshot(&self) -> Vec<Request> {
        self.0.seen.lock().1.iter().cloned().collect()
    }

    /// The first request, past or to come, that `wanted` accepts.
    pub(super) async fn find(&self, mut wanted: impl FnMut(&Request) -> bool) -> Request {
        loop {
            // Registered before looking, so that nothing is missed in between.
            let news = self.0.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            let found = self.0.seen.lock().1.iter().find(|request| wanted(request)).cloned();
            if let Some(found) = found {
                return found;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finds_requests_of_the_past_and_of_the_future() {
        let requests = Requests::default();
        let say = |text: &str| Asked { user_text: text.into(), ..Asked::default() };
        requests.add(&say("one"));
        assert_eq!(requests.find(|request| request.user_text == "one").await.number, 1);
        let (found, ()) = tokio::join!(requests.find(|request| request.user_text == "two"), async {
            requests.add(&say("two"));
        });
        assert_eq!(found.number, 2);
    }

    #[test]
    fn keeps_a_bounded_number_of_bounded_texts() {
        let requests = Requests::default();
        for _ in 0..=KEPT {
            requests.add(&Asked { user_text: "ä".repeat(MAX_TEXT), ..Asked::default() });
        }
        let kept = requests.snapshot();
        assert_eq!((kept.len(), kept[0].number), (KEPT, 2));
        assert!(kept[0].user_text.len() <= MAX_TEXT);
    }
}
