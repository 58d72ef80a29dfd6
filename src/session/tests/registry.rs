//! Sessions as handlers find them. Their agents cannot be started, so every turn ends in an error: that is enough here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use crate::agent::{AgentLimits, Instance, Spawner};
use crate::log::{Cursor, Doorbell, Progress};
use crate::protocol::{Json, ServerInfo, SessionConfig, UserMessage};
use crate::session::state::{Attach, ReplayFrom};
use crate::session::warm::WarmAgents;
use crate::session::{
    Acquired, AgentPool, Answer, Client, ClientId, Command, Found, Launcher, OpenError, Registry,
    SessionHandle, SessionLimits, Shared, Starts,
};
use crate::store::{DataDir, SqliteStore, Store};

const ME: &str = "me";

struct Lab {
    registry: Arc<Registry>,
    shared: Arc<Shared>,
}

impl Lab {
    async fn new(limits: SessionLimits, store: Option<Arc<dyn Store>>) -> Self {
        let tasks = TaskTracker::new();
        let limits = SessionLimits { stored: store.is_some(), ..limits };
        let stored = match &store {
            Some(store) => store.sessions().await.unwrap(),
            None => Vec::new(),
        };
        let shared = Arc::new(Shared {
            limits: Arc::new(limits),
            server: ServerInfo {
                name: "t".to_owned(),
                version: "0".to_owned(),
                protocol: 1,
                heartbeat_ms: 1,
                max_message_bytes: 1,
            },
            pool: AgentPool::new(1, 10),
            warm: WarmAgents::default(),
            launcher: Launcher {
                spawner: Arc::new(Spawner::new(tasks.clone()).unwrap()),
                program: PathBuf::from("/nonexistent/claude"),
                env: Vec::new(),
                env_remove: Vec::new(),
                instance: Instance::new("registry-tests").unwrap(),
                scratch_dir: std::env::temp_dir().join("claude-ws-registry-tests"),
                limits: AgentLimits::default(),
            },
            store,
            log_window: 1 << 20,
            metrics: Arc::default(),
            starts: Starts::default(),
            run: "r".to_owned(),
            replies: AtomicU64::new(0),
        });
        Self { registry: Registry::new(Arc::clone(&shared), stored, 3, tasks), shared }
    }

    async fn plain() -> Self {
        Self::new(SessionLimits::default(), None).await
    }

    async fn open(&self, id: &str, owner: &str) -> Result<(SessionHandle, bool), OpenError> {
        let anywhere = |path: &str| Some(path.to_owned());
        self.registry
            .open(&id.into(), &owner.into(), &anywhere, || Ok::<_, OpenError>(SessionConfig::default()))
            .await
    }
}

struct Me {
    client: Client,
    notices: mpsc::Receiver<Utf8Bytes>,
}

fn client(id: u64) -> Me {
    let (sender, notices) = mpsc::channel(8);
    Me { client: Client { id: ClientId(id), notices: sender, doorbell: Doorbell::new() }, notices }
}

fn attach(created: bool) -> Command {
    let from = ReplayFrom { last_seq: Some(0), epoch: None };
    Command::Attach(Attach { from, options: None, created })
}

fn say() -> Command {
    Command::UserMessage(UserMessage { content: Json::of("x").unwrap(), parent_tool_use_id: None })
}

impl Me {
    async fn attach(&self, handle: &SessionHandle, created: bool) -> Answer {
        handle.command(&self.client, "attach".to_owned(), attach(created)).await.expect("an answer")
    }

    /// Reads until an event of this type has come for `request_id`; gives all that was read.
    async fn read_until(&self, cursor: &mut Cursor, kind: &str, request_id: Option<&str>) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let mut frames = Vec::new();
            let progress = cursor.read(&mut frames, 1 << 16).await;
            events.extend(frames.iter().map(|frame| serde_json::from_str::<Value>(frame).unwrap()));
            let is_it = |event: &Value| {
                event["type"] == kind && request_id.is_none_or(|id| event["request_id"] == id)
            };
            if events.iter().any(is_it) {
                return events;
            }
            match progress {
                Progress::Closed => panic!("it ended without {kind}: {events:?}"),
                Progress::CaughtUp => self.client.doorbell.wait(&mut Vec::new()).await,
                _ => {}
            }
        }
    }
}

