//! Turns: one at a time, each with exactly one `result`.
//!
//! The agent has a queue of its own; ours is used instead, so that a `result` can only belong to the message that was sent.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::stops::Stop;
use super::{Asker, Effect, Life, SessionState, Standing, error, warning};
use crate::agent::{Exit, wire};
use crate::converter::{self, turn_result};
use crate::protocol::{
    ErrorCode, InterruptOutcome, Json, Origin, ResolvedBy, ResultSubtype, ServerMessage, TurnErrorCode,
    TurnResult, UserMessage, UserMessageEvent, WarningCode,
};

/// A user message that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    /// The client's id of it.
    pub(super) id: String,
    /// What the agent gets.
    pub(super) input: TurnInput,
    /// Its `user_message` stands in the log after this event.
    pub(super) after_seq: u64,
    /// Whether a gateway that starts after this one was killed may find it waiting.
    pub(super) recorded: bool,
}

impl Queued {
    /// Bytes that it holds, about.
    fn cost(&self) -> usize {
        self.id.len()
            + self.input.content.get().len()
            + self.input.parent_tool_use_id.as_ref().map_or(0, String::len)
    }
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

impl TurnInput {
    /// What the agent gets of a message's content; `depth` is [`SessionLimits::max_json_depth`](super::SessionLimits).
    pub(in crate::session) fn of(
        content: &Json<'static>,
        parent_tool_use_id: Option<String>,
        depth: usize,
    ) -> Self {
        let content =
            converter::user_content_within(content, depth).map_or_else(|| content.clone(), Json::into_owned);
        Self { content, parent_tool_use_id }
    }
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
    since: Instant,
    pub(super) stop: Option<Stop>,
    /// Where its `user_message` stands in the log; none where a restart must not run it.
    pub(super) stored_after: Option<u64>,
    /// Whether a gateway that starts after this one was killed may find it waiting.
    pub(super) recorded: bool,
    /// Agents that died before they had begun it.
    pub(super) returned: u32,
    /// Whether the agent has first begun a turn of its own, whose events do not stem from this one.
    pub(super) behind: bool,
    /// As it was sent, where it is taken for begun by the order of things, and the agent has not asked the model since.
    pub(super) sent: Option<Phase>,
    /// Whether the message is `/compact`.
    pub(super) compacts: bool,
    /// Why the agent began it itself, or the one that is before it.
    pub(super) origin: Option<Origin>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The agent is not ready; it has not been told yet.
    Pending(TurnInput),
    /// The agent has been sent it and has not said that it begins.
    Sent {
        input: TurnInput,
        /// The how manyth line of those that this agent was sent.
        line: u64,
        /// Whether it is the first message of its conversation.
        is_first: bool,
    },
    /// The agent has been told.
    Running,
}

impl Turn {
    /// Whether somebody wants it stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Pending(_))
    }

    /// The agent has let go of the message that it was sent: `resume` gives it the whole message. True: it was to be the first of
    /// its conversation.
    pub(super) fn was_not_begun(&mut self) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Sent { input, is_first, .. } => {
                self.phase = Phase::Pending(input);
                is_first
            }
            phase => {
                self.phase = phase;
                false
            }
        }
    }

    /// Whether the agent has been sent it and has not said that it begins.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.phase, Phase::Sent { .. })
    }
}

