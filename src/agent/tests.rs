//! Behaviour of whole agents, against the fake CLI: every fault ends in bounded time and leaves nothing running.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::marker::Scope;
use super::*;

/// Nothing here may take longer, on however slow a machine. It only bounds a test that would hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// Short rungs, so that faults are climbed over soon.
const LADDER: Ladder = Ladder {
    finish: Duration::from_millis(1500),
    terminate: Duration::from_millis(500),
    sweep: Duration::from_secs(20),
    silent: Duration::from_millis(200),
    drain: Duration::from_millis(100),
};

/// A running fake CLI and what it said.
struct Running {
    agent: Option<Agent>,
    /// None once it was dropped.
    output: Option<AgentOutput>,
    lines: Vec<Vec<u8>>,
    skipped: Vec<u64>,
    scope: Scope,
    tracker: TaskTracker,
}

fn launch(script: &str) -> Launch {
    let instance = Instance::new(&format!("test-{}", Uuid::new_v4().simple())).unwrap();
    let marker = instance.marker();
    let mut launch =
        Launch::new(crate::agent::locate::fake_claude(), Conversation::New(Uuid::new_v4()), marker);
    launch.limits.ladder = LADDER;
    launch.env.push(("FAKE_CLAUDE_SCRIPT".into(), script.into()));
    launch
}

async fn start(script: &str) -> Running {
    start_with(launch(script)).await
}

