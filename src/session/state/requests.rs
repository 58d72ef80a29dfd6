//! What clients ask of the agent about its tasks: stop one, show what it has written, let the turn go on without a tool.
//!
//! Each is a control request, answered within [`PATIENCE`] or given up. 2.1.197 reads no further line after some that it does not
//! understand, so what is written was checked before.

use std::time::{Duration, Instant};

use super::tasks::Stopping;
use super::{Asker, SessionState, error};
use crate::agent::{control, wire};
use crate::protocol::{ErrorCode, InterruptOutcome, Interrupted, ServerMessage, TaskKind, TaskOutputReply};
use crate::session::words;

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that may be open.
const MAX_OPEN: usize = 64;
/// Clients that may wait for the end of all tasks.
const MAX_INTERRUPTERS: usize = 16;

/// Requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: Vec<Open>,
    /// Who wants all tasks stopped, until when.
    interrupters: Vec<(Asker, Instant)>,
}

#[derive(Debug)]
struct Open {
    /// The control request's; none: the agent is asked once the task is known to it.
    id: Option<String>,
    wanted: Wanted,
    deadline: Instant,
}

#[derive(Debug)]
enum Wanted {
    Stop { task_id: String },
    Output { asker: Asker, task_id: String },
    Background { asker: Asker, call: Option<String>, told: bool },
}

/// `task_output`, as the agent gives it.
#[derive(serde::Deserialize)]
struct Output {
    #[serde(default, rename = "output")]
    text: String,
    #[serde(default)]
    total_bytes: u64,
    #[serde(default)]
    truncated: bool,
}

impl Requests {
    /// When the next of them is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.open.iter().map(|open| open.deadline);
        open.chain(self.interrupters.iter().map(|(_, deadline)| *deadline)).min()
    }

    /// Whether one waits until its task is known.
    pub(super) fn is_waiting(&self) -> bool {
        self.open.iter().any(|open| open.id.is_none())
    }

    fn take(&mut self, is_meant: impl Fn(&Open) -> bool) -> Option<Open> {
        self.open.iter().position(is_meant).map(|at| self.open.remove(at))
    }

    /// Who wanted that task in the background, where it went: they are told.
    pub(super) fn went_to_background(&mut self, tool_use_id: Option<&str>) -> Vec<Asker> {
        let mut askers = Vec::new();
        for open in &mut self.open {
            if let Wanted::Background { asker, call, told } = &mut open.wanted
                && !*told
                && (call.is_none() || call.as_deref() == tool_use_id)
            {
                *told = true;
                askers.push(asker.clone());
            }
        }
        askers
    }
}

impl SessionState {
    /// `task_stop`.
    pub(super) fn task_stop(&mut self, asker: &Asker, task_id: &str) {
        match self.tasks.stop(task_id, Some(asker.clone())) {
            Stopping::Ask => self.ask_to_stop(task_id),
            Stopping::Asked => {}
            Stopping::TooMany => {
                self.reply(asker, error(ErrorCode::RateLimited, "too many wait for the end of that task"));
            }
            Stopping::Schedule => self.reply(asker, error(ErrorCode::Unsupported, NO_END_OF_SCHEDULES)),
            Stopping::NotRunning => self.reply(asker, no_task(task_id)),
        }
    }

    fn ask_to_stop(&mut self, task_id: &str) {
        let id = self.request(Wanted::Stop { task_id: task_id.to_owned() });
        self.tell(control::stop_task(&id, task_id));
    }

    /// `interrupt` with `tasks`. `asker`: who is to be told when that is done.
    pub(super) fn stop_all_tasks(&mut self, asker: Option<Asker>) {
        let stoppable = self.tasks.stoppable();
        if let Some(asker) = asker {
            if stoppable.is_empty() {
                self.reply(&asker, super::stops::nothing_but(self.tasks.beside_ids()));
                return;
            }
            if self.requests.interrupters.len() >= MAX_INTERRUPTERS {
                self.reply(&asker, error(ErrorCode::RateLimited, "too many wait for the end of the tasks"));
                return;
            }
            self.requests.interrupters.push((asker, self.now.instant + PATIENCE));
        }
        for task_id in stoppable {
            if self.tasks.stop(&task_id, None) == Stopping::Ask {
                self.ask_to_stop(&task_id);
            }
        }
    }

