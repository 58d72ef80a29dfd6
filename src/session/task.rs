//! The session's task: one select makes one event, the state machine takes it in, its effects are run.
//!
//! It owns everything of a session that does I/O: the agent's process, its slot, the log, the way back to clients.

mod held;
mod outsiders;
mod process;
mod replies;
mod waits;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc};

use super::Shared;
use super::ears::{Ears, Heard};
use super::handle::{Answer, Client, Mail, Request, SessionHandle};
use super::shelf::Place;
use super::state::{ClientId, Closing, Effect, Input, Now, SessionState, SlotOutcome, error};
use crate::agent::{Agent, AgentOutput, Lines, LongLine, Output, Stop};
use crate::lengthy::at_length;
use crate::log::{Entry, EventLog, Journal};
use crate::protocol::encode::{Encoder, Header};
use crate::protocol::{EndReason, ErrorCode, ServerMessage, SessionEnded};
use crate::store::{Source, Status, StoreHealth};
use crate::wake::Gate;
use held::Held;
use outsiders::Outsiders;
use process::{Adoptable, Coming, Committing, SlotState};
use waits::{Event, Fairness};

/// One session at work.
pub(super) struct SessionTask {
    shared: Arc<Shared>,
    handle: SessionHandle,
    state: SessionState,
    log: Arc<EventLog>,
    mailbox: mpsc::Receiver<Box<Mail>>,
    /// The pool's word that another session needs the slot.
    bedtime: Arc<Notify>,
    ears: Ears,
    agent: Option<Agent>,
    /// Boxed, as what only a session at work has.
    output: Option<Box<AgentOutput>>,
    starting: Option<Coming>,
    /// Ends when the store has what was written before the lines that are held back.
    committing: Option<Committing>,
    /// Lines for the agent that wait for that.
    held: Held,
    /// Ends when clients may be told of the messages that were accepted: the store has them, or took too long.
    accepting: Option<Committing>,
    /// Connections that are not attached, and are told then; and of what.
    unconfirmed: Vec<(ClientId, String)>,
    /// Ends when the agent may be read again, because the store has caught up.
    pressed: Option<Committing>,
    /// A warm agent that came with the slot, until the state machine asks for an agent.
    warm: Option<Adoptable>,
    slot: SlotState,
    clients: HashMap<ClientId, Known>,
    /// What connections that are not attached asked for, and is not done yet.
    outsiders: Outsiders,
    /// So many clients there may be before those that only asked something and left are looked for.
    look_for_gone_at: usize,
    replies: Encoder,
    /// Before everything that wakes the session besides its agent's output.
    others: Gate,
    fairness: Fairness,
    /// What the pool knows the session by: its id, until it is removed.
    slot_name: Arc<str>,
    /// It is gone for everybody, and waits for its agent's end.
    is_removed: bool,
    /// The command that is being taken in, and what it is answered.
    current: Option<(ClientId, Answer)>,
    closing: Option<Closing>,
}

/// A connection that sent something.
struct Known {
    client: Client,
    /// It was given a cursor.
    attached: bool,
}

/// Connections that may be known before those that are gone are looked for.
const MANY_CLIENTS: usize = 32;

impl SessionTask {
    pub(super) fn new(
        shared: Arc<Shared>,
        handle: SessionHandle,
        mailbox: mpsc::Receiver<Box<Mail>>,
        state: SessionState,
        log: Arc<EventLog>,
    ) -> Self {
        let bedtime = Arc::new(Notify::new());
        Self {
            replies: Encoder::new(handle.key.id()),
            slot_name: Arc::clone(handle.key.name()),
            ears: Ears::new(
                Arc::clone(&bedtime),
                Arc::clone(&log),
                shared.store.as_ref().map(|store| store.health()),
            ),
            bedtime,
            shared,
            handle,
            state,
            log,
            mailbox,
            agent: None,
            output: None,
            starting: None,
            committing: None,
            pressed: None,
            held: Held::default(),
            accepting: None,
            unconfirmed: Vec::new(),
            warm: None,
            slot: SlotState::None,
            clients: HashMap::new(),
            outsiders: Outsiders::default(),
            look_for_gone_at: MANY_CLIENTS,
            others: Gate::new(),
            fairness: Fairness::default(),
            is_removed: false,
            current: None,
            closing: None,
        }
    }

