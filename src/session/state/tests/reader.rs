//! A client as the log sees it: attaches, lags, leaves, comes back, and puts together what it gets.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::dice::Dice;
use crate::log::{Cursor, Doorbell, EventLog, From, Progress, Verdict};

#[derive(Default)]
pub(super) struct Reader {
    doorbell: Doorbell,
    cursor: Option<Cursor>,
    /// There may be more to read, though the doorbell is silent.
    more: bool,
    /// The newest event that it has, and where it came from.
    position: Option<(u64, String)>,
    /// It was told that events are missing before this one.
    gap: Option<u64>,
    /// It began with live events: all before this is not its business.
    pub(super) verdicts: Vec<Verdict>,
    frames: Vec<Utf8Bytes>,
}

impl Reader {
    pub(super) fn attach(&mut self, log: &Arc<EventLog>, dice: &mut Dice) {
        let (seq, epoch) = match &self.position {
            Some((seq, epoch)) => (*seq, epoch.clone()),
            None => (0, log.epoch().to_owned()),
        };
        let live = self.position.is_none() && dice.one_in(3);
        let epoch = (!dice.one_in(3)).then_some(epoch.as_str());
        let from = if live { From::Live } else { From::After { seq, epoch } };
        let attached = log.attach(from, &self.doorbell);
        self.verdicts.push(attached.verdict);
        self.gap = None;
        let epoch = log.epoch().to_owned();
        self.position = Some(match attached.verdict {
            Verdict::None => (attached.last_seq, epoch),
            Verdict::Ok => (seq, epoch),
            // All that is kept, from `first_seq` on.
            Verdict::Gap | Verdict::Reset => (attached.first_seq.saturating_sub(1), epoch),
        });
        if attached.verdict == Verdict::Gap {
            assert!(attached.first_seq > seq + 1);
        }
        self.cursor = Some(attached.cursor);
        self.more = true;
    }

    pub(super) fn detach(&mut self) {
        self.cursor = None;
        self.more = false;
    }

    pub(super) fn is_attached(&self) -> bool {
        self.cursor.is_some()
    }

    /// Reads once, if something called for it. `transcript`: all events of the session, in order. False: nothing called.
    pub(super) fn read(&mut self, transcript: &[(u64, Utf8Bytes)], max_bytes: usize) -> bool {
        let Some(cursor) = &mut self.cursor else { return false };
        let mut news = Vec::new();
        let rang = self.doorbell.take(&mut news) && news.contains(&cursor.id());
        if !rang && !self.more {
            return false;
        }
        let progress = cursor.read(&mut self.frames, max_bytes).now_or_never().expect("nothing to wait for");
        self.more = matches!(progress, Progress::More | Progress::Gap { .. });
        for frame in std::mem::take(&mut self.frames) {
            self.take(&frame, transcript);
        }
        if let Progress::Gap { first_seq } = progress {
            self.gap = Some(first_seq);
        }
        true
    }

    /// The next frame must be the next event of the transcript, unless it was told that some are missing.
    fn take(&mut self, frame: &Utf8Bytes, transcript: &[(u64, Utf8Bytes)]) {
        let (position, _) = self.position.as_mut().unwrap();
        let from = self.gap.take().map_or(*position, |first| first.saturating_sub(1).max(*position));
        let at = transcript.partition_point(|(seq, _)| *seq <= from);
        let (seq, expected) = transcript.get(at).unwrap_or_else(|| panic!("nothing follows {from}: {frame}"));
        assert_eq!(frame, expected, "after {from}");
        *position = *seq;
    }

    /// It has everything.
    pub(super) fn is_complete(&self, transcript: &[(u64, Utf8Bytes)]) -> bool {
        let last = transcript.last().map_or(0, |(seq, _)| *seq);
        self.position.as_ref().is_some_and(|(position, _)| *position >= last)
    }
}
