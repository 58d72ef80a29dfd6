//! Sessions as handlers find them. Their agents cannot be started, so every turn ends in an error: that is enough here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use crate::agent::{AgentLimits, Instance, Spawner};
use crate::log::{Cursor, Doorbell, Progress};
use crate::protocol::{Json, Liveness, ServerInfo, SessionConfig, UserMessage};
use crate::session::handle::Mail;
use crate::session::state::{Attach, ReplayFrom};
use crate::session::warm::WarmAgents;
use crate::session::{
    Acquired, AgentPool, Answer, Client, ClientId, Command, Found, Launcher, OpenError, Registry,
    SessionHandle, SessionLimits, Shared, Starts,
};
use crate::store::{
    Backlog, Chunk, DataDir, Expired, Pending, Retention, SessionKey, Source, SqliteStore, Store, StoreError,
    StoreHealth, StoredSession,
};

const ME: &str = "me";

struct Lab {
    registry: Arc<Registry>,
    shared: Arc<Shared>,
}

impl Lab {
    async fn new(limits: SessionLimits, store: Option<Arc<dyn Store>>) -> Self {
        Self::with(limits, store, PathBuf::from("/nonexistent/claude"), 1 << 20).await
    }

    async fn with(
        limits: SessionLimits,
        store: Option<Arc<dyn Store>>,
        program: PathBuf,
        log_window: usize,
    ) -> Self {
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
                program,
                env: Vec::new(),
                env_remove: Vec::new(),
                instance: Instance::new("registry-tests").unwrap(),
                scratch_dir: std::env::temp_dir().join("claude-ws-registry-tests"),
                limits: AgentLimits::default(),
            },
            store,
            log_window,
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
    assert!(matches!(lab.registry.find("s", "you").await, Found::Unknown));
    assert_eq!(lab.open("s", "you").await.err(), Some(OpenError::Unknown));
    assert!(lab.registry.list("you").await.is_empty());
    assert_eq!(lab.registry.list(ME).await.len(), 1);
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
    assert!(matches!(lab.registry.find("s", ME).await, Found::Ended(_)));
    assert!(matches!(lab.registry.find("s", "you").await, Found::Unknown));
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
        assert!(matches!(lab.registry.find("s", ME).await, Found::Unknown));
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
    let Found::Dormant(summary) = lab.registry.find("s", ME).await else {
        panic!("not dormant: {:?}", lab.registry.find("s", ME).await)
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
    assert!(matches!(next.registry.find("s", ME).await, Found::Dormant(_)), "it can be tried again");
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
    assert!(matches!(next.registry.find("s", ME).await, Found::Dormant(_)));
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

/// They were kept in memory for as long as the store kept them.
#[tokio::test]
async fn an_ended_session_is_known_to_the_store_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir);
    let lab = Lab::new(SessionLimits::default(), Some(Arc::clone(&store))).await;
    let me = client(1);
    for id in ["a", "b"] {
        let (handle, _) = lab.open(id, ME).await.unwrap();
        let _answer = me.attach(&handle, true).await;
        handle.command(&me.client, "end".to_owned(), Command::End { reason: None }).await.unwrap();
        handle.mailbox.closed().await;
    }
    let (live, resting) = lab.registry.vitals();
    assert_eq!((live.len(), resting), (0, 0));
    assert!(matches!(lab.registry.find("a", ME).await, Found::Ended(_)));
    assert!(matches!(lab.registry.find("a", "you").await, Found::Unknown));
    let listed: Vec<_> = lab.registry.list(ME).await.into_iter().map(|summary| summary.status).collect();
    assert_eq!(listed, [Liveness::Ended, Liveness::Ended]);
    assert!(lab.registry.list("you").await.is_empty());
    assert_eq!(lab.open("a", ME).await.err(), Some(OpenError::Ended));
    // Retention finds it there, and then it is as if it had never been.
    let retention = Retention { now_ms: u64::MAX, max_age_ms: Some(0), max_bytes: None };
    lab.registry.forget(retention).await.unwrap();
    assert!(matches!(lab.registry.find("a", ME).await, Found::Unknown));
    assert!(lab.open("a", ME).await.unwrap().1);
    lab.registry.drain(Instant::now()).await;
}

/// A store that hears of nothing while it is shut.
#[derive(Debug)]
struct Shut {
    store: Arc<dyn Store>,
    open: watch::Sender<bool>,
    waiting: Mutex<Vec<Arc<dyn Source>>>,
}

impl Shut {
    fn open(&self) {
        for source in self.waiting.lock().drain(..) {
            self.store.dirty(source);
        }
        self.open.send_replace(true);
    }
}

impl Store for Shut {
    fn dirty(&self, source: Arc<dyn Source>) {
        let mut waiting = self.waiting.lock();
        if *self.open.borrow() { self.store.dirty(source) } else { waiting.push(source) }
    }