    /// Runs until the session closes. Says in between, once, that it is being removed: [`make_way`](Self::make_way) is next then,
    /// and this again.
    pub(super) async fn run(&mut self) -> Stage {
        let timer = tokio::time::sleep_until(tokio::time::Instant::now());
        tokio::pin!(timer);
        let mut had_agent = false;
        loop {
            if self.state.take_stirred() || !self.append_quietly() {
                self.flush();
                if let Some(closing) = self.closing {
                    return Stage::Closed(closing);
                }
                if self.state.is_being_removed() && !self.is_removed {
                    return Stage::Removed;
                }
                if had_agent && self.agent.is_none() {
                    self.slim();
                }
                had_agent = self.agent.is_some();
                // There may be something else to wait for, and another deadline.
                self.others.open();
            }
            let event = poll_fn(|cx| self.poll_event(timer.as_mut(), cx)).await;
            // What another gateway may be doing by now must not be done here: a pause of this process is seen before what came of it.
            if !self.log.is_held() {
                drop(event);
                self.abandon().await;
                return Stage::Closed(Closing::Lost);
            }
            self.handle_event(event);
        }
    }

    /// The session is gone as if it had never been, but for its agent, which is still on its way out. Whoever names its id means
    /// another session, which has to wait for nothing of this one but, where there are few, for its agent's slot.
    pub(super) fn make_way(&mut self) {
        self.is_removed = true;
        self.log.delete();
        // What is in the mailbox is dropped, and so its senders look for what is there now.
        self.mailbox.close();
        while self.mailbox.try_recv().is_ok() {}
        let name: Arc<str> = format!("{} (removed, {})", self.handle.key, self.log.epoch()).into();
        self.shared.pool.is_busy(self.handle.key.name());
        if let SlotState::Held(slot) = &mut self.slot {
            slot.pass_to(&name);
            self.shared.pool.leaves(&name);
        }
        self.slot_name = name;
    }

    /// The next line comes from another process, if ever: a session at rest holds no more memory than it needs.
    fn slim(&mut self) {
        self.state.slim();
        self.replies.release();
        self.log.compact();
    }

    fn handle_event(&mut self, event: Event) {
        let now = now();
        match event {
            Event::Output(Some(Output::Lines(lines))) => self.lines(lines, now),
            Event::Output(Some(Output::Long(line))) => self.long_line(line, now),
            Event::Output(Some(Output::Skipped { bytes })) => {
                self.state.handle(Input::Skipped { bytes }, now);
            }
            Event::Output(Some(Output::Exited(mut exit))) => {
                exit.unread_lines += self.held.len() as u64;
                self.forget_agent();
                self.state.handle(Input::Exited(exit), now);
            }
            Event::Output(None) => {
                // The driver always says `Exited`; a closed channel without it is its bug, and must not hang the session.
                log::error!("session {}: the agent's output ended without its exit", self.handle.key);
                self.forget_agent();
                self.state.handle(Input::Exited(crate::agent::Exit::default()), now);
            }
            Event::Started(outcome) => self.started(*outcome, now),
            Event::Committed => self.release_held(),
            Event::Accepted => self.confirm(),
            Event::Slot(Some(slot)) => {
                self.slot = SlotState::Held(slot);
                self.state.handle(Input::Slot(SlotOutcome::Granted), now);
            }
            Event::Slot(None) => {
                self.slot = SlotState::None;
                self.state.handle(Input::Slot(SlotOutcome::Refused), now);
            }
            Event::Mail(mail) => match *mail {
                Mail::Command(request) => self.command(request, now),
                Mail::Drain(until) => self.state.handle(Input::Drain { until }, now),
                #[cfg(test)]
                Mail::BreakDown => panic!("as the test wants it"),
            },
            Event::Relieved => self.pressed = None,
            // Seen before.
            Event::Heard(Heard::Lost) => {}
            Event::Heard(Heard::Bedtime) => {
                let needed = self.shared.pool.is_leaving(&self.slot_name);
                self.state.handle(Input::Sleep { now: needed }, now);
            }
            Event::Heard(Heard::Attached(count)) => self.attached_changed(count, now),
            Event::Heard(Heard::Store(health)) => {
                self.state.handle(Input::StoreHealth { ok: health == StoreHealth::Good }, now);
            }
            Event::Deadline => {
                // The news of who has just attached may still be on its way: the session must not leave under them.
                let count = self.log.cursors();
                if count != self.state.attached() {
                    self.attached_changed(count, now);
                }
                self.state.handle(Input::Tick, now);
            }
        }
    }

