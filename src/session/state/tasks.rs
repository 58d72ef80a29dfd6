//! The work that the agent does beside turns, as far as the session knows it: what runs, what is to be told of it, how long it may
//! keep its agent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Asker, Now, SessionLimits};
use crate::converter::{Schedule, TaskNews, TaskStart};
use crate::protocol::{Origin, OriginKind, TaskKind, TaskProgress, TaskStatus, TaskUpdate};

/// Tasks that are known at once; more are not told.
const MAX_TASKS: usize = 256;
/// Tasks that have ended and are remembered.
const MAX_ENDED: usize = 64;
/// Between two words about a task's progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long after its time a schedule may still fire: the agent waits for its turn to end.
const LATE: Duration = Duration::from_mins(2);
/// The agent begins a turn over a task's end at once, if it does.
const SPEAKS_WITHIN: Duration = Duration::from_secs(10);
/// Clients that may wait for one task's end.
const MAX_STOPPERS: usize = 16;

/// The tasks of the running agent.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: Vec<Task>,
    /// Newest last.
    ended: VecDeque<Known>,
    /// Those that ended and that the agent has not talked about, oldest first.
    news: VecDeque<Origin>,
    /// Schedules whose agent is gone, and that one which goes on with the conversation has again.
    asleep: Vec<Sleeper>,
    /// When the last turn ended.
    quiet_since: Option<Instant>,
    /// A task has ended, and until then the agent may begin a turn over it.
    news_until: Option<Instant>,
}

/// What of a task is remembered after its end.
#[derive(Debug)]
struct Known {
    /// As clients were told of it last.
    shown: TaskUpdate,
    run_id: Option<String>,
}

#[derive(Debug)]
struct Task {
    /// As clients were told of it last, or will be.
    shown: TaskUpdate,
    run_id: Option<String>,
    /// Whether it goes on when the turn ends: it is in the background, or a subagent's that is.
    beside: bool,
    schedule: Option<Schedule>,
    /// When it fires next, where that is known.
    due: Option<Instant>,
    /// Its last sign of life.
    alive: Instant,
    /// When its progress was told last.
    told: Instant,
    /// There is progress that was not told.
    untold: bool,
    /// It has ended; what came of it is about to be said.
    ending: Option<TaskStatus>,
    /// Who wants it stopped.
    stoppers: Vec<Asker>,
}

/// A schedule whose agent is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleeper {
    /// As it was.
    pub task: TaskUpdate,
    /// The next time, Unix milliseconds, where it is known.
    #[serde(default)]
    pub due: Option<u64>,
    /// Whether there are more.
    #[serde(default)]
    pub recurring: bool,
}

/// What clients are to be told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) update: TaskUpdate,
    /// Whether it goes on when the turn ends.
    pub(super) beside: bool,
    /// Whether the running turn says it.
    pub(super) of_turn: bool,
    /// Who wanted it stopped: each is told under the id of its message.
    pub(super) stoppers: Vec<Asker>,
}

/// What became of the wish to stop a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    /// The agent is to be asked.
    Ask,
    /// It has been asked already.
    Asked,
    /// Too many wait for that already.
    TooMany,
    /// Nobody can stop a schedule but the agent itself.
    Schedule,
    /// No such task runs.
    NotRunning,
}

impl Task {
    fn origin(&self) -> Origin {
        origin(&self.shown)
    }

    fn told(&self) -> Told {
        let of_turn = !self.beside;
        Told { update: self.shown.clone(), beside: self.beside, of_turn, stoppers: Vec::new() }
    }

    /// Until when it keeps its agent.
    fn holds_until(&self, limits: &SessionLimits, quiet_since: Option<Instant>) -> Instant {
        let Some(schedule) = self.schedule else { return self.alive + limits.task_limit };
        let longest = self.alive + limits.schedule_limit;
        match self.due.filter(|_| !schedule.recurring) {
            Some(due) => longest.min(quiet_since.map_or(due, |quiet| quiet.max(due)) + LATE),
            None => longest,
        }
    }
}

