//! Random interleavings of appends, attaches, reads and commits, against a plain list.

use std::{collections::HashSet, sync::Arc};

use futures_util::FutureExt;
use proptest::prelude::*;

use super::{
    super::{Cursor, Doorbell, ENTRY_OVERHEAD, EventLog, From, Journal, Progress, Verdict},
    entry,
    fake::FakeStore,
    seq_of,
};
use crate::store::Store;

const WINDOW: usize = 2000;
const MAX_LEN: usize = 600;
const LIMIT: usize = 3000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// In memory only.
    Memory,
    /// By a store that always has room for what waits.
    Store,
    /// By a store that may stall for too long.
    StallingStore,
}

#[derive(Debug, Clone)]
enum Op {
    /// Steps of the seq, and lengths.
    Append(Vec<(u64, usize)>),
    Live,
    /// Percent of the last seq.
    After(u64),
    Read(usize, usize),
    Drop(usize),
    Pull(usize),
    Commit,
    Compact,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec((1..4_u64, 0..MAX_LEN), 1..8).prop_map(Op::Append),
        1 => Just(Op::Live),
        2 => (0..120_u64).prop_map(Op::After),
        8 => (0..8_usize, 0..2000_usize).prop_map(|(n, max)| Op::Read(n, max)),
        1 => (0..8_usize).prop_map(Op::Drop),
        4 => (1..3000_usize).prop_map(Op::Pull),
        3 => Just(Op::Commit),
        1 => Just(Op::Compact),
    ]
}

struct Reader {
    cursor: Cursor,
    bell: Doorbell,
    /// Seq of the last event that the model says it has.
    has: u64,
    armed: bool,
    /// Batches that were appended since it had read everything.
    behind: u32,
}

struct World {
    log: Arc<EventLog>,
    store: Option<Arc<FakeStore>>,
    kept: Kept,
    seqs: Vec<u64>,
    readers: Vec<Reader>,
    message_ids: Vec<String>,
}

impl World {
    fn new(kept: Kept) -> Self {
        let store = match kept {
            Kept::Memory => None,
            Kept::Store => Some(FakeStore::new(usize::MAX)),
            Kept::StallingStore => Some(FakeStore::new(LIMIT)),
        };
        let as_store = store.clone().map(|store| store as Arc<dyn Store>);
        let log = EventLog::new("s".into(), "e".to_owned(), WINDOW, as_store);
        Self { log, store, kept, seqs: vec![], readers: vec![], message_ids: vec![] }
    }