    fn lines(&mut self, lines: Lines, now: Now) {
        at_length(lines.byte_len(), || {
            for line in &lines {
                self.state.line(line, now);
            }
            // Here, because a large buffer takes its time to be given back, too.
            drop(lines);
            self.press();
        });
    }

    fn long_line(&mut self, line: LongLine, now: Now) {
        at_length(line.byte_len(), || {
            let bytes = line.byte_len() as u64;
            match line.into_line() {
                Some(line) => self.state.line(&line, now),
                None => self.state.handle(Input::Skipped { bytes }, now),
            }
            self.press();
        });
    }

    fn attached_changed(&mut self, count: usize, now: Now) {
        self.forget_gone_clients();
        self.state.handle(Input::Attached(count), now);
    }

    fn forget_gone_clients(&mut self) {
        self.clients.retain(|_, known| !known.client.notices.is_closed());
        self.outsiders.retain(|client| self.clients.contains_key(&client));
        self.look_for_gone_at = MANY_CLIENTS.max(2 * self.clients.len());
    }

    fn command(&mut self, request: Request, now: Now) {
        let Request { client, id, command, answer } = request;
        let client_id = client.id;
        self.clients.entry(client_id).or_insert(Known { client, attached: false });
        if self.clients.len() > self.look_for_gone_at {
            self.forget_gone_clients();
        }
        self.current = Some((client_id, Answer::default()));
        let is_attached = self.clients.get(&client_id).is_some_and(|known| known.attached);
        if !is_attached {
            self.outsiders.asked(client_id, &id, &command);
            self.state.stems().want(!self.outsiders.is_empty());
        }
        self.state.handle(Input::Command { client: client_id, id, command }, now);
        self.flush();
        if let Some((_, given)) = self.current.take().filter(|_| self.log.is_held()) {
            // Nobody there any more: the cursor is dropped with the answer, and the log says so.
            let _ = answer.send(given);
        }
    }

