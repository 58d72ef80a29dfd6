//! A running fake CLI, and what it said.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::agent::marker::Scope;
use crate::agent::*;

/// Nothing here may take longer, on however slow a machine. It only bounds a test that would hang.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Short rungs, so that faults are climbed over soon.
pub(super) const LADDER: Ladder = Ladder {
    finish: Duration::from_millis(1500),
    terminate: Duration::from_millis(500),
    sweep: Duration::from_secs(20),
    silent: Duration::from_millis(200),
    drain: Duration::from_millis(100),
};

/// A running fake CLI and what it said.
pub(super) struct Running {
    pub(super) agent: Option<Agent>,
    /// None once it was dropped.
    pub(super) output: Option<AgentOutput>,
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) skipped: Vec<u64>,
    pub(super) scope: Scope,
    pub(super) tracker: TaskTracker,
}

pub(super) fn launch(script: &str) -> Launch {
    let instance = Instance::new(&format!("test-{}", Uuid::new_v4().simple())).unwrap();
    let marker = instance.marker();
    let mut launch =
        Launch::new(crate::agent::locate::fake_claude(), Conversation::New(Uuid::new_v4()), marker);
    launch.limits.ladder = LADDER;
    launch.env.push(("FAKE_CLAUDE_SCRIPT".into(), script.into()));
    launch
}

pub(super) async fn start(script: &str) -> Running {
    start_with(launch(script)).await
}

pub(super) async fn start_with(launch: Launch) -> Running {
    let scope = Scope::agent(&launch.marker);
    let tracker = TaskTracker::new();
    let spawner = Spawner::new(tracker.clone(), crate::lookup::Lookup::new());
    let (agent, output) = spawner.spawn(launch).await.unwrap();
    Running {
        agent: Some(agent),
        output: Some(output),
        lines: Vec::new(),
        skipped: Vec::new(),
        scope,
        tracker,
    }
}

impl Running {
    pub(super) fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    pub(super) fn say(&self, text: &str) {
        let content = RawValue::from_string(Value::from(text).to_string()).unwrap();
        self.agent().send(control::user_message(&content, None, None)).unwrap();
    }

    /// Reads on. `Some` is the exit.
    pub(super) async fn next(&mut self) -> Option<Exit> {
        match timeout(PATIENCE, self.output.as_mut().unwrap().recv())
            .await
            .expect("nothing came")
            .expect("no exit came")
        {
            Output::Lines(lines) => self.lines.extend(lines.iter().map(<[u8]>::to_vec)),
            Output::Long(line) => self.lines.push(line.into_line().unwrap()),
            Output::Skipped { bytes } => self.skipped.push(bytes),
            Output::Exited(exit) => return Some(exit),
        }
        None
    }

    /// Reads until a line holds the text.
    pub(super) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(line) =
                self.lines.iter().find(|line| memchr::memmem::find(line, text.as_bytes()).is_some())
            {
                return String::from_utf8_lossy(line).into_owned();
            }
            if let Some(exit) = self.next().await {
                panic!("no `{text}` before {exit:?}");
            }
        }
    }

    /// Reads to the end, which must be one exit, and nothing left running.
    pub(super) async fn end(mut self) -> (Exit, Self) {
        let exit = loop {
            if let Some(exit) = self.next().await {
                break exit;
            }
        };
        assert!(self.output.as_mut().unwrap().recv().await.is_none(), "something came after the exit");
        self.nothing_left().await;
        (exit, self)
    }

    pub(super) async fn nothing_left(&mut self) {
        assert_eq!(marked_processes(&self.scope), Vec::<String>::new());
        self.agent = None;
        self.tracker.close();
        timeout(PATIENCE, self.tracker.wait()).await.expect("tasks are left");
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n")
    }
}

pub(super) fn marked_processes(scope: &Scope) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| Some((fs::read(entry.path().join("environ")).ok()?, entry)))
        .filter(|(environ, _)| scope.covers(environ))
        .map(|(_, entry)| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect()
}