async fn start_with(launch: Launch) -> Running {
    let scope = Scope::agent(&launch.marker);
    let tracker = TaskTracker::new();
    let spawner = Spawner::new(tracker.clone()).unwrap();
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
    fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    fn say(&self, text: &str) {
        let content = RawValue::from_string(Value::from(text).to_string()).unwrap();
        self.agent().send(control::user_message(&content, None, None)).unwrap();
    }

    /// Reads on. `Some` is the exit.
    async fn next(&mut self) -> Option<Exit> {
        match timeout(PATIENCE, self.output.as_mut().unwrap().recv())
            .await
            .expect("nothing came")
            .expect("no exit came")
        {
            Output::Lines(lines) => self.lines.extend(lines.iter().map(<[u8]>::to_vec)),
            Output::Skipped { bytes } => self.skipped.push(bytes),
            Output::Exited(exit) => return Some(exit),
        }
        None
    }

    /// Reads until a line holds the text.
    async fn until(&mut self, text: &str) -> String {
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
    async fn end(mut self) -> (Exit, Self) {
        let exit = loop {
            if let Some(exit) = self.next().await {
                break exit;
            }
        };
        assert!(self.output.as_mut().unwrap().recv().await.is_none(), "something came after the exit");
        self.nothing_left().await;
        (exit, self)
    }

    async fn nothing_left(&mut self) {
        assert_eq!(marked_processes(&self.scope), Vec::<String>::new());
        self.agent = None;
        self.tracker.close();
        timeout(PATIENCE, self.tracker.wait()).await.expect("tasks are left");
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n")
    }
}

fn marked_processes(scope: &Scope) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| Some((fs::read(entry.path().join("environ")).ok()?, entry)))
        .filter(|(environ, _)| scope.covers(environ))
        .map(|(_, entry)| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn a_conversation_and_an_orderly_end_of_an_idle_agent() {
    let mut running = start("").await;
    running.agent().send(control::initialize("init-1", &[])).unwrap();
    running.until("init-1").await;
    running.say("hi\u{2028}there");
    running.until("\"subtype\":\"success\",\"total_cost_usd\"").await;
    running.agent().stop(Stop::Orderly);
    let (exit, running) = running.end().await;
    assert_eq!(
        exit,
        Exit {
            code: Some(0),
            signal: None,
            stderr: String::new(),
            killed: false,
            requested: true,
            unread_lines: 0
        }
    );
    assert!(running.text().contains("echo: hi"));
}

#[tokio::test]
async fn an_orderly_stop_interrupts_a_running_turn() {
    let mut running = start("").await;
    running.say("!text a; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.killed, exit.requested), (Some(1), false, true));
    assert!(running.text().contains("aborted_streaming"));
}

#[tokio::test]
async fn after_a_stop_nothing_is_sent() {
    let mut running = start("").await;
    running.agent().stop(Stop::Now);
    loop {
        if running.agent().send(control::interrupt("x")) == Err(SendError::Closed) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let exit = loop {
        if let Some(exit) = running.next().await {
            break exit;
        }
    };
    assert_eq!((exit.signal, exit.killed), (Some(9), true));
    running.nothing_left().await;
}

#[tokio::test]
async fn one_that_ignores_the_interrupt_gets_sigterm() {
    let mut running = start(r#"{"ignore":["interrupt"]}"#).await;
    running.say("!text a; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.killed), (Some(15), true));
}

#[tokio::test]
async fn one_that_ignores_sigterm_too_is_killed() {
    let mut running = start(r#"{"ignore":["interrupt","sigterm","close"]}"#).await;
    running.say("!text a; grandchild; grandchild-stdout; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.killed), (Some(9), true));
}

#[tokio::test]
async fn one_that_never_reads_is_stopped_and_its_queue_is_bounded() {
    let mut launch = launch("");
    launch.limits.stdin_queue_bytes = 100_000;
    let mut running = start_with(launch).await;
    running.say("!ignore sigterm; text deaf; deaf");
    running.until("deaf").await;
    let line = vec![b'\n'; 10_000];
    let full = (0..1_000_000).any(|_| running.agent().send(line.clone().into()) == Err(SendError::Full));
    assert!(full, "a queue without a bound");
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.killed), (Some(9), true));
}

#[tokio::test]
async fn now_escalates_an_orderly_stop() {
    let mut launch = launch(r#"{"ignore":["interrupt","sigterm","close"]}"#);
    launch.limits.ladder.finish = PATIENCE * 10;
    let mut running = start_with(launch).await;
    running.say("!text a; hang");
    running.until("text_delta").await;
    running.agent().stop(Stop::Orderly);
    running.agent().stop(Stop::Now);
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!(exit.signal, Some(9));
}

#[tokio::test]
async fn dropping_the_agent_kills_and_sweeps() {
    let mut running = start("").await;
    running.say("!grandchild; text a; hang");
    running.until("text_delta").await;
    running.agent = None;
    let (exit, _) = running.end().await;
    assert_eq!((exit.signal, exit.requested), (Some(9), true));
}

#[tokio::test]
async fn dropping_the_receiver_kills_and_sweeps() {
    let mut running = start("").await;
    running.say("!grandchild-stdout; text a; hang");
    running.until("text_delta").await;
    running.output = None;
    running.tracker.close();
    timeout(PATIENCE, running.tracker.wait()).await.expect("tasks are left");
    running.nothing_left().await;
}

#[tokio::test]
async fn a_crash_is_told_with_its_code_and_the_end_of_stderr() {
    let running = start("").await;
    running.say("!text a; stderr 200000; crash 3");
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.signal, exit.killed, exit.requested), (Some(3), None, false, false));
    assert!(exit.stderr.ends_with("eee\nlast words\n") && exit.stderr.len() <= 8192, "{}", exit.stderr.len());
    assert!(running.text().contains("text_delta"));
}

#[tokio::test]
async fn a_deadly_signal_is_told() {
    let running = start("").await;
    running.say("!half-line; signal 11");
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.signal), (None, Some(11)));
    assert!(running.text().ends_with("msg_half"), "the half line is the last");
}

#[tokio::test]
async fn one_that_refuses_to_start_says_why() {
    let running = start(r#"{"start":["refuse 1 Error: no luck today"]}"#).await;
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(1), "Error: no luck today\n"));
    assert!(running.lines.is_empty());
}

#[tokio::test]
async fn a_flood_of_stderr_stalls_nothing() {
    let mut running = start("").await;
    running.say("!stderr 20000000; text after the flood");
    running.until("flood").await;
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!(exit.code, Some(0));
    assert!(exit.stderr.ends_with("last words\n"));
}

#[tokio::test]
async fn what_it_leaves_in_sessions_of_its_own_is_swept() {
    let mut running = start("").await;
    running.say("!grandchild; grandchild-stdout; text left; crash 0");
    running.until("left").await;
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.killed), (Some(0), false));
    assert!(running.text().contains("left"));
}

#[tokio::test]
async fn a_stranger_that_holds_stdout_does_not_hold_the_end() {
    let running = start("").await;
    running.say("!unmarked-stdout 3; text kept; crash 5");
    let (exit, running) = running.end().await;
    assert_eq!(exit.code, Some(5));
    assert!(running.text().contains("kept"));
}

