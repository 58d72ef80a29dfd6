//! The cursors of one connection, and whose turn it is.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::log::{Cursor, CursorId, Doorbell, Progress};

/// Cursors with news are read in turn, a bounded number of bytes each.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    attached: Vec<Cursor>,
    /// Those with news, each once.
    turns: VecDeque<CursorId>,
    /// For the doorbell; empty between calls.
    news: Vec<CursorId>,
}

/// What a turn brought, besides the frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Read,
    /// The frames after this one begin at another place.
    Gap {
        session: String,
        first_seq: u64,
    },
    /// A session goes on elsewhere: its client is to come back.
    Moved,
}

impl Cursors {
    pub(super) fn attach(&mut self, cursor: Cursor) {
        self.detach(cursor.session());
        // It may have been read or rung by nobody yet: its first turn arms its bell.
        self.turns.push_back(cursor.id());
        self.attached.push(cursor);
    }

    pub(super) fn detach(&mut self, session: &str) {
        self.attached.retain(|cursor| cursor.session() != session);
    }

    /// Waits for news.
    pub(super) fn poll_rung(&mut self, doorbell: &Doorbell, cx: &mut Context<'_>) -> Poll<()> {
        ready!(doorbell.poll_wait(cx, &mut self.news));
        self.enqueue();
        Poll::Ready(())
    }

    /// Notes news that are there.
    pub(super) fn look(&mut self, doorbell: &Doorbell) {
        if doorbell.take(&mut self.news) {
            self.enqueue();
        }
    }

    fn enqueue(&mut self) {
        for id in self.news.drain(..) {
            if !self.turns.contains(&id) {
                self.turns.push_back(id);
            }
        }
    }

    /// Turns that wait now.
    pub(super) fn waiting(&self) -> usize {
        self.turns.len()
    }

    /// Gives the next cursor its turn: adds about `max_bytes` of frames to `out`. `cut` is asked for those that are longer than what the
    /// cursor's reader wants of a content.
    pub(super) async fn turn(
        &mut self,
        out: &mut Vec<Utf8Bytes>,
        max_bytes: usize,
        cut: impl Fn(&Utf8Bytes, usize) -> Option<Utf8Bytes>,
    ) -> Turn {
        let Some(id) = self.turns.pop_front() else { return Turn::Read };
        let Some(at) = self.attached.iter().position(|cursor| cursor.id() == id) else { return Turn::Read };
        let before = out.len();
        let progress = self.attached[at].read(out, max_bytes).await;
        let wanted = self.attached[at].wants_at_most();
        if wanted != usize::MAX {
            for frame in out[before..].iter_mut().filter(|frame| frame.len() > wanted) {
                if let Some(shorter) = cut(frame, wanted) {
                    *frame = shorter;
                }
            }
        }
        match progress {
            Progress::CaughtUp => Turn::Read,
            Progress::More => {
                self.turns.push_back(id);
                Turn::Read
            }
            Progress::Gap { first_seq, .. } => {
                self.turns.push_front(id);
                Turn::Gap { session: self.attached[at].session().to_owned(), first_seq }
            }
            Progress::Closed => {
                self.attached.swap_remove(at);
                Turn::Read
            }
            Progress::Moved => {
                self.attached.swap_remove(at);
                Turn::Moved
            }
        }
    }
}
