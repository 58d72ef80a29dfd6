//! What the agent's lines tell of its tasks: the work that it does beside turns.
//!
//! Shells, subagents and monitors have messages of their own (`system/task_*`). Of schedules nothing tells but the calls of the
//! tools that make and end them, and what those gave. Which call began what is remembered here, so that a task can be told with
//! all that belongs to it; how tasks stand is for the session to know.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::agent::wire::{Span, SystemMessage, TaskInput, TaskResult, TaskUsage};
use crate::protocol::{Subagent, TaskKind, TaskProgress, TaskStatus};

/// Calls that are remembered; a turn has a few.
const MOST_LAUNCHES: usize = 1024;
/// Characters of a description; a command can be long.
const MOST_DESCRIPTION: usize = 1000;
/// Characters of what came of a task; a subagent's is its whole report.
const MOST_SUMMARY: usize = 8000;

/// Something about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskNews {
    /// It began.
    Started(Box<TaskStart>),
    /// It got on.
    Progress {
        /// The task.
        task_id: String,
        /// How far.
        progress: TaskProgress,
    },
    /// The turn goes on without it.
    InBackground {
        /// The task.
        task_id: String,
    },
    /// It ended. The agent may say so twice; what came of it stands in the second.
    Ended {
        /// The task.
        task_id: String,
        /// How.
        status: TaskStatus,
        /// What came of it.
        summary: Option<String>,
        /// What it has used.
        progress: Option<TaskProgress>,
        /// Whether this is the last word about it.
        last: bool,
        /// Whether the agent has heard of it and will want to talk about it.
        news: bool,
    },
    /// The call that began a task has its result. One that the turn waited for is over then.
    Returned {
        /// The call.
        tool_use_id: String,
        /// Whether it failed.
        is_error: bool,
        /// Whether the result says that the task goes on.
        goes_on: bool,
    },
    /// The schedules that there are, by their ids: all others are over.
    Schedules(Vec<String>),
}

/// A task that began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStart {
    /// The agent's id of it.
    pub task_id: String,
    /// The agent's id of this run of it.
    pub run_id: Option<String>,
    /// What kind of work it is.
    pub kind: TaskKind,
    /// Whether the turn goes on without it.
    pub background: bool,
    /// What it does.
    pub description: String,
    /// The call that began it.
    pub tool_use_id: Option<String>,
    /// The call that began the subagent which made that call.
    pub parent_tool_use_id: Option<String>,
    /// Of a subagent: its type.
    pub agent_type: Option<String>,
    /// Of a schedule.
    pub schedule: Option<Schedule>,
}

/// When a schedule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The next time, Unix milliseconds, where the agent says it.
    pub due: Option<u64>,
    /// Whether there are more.
    pub recurring: bool,
    /// Whether an agent that goes on with the conversation has it again.
    pub comes_back: bool,
}

/// Tools whose calls begin or end tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Agent,
    Bash,
    Monitor,
    CronCreate,
    CronDelete,
    CronList,
    Wakeup,
    Other,
}

impl Tool {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "Agent" | "Task" => Self::Agent,
            "Bash" => Self::Bash,
            "Monitor" => Self::Monitor,
            "CronCreate" => Self::CronCreate,
            "CronDelete" => Self::CronDelete,
            "CronList" => Self::CronList,
            "ScheduleWakeup" => Self::Wakeup,
            _ => return None,
        })
    }
}

/// A call that may begin a task.
#[derive(Debug)]
struct Launch {
    tool: Tool,
    /// What for: the agent's words, or of a schedule its prompt; of the end of one its id.
    text: String,
    agent_type: Option<String>,
    in_background: bool,
    parent: Option<Box<str>>,
    task_id: Option<Box<str>>,
}

/// The calls that began tasks, and which task they began.
#[derive(Debug, Default)]
pub(super) struct Launches {
    calls: HashMap<Box<str>, Launch>,
    /// The call that began each subagent, by the subagent's id.
    subagents: HashMap<Box<str>, Box<str>>,
}

impl Launches {
    /// A tool is called.
    pub(super) fn called(&mut self, tool_use_id: &str, name: &str, input: Span<'_>, parent: Option<&str>) {
        let Some(tool) = Tool::of(name) else { return };
        let input = input.object().and_then(|text| serde_json::from_str::<TaskInput<'_>>(text).ok());
        let input = input.unwrap_or_default();
        let text = match tool {
            Tool::CronDelete => input.id.text(),
            Tool::CronCreate => input.prompt.text(),
            Tool::Wakeup => input.reason.text().or_else(|| input.prompt.text()),
            _ => input.description.text(),
        };
        let launch = Launch {
            tool,
            text: cut(&text.unwrap_or_default(), MOST_DESCRIPTION),
            agent_type: input.subagent_type.text().map(|kind| cut(&kind, MOST_DESCRIPTION)),
            in_background: input.run_in_background.flag().unwrap_or(false),
            parent: parent.map(Box::from),
            task_id: None,
        };
        self.remember(tool_use_id, launch);
    }

    fn remember(&mut self, tool_use_id: &str, launch: Launch) {
        if self.calls.len() >= MOST_LAUNCHES {
            self.calls.clear();
        }
        self.calls.insert(tool_use_id.into(), launch);
    }

    /// The subagent that was begun by that call.
    pub(super) fn agent_of(&self, tool_use_id: &str) -> Option<Subagent<'_>> {
        let launch = self.calls.get(tool_use_id).filter(|launch| launch.tool == Tool::Agent)?;
        Some(Subagent {
            task_id: launch.task_id.as_deref().map(Cow::Borrowed),
            kind: launch.agent_type.as_deref().unwrap_or_default().into(),
            description: launch.text.as_str().into(),
        })
    }

