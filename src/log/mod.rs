//! Stand-in until the log room is merged.
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;
/// Id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorId(pub u64);
/// Doorbell.
#[derive(Debug, Clone, Default)]
pub struct Doorbell(Arc<(parking_lot::Mutex<Vec<CursorId>>, Notify)>);
impl Doorbell {
    /// new.
    pub fn new() -> Self {
        Self::default()
    }
    /// wait.
    pub async fn wait(&self, news: &mut Vec<CursorId>) {
        while !self.take(news) {
            self.0.1.notified().await;
        }
    }
    /// take.
    pub fn take(&self, news: &mut Vec<CursorId>) -> bool {
        let mut l = self.0.0.lock();
        let any = !l.is_empty();
        news.append(&mut l);
        any
    }
}
/// Progress.
#[derive(Debug)]
pub enum Progress {
    /// end.
    CaughtUp,
    /// more.
    More,
    /// gap.
    Gap {
        /// first.
        first_seq: u64,
    },
    /// closed.
    Closed,
}
/// Cursor.
#[derive(Debug)]
pub struct Cursor;
impl Cursor {
    /// id.
    pub fn id(&self) -> CursorId {
        CursorId(0)
    }
    /// session.
    pub fn session(&self) -> &str {
        ""
    }
    /// read.
    #[allow(clippy::unused_async)]
    pub async fn read(&mut self, _out: &mut Vec<Utf8Bytes>, _max: usize) -> Progress {
        Progress::CaughtUp
    }
}
