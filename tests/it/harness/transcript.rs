//! Everything that went over one connection, in order.

use std::fmt;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// The client sent a text frame.
    Sent(String),
    /// The server sent a message.
    Got(Value),
    /// The server closed the connection, with this code if any.
    Closed(Option<u16>),
    /// The client left without a word.
    Left,
}

/// A connection's record; grows until the connection ends.
#[derive(Debug)]
pub(crate) struct Transcript {
    name: String,
    entries: Mutex<Vec<Entry>>,
    news: Notify,
}

impl Transcript {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), entries: Mutex::default(), news: Notify::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn add(&self, entry: Entry) {
        self.entries.lock().push(entry);
        self.news.notify_waiters();
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }

    /// What happened at `index`, now or later.
    pub(crate) async fn at(&self, index: usize) -> Entry {
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            if let Some(entry) = self.entries.lock().get(index) {
                return entry.clone();
            }
            news.await;
        }
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 600;
        writeln!(out, "--- connection {} ---", self.name)?;
        for entry in &*self.entries.lock() {
            let line = match entry {
                Entry::Sent(text) => format!("-> {text}"),
                Entry::Got(value) => format!("<- {value}"),
                Entry::Closed(code) => format!("closed by the server ({code:?})"),
                Entry::Left => "the client left".to_owned(),
            };
            match line.char_indices().nth(LONGEST) {
                Some((end, _)) => writeln!(out, "{}… ({} bytes)", &line[..end], line.len())?,
                None => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }
}
