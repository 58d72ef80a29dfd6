//! Session, log, store and clients together: whatever each of them does, every client's transcript is the session's, and
//! a gateway that is killed at any moment goes on from what was committed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::check::Checker;
use super::dice::Dice;
use super::random::{calm_down, limits, manners, something};
use super::reader::Reader;
use super::store::MemoryStore;
use super::world::{Slots, World};
use crate::log::{EventLog, Verdict};
use crate::session::revive::{self, Revived};
use crate::session::state::SessionLimits;
use crate::store::Store;

const RUNS: u64 = 500;

#[derive(Default)]
struct Tally {
    verdicts: Vec<Verdict>,
    kills: usize,
    taken_up: usize,
}

#[test]
fn every_client_has_the_sessions_transcript_however_it_came_by_it() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let first = number("CLAUDE_WS_SIM_SEED").unwrap_or(0);
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for seed in first..first + number("CLAUDE_WS_SIM_RUNS").unwrap_or(RUNS) {
        if catch_unwind(AssertUnwindSafe(|| Game::new(seed).play(&mut tally))).is_err() {
            eprintln!("seed {seed}");
            failed.push(seed);
            assert!(failed.len() < 8, "seeds {failed:?}");
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
    // The games were worth playing.
    for verdict in [Verdict::None, Verdict::Ok, Verdict::Gap, Verdict::Reset] {
        assert!(tally.verdicts.contains(&verdict), "{verdict:?} never came up");
    }
    assert!(tally.kills > 0 && tally.taken_up > 0);
}

struct Game {
    dice: Dice,
    seed: u64,
    limits: SessionLimits,
    world: World,
    log: Arc<EventLog>,
    window: usize,
    store: Option<Arc<MemoryStore>>,
    /// Bytes that may wait for the store before events are lost.
    bounded: bool,
    readers: Vec<Reader>,
    transcript: Vec<(u64, Utf8Bytes)>,
    generation: u64,
}

impl Game {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0xACE);
        let bounded = dice.one_in(3);
        let store = (!dice.one_in(3)).then(|| MemoryStore::new(if bounded { 4_000 } else { usize::MAX / 2 }));
        let limits = SessionLimits { stored: store.is_some(), ..limits(&mut dice) };
        let window = 500 + dice.below(6_000);
        let dyn_store = store.clone().map(|store| -> Arc<dyn Store> { store });
        let log = EventLog::new("s".into(), "epoch".to_owned(), window, dyn_store);
        let mut world = World::with(limits.clone(), seed);
        world.log = Some(Arc::clone(&log));
        world.store.clone_from(&store);
        let readers = (0..3).map(|_| Reader::default()).collect();
        let transcript = Vec::new();
        Self { dice, seed, limits, world, log, window, store, bounded, readers, transcript, generation: 0 }
    }

    fn play(mut self, tally: &mut Tally) {
        self.world.run_effects();
        self.world.attach(true);
        for _ in 0..30 + self.dice.below(250) {
            if self.world.closed.is_some() {
                break;
            }
            self.something();
            self.note_events();
        }
        let killed = self.store.is_some() && !self.bounded && self.dice.one_in(2);
        if killed {
            tally.kills += 1;
            tally.taken_up += usize::from(self.kill());
        }
        if self.world.closed.is_none() {
            calm_down(&mut self.world, &mut self.dice);
        }
        self.note_events();
        let mut told: Vec<_> = self.world.told.iter().filter(|text| text.starts_with("do ")).collect();
        told.sort_unstable();
        assert!(told.windows(2).all(|two| two[0] != two[1]), "an agent was told twice: {told:?}");
        self.finish();
        tally.verdicts.extend(self.readers.iter().flat_map(|reader| &reader.verdicts));
    }

    fn something(&mut self) {
        let dice = &mut self.dice;
        match dice.below(12) {
            0..5 => something(&mut self.world, dice),
            5..8 => {
                let reader = dice.below(self.readers.len());
                let bytes = dice.below(3_000);
                self.readers[reader].read(&self.transcript, bytes);
            }
            8 => {
                let reader = dice.below(self.readers.len());
                let reader = &mut self.readers[reader];
                if reader.is_attached() && dice.one_in(2) {
                    reader.detach();
                } else {
                    reader.attach(&self.log, dice);
                }
            }
            9 => self.log.compact(),
            10 => {
                if let Some(store) = &self.store {
                    store.pull(dice.below(2_000));
                }
            }
            _ => {
                if let Some(store) = &self.store {
                    store.commit(&*self.log);
                }
            }
        }
        if self.world.spawning.is_none() && self.world.agent.is_none() {
            self.world.manners = manners(&mut self.dice);
            self.world.slots = *self.dice.pick(&[Slots::Free, Slots::Taken, Slots::Full]).unwrap();
        }
    }

    /// Takes over into the transcript what the session said since the last time.
    fn note_events(&mut self) {
        self.transcript.append(&mut self.world.said);
    }

    /// The gateway is killed and started again. True: something had been unfinished.
    fn kill(&mut self) -> bool {
        let store = self.store.clone().unwrap();
        self.readers.iter_mut().for_each(Reader::detach);
        store.crash();
        let given_out = self.transcript.last().map_or(0, |(seq, _)| *seq);
        let stored = store.stored("epoch", given_out);
        let revived = revive::revive(&stored, &*store, 64).now_or_never().unwrap().unwrap();
        let Revived { birth, leftover, ended } = revived;
        let unfinished = !leftover.is_empty();
        self.transcript = store.rows();
        let mut checker = Checker::new();
        for (_, frame) in &self.transcript {
            let event: serde_json::Value = serde_json::from_str(frame).unwrap();
            // Begun by a `resume`: nothing announced it.
            if let (false, Some(id)) = (event["type"] == "user_message", event["request_id"].as_str())
                && id.starts_with("resume")
            {
                checker.accepted(id);
            }
            checker.note(&event);
        }
        assert_eq!(ended, checker.ended && !birth.record.clean);
        let ended = checker.ended;
        self.log = EventLog::restore(
            "s".into(),
            "epoch".to_owned(),
            self.window,
            Some(store),
            stored.first_seq,
            stored.last_seq,
        );
        self.generation += 1;
        let told = std::mem::take(&mut self.world.told);
        self.world = World::of(birth, self.limits.clone(), self.seed);
        self.world.checker = checker;
        self.world.log = Some(Arc::clone(&self.log));
        self.world.store.clone_from(&self.store);
        self.world.told = told;
        self.world.begin_generation(self.generation);
        if ended {
            // Its last words were committed and its last record was not.
            self.world.closed = Some(crate::session::state::Closing::Removed);
            return unfinished;
        }
        let now = self.world.now();
        self.world.state.take_up(leftover, now);
        self.world.run_effects();
        unfinished
    }

    /// Everybody catches up, led by the doorbell alone.
    fn finish(&mut self) {
        if self.world.closed.is_some() {
            self.log.close();
        }
        for reader in &mut self.readers {
            if !reader.is_attached() {
                reader.attach(&self.log, &mut self.dice);
            }
            for _ in 0..100_000 {
                if !reader.read(&self.transcript, 3_000) {
                    break;
                }
                if let (Some(store), true) = (&self.store, self.dice.one_in(5)) {
                    store.pull(1 << 20);
                    store.commit(&*self.log);
                }
            }
            assert!(reader.is_complete(&self.transcript), "a reader was left behind");
        }
        self.world.pass(Duration::ZERO);
    }
}