    fn last(&self) -> u64 {
        self.seqs.last().copied().unwrap_or(0)
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Append(steps) => self.append(&steps),
            Op::Live => self.attach(From::Live, None),
            Op::After(percent) => {
                let seq = self.last() * percent / 100;
                self.attach(From::After { seq, epoch: Some("e") }, Some(seq));
            }
            Op::Read(n, max) if !self.readers.is_empty() => {
                let n = n % self.readers.len();
                self.read(n, max);
            }
            Op::Drop(n) if n < self.readers.len() => drop(self.readers.swap_remove(n)),
            Op::Pull(max) => drop(self.store.as_ref().map(|store| store.pull(max))),
            Op::Commit => drop(self.store.as_ref().map(|store| store.commit(&*self.log))),
            Op::Compact => self.log.compact(),
            Op::Read(..) | Op::Drop(_) => {}
        }
        assert_eq!(self.log.cursors(), self.readers.len());
        let entry = MAX_LEN + ENTRY_OVERHEAD + 30;
        let bound = match self.kept {
            // Window and largest batch.
            Kept::Memory => WINDOW + 8 * entry,
            Kept::Store => usize::MAX,
            // Window and limit, one batch, the largest batch, and what is in the store's hands.
            Kept::StallingStore => WINDOW + LIMIT + 16 * entry,
        };
        assert!(self.log.memory() <= bound);
    }

    fn append(&mut self, steps: &[(u64, usize)]) {
        let mut batch = Vec::new();
        for (step, len) in steps {
            self.seqs.push(self.last() + step);
            batch.push(entry(self.last(), *len));
        }
        let id = self.last().to_string();
        self.message_ids.push(id.clone());
        self.log.append_with(&mut batch, Journal { message_ids: vec![id], ..Journal::default() });
        assert!(batch.is_empty());
        for reader in &mut self.readers {
            let mut news = Vec::new();
            reader.bell.take(&mut news);
            assert_eq!(news.len(), usize::from(reader.armed), "rung when and only when it waits for it");
            reader.behind = if reader.armed { 1 } else { reader.behind + 1 };
            reader.armed = false;
        }
    }

    fn attach(&mut self, from: From<'_>, seq: Option<u64>) {
        let bell = Doorbell::new();
        let attached = self.log.attach(from, &bell);
        assert_eq!(attached.last_seq, self.last());
        let has = match (attached.verdict, seq) {
            (Verdict::None, None) => self.last(),
            (Verdict::Ok, Some(seq)) if seq <= self.last() => seq,
            (Verdict::Gap, Some(seq)) if self.kept != Kept::Store && seq < attached.first_seq => {
                self.seqs.iter().rfind(|kept| **kept < attached.first_seq).copied().unwrap_or(0)
            }
            (Verdict::Reset, Some(seq)) if seq > self.last() => {
                self.seqs.iter().rfind(|kept| **kept < attached.first_seq).copied().unwrap_or(0)
            }
            wrong => panic!("{wrong:?}"),
        };
        self.readers.push(Reader { cursor: attached.cursor, bell, has, armed: false, behind: 2 });
    }

    fn read(&mut self, n: usize, max: usize) -> Progress {
        let reader = &mut self.readers[n];
        let mut out = Vec::new();
        let progress =
            reader.cursor.read(&mut out, max).now_or_never().expect("the fake store does not wait");
        let bytes: usize = out.iter().map(|frame| frame.len()).sum();
        assert!(bytes <= max || out.len() == 1);
        let start = self.seqs.partition_point(|seq| *seq <= reader.has);
        let read: Vec<u64> = out.iter().map(seq_of).collect();
        assert_eq!(read, self.seqs[start..start + read.len()], "exactly the sequence");
        reader.has = read.last().copied().unwrap_or(reader.has);
        let end = self.seqs.last().copied().unwrap_or(0);
        match progress {
            Progress::CaughtUp => assert!(reader.has >= end),
            Progress::More => assert!(!read.is_empty() && reader.has <= end),
            Progress::Gap { first_seq } => {
                assert!(read.is_empty() && self.kept != Kept::Store);
                assert!(reader.behind > 1, "it had read everything but the last batch");
                assert!(reader.cursor.position() < first_seq && first_seq <= end + 1);
                let missing: Vec<u64> =
                    self.seqs[start..].iter().copied().take_while(|seq| *seq < first_seq).collect();
                assert!(!missing.is_empty());
                assert!(missing.iter().all(|seq| self.store.as_ref().is_none_or(|store| !store.has(*seq))));
                reader.has = *missing.last().unwrap();
            }
            Progress::Closed | Progress::Moved => panic!("nobody closed"),
        }
        reader.armed = progress == Progress::CaughtUp;
        progress
    }

    fn finish(&mut self) {
        if let Some(store) = &self.store {
            while store.pull(1000) {}
            store.commit(&*self.log);
            assert_eq!(store.backlog().bytes(), 0);
            assert!(self.log.memory() <= WINDOW + MAX_LEN + ENTRY_OVERHEAD + 30);
            assert_eq!(store.message_ids(), self.message_ids);
        }
        self.attach(From::After { seq: 0, epoch: None }, Some(0));
        for n in 0..self.readers.len() {
            while self.read(n, 500) != Progress::CaughtUp {}
        }
        let ids: HashSet<_> = self.readers.iter().map(|reader| reader.cursor.id()).collect();
        assert_eq!(ids.len(), self.readers.len());
        self.readers.clear();
        assert_eq!(self.log.cursors(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_cursor_sees_exactly_the_sequence(
        kept in prop_oneof![Just(Kept::Memory), Just(Kept::Store), Just(Kept::StallingStore)],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new(kept);
        for op in ops {
            world.run(op);
        }
        world.finish();
    }
}