impl Tasks {
    /// Those of a session that is taken up: schedules that wait for an agent.
    pub(super) fn of(mut asleep: Vec<Sleeper>) -> Self {
        asleep.truncate(MAX_TASKS);
        Self { asleep, ..Self::default() }
    }

    /// The running ones, oldest first.
    pub(super) fn running(&self) -> impl Iterator<Item = &TaskUpdate> {
        self.running.iter().map(|task| &task.shown)
    }

    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// The ids of those that go on when the turn ends.
    pub(super) fn beside_ids(&self) -> Vec<String> {
        self.beside().map(|task| task.task_id.clone()).collect()
    }

    /// Those that go on when the turn ends.
    pub(super) fn beside(&self) -> impl Iterator<Item = &TaskUpdate> {
        self.running.iter().filter(|task| task.beside).map(|task| &task.shown)
    }

    /// Takes in what the agent says. `within`: the task's call was made by a subagent that goes on when the turn ends. Gives what is to
    /// be told.
    pub(super) fn take(&mut self, news: TaskNews, within: bool, now: Now) -> Vec<Told> {
        match news {
            TaskNews::Started(start) => self.started(*start, within, now).into_iter().collect(),
            TaskNews::Progress { task_id, progress } => self.progressed(&task_id, progress, now.instant),
            TaskNews::InBackground { task_id } => self.in_background(|task| task.shown.task_id == task_id),
            TaskNews::Ended { task_id, status, summary, progress, last, news } => {
                if news {
                    self.news_until = Some(now.instant + SPEAKS_WITHIN);
                }
                self.ended(&task_id, status, summary, progress, last, news)
            }
            TaskNews::Returned { tool_use_id, is_error, goes_on } => {
                self.returned(&tool_use_id, is_error, goes_on)
            }
            TaskNews::Schedules(left) => {
                let is_over = |task: &Task| {
                    task.schedule.is_some_and(|schedule| schedule.comes_back)
                        && !left.contains(&task.shown.task_id)
                };
                self.end_where(is_over, TaskStatus::Completed)
            }
        }
    }

    fn started(&mut self, start: TaskStart, within: bool, now: Now) -> Option<Told> {
        let due = start.schedule.and_then(|schedule| schedule.due);
        let due = due.map(|due| now.instant + Duration::from_millis(due.saturating_sub(now.unix_ms)));
        self.running.retain(|task| task.shown.task_id != start.task_id);
        if self.running.len() >= MAX_TASKS {
            log::warn!("more than {MAX_TASKS} tasks run at once; one more is not told");
            return None;
        }
        let task = Task {
            beside: start.background || within,
            shown: TaskUpdate {
                task_id: start.task_id,
                kind: start.kind,
                status: TaskStatus::Running,
                background: start.background,
                description: start.description,
                tool_use_id: start.tool_use_id,
                agent_type: start.agent_type,
                progress: None,
                summary: None,
            },
            run_id: start.run_id,
            schedule: start.schedule,
            due,
            alive: now.instant,
            told: now.instant.checked_sub(PROGRESS_EVERY).unwrap_or(now.instant),
            untold: false,
            ending: None,
            stoppers: Vec::new(),
        };
        // Its begin is the turn's, whatever becomes of it.
        let told = Told { of_turn: !within, ..task.told() };
        self.running.push(task);
        Some(told)
    }

    fn find(&mut self, task_id: &str) -> Option<&mut Task> {
        self.running.iter_mut().find(|task| task.shown.task_id == task_id)
    }

    fn progressed(&mut self, task_id: &str, progress: TaskProgress, now: Instant) -> Vec<Told> {
        let Some(task) = self.find(task_id) else { return Vec::new() };
        task.alive = now;
        task.shown.progress = Some(progress);
        task.untold = true;
        self.tick(now)
    }

    fn in_background(&mut self, is_meant: impl Fn(&Task) -> bool) -> Vec<Told> {
        let Some(task) = self.running.iter_mut().find(|task| is_meant(task) && !task.shown.background) else {
            return Vec::new();
        };
        task.shown.background = true;
        task.beside = true;
        vec![task.told()]
    }