    /// The call that began the subagent of that id: its own messages name the call (`parent_tool_use_id`), its questions only itself.
    pub(super) fn call_of(&self, agent_id: &str) -> Option<&str> {
        self.subagents.get(agent_id).map(|call| &**call)
    }

    /// What a `system` message tells of a task.
    pub(super) fn news(&mut self, message: &SystemMessage<'_>) -> Option<TaskNews> {
        let subtype = message.subtype.text()?;
        let task_id = || message.task_id.text().filter(|id| !id.is_empty()).map(Cow::into_owned);
        let status = |status: &str| match status {
            "completed" => Some(TaskStatus::Completed),
            "failed" => Some(TaskStatus::Failed),
            "killed" | "stopped" => Some(TaskStatus::Stopped),
            _ => None,
        };
        Some(match &*subtype {
            "task_started" => TaskNews::Started(Box::new(self.started(message, task_id()?))),
            "task_progress" => {
                let mut progress = progress(&message.usage).unwrap_or_default();
                progress.last_tool = message.last_tool_name.text().map(Cow::into_owned);
                let doing = message.summary.text().or_else(|| message.description.text());
                progress.summary = doing.map(|text| cut(&text, MOST_DESCRIPTION));
                TaskNews::Progress { task_id: task_id()?, progress }
            }
            "task_updated" => {
                let patch = &message.patch;
                match patch.status.text().as_deref().and_then(status) {
                    Some(status) => TaskNews::Ended {
                        task_id: task_id()?,
                        status,
                        summary: None,
                        progress: None,
                        last: false,
                        news: false,
                    },
                    None if patch.is_backgrounded.flag() == Some(true) => {
                        TaskNews::InBackground { task_id: task_id()? }
                    }
                    None => return None,
                }
            }
            "task_notification" => TaskNews::Ended {
                task_id: task_id()?,
                news: Self::is_news(message),
                status: message.status.text().as_deref().and_then(status)?,
                summary: message.summary.text().map(|text| cut(&text, MOST_SUMMARY)),
                progress: progress(&message.usage),
                last: true,
            },
            _ => return None,
        })
    }

    /// Whether the agent will begin a turn over a task's end. Of those that were stopped only 2.1.197 does (whose lines have no
    /// `run_id`), where it names the file of what came of it.
    fn is_news(message: &SystemMessage<'_>) -> bool {
        let is_old = message.run_id.text().is_none();
        match message.status.text().as_deref() {
            Some("completed" | "failed") => true,
            Some("stopped") => is_old && message.output_file.text().is_some_and(|file| !file.is_empty()),
            _ => false,
        }
    }

    fn started(&mut self, message: &SystemMessage<'_>, task_id: String) -> TaskStart {
        let tool_use_id = message.tool_use_id.text().map(Cow::into_owned);
        if let Some(call) = tool_use_id.as_deref() {
            if !self.calls.contains_key(call) {
                let (text, parent) = (String::new(), None);
                let launch = Launch {
                    tool: Tool::Other,
                    text,
                    agent_type: None,
                    in_background: false,
                    parent,
                    task_id: None,
                };
                self.remember(call, launch);
            }
            if self.subagents.len() >= MOST_LAUNCHES {
                self.subagents.clear();
            }
            self.subagents.insert(task_id.as_str().into(), call.into());
        }
        let launch = tool_use_id.as_deref().and_then(|call| self.calls.get_mut(call));
        let tool = launch.as_ref().map(|launch| launch.tool);
        let kind = match (tool, message.task_type.text().as_deref()) {
            (Some(Tool::Monitor), _) | (_, Some("monitor")) => TaskKind::Monitor,
            (_, Some("local_bash")) => TaskKind::Shell,
            (_, Some("local_agent")) => TaskKind::Agent,
            _ => TaskKind::Other,
        };
        let in_background = launch.as_ref().is_some_and(|launch| launch.in_background);
        let parent = launch.as_ref().and_then(|launch| launch.parent.as_deref()).map(str::to_owned);
        if let Some(launch) = launch {
            launch.task_id = Some(task_id.as_str().into());
        }
        TaskStart {
            task_id,
            run_id: message.run_id.text().map(Cow::into_owned),
            kind,
            background: message.is_backgrounded.flag().unwrap_or(in_background),
            description: message
                .description
                .text()
                .map_or_else(String::new, |text| cut(&text, MOST_DESCRIPTION)),
            parent_tool_use_id: parent,
            agent_type: message.subagent_type.text().map(|kind| cut(&kind, MOST_DESCRIPTION)),
            tool_use_id,
            schedule: None,
        }
    }

