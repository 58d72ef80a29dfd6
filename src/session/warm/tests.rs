//! With the fake CLI: who gets a warm agent, and when it has to go.

use std::sync::atomic::AtomicU64;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::*;
use crate::agent::{AgentLimits, Instance, Spawner};
use crate::log::Doorbell;
use crate::protocol::{AgentState, Json, PermissionMode, ServerInfo, SessionConfig, UserMessage};
use crate::session::state::{Attach, ReplayFrom};
use crate::session::{
    Acquired, AgentPool, Answer, Client, ClientId, Command, Launcher, OpenError, Registry, SessionHandle,
    SessionLimits, Shared,
};

/// A gateway's sessions, as far as warm agents need them.
struct Room {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    tasks: TaskTracker,
    dir: TempDir,
}

/// A session that somebody is attached to.
struct Opened {
    session: SessionHandle,
    client: Client,
    answer: Answer,
    /// Closed when the test is over.
    inbox: tokio::sync::mpsc::Receiver<Utf8Bytes>,
}

impl Opened {
    async fn agent_runs(&mut self) {
        let running = |frame: &Utf8Bytes| frame.contains(r#""agent":{"state":"running""#);
        while !self.answer.frames.iter().any(running) {
            self.answer.frames.push(timeout(PATIENCE, self.inbox.recv()).await.unwrap().unwrap());
        }
    }

    async fn end(&self) {
        let end = self.session.command(&self.client, "end".into(), Command::End { reason: None });
        end.await.unwrap();
        timeout(PATIENCE, self.session.mailbox.closed()).await.unwrap();
    }
}

impl Room {
    fn new(max_agents: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        let tasks = TaskTracker::new();
        let id = Uuid::new_v4().to_string();
        let shared = Arc::new(Shared {
            limits: Arc::new(SessionLimits::default()),
            server: ServerInfo {
                name: "test".into(),
                version: "0".into(),
                protocol: 1,
                heartbeat_ms: 1,
                max_message_bytes: 1,
            },
            pool: AgentPool::new(max_agents, 10),
            warm: WarmAgents::default(),
            launcher: Launcher {
                spawner: Arc::new(Spawner::new(tasks.clone(), crate::lookup::Lookup::new())),
                program: crate::agent::locate::fake_claude().to_owned(),
                env: vec![("FAKE_CLAUDE_STATE".into(), dir.path().join("state").into())],
                env_remove: Vec::new(),
                instance: Instance::new(&id).unwrap(),
                scratch_dir: dir.path().join("agents"),
                roots: None,
                limits: AgentLimits::default(),
            },
            store: None,
            log_window: 1 << 20,
            run: "test".into(),
            replies: AtomicU64::new(0),
            metrics: Arc::default(),
            starts: crate::session::Starts::default(),
        });
        let registry = Registry::new(Arc::clone(&shared), Vec::new(), 10, tasks.clone());
        Self { shared, registry, tasks, dir }
    }

    fn cwd(&self) -> String {
        self.dir.path().to_str().unwrap().to_owned()
    }

    fn keep(&self, agents: usize, max_age: Duration) {
        let warm = Warm { agents, max_age, cwd: self.cwd() };
        self.tasks.spawn(keep(Arc::clone(&self.shared), warm, self.tasks.clone()));
    }

    fn config(&self) -> SessionConfig {
        SessionConfig { cwd: Some(self.cwd()), ..SessionConfig::default() }
    }

    fn plan(&self) -> LaunchPlan {
        keeper::default_plan(&self.shared, &self.cwd())
    }

    /// An agent on its way, as the keeper has it.
    fn begin(&self, starting: impl Future<Output = Result<(Agent, AgentOutput), String>> + Send + 'static) {
        let name: Arc<str> = "warm".into();
        let slot = self.shared.pool.try_acquire(&name).unwrap();
        self.shared.warm.begin(Begun { name, starting: Box::pin(starting), slot, plan: self.plan() });
    }

