//! Stopping: `interrupt` and `cancel`, said until they are heeded, enforced when they are not.

use std::time::{Duration, Instant};

use super::turns::blank_result;
use super::{Asked, Asker, Life, SessionState, error};
use crate::agent::control;
use crate::protocol::{Cancelled, ErrorCode, InterruptOutcome, Interrupted, ResultSubtype, ServerMessage};
use crate::session::words;

/// An interrupt that comes before the turn has begun can get lost in the agent, so it is said again until it is heeded.
const INTERRUPT_AGAIN: Duration = Duration::from_secs(1);
/// The same, for an agent that shows that it goes on.
const INTERRUPT_AGAIN_ALIVE: Duration = Duration::from_millis(100);
/// Askers that get an answer of their own when several stop the same turn; more are refused.
const MAX_STOPPERS: usize = 256;

/// A turn that is being stopped.
#[derive(Debug)]
pub(super) struct Stop {
    /// `None`: the gateway itself.
    askers: Vec<(Option<Asker>, StopKind)>,
    /// When the interrupt was said last.
    said: Instant,
    /// When the agent is killed.
    deadline: Instant,
    pub(super) killed: bool,
}

impl Stop {
    fn new(asker: Option<Asker>, kind: StopKind, now: Instant, timeout: Duration) -> Self {
        Self { askers: vec![(asker, kind)], said: now, deadline: now + timeout, killed: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopKind {
    Interrupt,
    Cancel,
}

impl SessionState {
    /// `interrupt`.
    pub(super) fn interrupt(&mut self, asker: Asker, reason: Option<&str>, tasks: bool) {
        if tasks {
            self.stop_all_tasks(self.turn.is_none().then(|| asker.clone()));
        } else if self.turn.is_none() {
            self.reply(&asker, nothing_but(self.tasks.beside_ids()));
        }
        if self.turn.is_none() {
            return;
        }
        let reason = reason.map_or("no reason given".into(), words::quoted);
        log::info!("session {}: interrupted ({reason})", self.id);
        self.stop_turn(Some(asker), StopKind::Interrupt);
    }

    fn stop_turn(&mut self, asker: Option<Asker>, kind: StopKind) {
        let Some(turn) = &mut self.turn else { return };
        if let Some(stop) = &mut turn.stop {
            if stop.askers.len() < MAX_STOPPERS {
                stop.askers.push((asker, kind));
            } else if let Some(asker) = asker {
                let text = "the turn is being stopped already, and too many have asked for it";
                self.reply(&asker, error(ErrorCode::RateLimited, text));
            }
            return;
        }
        turn.stop = Some(Stop::new(asker, kind, self.now.instant, self.limits.interrupt_timeout));
        if turn.is_pending() {
            self.finish_turn(blank_result(ResultSubtype::Interrupted), Some(InterruptOutcome::Interrupted));
        } else {
            self.send_interrupt();
        }
    }

    /// A denial that also ends the turn, as the agent does it by itself.
    pub(super) fn turn_is_being_stopped(&mut self, asker: Asker) {
        // One that the agent has not been told of goes on: the prompt was a background's.
        let Some(turn) = self.turn.as_mut().filter(|turn| !turn.is_pending()) else { return };
        let (now, timeout) = (self.now.instant, self.limits.interrupt_timeout);
        turn.stop.get_or_insert_with(|| Stop::new(Some(asker), StopKind::Interrupt, now, timeout));
        self.converter.mark_interrupted();
    }

    /// The agent goes on with a turn that is to stop, so it may have missed the interrupt: it hears it again before it comes to
    /// run a tool. `begins`: the turn has only now begun, and what was said before was said to nobody.
    pub(super) fn goes_on_though_stopped(&mut self, begins: bool) {
        let Some(stop) = self.turn.as_ref().and_then(|turn| turn.stop.as_ref()) else { return };
        if !stop.killed && (begins || self.now.instant >= stop.said + INTERRUPT_AGAIN_ALIVE) {
            self.send_interrupt();
        }
    }

    fn send_interrupt(&mut self) {
        if let Some(stop) = self.turn.as_mut().and_then(|turn| turn.stop.as_mut()) {
            stop.said = self.now.instant;
        }
        self.converter.mark_interrupted();
        // A message that waits in the agent's queue is taken out of it; other messages of that queue, once it runs, are not ours.
        let waits = self.turn.as_ref().is_some_and(|turn| turn.is_sent()) && !self.deliveries.has_begun();
        let id = self.control_id(Asked::Interrupt);
        self.tell(control::interrupt(&id, waits));
    }

    /// The drain's time is over: the running turn is interrupted by nobody in particular.
    pub(super) fn interrupt_for_drain(&mut self) {
        if self.turn.as_ref().is_some_and(|turn| !turn.is_stopping()) {
            self.stop_turn(None, StopKind::Interrupt);
        }
    }

    /// When a stop has to be said again or enforced, or a drain runs out.
    pub(super) fn turn_deadline(&self) -> Option<Instant> {
        let stop = self.turn.as_ref().and_then(|turn| turn.stop.as_ref());
        match (stop, self.life) {
            (Some(stop), _) if stop.killed => None,
            (Some(stop), _) => Some(stop.deadline.min(stop.said + INTERRUPT_AGAIN)),
            (None, Life::Draining { until }) => Some(until),
            (None, _) => None,
        }
    }

    pub(super) fn turn_tick(&mut self) {
        let now = self.now.instant;
        self.drain_step();
        let Some(stop) = self.turn.as_mut().and_then(|turn| turn.stop.as_mut()) else { return };
        if stop.killed {
            return;
        }
        if now >= stop.deadline {
            stop.killed = true;
            log::warn!("session {}: the agent does not heed the interrupt; killing it", self.id);
            self.kill_agent();
        } else if now >= stop.said + INTERRUPT_AGAIN {
            self.send_interrupt();
        }
    }

    /// `cancel`: a queued message, the running turn, or an open prompt.
    pub(super) fn cancel(&mut self, asker: Asker, target: &str) {
        if let Some(at) = self.queue.iter().position(|queued| queued.id == target) {
            self.queue.remove(at);
            let cancelled = Cancelled { target_id: target.into() };
            self.journal.event_for(Some(&asker.id), &ServerMessage::Cancelled(cancelled));
            // No record is written: the log tells it after a crash (`revive`), and a record names all that still wait, so that
            // cancelling a long queue one by one would be quadratic.
            self.result_of_unrun(target);
        } else if self.turn.as_ref().is_some_and(|turn| turn.id.as_deref() == Some(target)) {
            self.stop_turn(Some(asker), StopKind::Cancel);
        } else if !self.cancel_prompt(&asker, target) && !self.cancel_elicitation(&asker, target) {
            self.reply(&asker, unknown_target(target));
        }
    }

    /// Tells those who asked what came of it. `None`: the turn came to its own end while the interrupt was under way, there was
    /// nothing left to stop. Called after the turn's `result` then, and an event, since a reply may overtake the events before it.
    pub(super) fn answer_stoppers(
        &mut self,
        stop: Stop,
        turn: Option<&str>,
        outcome: Option<InterruptOutcome>,
    ) {
        for (asker, kind) in stop.askers {
            let answer = match (kind, outcome) {
                (StopKind::Interrupt, Some(outcome)) => {
                    ServerMessage::Interrupted(Interrupted { outcome, ..Interrupted::default() })
                }
                (StopKind::Cancel, Some(_)) => ServerMessage::Cancelled(Cancelled {
                    target_id: turn.unwrap_or_default().to_owned().into(),
                }),
                (StopKind::Interrupt, None) => nothing_running(),
                (StopKind::Cancel, None) => unknown_target(turn.unwrap_or_default()),
            };
            match asker {
                // The gateway itself need not be told that there was nothing.
                None if outcome.is_none() => {}
                Some(asker) if matches!(answer, ServerMessage::Error(_)) => self.reply(&asker, answer),
                asker => {
                    let request_id = asker.as_ref().map(|asker| asker.id.as_str());
                    self.journal.event_for(request_id, &answer);
                }
            }
        }
    }
}

pub(super) fn nothing_running() -> ServerMessage<'static> {
    ServerMessage::Interrupted(Interrupted::default())
}

/// The same where tasks run beside turns.
pub(super) fn nothing_but(tasks: Vec<String>) -> ServerMessage<'static> {
    let message = (!tasks.is_empty()).then(|| {
        "no turn is running, but background tasks are; with `tasks`: true they are stopped (but for schedules, \
            which only the agent itself can end: ask it to)"
            .to_owned()
    });
    ServerMessage::Interrupted(Interrupted { outcome: InterruptOutcome::NothingRunning, tasks, message })
}

fn unknown_target(target: &str) -> ServerMessage<'static> {
    error(ErrorCode::UnknownRequest, format!("nothing open in this session has the id {target:?}"))
}
