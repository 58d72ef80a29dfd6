//! Turns: one at a time, each with exactly one `result`.
//!
//! The agent has a queue of its own; ours is used instead, so that a `result` can only belong to the message that was sent.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Asked, Asker, Effect, Life, Now, OpenMessage, SessionState, error, warning};
use crate::agent::{control, wire};
use crate::converter::{self, turn_result};
use crate::protocol::{
    AssistantMessageComplete, Cancelled, ErrorCode, EventSink, InterruptOutcome, Interrupted, Json,
    Resolution, ResolvedBy, ResultSubtype, ServerMessage, SessionStatus, TurnErrorCode, TurnResult,
    UserMessage, UserMessageEvent, WarningCode,
};
use crate::session::record::Unfinished;

/// An interrupt that comes before the turn has begun can get lost in the agent, so it is said again until it is heeded.
const INTERRUPT_AGAIN: Duration = Duration::from_secs(1);
/// Askers that get an answer of their own when several stop the same turn.
const MAX_STOPPERS: usize = 16;
/// What the agent is told by `resume`.
const GO_ON: &str = "Continue from where you left off.";

/// A user message that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    /// The client's id of it.
    pub(super) id: String,
    /// What the agent gets.
    pub(super) input: TurnInput,
}

/// What the agent is told at the start of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnInput {
    /// A string or an array of content blocks.
    pub content: Json<'static>,
    /// As the client sent it.
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
}

/// A turn that did not come to its end, for `resume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// What the agent never got; `None`: it got it and goes on by itself.
    #[serde(default)]
    pub undelivered: Option<TurnInput>,
}

/// The running turn.
#[derive(Debug)]
pub(super) struct Turn {
    /// The client message that began it; `None`: the agent itself did.
    pub(super) id: Option<String>,
    pub(super) phase: Phase,
    /// The newest event when it began.
    pub(super) since_seq: u64,
    since: Instant,
    stop: Option<Stop>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The agent is not ready; it has not been told yet.
    Pending(TurnInput),
    /// The agent has been told.
    Running,
}

/// A turn that is being stopped.
#[derive(Debug)]
struct Stop {
    /// `None`: the gateway itself.
    askers: Vec<(Option<Asker>, StopKind)>,
    /// When the interrupt is said again.
    again: Instant,
    /// When the agent is killed.
    deadline: Instant,
    killed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopKind {
    Interrupt,
    Cancel,
}

impl Turn {
    /// Whether somebody wants it stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Pending(_))
    }
}

impl SessionState {
    /// `user_message`: queued, run in order, never twice.
    pub(super) fn user_message(&mut self, asker: Asker, message: UserMessage) {
        if self.seen.contains(&asker.id) {
            let text = format!(
                "a message with the id {:?} was taken before in this session; it is not run again",
                asker.id
            );
            self.reply(&asker, warning(WarningCode::DuplicateMessage, text));
            return;
        }
        if self.queue.len() >= self.limits.max_queue {
            let text = format!("{} messages are waiting already (--max-queue)", self.queue.len());
            self.reply(&asker, error(ErrorCode::QueueFull, text));
            return;
        }
        self.remember(&asker.id);
        let event = UserMessageEvent {
            content: message.content.clone(),
            parent_tool_use_id: message.parent_tool_use_id.as_deref().map(Into::into),
        };
        self.journal.event_for(Some(&asker.id), &ServerMessage::UserMessage(event));
        let input = TurnInput {
            content: converter::user_content(&message.content)
                .map_or_else(|| message.content.clone(), Json::into_owned),
            parent_tool_use_id: message.parent_tool_use_id,
        };
        self.queue.push_back(Queued { id: asker.id, input });
        self.effects.push(Effect::Persist);
        self.next_turn();
    }

    fn remember(&mut self, id: &str) {
        self.seen.insert(id);
        self.effects.push(Effect::Remember(id.to_owned()));
    }

    /// Begins the next turn, if none is running and one is waiting.
    pub(super) fn next_turn(&mut self) {
        if self.turn.is_some() || matches!(self.life, Life::Closing(_) | Life::Closed) {
            return;
        }
        if let Some(next) = self.queue.pop_front() {
            self.begin_turn(Some(next.id), Phase::Pending(next.input));
            self.deliver();
        }
    }