    async fn open(&self, config: SessionConfig) -> Opened {
        let owner: Arc<str> = "".into();
        let anywhere = |paths: Vec<String>| -> crate::session::Resolved {
            Box::pin(std::future::ready(paths.into_iter().map(Ok).collect()))
        };
        let config = std::future::ready(Ok::<_, OpenError>(config));
        let (session, created) = self.registry.open("s", &owner, &anywhere, config).await.unwrap();
        assert!(created);
        // From the session to the test; full: its notices are dropped.
        let (notices, inbox) = tokio::sync::mpsc::channel(8);
        let client = Client { id: ClientId(1), notices, doorbell: Doorbell::new() };
        let attach = Attach { from: ReplayFrom::default(), options: None, created };
        let answer = session.command(&client, "1".into(), Command::Attach(attach)).await.unwrap();
        Opened { session, client, answer, inbox }
    }

    /// How many agents were started that came as far as to speak.
    fn starts(&self) -> usize {
        let agents = std::fs::read_to_string(self.dir.path().join("state/agents")).unwrap_or_default();
        agents.lines().count()
    }

    fn parked(&self) -> usize {
        self.shared.warm.len()
    }

    /// Process ids of the parked agents.
    fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        self.shared.warm.unfit(|agent| {
            pids.push(agent.agent.pid());
            false
        });
        pids
    }

    /// All that was started comes to its end.
    async fn close(self) {
        self.shared.warm.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Looks until it is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(Duration::from_mins(1), waiting).await.is_ok(), "{what} did not come");
}