impl SessionState {
    /// `user_message`: queued, run in order, never twice.
    pub(super) fn user_message(&mut self, asker: Asker, message: UserMessage) {
        if self.refused_as_duplicate(&asker) {
            return;
        }
        if self.turn.is_some() && self.queue.len() >= self.limits.max_queue {
            let text = format!("{} messages are waiting already (--max-queue)", self.queue.len());
            self.reply(&asker, error(ErrorCode::QueueFull, text));
            return;
        }
        let waiting: usize = self.queue.iter().map(Queued::cost).sum();
        let size = message.content.get().len();
        // One message always finds room, however large it is.
        if !self.queue.is_empty() && waiting + size > self.limits.max_queue_bytes {
            let text = format!(
                "the messages that are waiting already hold {waiting} bytes; this one is too many (--max-queue-bytes)"
            );
            self.reply(&asker, error(ErrorCode::QueueFull, text));
            return;
        }
        self.remember(&asker.id);
        let after_seq = self.journal.position().last_seq();
        let event = UserMessageEvent {
            content: message.content.clone(),
            parent_tool_use_id: message.parent_tool_use_id.as_deref().map(Into::into),
        };
        self.journal.event_for(Some(&asker.id), &ServerMessage::UserMessage(event));
        let input = TurnInput::of(&message.content, message.parent_tool_use_id, self.limits.max_json_depth);
        self.queue.push_back(Queued { id: asker.id, input, after_seq, recorded: false });
        self.effects.push(Effect::Persist);
        self.next_turn();
        if let Some(last) = self.queue.back_mut() {
            last.recorded = true;
        }
    }

    /// A message id is good for one turn, ever.
    pub(super) fn refused_as_duplicate(&mut self, asker: &Asker) -> bool {
        if !self.seen.contains(&asker.id) {
            return false;
        }
        let id = &asker.id;
        let text =
            format!("a message with the id {id:?} was taken before in this session; it is not run again");
        self.reply(asker, warning(WarningCode::DuplicateMessage, text));
        true
    }

    pub(super) fn remember(&mut self, id: &str) {
        self.seen.insert(id);
        self.effects.push(Effect::Remember(id.to_owned()));
    }

    /// Begins the next turn, if none is running and one is waiting.
    pub(super) fn next_turn(&mut self) {
        if self.turn.is_some() || matches!(self.life, Life::Closing(_) | Life::Closed(_)) {
            return;
        }
        if self.drain_is_over() {
            self.cancel_queue();
        }
        if let Some(next) = self.queue.pop_front() {
            self.begin_turn(Some(next.id), Phase::Pending(next.input));
            if let Some(turn) = &mut self.turn {
                turn.stored_after = Some(next.after_seq);
                turn.recorded = next.recorded;
            }
            self.deliver();
            if let Some(turn) = &mut self.turn {
                turn.recorded = true;
            }
        }
    }

    pub(super) fn begin_turn(&mut self, id: Option<String>, phase: Phase) {
        self.journal.set_turn(id.clone());
        self.journal.tally().turn_begins(self.now.unix_ms);
        self.journal.forget_tools();
        self.turn = Some(Box::new(Turn {
            id,
            phase,
            since: self.now.instant,
            stop: None,
            stored_after: None,
            recorded: false,
            returned: 0,
            behind: false,
            sent: None,
            compacts: false,
            origin: None,
        }));
        self.broken = None;
        self.busy();
        self.effects.push(Effect::Persist);
    }

    /// The agent began a turn: the one that it was sent, or one by itself.
    pub(super) fn turn_began(&mut self) {
        // An agent that does not say which message it begins most likely begins a turn of its own when it has news (what the model
        // hears of within a turn, the agent does not begin another for). It does not say so before the turn's `result`. Where this
        // guess is wrong, events lack a `request_id`, but not the `result`; and if the agent dies before that, the message is taken
        // for begun (`take_back`).
        let has_news = std::mem::take(&mut self.agent.has_news);
        let sent = self.turn.as_ref().is_some_and(|turn| matches!(turn.phase, Phase::Sent { .. }));
        let names = self.deliveries.names();
        let goes_first = if names { !self.deliveries.has_begun() } else { has_news };
        let is_own = self.turn.is_none() || (sent && goes_first);
        match &mut self.turn {
            None => self.begin_turn(None, Phase::Running),
            Some(turn) if sent && goes_first => {
                turn.behind = true;
                self.journal.set_turn(None);
            }
            Some(turn) if sent => {
                let sent = std::mem::replace(&mut turn.phase, Phase::Running);
                turn.sent = (!names).then_some(sent);
                self.agent.conversation.owes_no_more();
                self.own_turn_over();
            }
            Some(_) => {}
        }
        if is_own {
            let origin = self.own_turn_begins(has_news);
            if let Some(turn) = &mut self.turn {
                turn.origin = Some(origin);
            }
        }
    }