#[tokio::test]
async fn one_that_closes_stdout_and_lives_on_is_ended() {
    let running = start(r#"{"ignore":["sigterm","close"]}"#).await;
    running.say("!text kept; close-stdout; hang");
    let (exit, running) = running.end().await;
    assert_eq!((exit.signal, exit.killed, exit.requested), (Some(9), true, false));
    assert!(running.text().contains("kept"));
}

#[tokio::test]
async fn garbage_unknown_and_giant_lines_come_as_they_are_and_longer_ones_are_skipped() {
    let mut launch = launch("");
    launch.limits.max_line = 1 << 20;
    let mut running = start_with(launch).await;
    running.say("!garbage; unknown; giant 900000; text before; giant 3000000; text after");
    running.until("\"after\"").await;
    running.agent().stop(Stop::Orderly);
    let (exit, running) = running.end().await;
    assert_eq!(exit.code, Some(0));
    assert!(running.lines.iter().any(|line| line == b"this is not JSON"));
    assert!(running.lines.iter().any(|line| line.len() > 900_000));
    assert!(matches!(running.skipped[..], [bytes] if bytes > 3_000_000), "{:?}", running.skipped);
}

#[tokio::test]
async fn a_slow_reader_holds_the_agent_back_and_loses_nothing() {
    let mut running = start("").await;
    running.say("!deltas 20000 100; crash 0");
    // The process can write only what the pipe and four batches hold until the first is taken.
    let mut quiet = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..10 {
        quiet.tick().await;
    }
    assert!(!marked_processes(&running.scope).is_empty(), "it wrote 6 MB to nobody");
    while running.next().await.is_none() {}
    let deltas =
        running.lines.iter().filter(|line| memchr::memmem::find(line, b"text_delta").is_some()).count();
    assert_eq!(deltas, 20_000);
}

#[tokio::test]
async fn directory_environment_and_private_files_are_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut launch = launch("");
    launch.scratch_dir = dir.path().join("scratch");
    launch.append_system_prompt = Some("x".repeat(300_000) + "END");
    launch.options.cwd = Some("/".into());
    launch.options.env.insert("FROM_OPTIONS".into(), "one".into());
    launch.env.push(("FROM_LAUNCH".into(), "two".into()));
    launch.env_remove.push("HOME".into());
    launch.sdk_mcp = true;
    let marker = launch.marker.to_string();
    let scratch = launch.scratch_dir.clone();
    let mut running = start_with(launch).await;
    running.say("!cwd; env FROM_OPTIONS; env FROM_LAUNCH; env HOME; env CLAUDE_WS_AGENT; file mcp-config");
    running.say("!file append-system-prompt-file");
    running.until("xEND").await;
    let cmdline = fs::read_to_string(format!("/proc/{}/cmdline", running.agent().pid())).unwrap();
    assert!(cmdline.len() < 4096 && !cmdline.contains("mcpServers"), "{cmdline}");
    running.agent().stop(Stop::Orderly);
    let (_, running) = running.end().await;
    let blocks: Vec<String> = running
        .lines
        .iter()
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|line| line["type"] == "assistant")
        .map(|line| line["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    let mcp = r#"{"mcpServers":{"client":{"name":"client","type":"sdk"}}}"#;
    assert_eq!(blocks[..6], ["/", "one", "two", "(unset)", &marker, mcp]);
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0, "private files are left");
}

#[tokio::test]
async fn what_cannot_be_started_is_told_before_anything_runs() {
    let spawner = Spawner::new(TaskTracker::new()).unwrap();
    let mut missing = launch("");
    missing.program = "/no/such/claude".into();
    assert!(matches!(spawner.spawn(missing).await, Err(SpawnError::Program(_))));
    let mut not_executable = launch("");
    not_executable.program = "/etc/passwd".into();
    assert!(matches!(spawner.spawn(not_executable).await, Err(SpawnError::Program(_))));
    let mut nowhere = launch("");
    nowhere.options.cwd = Some("/no/such/dir".into());
    assert!(matches!(spawner.spawn(nowhere).await, Err(SpawnError::WorkingDirectory(_))));
    let mut long = launch("");
    long.options.model = Some("m".repeat(1 << 20));
    assert!(matches!(spawner.spawn(long).await, Err(SpawnError::Os(_))));
    let mut own = launch("");
    own.options.extra_args.insert("resume".into(), None);
    assert!(matches!(spawner.spawn(own).await, Err(SpawnError::Arguments(ArgsError::OwnFlag(_)))));
}