    fn begin_turn(&mut self, id: Option<String>, phase: Phase) {
        self.journal.set_turn(id.clone());
        self.journal.tally().turn_begins(self.now.unix_ms);
        let since_seq = self.journal.position().next_seq - 1;
        self.turn = Some(Turn { id, phase, since_seq, since: self.now.instant, stop: None });
        self.broken = None;
        self.effects.push(Effect::Idle(false));
        self.effects.push(Effect::Persist);
    }

    /// Tells the agent what the pending turn is about, or gets the agent up first.
    pub(super) fn deliver(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        if !turn.is_pending() {
            return;
        }
        if !self.agent.is_ready() {
            self.ensure_agent();
            return;
        }
        if self.settings.restart_is_due() {
            self.restart_agent();
            return;
        }
        let Phase::Pending(input) = std::mem::replace(&mut turn.phase, Phase::Running) else { return };
        let line = control::user_message(input.content.raw(), input.parent_tool_use_id.as_deref(), None);
        self.effects.push(Effect::ToAgent(line));
        self.agent.conversation_started = true;
    }

    /// The agent began a turn by itself (background work reports back, say).
    pub(super) fn turn_began(&mut self) {
        if self.turn.is_none() {
            self.begin_turn(None, Phase::Running);
        }
    }

    /// The agent says that the turn is over.
    pub(super) fn turn_over(&mut self, line: &wire::ResultMessage<'_>) {
        let stopped = self.turn.as_ref().is_some_and(Turn::is_stopping);
        self.converter.close_open(stopped.then_some("interrupted"), &mut self.journal);
        if let Some(cost) = line.total_cost_usd.number() {
            self.cost.current = cost;
        }
        if self.turn.is_none() {
            log::warn!("session {}: the agent ended a turn that was not running; ignored", self.id);
            return;
        }
        let mut result = turn_result(line);
        let by_itself = !result.is_error && !line.was_aborted();
        if stopped && !by_itself {
            interrupt_result(&mut result);
        }
        let outcome = (stopped && !by_itself).then_some(InterruptOutcome::Interrupted);
        self.finish_turn(result, outcome);
    }

    /// The one place where a turn ends: what it leaves open is closed, who stopped it is answered, its `result` is given.
    fn finish_turn(&mut self, mut result: TurnResult<'_>, outcome: Option<InterruptOutcome>) {
        let Some(turn) = self.turn.take() else { return };
        if result.duration_ms == 0 {
            result.duration_ms = millis_between(turn.since, self.now.instant);
        }
        if result.subtype != ResultSubtype::Success {
            self.close_prompts(if outcome.is_some() { ResolvedBy::Interrupt } else { ResolvedBy::Agent });
        }
        self.client_tools.forget_calls();
        self.journal.forget_tools();
        if let Some(stop) = turn.stop {
            self.answer_stoppers(stop, turn.id.as_deref(), outcome);
        }
        self.broken = broken_by(&result, turn.phase);
        self.num_turns += 1;
        self.journal.event_for(turn.id.as_deref(), &ServerMessage::Result(Box::new(result)));
        self.journal.set_turn(None);
        self.effects.push(Effect::Persist);
        self.after_turn();
    }

    /// Between turns: restarts that settings need, the next turn, or rest.
    fn after_turn(&mut self) {
        self.restart_if_due();
        self.next_turn();
        self.drain_step();
        if self.turn.is_none() {
            self.rest();
        }
    }

    fn answer_stoppers(&mut self, stop: Stop, turn: Option<&str>, outcome: Option<InterruptOutcome>) {
        for (asker, kind) in stop.askers {
            let event = match (kind, outcome) {
                (StopKind::Interrupt, Some(outcome)) => ServerMessage::Interrupted(Interrupted { outcome }),
                (StopKind::Cancel, Some(_)) => {
                    ServerMessage::Cancelled(Cancelled { target_id: turn.unwrap_or_default().into() })
                }
                // The turn came to its own end while the interrupt was under way: there was nothing left to stop.
                (kind, None) => {
                    if let Some(asker) = asker {
                        let interrupt = kind == StopKind::Interrupt;
                        let answer = if interrupt {
                            nothing_running()
                        } else {
                            unknown_target(turn.unwrap_or_default())
                        };
                        self.reply(&asker, answer);
                    }
                    continue;
                }
            };
            self.journal.event_for(asker.as_ref().map(|asker| asker.id.as_str()), &event);
        }
    }