    fn read<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
        after: u64,
        max_bytes: usize,
    ) -> Pending<'a, Result<Chunk, StoreError>> {
        self.store.read(key, epoch, after, max_bytes)
    }

    fn backlog(&self) -> &Backlog {
        self.store.backlog()
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.store.health()
    }

    fn sessions(&self) -> Pending<'_, Result<Vec<StoredSession>, StoreError>> {
        self.store.sessions()
    }

    fn message_ids<'a>(
        &'a self,
        key: &'a SessionKey,
        epoch: &'a str,
    ) -> Pending<'a, Result<Vec<String>, StoreError>> {
        self.store.message_ids(key, epoch)
    }

    fn expired(&self, retention: Retention) -> Pending<'_, Result<Vec<Expired>, StoreError>> {
        self.store.expired(retention)
    }

    fn delete<'a>(&'a self, key: &'a SessionKey, epoch: &'a str) -> Pending<'a, Result<(), StoreError>> {
        self.store.delete(key, epoch)
    }

    fn flush(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async {
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.unwrap();
            self.store.flush().await
        })
    }

    fn close(&self) -> Pending<'_, Result<(), StoreError>> {
        self.store.close()
    }
}

/// The session was taken up from what the store had before: a false gap, and messages run twice.
#[tokio::test]
async fn a_session_that_the_store_has_not_taken_yet_is_not_woken_up_without_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let shut = Shut { store: sqlite(&dir), open: watch::Sender::new(false), waiting: Mutex::default() };
    let store = Arc::new(shut);
    let limits = SessionLimits { session_grace: Duration::ZERO, ..SessionLimits::default() };
    let lab = Lab::new(limits, Some(Arc::clone(&store) as Arc<dyn Store>)).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("a")).await;
    // What the store would be waited for passes at once.
    tokio::time::pause();
    drop(cursor);
    handle.mailbox.closed().await;
    assert!(matches!(lab.registry.find("s", ME).await, Found::Dormant(_)));
    assert_eq!(lab.open("s", ME).await.err(), Some(OpenError::Store));
    tokio::time::resume();
    store.open();
    // Without any grace it may be gone to rest again before the command comes.
    let (handle, mut cursor) = loop {
        let handle = lab.open("s", ME).await.unwrap().0;
        if let Some(answer) = handle.command(&me.client, "attach".to_owned(), attach(false)).await {
            break (handle, answer.cursor.unwrap());
        }
    };
    assert_eq!(code(&handle.command(&me.client, "a".to_owned(), say()).await.unwrap()), "duplicate_message");
    handle.command(&me.client, "b".to_owned(), say()).await.unwrap();
    let again = me.read_until(&mut cursor, "result", Some("b")).await;
    assert_eq!(again[..events.len()], events);
    drop(cursor);
    lab.registry.drain(Instant::now()).await;
}

/// They got nothing at all: events go to those who are attached.
#[tokio::test]
async fn who_is_not_attached_is_told_when_it_is_done() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    let mut other = client(2);
    let first = |answer: Answer| serde_json::from_str::<Value>(&answer.frames[0]).unwrap();
    let answer = first(handle.command(&other.client, "a".to_owned(), say()).await.unwrap());
    assert_eq!((&answer["type"], &answer["request_id"]), (&"session_info".into(), &"a".into()));
    assert!(answer["last_seq"].as_u64() >= Some(1), "its message is in the log: {answer}");
    me.read_until(&mut cursor, "result", Some("a")).await;
    let interrupt = Command::Interrupt { reason: None };
    let answer = first(handle.command(&other.client, "i".to_owned(), interrupt).await.unwrap());
    assert_eq!(answer["outcome"], "nothing_running");
    let end = Command::End { reason: None };
    let answer = first(handle.command(&other.client, "end".to_owned(), end).await.unwrap());
    assert_eq!((&answer["request_id"], &answer["status"]), (&"end".into(), &"ended".into()));
    assert!(other.notices.try_recv().is_err(), "each once");
    me.read_until(&mut cursor, "session_ended", Some("end")).await;
    lab.registry.drain(Instant::now()).await;
}

/// Its id was lost: found at work, without anybody who answered.
#[tokio::test]
async fn a_session_whose_task_panics_comes_back_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(SessionLimits::default(), Some(sqlite(&dir))).await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.command(&me.client, "a".to_owned(), say()).await.unwrap();
    me.read_until(&mut cursor, "result", Some("a")).await;
    handle.mailbox.send(Mail::BreakDown).await.unwrap();
    let events = me.read_until(&mut cursor, "error", None).await;
    assert_eq!(events.last().unwrap()["code"], "internal");
    while !matches!(lab.registry.find("s", ME).await, Found::Dormant(_)) {
        tokio::task::yield_now().await;
    }
    let (handle, created) = lab.open("s", ME).await.unwrap();
    assert!(!created);
    let mut cursor = me.attach(&handle, false).await.cursor.unwrap();
    handle.command(&me.client, "b".to_owned(), say()).await.unwrap();
    let events = me.read_until(&mut cursor, "result", Some("b")).await;
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    lab.registry.drain(Instant::now()).await;
}