    /// What comes now stems from the message that the agent was sent; but what comes before it is begun does not, where the agent says
    /// when that is.
    pub(super) fn own_turn_over(&mut self) {
        let waits = self.deliveries.names() && !self.deliveries.has_begun();
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.id.is_some()) {
            if std::mem::take(&mut turn.behind) {
                turn.origin = None;
            }
            self.journal.set_turn(turn.id.clone().filter(|_| !waits));
        }
    }

    /// The agent says that a turn is over. The running one, unless something tells otherwise.
    pub(super) fn turn_over(&mut self, line: &wire::ResultMessage<'_>) {
        if self.agent.told_before(line) {
            log::warn!("session {}: the agent said the same result twice; ignored", self.id);
            return;
        }
        self.conversation_is(line.session_id);
        if let Some(cost) = line.total_cost_usd.number() {
            self.cost.process_says(cost, self.info.version.as_deref());
        }
        if std::mem::take(&mut self.agent.echoes.is_in_one)
            && line.is_of_a_task()
            && line.num_turns.count() == Some(0)
        {
            log::debug!("session {}: the agent said again that tasks were stopped", self.id);
            return;
        }
        match &self.turn {
            // What the agent has not been told it cannot have done (a failed `--resume` gives a result, for one).
            Some(turn) if turn.is_pending() => {
                log::warn!("session {}: the agent ended a turn before it got one; ignored", self.id);
            }
            // It had begun by itself just before it got our message.
            Some(turn) if self.is_of_own_turn(line) => {
                let mut result = turn_result(line);
                result.origin = Some(self.origin_at_end(turn, line));
                if turn.is_stopping() && line.was_aborted() {
                    interrupt_result(&mut result);
                }
                self.num_turns += 1;
                self.journal.event_for(None, &ServerMessage::Result(Box::new(result)));
                self.own_turn_over();
                if self.deliveries.cancelled {
                    self.cancelled_in_the_agent();
                }
            }
            Some(turn) => {
                let stopped = turn.is_stopping();
                self.deliveries.are_over();
                self.own_turn_over();
                self.running_turn_over(line, stopped);
            }
            None => log::warn!("session {}: the agent ended a turn that was not running; ignored", self.id),
        }
    }

    fn running_turn_over(&mut self, line: &wire::ResultMessage<'_>, stopped: bool) {
        if stopped {
            self.converter.close_open(Some("interrupted"), &mut self.journal);
        }
        let mut result = turn_result(line);
        result.origin =
            self.turn.as_ref().filter(|turn| turn.id.is_none()).map(|turn| self.origin_at_end(turn, line));
        let by_itself = !result.is_error && !line.was_aborted();
        if !by_itself {
            // Whatever ended meanwhile, nobody knows whether the agent will come back to it.
            self.agent.has_news = false;
        }
        let no_compaction =
            self.turn.as_ref().is_some_and(|turn| self.compaction.came_to_nothing(turn, line));
        let was_stopped =
            (stopped && (!by_itself || no_compaction)) || (line.was_aborted() && self.agent.is_stopping());
        if was_stopped {
            interrupt_result(&mut result);
        } else if no_compaction {
            self.compaction.refuse(&mut result);
        }
        self.ask_what_applies(line);
        self.finish_turn(result, was_stopped.then_some(InterruptOutcome::Interrupted));
    }

    /// The one place where a turn ends: what it leaves open is closed, who stopped it is answered, its `result` is given.
    pub(super) fn finish_turn(&mut self, mut result: TurnResult<'_>, outcome: Option<InterruptOutcome>) {
        let Some(turn) = self.turn.take() else { return };
        if result.duration_ms == 0 {
            result.duration_ms = millis_between(turn.since, self.now.instant);
        }
        if turn.id.is_none() && result.origin.is_none() {
            result.origin.clone_from(&turn.origin);
        }
        if result.subtype != ResultSubtype::Success {
            self.close_prompts_of_turn(if outcome.is_some() {
                ResolvedBy::Interrupt
            } else {
                ResolvedBy::Agent
            });
        }
        self.drop_client_calls();
        self.compaction.turn_over();
        self.journal.forget_tools();
        self.tasks.turn_over(self.now.instant);
        let mut stop = turn.stop;
        if outcome.is_some()
            && let Some(stop) = stop.take()
        {
            self.answer_stoppers(stop, turn.id.as_deref(), outcome);
        }
        self.broken = broken_by(&result, turn.phase);
        self.num_turns += 1;
        self.last_active_at = self.now.unix_ms;
        self.journal.event_for(turn.id.as_deref(), &ServerMessage::Result(Box::new(result)));
        if let Some(stop) = stop {
            self.answer_stoppers(stop, turn.id.as_deref(), None);
        }
        self.journal.set_turn(None);
        self.effects.push(Effect::Persist);
        self.after_turn();
    }

    /// Between turns: the next one, or rest.
    fn after_turn(&mut self) {
        self.next_turn();
        self.drain_step();
        self.settle();
    }

    /// Whether nothing is under way: no turn, no question, no call that a client has to answer, nothing beside turns that keeps the agent.
    pub(super) fn is_at_rest(&self) -> bool {
        self.has_nothing_open() && self.held_until().is_none_or(|until| until <= self.now.instant)
    }

    /// The same, but for what goes on beside turns.
    pub(super) fn has_nothing_open(&self) -> bool {
        self.turn.is_none()
            && self.prompts.is_empty()
            && self.elicitations.is_empty()
            && self.client_tools.is_empty()
    }

    /// Whether nothing of a turn is under way: what is open is beside turns.
    pub(super) fn has_no_turn(&self) -> bool {
        let is_beside = |call: &str| self.journal.is_made_beside(call);
        // Of what an MCP server asks nobody says whose call it is about.
        self.turn.is_none()
            && self.prompts.calls().all(is_beside)
            && self.client_tools.open().all(is_beside)
            && (self.elicitations.is_empty() || self.tasks.beside().next().is_some())
    }

    /// Until when what goes on beside turns keeps the agent, whatever else does.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.tasks.hold_until(&self.limits).filter(|_| self.agent.is_ready())
    }

    /// Something is under way: the agent must stay.
    pub(super) fn busy(&mut self) {
        self.agent.idle_since = None;
        self.agent.lingers = false;
        self.effects.push(Effect::Standing(Standing::Busy));
    }

    /// The agent is gone. A turn that it was never told of is not its own.
    pub(super) fn turn_lost_agent(&mut self, exit: &Exit, reason: &str) {
        let Some(turn) = &self.turn else { return };
        if turn.is_pending() {
            return;
        }
        let Some(stop) = &turn.stop else {
            self.fail_turn(TurnErrorCode::AgentExited, reason);
            return;
        };
        let killed = stop.killed || exit.killed;
        let outcome = if killed { InterruptOutcome::AgentKilled } else { InterruptOutcome::Interrupted };
        self.finish_turn(blank_result(ResultSubtype::Interrupted), Some(outcome));
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

    /// What waits is not begun any more.
    fn cancel_queue(&mut self) {
        for message in std::mem::take(&mut self.queue) {
            self.result_of_unrun(&message.id);
        }
    }

    pub(super) fn result_of_unrun(&mut self, id: &str) {
        let result = blank_result(ResultSubtype::Cancelled);
        self.journal.event_for(Some(id), &ServerMessage::Result(Box::new(result)));
    }
}

fn millis_between(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

/// A `result` that the gateway gives without one of the agent's.
pub(super) fn blank_result(subtype: ResultSubtype) -> TurnResult<'static> {
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
        origin: None,
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
        (_, Phase::Sent { .. } | Phase::Running) => Some(Broken { undelivered: None }),
    }
}