    /// What the result of a call tells of tasks, and which of them goes on where it left off. `result`: the agent's own form of it.
    pub(super) fn returned(
        &mut self,
        tool_use_id: &str,
        is_error: bool,
        result: Span<'_>,
    ) -> (Option<TaskNews>, Option<String>) {
        let Some(launch) = self.calls.get(tool_use_id) else { return (None, None) };
        let parsed = result.object().and_then(|text| serde_json::from_str::<TaskResult<'_>>(text).ok());
        let parsed = parsed.unwrap_or_default();
        let owned = |text: Option<Cow<'_, str>>| text.filter(|text| !text.is_empty()).map(Cow::into_owned);
        let news = match launch.tool {
            Tool::CronCreate if !is_error => schedule(tool_use_id, launch, &parsed).map(|start| {
                let id = start.task_id.clone();
                (Some(TaskNews::Started(Box::new(start))), Some(id))
            }),
            Tool::Wakeup if !is_error => wakeup(tool_use_id, launch, &parsed).map(|start| {
                let id = start.task_id.clone();
                (Some(TaskNews::Started(Box::new(start))), Some(id))
            }),
            Tool::CronDelete if !is_error => {
                let ended = TaskNews::Ended {
                    task_id: launch.text.clone(),
                    status: TaskStatus::Stopped,
                    summary: None,
                    progress: None,
                    last: true,
                    news: false,
                };
                Some((Some(ended), None))
            }
            Tool::CronList if !is_error => jobs(&parsed).map(|jobs| (Some(TaskNews::Schedules(jobs)), None)),
            Tool::CronCreate | Tool::CronDelete | Tool::CronList | Tool::Wakeup => None,
            Tool::Agent | Tool::Bash | Tool::Monitor | Tool::Other => {
                let goes_on =
                    owned(parsed.background_task_id.text()).or_else(|| owned(parsed.task_id.text()));
                let launched = parsed.status.text().is_some_and(|status| status == "async_launched");
                let goes_on = goes_on.or_else(|| launched.then(|| owned(parsed.agent_id.text())).flatten());
                let known = launch.task_id.is_some();
                let news = TaskNews::Returned {
                    tool_use_id: tool_use_id.to_owned(),
                    is_error,
                    goes_on: goes_on.is_some(),
                };
                Some((known.then_some(news), goes_on))
            }
        };
        let keep = launch.tool == Tool::Agent;
        if !keep {
            self.calls.remove(tool_use_id);
        }
        news.unwrap_or_default()
    }
}

fn schedule(tool_use_id: &str, launch: &Launch, result: &TaskResult<'_>) -> Option<TaskStart> {
    let task_id = result.id.text().filter(|id| !id.is_empty())?;
    let times = result.human_schedule.text().unwrap_or_default();
    let description =
        if times.is_empty() { launch.text.clone() } else { format!("{times}: {}", launch.text) };
    Some(TaskStart {
        task_id: task_id.into_owned(),
        run_id: None,
        kind: TaskKind::Schedule,
        background: true,
        description: cut(&description, MOST_DESCRIPTION),
        tool_use_id: Some(tool_use_id.to_owned()),
        parent_tool_use_id: launch.parent.as_deref().map(str::to_owned),
        agent_type: None,
        schedule: Some(Schedule {
            due: result.next_fire_at.count().filter(|due| *due > 0),
            recurring: result.recurring.flag().unwrap_or(false),
            comes_back: true,
        }),
    })
}

/// `ScheduleWakeup` has no id of its own.
fn wakeup(tool_use_id: &str, launch: &Launch, result: &TaskResult<'_>) -> Option<TaskStart> {
    let due = result.scheduled_for.count().filter(|due| *due > 0)?;
    Some(TaskStart {
        task_id: tool_use_id.to_owned(),
        run_id: None,
        kind: TaskKind::Schedule,
        background: true,
        description: launch.text.clone(),
        tool_use_id: Some(tool_use_id.to_owned()),
        parent_tool_use_id: launch.parent.as_deref().map(str::to_owned),
        agent_type: None,
        schedule: Some(Schedule { due: Some(due), recurring: false, comes_back: false }),
    })
}

fn jobs(result: &TaskResult<'_>) -> Option<Vec<String>> {
    let jobs: Vec<TaskResult<'_>> = result.jobs.to()?;
    Some(jobs.iter().filter_map(|job| job.id.text().map(Cow::into_owned)).collect())
}

fn progress(usage: &TaskUsage<'_>) -> Option<TaskProgress> {
    let counts = (usage.tool_uses.count(), usage.total_tokens.count(), usage.duration_ms.count());
    (counts != (None, None, None)).then(|| TaskProgress {
        tool_uses: counts.0.unwrap_or(0),
        total_tokens: counts.1.unwrap_or(0),
        duration_ms: counts.2.unwrap_or(0),
        last_tool: None,
        summary: None,
    })
}

/// The first `most` characters, and a mark where there were more.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