    /// Who wanted all tasks stopped is told when none runs any more.
    pub(super) fn tell_interrupters(&mut self) {
        if self.requests.interrupters.is_empty() || !self.tasks.stoppable().is_empty() {
            return;
        }
        for (asker, _) in std::mem::take(&mut self.requests.interrupters) {
            let interrupted =
                Interrupted { outcome: InterruptOutcome::Interrupted, ..Interrupted::default() };
            self.journal.event_for(Some(&asker.id), &ServerMessage::Interrupted(interrupted));
        }
    }

    /// `task_output`.
    pub(super) fn task_output(&mut self, asker: Asker, task_id: &str) {
        match self.tasks.kind_of(task_id).filter(|_| self.agent.is_ready()) {
            None => self.reply(&asker, no_task(task_id)),
            Some(TaskKind::Shell | TaskKind::Monitor) if self.requests.open.len() < MAX_OPEN => {
                let id = self.request(Wanted::Output { asker, task_id: task_id.to_owned() });
                self.tell(control::get_task_output(&id, task_id));
            }
            Some(TaskKind::Shell | TaskKind::Monitor) => self.reply(&asker, too_many()),
            Some(TaskKind::Agent | TaskKind::Schedule | TaskKind::Other) => {
                let text = "Claude Code gives the output of shells and monitors only (2.1.330 and newer); what a subagent says comes as \
                    messages with its `parent_tool_use_id`";
                self.reply(&asker, error(ErrorCode::Unsupported, text));
            }
        }
    }

    /// `background`.
    pub(super) fn background(&mut self, asker: Asker, call: Option<String>) {
        let runs = match &call {
            Some(call) => self.journal.runs(call),
            None => self.journal.tool_is_running(),
        };
        if !runs || !self.agent.is_ready() {
            self.reply(&asker, nothing_to_send());
        } else if self.requests.open.len() >= MAX_OPEN {
            self.reply(&asker, too_many());
        } else {
            let deadline = self.now.instant + PATIENCE;
            // The agent knows a call as a task some two seconds after its begin; until then it could not be sent.
            let known = self.tasks.waits_for(call.as_deref());
            let begun = call.clone();
            let wanted = Wanted::Background { asker, call, told: false };
            self.requests.open.push(Open { id: None, wanted, deadline });
            if known {
                self.ask_for_background(begun.as_deref());
            }
        }
    }

    /// The agent knows the call as a task: who wanted it in the background is heard now.
    pub(super) fn ask_for_background(&mut self, begun: Option<&str>) {
        for at in 0..self.requests.open.len() {
            let Some(Open { id: None, wanted: Wanted::Background { call, .. }, .. }) =
                self.requests.open.get(at)
            else {
                continue;
            };
            let call = call.clone();
            if call.is_none() || call.as_deref() == begun {
                let id = self.fresh_control_id();
                let line = control::background_tasks(&id, call.as_deref());
                if let Some(open) = self.requests.open.get_mut(at) {
                    open.id = Some(id);
                }
                self.tell(line);
            }
        }
    }

    /// A call that has its result cannot be sent to the background any more.
    pub(super) fn no_more_background(&mut self) {
        let journal = &self.journal;
        let is_over = |open: &Open| match &open.wanted {
            Wanted::Background { call: Some(call), .. } => open.id.is_none() && !journal.runs(call),
            Wanted::Background { call: None, .. } => open.id.is_none() && !journal.tool_is_running(),
            _ => false,
        };
        let over: Vec<_> = self.requests.open.extract_if(.., |open| is_over(open)).collect();
        for open in over {
            self.give_up(open.wanted);
        }
    }

    fn request(&mut self, wanted: Wanted) -> String {
        let id = self.fresh_control_id();
        let deadline = self.now.instant + PATIENCE;
        self.requests.open.push(Open { id: Some(id.clone()), wanted, deadline });
        id
    }