#[tokio::test]
async fn a_session_whose_task_panics_is_over_where_there_is_no_store() {
    let lab = Lab::plain().await;
    let (handle, _) = lab.open("s", ME).await.unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
    handle.mailbox.send(Mail::BreakDown).await.unwrap();
    let events = me.read_until(&mut cursor, "session_ended", None).await;
    assert_eq!(events.last().unwrap()["reason"], "failed");
    while !matches!(lab.registry.find("s", ME).await, Found::Ended(_)) {
        tokio::task::yield_now().await;
    }
    lab.registry.drain(Instant::now()).await;
}

/// It was not found any more, and never deleted; those after it were not looked at.
#[tokio::test]
async fn a_deletion_that_fails_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SessionLimits { session_grace: Duration::from_millis(1), ..SessionLimits::default() };
    let lab = Lab::new(limits, Some(sqlite(&dir))).await;
    let me = client(1);
    for id in ["a", "b"] {
        let (handle, _) = lab.open(id, ME).await.unwrap();
        let mut cursor = me.attach(&handle, true).await.cursor.unwrap();
        handle.command(&me.client, format!("m-{id}"), say()).await.unwrap();
        me.read_until(&mut cursor, "result", None).await;
        drop(cursor);
        handle.mailbox.closed().await;
    }
    let all = Retention { now_ms: u64::MAX / 4, max_age_ms: Some(1), max_bytes: None };
    let file = crate::store::raw(dir.path());
    file.execute_batch("ALTER TABLE doomed RENAME TO elsewhere").unwrap();
    assert!(lab.registry.forget(all).await.is_err());
    for id in ["a", "b"] {
        assert!(matches!(lab.registry.find(id, ME).await, Found::Dormant(_)), "{id} is hidden");
    }
    file.execute_batch("ALTER TABLE elsewhere RENAME TO doomed").unwrap();
    lab.registry.forget(all).await.unwrap();
    for id in ["a", "b"] {
        assert!(matches!(lab.registry.find(id, ME).await, Found::Unknown), "{id} is still there");
    }
    lab.registry.drain(Instant::now()).await;
}

/// Every directory will do.
#[expect(clippy::unnecessary_wraps, reason = "what is wanted may refuse")]
fn anywhere(path: &str) -> Option<String> {
    Some(path.to_owned())
}

/// Who waits for its turn to wake a session may find that the id is somebody else's by then.
#[tokio::test]
async fn a_wake_gives_nobody_the_session_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(SessionLimits::default(), Some(sqlite(&dir))).await;
    let (_handle, _) = lab.open("s", ME).await.unwrap();
    let woken = lab.registry.wake(&"s".into(), &"you".into(), &anywhere).await;
    assert_eq!(woken.err(), Some(OpenError::Unknown));
    assert!(lab.registry.wake(&"s".into(), &ME.into(), &anywhere).await.is_ok());
    lab.registry.drain(Instant::now()).await;
}

/// The events of an agent that outran the disk were dropped, although nothing was wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_waits_for_a_store_that_is_slow() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(DataDir::open(dir.path()).unwrap(), 8 << 20).unwrap());
    let program = crate::agent::locate::fake_claude().to_owned();
    let lab = Lab::with(SessionLimits::default(), Some(Arc::clone(&store)), program, 1 << 16).await;
    let config = || {
        Ok::<_, OpenError>(SessionConfig {
            cwd: Some(dir.path().to_str().unwrap().to_owned()),
            ..SessionConfig::default()
        })
    };
    let (handle, created) = lab
        .registry
        .open(&"s".into(), &ME.into(), &|path: &str| Some(path.to_owned()), config)
        .await
        .unwrap();
    let me = client(1);
    let mut cursor = me.attach(&handle, created).await.cursor.unwrap();
    // Somebody else writes to the file: the store's commit waits for it, and does not fail.
    let file = crate::store::raw(dir.path());
    store.flush().await.unwrap();
    let content = Json::of("deltas 20000 1000 0").unwrap();
    let say = Command::UserMessage(UserMessage { content, parent_tool_use_id: None });
    handle.command(&me.client, "a".to_owned(), say).await.unwrap();
    // (Not for as long as the store waits until it calls that a failure.)
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let until = Instant::now() + Duration::from_secs(4);
    while !store.backlog().has_lost() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    file.execute_batch("COMMIT").unwrap();
    me.read_until(&mut cursor, "result", Some("a")).await;
    assert!(!store.backlog().has_lost(), "events were dropped unstored");
    lab.registry.drain(Instant::now()).await;
}