fn code(answer: &Answer) -> Value {
    let last: Value = serde_json::from_str(answer.frames.last().unwrap()).unwrap();
    last["code"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_opens_of_one_id_at_once_make_one_session() {
    let lab = Lab::plain().await;
    let opened = join_all((0..16).map(|_| lab.open("s", ME))).await;
    let made = opened.into_iter().filter(|opened| opened.as_ref().unwrap().1).count();
    assert_eq!(made, 1);
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_session_of_somebody_else_is_unknown() {
    let lab = Lab::plain().await;
    lab.open("s", ME).await.unwrap();
    assert!(matches!(lab.registry.find("s", "you"), Found::Unknown));
    assert_eq!(lab.open("s", "you").await.err(), Some(OpenError::Unknown));
    assert!(lab.registry.list("you").is_empty());
    assert_eq!(lab.registry.list(ME).len(), 1);
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn an_ended_session_stays_ended() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let answer = me.attach(&handle, true).await;
    let end = handle.command(&me.client, "end".to_owned(), Command::End { reason: None });
    assert!(end.await.is_some());
    let mut cursor = answer.cursor.unwrap();
    me.read_until(&mut cursor, "session_ended", Some("end")).await;
    handle.mailbox.closed().await;
    assert!(matches!(lab.registry.find("s", ME), Found::Ended(_)));
    assert!(matches!(lab.registry.find("s", "you"), Found::Unknown));
    assert_eq!(lab.open("s", ME).await.err(), Some(OpenError::Ended));
    assert!(handle.command(&me.client, "late".to_owned(), Command::Info).await.is_none());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn an_owner_has_only_so_many_sessions() {
    let lab = Lab::plain().await;
    for id in ["a", "b", "c"] {
        lab.open(id, ME).await.unwrap();
    }
    assert_eq!(lab.open("d", ME).await.err(), Some(OpenError::TooMany(3)));
    assert!(lab.open("a", ME).await.is_ok(), "one that exists is no new one");
    assert!(lab.open("d", "you").await.is_ok());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_command_that_waits_while_its_session_is_removed_is_told() {
    let lab = Lab::plain().await;
    for round in 0..50 {
        let (handle, created) = lab.open("s", ME).await.unwrap();
        let me = client(round);
        let answer = me.attach(&handle, created).await;
        assert!(answer.cursor.is_some());
        // The last client leaves, and another one is just coming.
        drop(answer);
        let other = client(1000 + round);
        let answer = handle.command(&other.client, "attach".to_owned(), attach(false)).await;
        // Either it was in time or it looks again; it never waits for ever, and is never told that the server goes down.
        if let Some(answer) = answer {
            assert!(answer.cursor.is_some(), "{:?}", answer.frames);
        }
        handle.mailbox.closed().await;
        assert!(matches!(lab.registry.find("s", ME), Found::Unknown));
    }
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn only_so_many_connections_attach_to_a_session() {
    let limits = SessionLimits { max_attached: 2, ..SessionLimits::default() };
    let lab = Lab::new(limits, None).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let (one, two, three) = (client(1), client(2), client(3));
    let first = one.attach(&handle, true).await;
    let second = two.attach(&handle, false).await;
    assert!(first.cursor.is_some() && second.cursor.is_some());
    let refused = three.attach(&handle, false).await;
    assert!(refused.cursor.is_none());
    assert_eq!(code(&refused), "capacity");
    // Again on the same connection: its new cursor takes the place of the old one.
    assert!(two.attach(&handle, false).await.cursor.is_some());
    drop(second);
    assert!(three.attach(&handle, false).await.cursor.is_some());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn connections_that_asked_something_and_left_are_forgotten() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let mut waiting = Vec::new();
    for id in 0..200 {
        let me = client(id);
        handle.command(&me.client, "i".to_owned(), Command::Info).await.unwrap();
        waiting.push(me.client.notices.downgrade());
    }
    let held = waiting.iter().filter(|sender| sender.upgrade().is_some()).count();
    assert!(held <= 64, "{held} are still held");
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn what_is_announced_goes_to_who_is_attached() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let mut onlooker = client(1);
    handle.command(&onlooker.client, "i".to_owned(), Command::Info).await.unwrap();
    let me = client(2);
    let answer = me.attach(&handle, true).await;
    drop((me, answer));
    handle.mailbox.closed().await;
    assert!(onlooker.notices.try_recv().is_err());
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_drain_ends_every_session_and_lets_no_new_one_in() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    lab.registry.drain(Instant::now() + Duration::from_mins(1)).await;
    me.read_until(&mut cursor, "session_ended", None).await;
    assert_eq!(lab.open("t", ME).await.err(), Some(OpenError::Draining));
}

fn sqlite(dir: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(DataDir::open(dir.path()).unwrap(), 1 << 20).unwrap())
}

#[tokio::test]
async fn a_session_rests_in_the_store_and_wakes_with_its_log_and_its_ids() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SessionLimits { session_grace: Duration::ZERO, ..SessionLimits::default() };
    let lab = Lab::new(limits, Some(sqlite(&dir))).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("a")).await;
    drop(cursor);
    handle.mailbox.closed().await;
    let Found::Dormant(summary) = lab.registry.find("s", ME) else {
        panic!("not dormant: {:?}", lab.registry.find("s", ME))
    };
    assert_eq!(summary.num_turns, 1);

    let opened = join_all((0..4).map(|_| lab.open("s", ME))).await;
    assert!(opened.iter().all(|opened| !opened.as_ref().unwrap().1));
    let handle = lab.open("s", ME).await.unwrap().0;
    let mut cursor = me.attach(&handle, false).await.cursor.unwrap();
    let answer = handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    assert_eq!(code(&answer), "duplicate_message");
    handle.command(&me.client, "b".to_owned(), say()).await.unwrap();
    let again = me.read_until(&mut cursor, "result", Some("b")).await;
    assert_eq!(again[..events.len()], events);
    drop(cursor);
    lab.registry.drain(Instant::now()).await;
}

/// The operator has other workspace roots by now, or a directory has become a symlink to elsewhere.
#[tokio::test]
async fn a_session_wakes_only_where_it_may_work_now() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    let config = || {
        let cwd = Some("/roots/work".to_owned());
        let add_dirs = vec!["/roots/more".to_owned(), "/elsewhere".to_owned()];
        Ok::<_, OpenError>(SessionConfig { cwd, add_dirs, ..SessionConfig::default() })
    };
    let never = |_: &str| None;
    let (handle, _) = lab.registry.open(&"s".into(), &ME.into(), &never, config).await.unwrap();
    let me = client(1);
    let _answer = me.attach(&handle, true).await;
    store.flush().await.unwrap();

    let next = Lab::new(SessionLimits::default(), Some(store)).await;
    let refused = next.registry.open(&"s".into(), &ME.into(), &never, config).await;
    assert_eq!(refused.err(), Some(OpenError::Directory));
    assert!(matches!(next.registry.find("s", ME), Found::Dormant(_)), "it can be tried again");
    let resolve = |path: &str| path.strip_prefix("/roots").map(|rest| format!("/new{rest}"));
    let (handle, created) = next.registry.open(&"s".into(), &ME.into(), &resolve, config).await.unwrap();
    assert!(!created);
    let answer = handle.command(&me.client, "q".to_owned(), Command::ConfigQuery).await.unwrap();
    let shown: Value = serde_json::from_str(answer.frames.last().unwrap()).unwrap();
    assert_eq!(shown["config"]["cwd"], "/new/work");
    assert_eq!(shown["config"]["add_dirs"], serde_json::json!(["/new/more"]));
    next.registry.drain(Instant::now()).await;
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_gateway_that_was_killed_gives_every_message_its_result() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    // No slot is free: the first message waits for an agent, the second for the first. No agent was told of either.
    let Acquired::Slot(slot) = lab.shared.pool.acquire(&"other".into()) else { panic!("no slot") };
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let _answer = me.attach(&handle, true).await;
    for id in ["a", "b"] {
        handle.command(&me.client, id.to_owned(), say()).await.unwrap();
    }
    store.flush().await.unwrap();

    // The next gateway finds what was committed. (The first one is still there and says nothing more.)
    let next = Lab::new(SessionLimits::default(), Some(store)).await;
    assert!(matches!(next.registry.find("s", ME), Found::Dormant(_)));
    let (handle, created) = next.open("s", ME).await.unwrap();
    assert!(!created);
    let you = client(2);
    let mut cursor = you.attach(&handle, false).await.cursor.unwrap();
    let events = you.read_until(&mut cursor, "result", Some("b")).await;
    let results: Vec<_> = events.iter().filter(|event| event["type"] == "result").collect();
    assert_eq!(results.len(), 2);
    for (result, id) in results.iter().zip(["a", "b"]) {
        assert_eq!(result["request_id"], id);
        assert_eq!(result["error_code"], "agent_unavailable", "it was run");
    }
    let answer = handle.command(&you.client, "a".to_owned(), say()).await.unwrap();
    assert_eq!(code(&answer), "duplicate_message");
    next.registry.drain(Instant::now()).await;
    drop(slot);
    lab.registry.drain(Instant::now()).await;
}

/// They were counted until their task was gone.
#[tokio::test]
async fn sessions_that_have_ended_do_not_count_any_more() {
    let lab = Lab::plain().await;
    for round in 0..50 {
        let ids = ["a", "b", "c"].map(|name| format!("{name}{round}"));
        let mut opened = Vec::new();
        for id in &ids {
            let (handle, _) = lab.open(id, ME).await.expect("as many as allowed");
            let me = client(round);
            let cursor = me.attach(&handle, true).await.cursor.unwrap();
            opened.push((me, handle, cursor));
        }
        for (me, handle, cursor) in &mut opened {
            handle.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
            me.read_until(cursor, "session_ended", Some("end")).await;
        }
    }
    lab.registry.drain(Instant::now()).await;
}