    /// Appends what the state machine has written, then does what it wants, until it wants nothing more.
    fn flush(&mut self) {
        loop {
            // Before the events: who has read of the session's end finds it ended.
            self.state.refresh(&mut self.handle.summary.lock());
            let effects = std::mem::take(self.state.effects());
            self.append(&effects);
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.run_effect(effect);
            }
        }
        *self.handle.vitals.lock() = self.state.vitals();
        self.report();
    }

    fn report(&mut self) {
        if let Some(up) = self.state.report(&self.shared.metrics) {
            self.shared.starts.note(self.handle.key.name(), up, Instant::now());
        }
    }

    /// The hot path: appends events, where there is nothing to do besides. `false`: there may be.
    fn append_quietly(&mut self) -> bool {
        if !self.outsiders.is_empty() {
            return false;
        }
        let is_removed = self.is_removed;
        let entries = self.state.entries();
        if is_removed {
            entries.clear();
        } else if !entries.is_empty() {
            self.shared.metrics.events(entries.len() as u64);
            self.log.append(entries);
        }
        true
    }

    fn append(&mut self, effects: &[Effect]) {
        if self.is_removed {
            self.state.entries().clear();
            return;
        }
        let mut journal = Journal::default();
        if self.shared.store.is_some() {
            if effects.iter().any(|effect| matches!(effect, Effect::Persist)) {
                journal.record = Some(self.record());
            }
            journal.message_ids.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Remember(id) => Some(id.clone()),
                _ => None,
            }));
            let promises = effects.iter().any(|effect| matches!(effect, Effect::StoreFirst));
            journal.stored_first = (promises || !journal.message_ids.is_empty()) && self.is_stored_in_time();
        }
        if self.state.entries().is_empty() && journal.record.is_none() && journal.message_ids.is_empty() {
            return;
        }
        self.shared.metrics.events(self.state.entries().len() as u64);
        let done = self.outsiders.answers(&self.state.stems().take());
        self.state.stems().want(!self.outsiders.is_empty());
        let accepts = journal.stored_first;
        self.log.append_with(self.state.entries(), journal);
        if accepts {
            self.accept();
        }
        if self.accepting.is_some() {
            self.unconfirmed.extend(done);
            return;
        }
        for (client, id) in done {
            self.tell_outsider(client, &id);
        }
    }

    fn record(&self) -> crate::store::Record {
        let record = self.state.record();
        crate::store::Record {
            owner: self.handle.owner.to_string(),
            created_at: record.created_at,
            last_active_at: record.last_active_at,
            status: match (self.state.has_ended(), self.closing) {
                (true, _) => Status::Ended,
                (false, Some(_)) => Status::Dormant,
                (false, None) => Status::Active,
            },
            state: serde_json::to_string(&record).unwrap_or_default(),
        }
    }

    fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { asker, message } => self.reply(&asker, &message),
            Effect::Info(asker) => self.info(&asker),
            Effect::Attach { asker, from, created } => self.attach(&asker, &from, created),
            Effect::Announce => self.announce(),
            Effect::AcquireSlot { wait } => self.acquire_slot(wait),
            Effect::Impatient => self.shared.pool.is_impatient(self.handle.key.name()),
            Effect::ReleaseSlot => {
                self.warm = None;
                self.slot = SlotState::None;
            }
            Effect::Standing(standing) => self.standing(standing),
            Effect::Spawn(plan) => self.spawn(&plan),
            Effect::Commit => self.commit(),
            Effect::ToAgent(line) => self.tell_agent(line),
            Effect::StopAgent { now } => {
                self.stop_agent(if now { Stop::Now } else { Stop::Orderly });
            }
            Effect::Close(closing) => self.closing = Some(closing),
            // Done by `append`.
            Effect::Persist | Effect::StoreFirst | Effect::Remember(_) => {}
        }
    }

    /// The last words: the log takes nothing more, and what remains of the session is settled.
    pub(super) fn farewell(mut self, closing: Closing) -> Finished {
        self.shared.pool.is_busy(&self.slot_name);
        self.report();
        let mut place = None;
        if closing == Closing::Removed {
            self.log.delete();
        } else if closing != Closing::Lost {
            let journal = Journal { record: Some(self.record()), ..Journal::default() };
            self.log.append_with(self.state.entries(), journal);
            // Who is attached to a session that rests where others can take it up is to look for it there, but not yet.
            if closing != Closing::Dormant || self.log.tenure().is_none() {
                self.log.close();
            }
            place = self.shared.store.is_some().then(|| Place {
                epoch: self.log.epoch().to_owned(),
                next_seq: self.state.position().next_seq,
                settled: false,
            });
        }
        self.confirm();
        self.state.refresh(&mut self.handle.summary.lock());
        Finished { handle: self.handle, closing, place, too_late: self.mailbox }
    }
}

/// How far a session's task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The session is removed; its agent is not gone yet.
    Removed,
    /// All of it is over.
    Closed(Closing),
}

/// What is left of a session whose task is done.
pub(super) struct Finished {
    pub(super) handle: SessionHandle,
    pub(super) closing: Closing,
    /// Where it can be taken up from.
    pub(super) place: Option<Place>,
    /// Commands that came too late; dropping it tells their senders.
    pub(super) too_late: mpsc::Receiver<Box<Mail>>,
}

/// The time by both clocks.
pub(super) fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX) }
}

/// What is said for a session whose task broke down: it `comes_back` from the store, or is over. Then nothing follows.
pub(super) fn last_words(log: &EventLog, id: &str, comes_back: bool) {
    let message = if comes_back {
        let text =
            "the session broke down by a fault of the gateway; start it again (session_start) to go on";
        error(ErrorCode::Internal, text)
    } else {
        ServerMessage::SessionEnded(SessionEnded { reason: EndReason::Failed })
    };
    let seq = log.last_seq() + 1;
    let name = format!("end-{seq}");
    let header =
        Header { id: name.as_str().into(), request_id: None, seq: Some(seq), timestamp: Some(now().unix_ms) };
    log.append(&mut vec![Entry { seq, frame: Encoder::new(id).encode(&header, &message) }]);
    log.close();
}