const PATIENCE: Duration = Duration::from_mins(1);
const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_new_session_takes_a_warm_agent_and_its_slot() {
    let room = Room::new(1);
    room.keep(1, LONG);
    until("a warm agent", || room.parked() == 1).await;
    let pid = room.pids()[0];
    let Opened { answer, mut inbox, .. } = room.open(room.config()).await;
    // The answer, and behind it the notice that the agent is there: it came before the answer, by another way.
    let running = |frame: &str| frame.contains(r#""agent":{"state":"running""#);
    let frames: Vec<_> = answer.frames.iter().map(Utf8Bytes::as_str).collect();
    assert!(frames[0].contains(r#""request_id":"1""#), "{frames:?}");
    assert!(frames.len() == 2 && running(frames[1]) && !frames[1].contains("request_id"), "{frames:?}");
    assert!(inbox.try_recv().is_err());
    // The one slot is the session's now, and the process is still there.
    assert_eq!((room.parked(), room.shared.pool.load()), (0, (0, 0)));
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(answer);
    room.registry.drain(std::time::Instant::now()).await;
    room.close().await;
}

/// The first session after the start began a second one beside it, and both took twice as long.
#[tokio::test]
async fn a_new_session_takes_the_agent_that_is_on_its_way() {
    let room = Room::new(2);
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let (shared, plan) = (Arc::clone(&room.shared), room.plan());
    room.begin(async move {
        may_go_on.await.unwrap();
        keeper::start(shared, plan).await
    });
    let mut opened = room.open(room.config()).await;
    assert_eq!(room.shared.warm.count(), (0, 0), "it is the session's");
    until("its start", || opened.session.vitals().agent == AgentState::Starting).await;
    go_on.send(()).unwrap();
    opened.agent_runs().await;
    opened.end().await;
    room.registry.drain(std::time::Instant::now()).await;
    assert_eq!(room.starts(), 1);
    room.close().await;
}

/// One that fails costs the session no more than a start of its own that fails.
#[tokio::test]
async fn where_the_one_on_its_way_fails_another_is_started() {
    let room = Room::new(1);
    room.begin(async { Err("it broke".to_owned()) });
    let mut opened = room.open(room.config()).await;
    let content = Json::of("x").unwrap();
    let say = Command::UserMessage(UserMessage { content, parent_tool_use_id: None });
    opened.session.command(&opened.client, "m".into(), say).await.unwrap();
    opened.agent_runs().await;
    opened.end().await;
    room.registry.drain(std::time::Instant::now()).await;
    assert_eq!(room.starts(), 1);
    room.close().await;
}

#[tokio::test]
async fn one_on_its_way_makes_way_for_a_session_that_it_does_not_fit() {
    let room = Room::new(2);
    room.begin(std::future::pending());
    let mut opened = room.open(SessionConfig { model: Some("m".to_owned()), ..room.config() }).await;
    opened.agent_runs().await;
    assert_eq!(room.shared.warm.count(), (0, 0));
    // But not the next one, or there would never be one.
    room.begin(std::future::pending());
    room.shared.warm.make_way();
    assert_eq!(room.shared.warm.count(), (0, 1));
    room.shared.warm.give_up();
    opened.end().await;
    room.registry.drain(std::time::Instant::now()).await;
    room.close().await;
}

#[tokio::test]
async fn a_session_that_ends_does_not_wait_for_the_agent_on_its_way() {
    let room = Room::new(1);
    room.begin(std::future::pending());
    let opened = room.open(room.config()).await;
    assert_eq!(room.shared.warm.count(), (0, 0));
    opened.end().await;
    until("the slot", || room.shared.pool.try_acquire(&"other".into()).is_some()).await;
    room.registry.drain(std::time::Instant::now()).await;
    room.close().await;
}

#[tokio::test]
async fn warm_agents_are_the_first_to_go() {
    let room = Room::new(2);
    room.keep(2, LONG);
    until("two warm agents", || room.parked() == 2).await;
    let Acquired::InLine { slot, .. } = room.shared.pool.acquire(&"other".into()) else {
        panic!("a slot was free")
    };
    let slot = slot.await.unwrap();
    assert_eq!(room.parked(), 1);
    drop(slot);
    until("the second one again", || room.parked() == 2).await;
    room.close().await;
}

#[tokio::test]
async fn old_and_dead_ones_are_replaced() {
    let room = Room::new(4);
    room.keep(1, Duration::from_millis(200));
    until("a warm agent", || room.parked() == 1).await;
    let first = room.pids();
    until("a younger one", || room.parked() == 1 && room.pids() != first).await;
    room.close().await;

    let room = Room::new(4);
    room.keep(1, LONG);
    until("a warm agent", || room.parked() == 1).await;
    let first = room.pids();
    let pid = Pid::from_raw(i32::try_from(first[0]).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("another one", || room.parked() == 1 && room.pids() != first).await;
    room.close().await;
}

/// It went to the next session, while who was promised its slot waited on.
#[tokio::test]
async fn one_whose_slot_is_promised_is_not_taken() {
    let room = Room::new(1);
    room.keep(1, LONG);
    until("a warm agent", || room.parked() == 1).await;
    let Acquired::InLine { slot, .. } = room.shared.pool.acquire(&"other".into()) else {
        panic!("a slot was free")
    };
    // Nothing ran in between: the keeper has not seen it off yet.
    assert_eq!(room.parked(), 1);
    let plan = || keeper::default_plan(&room.shared, &room.cwd());
    assert!(room.shared.warm.take(&room.shared.pool, &"next".into(), plan).is_none());
    drop(slot.await.unwrap());
    room.close().await;
}

#[test]
fn only_what_is_the_same_fits() {
    let config = SessionConfig { cwd: Some("/w".into()), ..SessionConfig::default() };
    let plan = |config: &SessionConfig| LaunchPlan {
        config: config.clone(),
        settings: "{}".into(),
        conversation: Uuid::new_v4(),
        resume: false,
    };
    let warm = plan(&config);
    assert!(warm.fits(&plan(&config)));
    let shown = SessionConfig {
        metadata: [("a".to_owned(), "b".to_owned())].into(),
        agent_events: true,
        ..config.clone()
    };
    assert!(warm.fits(&plan(&shown)));
    for other in [
        SessionConfig { cwd: Some("/w/other".into()), ..config.clone() },
        SessionConfig { model: Some("m".into()), ..config.clone() },
        SessionConfig { permission_mode: PermissionMode::Plan, ..config.clone() },
        SessionConfig { max_turns: Some(1), ..config.clone() },
        SessionConfig { system_prompt: Some("p".into()), ..config.clone() },
    ] {
        assert!(!warm.fits(&plan(&other)));
    }
    assert!(!warm.fits(&LaunchPlan { resume: true, ..plan(&config) }));
    assert!(!warm.fits(&LaunchPlan { settings: "{\"permissions\":{}}".into(), ..plan(&config) }));
}