    /// `interrupt`.
    pub(super) fn interrupt(&mut self, asker: Asker, reason: Option<&str>) {
        if self.turn.is_none() {
            self.reply(&asker, nothing_running());
            return;
        }
        log::info!("session {}: interrupted ({})", self.id, reason.unwrap_or("no reason given"));
        self.stop_turn(Some(asker), StopKind::Interrupt);
    }

    fn stop_turn(&mut self, asker: Option<Asker>, kind: StopKind) {
        let now = self.now.instant;
        let Some(turn) = &mut self.turn else { return };
        if let Some(stop) = &mut turn.stop {
            if stop.askers.len() < MAX_STOPPERS {
                stop.askers.push((asker, kind));
            }
            return;
        }
        let deadline = now + self.limits.interrupt_timeout;
        turn.stop =
            Some(Stop { askers: vec![(asker, kind)], again: now + INTERRUPT_AGAIN, deadline, killed: false });
        if turn.is_pending() {
            self.finish_turn(blank_result(ResultSubtype::Interrupted), Some(InterruptOutcome::Interrupted));
        } else {
            self.send_interrupt();
        }
    }

    /// A denial that also ends the turn, as the agent does it by itself.
    pub(super) fn turn_is_being_stopped(&mut self, asker: Asker) {
        let now = self.now.instant;
        let deadline = now + self.limits.interrupt_timeout;
        let Some(turn) = &mut self.turn else { return };
        let askers = vec![(Some(asker), StopKind::Interrupt)];
        turn.stop.get_or_insert(Stop { askers, again: now + INTERRUPT_AGAIN, deadline, killed: false });
        self.converter.mark_interrupted();
    }