    fn ended(
        &mut self,
        task_id: &str,
        status: TaskStatus,
        summary: Option<String>,
        progress: Option<TaskProgress>,
        last: bool,
        news: bool,
    ) -> Vec<Told> {
        let Some(task) = self.find(task_id) else {
            return self.ended_before(task_id, summary, news);
        };
        if let Some(progress) = progress {
            let TaskProgress { last_tool, summary, .. } = task.shown.progress.take().unwrap_or_default();
            task.shown.progress = Some(TaskProgress { last_tool, summary, ..progress });
        }
        if summary.is_some() {
            task.shown.summary = summary;
        }
        task.ending = Some(status);
        // Of one that the turn waited for the turn tells the model.
        if news && task.shown.background {
            let origin = task.origin();
            self.has_news(origin);
        }
        if last { self.flush() } else { Vec::new() }
    }

    /// It was told that it ended, but not what came of it: 2.1.197 says that much later.
    fn ended_before(&mut self, task_id: &str, summary: Option<String>, news: bool) -> Vec<Told> {
        let Some(known) = self.ended.iter_mut().find(|known| known.shown.task_id == task_id) else {
            return Vec::new();
        };
        let is_new = summary.is_some() && known.shown.summary.is_none();
        if is_new {
            known.shown.summary = summary;
        }
        let (update, origin) = (known.shown.clone(), origin(&known.shown));
        if news {
            self.has_news(origin);
        }
        if is_new {
            vec![Told { update, beside: true, of_turn: false, stoppers: Vec::new() }]
        } else {
            Vec::new()
        }
    }

    fn has_news(&mut self, origin: Origin) {
        if self.news.len() >= MAX_ENDED {
            self.news.pop_front();
        }
        self.news.push_back(origin);
    }

    fn returned(&mut self, tool_use_id: &str, is_error: bool, goes_on: bool) -> Vec<Told> {
        let is_meant = |task: &Task| task.shown.tool_use_id.as_deref() == Some(tool_use_id);
        if goes_on {
            return self.in_background(is_meant);
        }
        let status = if is_error { TaskStatus::Failed } else { TaskStatus::Completed };
        self.end_where(|task| is_meant(task) && !task.shown.background, status)
    }

    fn end_where(&mut self, is_over: impl Fn(&Task) -> bool, status: TaskStatus) -> Vec<Told> {
        for task in self.running.iter_mut().filter(|task| is_over(task)) {
            task.ending.get_or_insert(status);
        }
        self.flush()
    }

    /// Whether a task has ended that clients were not told of: the agent was about to say what came of it.
    pub(super) fn has_ending(&self) -> bool {
        self.running.iter().any(|task| task.ending.is_some())
    }

    /// Tells of those.
    pub(super) fn flush(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        let mut at = 0;
        while let Some(task) = self.running.get(at) {
            match task.ending {
                Some(status) => {
                    let task = self.running.remove(at);
                    told.push(self.over(task, status));
                }
                None => at += 1,
            }
        }
        told
    }

    fn over(&mut self, task: Task, status: TaskStatus) -> Told {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        let update = TaskUpdate { status, ..task.shown };
        self.ended.push_back(Known { shown: update.clone(), run_id: task.run_id });
        Told { update, beside: task.beside, of_turn: !task.beside, stoppers: task.stoppers }
    }