#[tokio::test]
async fn agents_outlive_the_spawner_and_their_parent_death_signal_is_set() {
    let launch = launch("");
    let tracker = TaskTracker::new();
    let scope = Scope::agent(&launch.marker);
    let spawner = Spawner::new(tracker.clone()).unwrap();
    let (agent, output) = spawner.spawn(launch).await.unwrap();
    drop(spawner);
    let mut running = Running {
        agent: Some(agent),
        output: Some(output),
        lines: Vec::new(),
        skipped: Vec::new(),
        scope,
        tracker,
    };
    running.say("still here");
    running.until("echo: still").await;
    running.agent().stop(Stop::Orderly);
    let (exit, _) = running.end().await;
    assert_eq!(exit.signal, None);
}

#[tokio::test]
async fn a_session_id_in_use_and_an_unknown_one_are_refused_like_the_cli_does() {
    let state = tempfile::tempdir().unwrap();
    let id = Uuid::new_v4();
    let with = |conversation| {
        let mut launch = launch("");
        launch.conversation = conversation;
        launch.env.push(("FAKE_CLAUDE_STATE".into(), state.path().into()));
        launch
    };
    let (exit, _) = start_with(with(Conversation::Resume(id))).await.end().await;
    assert_eq!((exit.code, exit.stderr), (Some(1), format!("No conversation found with session ID: {id}\n")));
    let mut running = start_with(with(Conversation::New(id))).await;
    running.say("hi");
    running.until("\"subtype\":\"success\"").await;
    running.agent().stop(Stop::Orderly);
    running.end().await;
    let (exit, _) = start_with(with(Conversation::New(id))).await.end().await;
    assert_eq!((exit.code, exit.stderr), (Some(1), format!("Error: Session ID {id} is already in use.\n")));
    let mut running = start_with(with(Conversation::Resume(id))).await;
    running.say("again");
    running.until("echo: again").await;
}

#[tokio::test]
async fn prompts_and_tool_calls_are_answered_by_their_own_id() {
    let mut running = start("").await;
    running.say("!asks 2; withdraw Bash {}; mcp add {\"a\":1}; text all done");
    let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
    let mut prompts = Vec::new();
    let mut seen = 0;
    let mut withdrawn = false;
    while !running.text().contains("\"text\":\"all done\"") {
        assert_eq!(running.next().await, None);
        for line in running.lines.clone().drain(seen..) {
            let line: Value = serde_json::from_slice(&line).unwrap();
            let id = line["request_id"].as_str().unwrap_or_default().to_owned();
            match line["request"]["subtype"].as_str() {
                Some("can_use_tool") => prompts.push(id),
                Some("mcp_message") => {
                    let answer = raw("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sum\":42}}");
                    running.agent().send(control::mcp_response(&id, &answer)).unwrap();
                }
                _ => withdrawn |= line["type"] == "control_cancel_request",
            }
        }
        seen = running.lines.len();
        if prompts.len() == 2 && !running.text().contains("ran with") {
            running.agent().send(control::allow(&prompts[1], &raw("{\"edited\":true}"), &[])).unwrap();
            running.agent().send(control::deny(&prompts[0], "not that one", false)).unwrap();
        }
    }
    assert!(withdrawn);
    for expected in ["ran with {\\\"edited\\\":true}", "not that one", "{\\\"sum\\\":42}"] {
        assert!(running.text().contains(expected), "{expected}");
    }
}

#[tokio::test]
async fn many_starts_and_ends_leave_no_descriptor_and_no_zombie() {
    let count = |dir: &str| fs::read_dir(dir).unwrap().count();
    let instance = Instance::new(&format!("test-{}", Uuid::new_v4().simple())).unwrap();
    let tracker = TaskTracker::new();
    let spawner = Spawner::new(tracker.clone()).unwrap();
    let mut pids = Vec::new();
    let mut descriptors = Vec::new();
    for round in 0..40 {
        let mut launch = launch("");
        launch.marker = instance.marker();
        let (agent, mut output) = spawner.spawn(launch).await.unwrap();
        pids.push(agent.pid());
        agent.stop(if round % 2 == 0 { Stop::Orderly } else { Stop::Now });
        while !matches!(timeout(PATIENCE, output.recv()).await.unwrap(), Some(Output::Exited(_))) {}
        descriptors.push(count("/proc/self/fd"));
    }
    // Other tests run beside this one, so only a steady growth would be a leak.
    assert!(descriptors[39] < descriptors[0] + 35, "{descriptors:?}");
    for pid in pids {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let own = state.split_whitespace().nth(3) == Some(&std::process::id().to_string());
        assert!(!own, "a zombie: {state}");
    }
    tracker.close();
    timeout(PATIENCE, tracker.wait()).await.expect("tasks are left");
}
