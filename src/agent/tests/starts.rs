//! How an agent is started: with what, and what is said where it cannot be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::agent::marker::Scope;
use crate::agent::*;

use super::running::{PATIENCE, Running, launch, start, start_with};

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
    let spawner = Spawner::new(TaskTracker::new(), crate::lookup::Lookup::new());
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

/// It was started in `/etc`: the name was looked at when the session was made, and entered when the agent was started.
#[tokio::test]
async fn a_directory_that_was_exchanged_for_a_link_is_not_entered() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let (root, work, kept) = (dir.join("root"), dir.join("root/work"), dir.join("root/kept"));
    fs::create_dir_all(&work).unwrap();
    fs::create_dir(&kept).unwrap();
    let spawner = Spawner::new(TaskTracker::new(), crate::lookup::Lookup::new());
    let start = || {
        let mut launch = launch("");
        launch.options.cwd = Some(work.clone());
        launch.options.add_dirs = vec![kept.clone()];
        launch.roots = Some([root.clone()].into());
        launch
    };
    assert_eq!(where_it_works(&spawner, start()).await, work);
    fs::rename(&work, root.join("moved")).unwrap();
    symlink("/etc", &work).unwrap();
    let refused = spawner.spawn(start()).await.unwrap_err();
    assert!(matches!(refused, SpawnError::Outside(_)), "{refused}");
    assert!(!refused.for_clients().contains(root.to_str().unwrap()), "{}", refused.for_clients());
    // A link to a place where it may work is as good as that place.
    fs::remove_file(&work).unwrap();
    symlink("moved", &work).unwrap();
    assert_eq!(where_it_works(&spawner, start()).await, root.join("moved"));
    // One that is gone, or lies beside a root whose name it begins with.
    fs::remove_file(&work).unwrap();
    assert!(matches!(spawner.spawn(start()).await, Err(SpawnError::WorkingDirectory(_))));
    fs::create_dir(dir.join("root-2")).unwrap();
    symlink("../root-2", &work).unwrap();
    assert!(matches!(spawner.spawn(start()).await, Err(SpawnError::Outside(_))));
}

/// What the process itself finds; and where a further directory leads out, that it does not get it.
async fn where_it_works(spawner: &Spawner, mut launch: Launch) -> PathBuf {
    let kept = launch.options.add_dirs[0].clone();
    let out = kept.with_file_name("out");
    symlink("/etc", &out).unwrap();
    launch.options.add_dirs.push(out.clone());
    let (agent, output) = spawner.spawn(launch).await.unwrap();
    fs::remove_file(&out).unwrap();
    let process = format!("/proc/{}", agent.pid());
    let place = fs::read_link(format!("{process}/cwd")).unwrap();
    let mut command = String::new();
    // Between one program and the next it has none.
    while command.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        command = String::from_utf8(fs::read(format!("{process}/cmdline")).unwrap()).unwrap();
    }
    assert!(
        command.contains(kept.to_str().unwrap()) && !command.contains(out.to_str().unwrap()),
        "{command:?}"
    );
    agent.stop(Stop::Now);
    drop(output);
    place
}

#[tokio::test]
async fn agents_outlive_the_spawner_and_their_parent_death_signal_is_set() {
    let launch = launch("");
    let tracker = TaskTracker::new();
    let scope = Scope::agent(&launch.marker);
    let spawner = Spawner::new(tracker.clone(), crate::lookup::Lookup::new());
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
async fn many_starts_and_ends_leave_no_descriptor_and_no_zombie() {
    let count = |dir: &str| fs::read_dir(dir).unwrap().count();
    let instance = Instance::new(&format!("test-{}", Uuid::new_v4().simple())).unwrap();
    let tracker = TaskTracker::new();
    let spawner = Spawner::new(tracker.clone(), crate::lookup::Lookup::new());
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

#[tokio::test]
async fn one_that_refuses_to_start_says_why() {
    let running = start(r#"{"start":["refuse 1 Error: no luck today"]}"#).await;
    let (exit, running) = running.end().await;
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(1), "Error: no luck today\n"));
    assert!(running.lines.is_empty());
}