    /// Progress that was held back and may be told now.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Told> {
        let mut told = Vec::new();
        for task in self.running.iter_mut().filter(|task| task.untold && task.told + PROGRESS_EVERY <= now) {
            task.untold = false;
            task.told = now;
            told.push(task.told());
        }
        told
    }

    /// When [`tick`](Self::tick) has something to tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.iter().filter(|task| task.untold).map(|task| task.told + PROGRESS_EVERY).min()
    }

    /// Until when the tasks keep their agent; none: nothing does.
    pub(super) fn hold_until(&self, limits: &SessionLimits) -> Option<Instant> {
        let holding = self.running.iter().filter(|task| task.beside);
        holding.map(|task| task.holds_until(limits, self.quiet_since)).chain(self.news_until).max()
    }

    /// A turn ended.
    pub(super) fn turn_over(&mut self, now: Instant) {
        self.quiet_since = Some(now);
    }

    /// The agent's process ends, and all of them with it.
    pub(super) fn all_stop(&mut self, now: Now) -> Vec<Told> {
        let mut told = Vec::new();
        for task in std::mem::take(&mut self.running) {
            let status = task.ending.unwrap_or(TaskStatus::Stopped);
            if let Some(schedule) = task.schedule.filter(|schedule| schedule.comes_back) {
                let due = task.due.map(|due| {
                    let left = due.saturating_duration_since(now.instant).as_millis();
                    now.unix_ms + u64::try_from(left).unwrap_or(0)
                });
                self.asleep.push(Sleeper { task: task.shown.clone(), due, recurring: schedule.recurring });
            }
            told.push(self.over(task, status));
        }
        self.news_is_told();
        told
    }

    /// Another process begins: what it says of the tasks that ended with the one before it is no news.
    pub(super) fn another_process(&mut self) {
        self.ended.clear();
        self.news.clear();
    }

    /// The conversation is another one: its schedules are of no agent any more.
    pub(super) fn forget_asleep(&mut self) {
        self.asleep.clear();
    }

    /// What the record is to say of schedules: those that an agent would have again after this one.
    pub(super) fn schedules(&self, now: Now) -> Vec<Sleeper> {
        let running = self.running.iter().filter_map(|task| {
            let schedule = task.schedule.filter(|schedule| schedule.comes_back)?;
            let left = task.due.map(|due| due.saturating_duration_since(now.instant).as_millis());
            let due = left.map(|left| now.unix_ms + u64::try_from(left).unwrap_or(0));
            Some(Sleeper { task: task.shown.clone(), due, recurring: schedule.recurring })
        });
        self.asleep.iter().cloned().chain(running).collect()
    }

    /// An agent goes on with the conversation: it has the schedules again, but those whose one time has passed.
    pub(super) fn resumed(&mut self, now: Now) -> Vec<Told> {
        let mut told = Vec::new();
        for Sleeper { task, due, recurring } in std::mem::take(&mut self.asleep) {
            if !recurring && due.is_some_and(|due| due <= now.unix_ms) {
                continue;
            }
            let start = TaskStart {
                task_id: task.task_id,
                run_id: None,
                kind: task.kind,
                background: true,
                description: task.description,
                tool_use_id: task.tool_use_id,
                parent_tool_use_id: None,
                agent_type: None,
                schedule: Some(Schedule { due, recurring, comes_back: true }),
            };
            told.extend(self.started(start, true, now));
        }
        told
    }

    /// Why the agent begins a turn by itself. `news`: a task has ended that it has not talked about. And what is to be told: a schedule
    /// that fired once is over.
    pub(super) fn own_turn(&mut self, news: bool, now: Instant) -> (Origin, Vec<Told>) {
        if news {
            return (self.news.pop_front().unwrap_or_else(|| nameless(OriginKind::Task)), Vec::new());
        }
        let is_due = |task: &&Task| task.due.is_some_and(|due| due <= now + Duration::from_secs(1));
        let schedules = || self.running.iter().filter(|task| task.schedule.is_some());
        let monitors = || self.running.iter().filter(|task| task.shown.kind == TaskKind::Monitor);
        let only =
            |mut tasks: Vec<&Task>| if tasks.len() == 1 { tasks.pop().map(Task::origin) } else { None };
        let origin = if let Some(task) = schedules().find(is_due) {
            task.origin()
        } else if monitors().next().is_some() {
            only(monitors().collect()).unwrap_or_else(|| nameless(OriginKind::Monitor))
        } else if schedules().next().is_some() {
            only(schedules().collect()).unwrap_or_else(|| nameless(OriginKind::Schedule))
        } else {
            nameless(OriginKind::Other)
        };
        let told = self.fired(origin.task_id.as_deref(), now);
        (origin, told)
    }

    fn fired(&mut self, task_id: Option<&str>, now: Instant) -> Vec<Told> {
        let Some(task) = task_id.and_then(|id| self.find(id)) else { return Vec::new() };
        task.alive = now;
        task.due = None;
        if task.schedule.is_some_and(|schedule| !schedule.recurring) {
            task.ending = Some(TaskStatus::Completed);
        }
        self.flush()
    }

    /// The same at the turn's end, when the agent says more. `guess`: what was thought at its begin; `of_task`: it says that a task made
    /// it begin, `run`: which.
    pub(super) fn origin(&self, guess: Option<Origin>, of_task: bool, run: Option<&str>) -> Origin {
        let ran = run.and_then(|run| {
            let running = self.running.iter().find(|task| task.run_id.as_deref() == Some(run));
            let ended = || self.ended.iter().rev().find(|known| known.run_id.as_deref() == Some(run));
            running.map(Task::origin).or_else(|| ended().map(|known| origin(&known.shown)))
        });
        let guess = guess.unwrap_or_else(|| nameless(OriginKind::Other));
        let is_task = matches!(guess.kind, OriginKind::Task | OriginKind::Monitor);
        match ran {
            Some(origin) => origin,
            None if of_task == is_task => guess,
            None if of_task => nameless(OriginKind::Task),
            None => nameless(OriginKind::Other),
        }
    }

    /// The model has been asked something: what has ended by now it has heard.
    pub(super) fn news_is_told(&mut self) {
        self.news.clear();
        self.news_until = None;
    }

    /// Whether a task of that id ran in this agent: its kind.
    pub(super) fn kind_of(&self, task_id: &str) -> Option<TaskKind> {
        let running = self.running.iter().find(|task| task.shown.task_id == task_id);
        let ended = || {
            self.ended
                .iter()
                .map(|known| &known.shown)
                .find(|task| task.task_id == task_id)
                .map(|task| task.kind)
        };
        running.map(|task| task.shown.kind).or_else(ended)
    }

    /// Whether the call began a task that the turn waits for; none: whether any did.
    pub(super) fn waits_for(&self, call: Option<&str>) -> bool {
        let is_meant = |task: &Task| call.is_none() || task.shown.tool_use_id.as_deref() == call;
        self.running.iter().any(|task| !task.shown.background && is_meant(task))
    }

    /// Somebody wants a task stopped; none: the gateway itself.
    pub(super) fn stop(&mut self, task_id: &str, asker: Option<Asker>) -> Stopping {
        let Some(task) = self.find(task_id) else { return Stopping::NotRunning };
        if task.schedule.is_some() {
            return Stopping::Schedule;
        }
        let again = !task.stoppers.is_empty();
        if task.stoppers.len() >= MAX_STOPPERS {
            return Stopping::TooMany;
        }
        task.stoppers.extend(asker);
        if again { Stopping::Asked } else { Stopping::Ask }
    }

    /// Those that can be stopped and go on when a turn ends.
    pub(super) fn stoppable(&self) -> Vec<String> {
        let meant = self.running.iter().filter(|task| task.beside && task.schedule.is_none());
        meant.map(|task| task.shown.task_id.clone()).collect()
    }

    /// The agent says that it stopped it, and did not say that it ended: it knows it no more.
    pub(super) fn stopped(&mut self, task_id: &str) -> Vec<Told> {
        self.end_where(|task| task.shown.task_id == task_id, TaskStatus::Stopped)
    }

    /// It was not stopped: who wanted that.
    pub(super) fn not_stopped(&mut self, task_id: &str) -> Vec<Asker> {
        self.find(task_id).map(|task| std::mem::take(&mut task.stoppers)).unwrap_or_default()
    }
}

fn origin(task: &TaskUpdate) -> Origin {
    Origin {
        kind: match task.kind {
            TaskKind::Schedule => OriginKind::Schedule,
            TaskKind::Monitor => OriginKind::Monitor,
            TaskKind::Shell | TaskKind::Agent | TaskKind::Other => OriginKind::Task,
        },
        task_id: Some(task.task_id.clone()),
        tool_use_id: task.tool_use_id.clone(),
    }
}

fn nameless(kind: OriginKind) -> Origin {
    Origin { kind, task_id: None, tool_use_id: None }
}