    /// Takes in the answer to one of these. False: it is to something else.
    pub(super) fn request_answered(&mut self, response: &wire::ControlResponse<'_>) -> bool {
        let is_meant = |open: &Open| open.id.as_deref() == Some(&*response.request_id);
        let Some(open) = self.requests.take(is_meant) else { return false };
        match (open.wanted, &response.outcome) {
            (Wanted::Stop { task_id }, Ok(_)) => {
                let told = self.tasks.stopped(&task_id);
                self.tell_tasks(told);
            }
            (Wanted::Stop { task_id }, Err(failed)) => {
                let text = format!("the agent did not stop the task: {}", words::for_clients(failed));
                self.not_stopped(&task_id, &text);
            }
            (Wanted::Output { asker, task_id }, Ok(raw)) => {
                let output = raw.to::<Output>();
                let Some(Output { text, total_bytes, truncated }) = output else {
                    self.reply(&asker, error(ErrorCode::AgentFailed, "the agent gave no output"));
                    return true;
                };
                let reply =
                    TaskOutputReply { task_id: task_id.into(), output: text.into(), total_bytes, truncated };
                self.reply(&asker, ServerMessage::TaskOutput(reply));
            }
            (Wanted::Output { asker, task_id }, Err(failed)) => {
                self.reply(&asker, self.no_output(&task_id, failed));
            }
            (Wanted::Background { asker, told, .. }, Ok(_)) => {
                if !told {
                    self.reply(&asker, nothing_to_send());
                }
            }
            (Wanted::Background { asker, .. }, Err(failed)) => {
                let text = format!("the agent refused: {}", words::for_clients(failed));
                self.reply(&asker, error(ErrorCode::AgentFailed, text));
            }
        }
        true
    }

    fn no_output(&self, task_id: &str, failed: &str) -> ServerMessage<'static> {
        if failed.starts_with("Unsupported control request") {
            let version = self.info.version.as_deref().unwrap_or("this version");
            let text = format!("Claude Code {version} cannot give a task's output; 2.1.330 and newer can");
            error(ErrorCode::Unsupported, text)
        } else if failed.contains("no shell or Monitor task") {
            no_task(task_id)
        } else {
            error(ErrorCode::AgentFailed, format!("the agent refused: {}", words::for_clients(failed)))
        }
    }

    fn not_stopped(&mut self, task_id: &str, text: &str) {
        for asker in self.tasks.not_stopped(task_id) {
            self.reply(&asker, error(ErrorCode::AgentFailed, text.to_owned()));
        }
    }

    pub(super) fn request_tick(&mut self) {
        let now = self.now.instant;
        while let Some(open) = self.requests.take(|open| open.deadline <= now) {
            self.give_up(open.wanted);
        }
        let late: Vec<_> = self.requests.interrupters.extract_if(.., |(_, until)| *until <= now).collect();
        for (asker, _) in late {
            self.reply(&asker, error(ErrorCode::AgentFailed, "not all tasks have ended in time"));
        }
    }

    fn give_up(&mut self, wanted: Wanted) {
        let text = "the agent did not answer in time";
        match wanted {
            Wanted::Stop { task_id } => self.not_stopped(&task_id, text),
            Wanted::Output { asker, .. } => self.reply(&asker, error(ErrorCode::AgentFailed, text)),
            Wanted::Background { told: true, .. } => {}
            Wanted::Background { asker, .. } => self.reply(&asker, nothing_to_send()),
        }
    }

    /// The process is gone with its questions unanswered. (Those who wanted a task stopped know by now that it was.)
    pub(super) fn requests_lost(&mut self) {
        for open in std::mem::take(&mut self.requests.open) {
            let text = "the agent's process ended before it answered";
            match open.wanted {
                Wanted::Output { asker, .. } | Wanted::Background { asker, told: false, .. } => {
                    self.reply(&asker, error(ErrorCode::AgentFailed, text));
                }
                Wanted::Stop { .. } | Wanted::Background { .. } => {}
            }
        }
    }
}

/// What a client is told that wants a schedule stopped.
const NO_END_OF_SCHEDULES: &str = "Claude Code has no way to end a schedule from outside; ask the agent to (it has a tool for that, CronDelete)";

fn no_task(task_id: &str) -> ServerMessage<'static> {
    error(ErrorCode::UnknownRequest, format!("no task {task_id:?} runs in this session"))
}

fn nothing_to_send() -> ServerMessage<'static> {
    error(ErrorCode::UnknownRequest, "no such tool runs that could go on in the background")
}

fn too_many() -> ServerMessage<'static> {
    error(ErrorCode::RateLimited, "the agent has not answered many earlier requests")
}