    fn send_interrupt(&mut self) {
        self.converter.mark_interrupted();
        let id = self.control_id(Asked::Interrupt);
        self.effects.push(Effect::ToAgent(control::interrupt(&id)));
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
            (Some(stop), _) => Some(stop.again.min(stop.deadline)),
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
        } else if now >= stop.again {
            stop.again = now + INTERRUPT_AGAIN;
            self.send_interrupt();
        }
    }

    /// The agent is gone; `reason` says how, for people.
    pub(super) fn turn_lost_agent(&mut self, reason: &str) {
        let Some(turn) = &self.turn else { return };
        if turn.is_pending() {
            return;
        }
        if turn.is_stopping() {
            self.finish_turn(blank_result(ResultSubtype::Interrupted), Some(InterruptOutcome::AgentKilled));
        } else {
            self.fail_turn(TurnErrorCode::AgentExited, reason);
        }
    }

    /// Ends the running turn with an error of the gateway's own.
    pub(super) fn fail_turn(&mut self, code: TurnErrorCode, reason: &str) {
        let mut result = blank_result(ResultSubtype::Error);
        result.is_error = true;
        result.error = Some(reason.to_owned().into());
        result.error_code = Some(code);
        self.finish_turn(result, None);
    }

    /// The session ends: the running turn and all queued ones get their `result`.
    pub(super) fn end_all_turns(&mut self) {
        self.close_prompts(ResolvedBy::SessionEnded);
        let queued = std::mem::take(&mut self.queue);
        if self.turn.is_some() {
            self.converter.close_open(Some("interrupted"), &mut self.journal);
            self.finish_turn(blank_result(ResultSubtype::Interrupted), Some(InterruptOutcome::Interrupted));
        }
        for message in queued {
            self.result_of_unrun(&message.id);
        }
    }

    fn result_of_unrun(&mut self, id: &str) {
        let result = blank_result(ResultSubtype::Cancelled);
        self.journal.event_for(Some(id), &ServerMessage::Result(Box::new(result)));
    }

    /// Ends what a gateway that died had left unfinished, and goes on with what was queued.
    pub fn take_up(&mut self, unfinished: Unfinished, open: Vec<OpenMessage>, now: Now) {
        self.set_time(now);
        if unfinished.is_empty() {
            return;
        }
        // What clients saw last.
        self.status = SessionStatus::Thinking;
        for message in open {
            let complete = AssistantMessageComplete {
                stop_reason: Some("interrupted".into()),
                usage: None,
                parent_tool_use_id: message.parent_tool_use_id.map(Into::into),
            };
            self.journal.emit(message.id, &ServerMessage::AssistantMessageComplete(complete));
        }
        for id in unfinished.prompts {
            self.resolved(&id, Resolution::Cancelled, ResolvedBy::Agent, None);
        }
        if let Some(id) = unfinished.turn {
            self.begin_turn(id, Phase::Running);
            self.fail_turn(
                TurnErrorCode::AgentExited,
                "the gateway was restarted while this turn was running",
            );
        }
        for queued in unfinished.queued {
            let input = TurnInput { content: queued.content, parent_tool_use_id: queued.parent_tool_use_id };
            self.queue.push_back(Queued { id: queued.id, input });
        }
        self.effects.push(Effect::Persist);
        self.next_turn();
        self.sync_status();
    }

    /// `resume`.
    pub(super) fn resume(&mut self, asker: Asker) {
        if self.seen.contains(&asker.id) {
            let text = format!("a message with the id {:?} was taken before in this session", asker.id);
            self.reply(&asker, warning(WarningCode::DuplicateMessage, text));
            return;
        }
        let broken = if self.turn.is_none() { self.broken.take() } else { None };
        let Some(broken) = broken else {
            let text = "the last turn came to its end, or another one is running";
            self.reply(&asker, warning(WarningCode::NothingToResume, text));
            return;
        };
        self.remember(&asker.id);
        let input = broken.undelivered.unwrap_or_else(|| TurnInput {
            content: Json::of(GO_ON).unwrap_or_else(|_| Json::empty_object()),
            parent_tool_use_id: None,
        });
        self.begin_turn(Some(asker.id), Phase::Pending(input));
        self.deliver();
    }

    /// `cancel`: a queued message, the running turn, or an open prompt.
    pub(super) fn cancel(&mut self, asker: Asker, target: &str) {
        if let Some(at) = self.queue.iter().position(|queued| queued.id == target) {
            self.queue.remove(at);
            let cancelled = Cancelled { target_id: target.into() };
            self.journal.event_for(Some(&asker.id), &ServerMessage::Cancelled(cancelled));
            self.result_of_unrun(target);
            self.effects.push(Effect::Persist);
        } else if self.turn.as_ref().is_some_and(|turn| turn.id.as_deref() == Some(target)) {
            self.stop_turn(Some(asker), StopKind::Cancel);
        } else if !self.cancel_prompt(&asker, target) {
            self.reply(&asker, unknown_target(target));
        }
    }
}

fn millis_between(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

fn nothing_running() -> ServerMessage<'static> {
    ServerMessage::Interrupted(Interrupted { outcome: InterruptOutcome::NothingRunning })
}

fn unknown_target(target: &str) -> ServerMessage<'static> {
    error(ErrorCode::UnknownRequest, format!("nothing open in this session has the id {target:?}"))
}

/// A `result` that the gateway gives without one of the agent's.
fn blank_result(subtype: ResultSubtype) -> TurnResult<'static> {
    TurnResult {
        subtype,
        duration_ms: 0,
        duration_api_ms: 0,
        num_turns: 0,
        is_error: false,
        error: None,
        error_code: None,
        result: None,
        total_cost_usd: None,
        usage: None,
        stop_reason: None,
        permission_denials: None,
    }
}

/// The agent calls a stopped turn an error; for the client it is what was asked for.
fn interrupt_result(result: &mut TurnResult<'_>) {
    result.subtype = ResultSubtype::Interrupted;
    result.is_error = false;
    result.error = None;
    result.error_code = None;
}

fn broken_by(result: &TurnResult<'_>, phase: Phase) -> Option<Broken> {
    match (result.subtype, phase) {
        (ResultSubtype::Success | ResultSubtype::Cancelled, _) => None,
        (_, Phase::Pending(input)) => Some(Broken { undelivered: Some(input) }),
        (_, Phase::Running) => Some(Broken { undelivered: None }),
    }
}
