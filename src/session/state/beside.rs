//! What goes on beside turns: tasks as the agent tells of them, and whose prompts and calls are whose.

use super::tasks::Told;
use super::turns::Turn;
use super::{Effect, SessionState};
use crate::agent::wire;
use crate::converter::TaskNews;
use crate::protocol::{Origin, ResolvedBy, ServerMessage, TaskStatus, WarningCode};

impl SessionState {
    /// The agent says something of its tasks.
    pub(super) fn task_news(&mut self, news: Vec<TaskNews>) {
        for news in news {
            let within = match &news {
                TaskNews::Started(start) => self.journal.is_beside(start.parent_tool_use_id.as_deref()),
                TaskNews::Ended { task_id, news, .. } => {
                    self.agent.has_news |= *news;
                    self.note_echo(task_id);
                    false
                }
                _ => false,
            };
            let begun = if let TaskNews::Started(start) = &news { start.tool_use_id.clone() } else { None };
            let told = self.tasks.take(news, within, self.now);
            self.tell_tasks(told);
            if begun.is_some() {
                self.ask_for_background(begun.as_deref());
            }
        }
    }

    /// Something else is said: tasks of which the agent has only said that they ended are told now.
    pub(super) fn flush_tasks(&mut self) {
        if self.tasks.has_ending() {
            let told = self.tasks.flush();
            self.tell_tasks(told);
        }
    }

    pub(super) fn tell_tasks(&mut self, told: Vec<Told>) {
        for Told { update, beside, of_turn, stoppers } in told {
            let over = update.status != TaskStatus::Running;
            if let Some(call) = update.tool_use_id.as_deref() {
                // Ids repeat: by the end of a task its id may be that of a call of the turn.
                let is_anothers = over && beside && self.journal.runs(call);
                if beside && !over {
                    self.journal.goes_beside(call);
                }
                if over && !is_anothers {
                    self.close_what_belongs_to(call);
                }
            }
            if over || update.progress.is_none() {
                self.effects.push(Effect::Persist);
            }
            let mut askers = stoppers;
            if !over && update.background {
                askers.extend(self.requests.went_to_background(update.tool_use_id.as_deref()));
            }
            let message = ServerMessage::TaskUpdate(update);
            let stoppers = askers;
            if stoppers.is_empty() && of_turn {
                self.journal.event_of_turn(&message);
            } else if stoppers.is_empty() {
                self.journal.event_for(None, &message);
            }
            for stopper in stoppers {
                self.journal.event_for(Some(&stopper.id), &message);
            }
        }
        self.tell_interrupters();
        self.settle();
    }

    /// A task is over, and with it what it asked and called. `call`: the one that began it.
    fn close_what_belongs_to(&mut self, call: &str) {
        self.close_prompts_of(call, ResolvedBy::Agent);
        self.drop_client_calls_of(call);
        self.journal.forget_tools_of(call);
    }

    /// All tasks end, since their agent's process does.
    pub(super) fn tasks_go(&mut self, why: &str) {
        let lost = self.tasks.beside().count();
        if lost > 0 {
            let what = if lost == 1 { "task was".to_owned() } else { format!("{lost} tasks were") };
            let text = format!("the agent's background {what} stopped: {why}");
            log::info!("session {}: {text}", self.id);
            let message = super::warning(WarningCode::TasksStopped, text);
            self.journal.event_for(None, &message);
        }
        let told = self.tasks.all_stop(self.now);
        self.tell_tasks(told);
    }

    pub(super) fn task_tick(&mut self) {
        let told = self.tasks.tick(self.now.instant);
        if !told.is_empty() {
            self.tell_tasks(told);
        }
    }

    /// The agent begins a turn by itself: why.
    pub(super) fn own_turn_begins(&mut self, has_news: bool) -> Origin {
        let (origin, told) = self.tasks.own_turn(has_news, self.now.instant);
        self.tell_tasks(told);
        origin
    }

    /// Where the turn that ended came from, if no message began it.
    pub(super) fn origin_at_end(&self, turn: &Turn, line: &wire::ResultMessage<'_>) -> Origin {
        self.tasks.origin(turn.origin.clone(), line.is_of_a_task(), line.task_run().as_deref())
    }

    /// A process that goes on with a conversation first says of each task that the one before it left running that it was stopped, and
    /// that as a turn: one without an answer of the model, in which nothing happens. Clients know already.
    fn note_echo(&mut self, task_id: &str) {
        if self.agent.echoes.is_fresh && self.tasks.kind_of(task_id).is_none() {
            self.agent.echoes.expected = self.agent.echoes.expected.saturating_add(1);
        }
    }
}
