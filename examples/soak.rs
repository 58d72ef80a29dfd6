//! Hundreds of sessions, dozens of clients that come, go and vanish, and agents with every fault that the fake CLI knows, for a
//! while; then quiet. Asserted: every message got its one result, events came in order; and at the end memory, descriptors, tasks
//! and processes are back where they were.
//!
//! `SOAK`: seconds (600). `SOAK_SESSIONS`: how many ids there are (300). `SOAK_CLIENTS`: how many act at once (40). `SOAK_SEED`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use claude_ws::config::{Config, DataDir};
use claude_ws::gateway::Gateway;
use claude_ws::server::{BindAddr, Listener};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a result may take: many sessions wait for few agents, and some of those take seconds to kill.
const PATIENCE: Duration = Duration::from_mins(2);
const MARK: &str = "SOAK_RUN";

/// What users say; each ends in one way or another.
const MESSAGES: [&str; 20] = [
    "hello",
    "!text a few words; think Hm; text and more",
    "!deltas 2000 50",
    "!deltas 300 50 1000",
    "!tool Bash {\"command\":\"ls\"}; text done",
    "!ask Bash {\"command\":\"ls\"}",
    "!asks 3",
    "!withdraw Read {}",
    "!sleep 300",
    "!api-error 400 nothing",
    "!unknown; garbage; text still here",
    "!crash 1",
    "!text a; half-line; crash 0",
    "!signal 9",
    "!signal 11",
    "!stderr 200000; crash 2",
    "!grandchild; text and gone",
    "!grandchild-stdout; crash 1",
    "!hang",
    "!ignore interrupt; ignore sigterm; hang",
];

#[tokio::main]
async fn main() {
    env_logger::Builder::new()
        .parse_filters(&std::env::var("RUST_LOG").unwrap_or_else(|_| "error".into()))
        .init();
    let soak = Arc::new(Soak::new());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let gateway = Gateway::new(config(dir.path(), &soak.mark)).await.expect("a gateway");
    let bind: BindAddr = "127.0.0.1:0".parse().expect("an address");
    let listener = Listener::bind(&bind).await.expect("a listener");
    let address = listener.local_addr().to_string();
    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let serving = tasks.spawn(gateway.serve(listener, shutdown.clone()));
    // So that what is made once (threads, caches, the guard) is there before the first look.
    soak.act(&address, &mut Random(1), 0).await;
    let before = soak.quiet(|_| true).await;
    println!("at rest: {before}");

    let begin = Instant::now();
    let end = begin + soak.time;
    let clients = TaskTracker::new();
    let mut visitors = Vec::new();
    for number in 0..soak.clients {
        let (soak, address) = (Arc::clone(&soak), address.clone());
        visitors.push(clients.spawn(async move {
            let mut random = Random(soak.seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            while Instant::now() < end {
                let session = random.below(soak.sessions);
                soak.act(&address, &mut random, session).await;
            }
        }));
    }
    clients.close();
    let mut high = 0;
    let mut half_time = None;
    while timeout(Duration::from_secs(10), clients.wait()).await.is_err() {
        let now = Load::now(&soak.mark);
        high = high.max(now.memory);
        if begin.elapsed() > soak.time / 2 {
            half_time.get_or_insert(now.memory);
        }
        println!("{:>4} s: {now}, {} turns", begin.elapsed().as_secs(), soak.turns.load(Relaxed));
    }
    for visitor in visitors {
        visitor.await.expect("a client found nothing wrong");
    }
    let half_time = half_time.unwrap_or(high);
    let after = soak.quiet(|now| now.descriptors <= before.descriptors && now.tasks <= before.tasks).await;
    println!("at rest: {after}; at most {} MiB", high >> 20);
    soak.report();
    // Memory is not given back at once; it must not have grown in the second half.
    assert!(
        after.memory <= half_time + half_time / 4 + (4 << 20),
        "memory: {} MiB at half time",
        half_time >> 20
    );
    assert!(after.descriptors <= before.descriptors, "descriptors");
    assert!(after.tasks <= before.tasks, "tasks");
    assert_eq!(after.processes, 0, "processes");

    shutdown.cancel();
    timeout(PATIENCE, serving).await.expect("the drain ends").expect("without a panic");
    println!("drained; {} processes left", Load::now(&soak.mark).processes);
    assert_eq!(Load::now(&soak.mark).processes, 0);
}

fn config(dir: &Path, mark: &str) -> Config {
    let exe = std::env::current_exe().expect("this has a path");
    let mut config = Config {
        claude_bin: exe.with_file_name("fake_claude"),
        workspace_roots: vec![dir.to_owned()],
        data_dir: DataDir::Path(dir.join("data")),
        ..Config::default()
    };
    assert!(config.claude_bin.exists(), "build it first: cargo build --example fake_claude");
    let state = dir.join("state");
    std::fs::create_dir(&state).expect("a directory");
    config.agent_env = vec![(MARK.into(), mark.into()), ("FAKE_CLAUDE_STATE".into(), state.into())];
    config.limits.max_agents = 12;
    config.limits.log_window = 64 << 10;
    config.times.agent_idle = Duration::from_secs(2);
    config.times.session_grace = Duration::from_secs(3);
    config.times.interrupt = Duration::from_millis(500);
    config.times.heartbeat = Duration::from_secs(5);
    config.times.drain = Duration::from_secs(2);
    config
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What a process holds.
struct Load {
    memory: u64,
    descriptors: usize,
    tasks: usize,
    processes: usize,
}

impl Load {
    fn now(mark: &str) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let memory = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10;
        let entry = format!("{MARK}={mark}").into_bytes();
        let marked = |path: PathBuf| {
            let environ = std::fs::read(path.join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|found| found == entry)
        };
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        Self {
            memory,
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            processes: processes.filter(|entry| marked(entry.path())).count(),
        }
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { memory, descriptors, tasks, processes } = self;
        write!(
            out,
            "{} MiB, {descriptors} descriptors, {tasks} tasks, {processes} agent processes",
            memory >> 20
        )
    }
}

struct Soak {
    time: Duration,
    sessions: u64,
    clients: u64,
    seed: u64,
    mark: String,
    turns: AtomicU64,
    /// By session: how many of its name have ended.
    ended: Vec<AtomicU64>,
    /// How often each thing happened.
    tally: Mutex<BTreeMap<String, u64>>,
}

impl Soak {
    fn new() -> Self {
        let number = |name: &str, default| {
            std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let sessions = number("SOAK_SESSIONS", 300);
        Self {
            time: Duration::from_secs(number("SOAK", 600)),
            sessions,
            ended: (0..sessions).map(|_| AtomicU64::new(0)).collect(),
            clients: number("SOAK_CLIENTS", 40),
            seed: number("SOAK_SEED", 4711),
            mark: uuid::Uuid::new_v4().to_string(),
            turns: AtomicU64::new(0),
            tally: Mutex::default(),
        }
    }

    fn count(&self, what: impl Into<String>) {
        *self.tally.lock().entry(what.into()).or_default() += 1;
    }

    fn report(&self) {
        for (what, times) in &*self.tally.lock() {
            println!("{times:>8} {what}");
        }
    }

    /// Waits until nothing runs and `wanted` holds (for so long as sessions may take to go to rest), and gives what is then held.
    async fn quiet(&self, wanted: impl Fn(&Load) -> bool) -> Load {
        for _ in 0..600 {
            let now = Load::now(&self.mark);
            if now.processes == 0 && wanted(&now) {
                return now;
            }
            sleep(Duration::from_millis(100)).await;
        }
        Load::now(&self.mark)
    }

    /// One visit: attach, say something, see it through or vanish and come back.
    async fn act(&self, address: &str, random: &mut Random, session: u64) {
        let lives = &self.ended[usize::try_from(session).unwrap_or(0)];
        let life = lives.load(Relaxed);
        let name = format!("s{session}.{life}");
        let mut visit = Visit::begin(address, name.clone()).await;
        if !visit.attach(None).await {
            // Over for good: the next one has another name.
            let _ = lives.compare_exchange(life, life + 1, Relaxed, Relaxed);
            return self.count("session had ended");
        }
        let id = uuid::Uuid::new_v4().to_string();
        let content = MESSAGES[usize::try_from(random.below(MESSAGES.len() as u64)).unwrap_or(0)];
        visit.send(json!({"type": "user_message", "id": id, "content": content})).await;
        if random.once_in(60) {
            visit.send(json!({"type": "session_end"})).await;
        }
        if random.once_in(10) {
            let mode = if random.once_in(2) { "plan" } else { "manual" };
            visit.send(json!({"type": "config_update", "config": {"permission_mode": mode}})).await;
        }
        if random.once_in(4) {
            // Vanishes in the middle of things, and comes back for what it missed. Whether the message had arrived is not
            // known then: it is said again, under the same id.
            for _ in 0..random.below(20) {
                if visit.results.contains(&id) || visit.next().await.is_none() {
                    break;
                }
            }
            if visit.results.contains(&id) {
                return self.count("result before vanishing");
            }
            let last = visit.last_seq;
            self.count("vanished");
            drop(visit);
            sleep(Duration::from_millis(random.below(500))).await;
            visit = Visit::begin(address, name).await;
            if !visit.attach(Some(last)).await {
                return self.count("session had ended");
            }
            visit.send(json!({"type": "user_message", "id": id, "content": content})).await;
        }
        if random.once_in(20) {
            sleep(Duration::from_secs(1)).await;
        }
        let outcome = timeout(PATIENCE, self.see_through(&mut visit, &id, random)).await;
        let outcome =
            outcome.unwrap_or_else(|_| panic!("{}: no result for {content:?} ({id})", visit.session));
        self.turns.fetch_add(1, Relaxed);
        self.count(outcome);
    }

    /// Until the result of `id`, which comes once; gives what it was.
    async fn see_through(&self, visit: &mut Visit, id: &str, random: &mut Random) -> String {
        let patience = Duration::from_millis(500 + random.below(1500));
        let mut impatient_at = Instant::now() + patience;
        loop {
            let message =
                match timeout(impatient_at.saturating_duration_since(Instant::now()), visit.next()).await {
                    Ok(Some(message)) => message,
                    Ok(None) => return "closed".to_owned(),
                    Err(_) => {
                        // Whatever hangs (mine, or one before it) is stopped.
                        visit.send(json!({"type": "interrupt"})).await;
                        impatient_at = Instant::now() + patience;
                        continue;
                    }
                };
            match message["type"].as_str().unwrap_or_default() {
                "permission_request" => {
                    let decision =
                        ["allow", "deny", "allow_always"][usize::try_from(random.below(3)).unwrap_or(0)];
                    visit.send(json!({"type": "permission_response", "request_id": message["id"], "decision": decision})).await;
                }
                "result" if message["request_id"] == id => {
                    let code = message["error_code"].as_str().unwrap_or("");
                    return format!("result {} {code}", message["subtype"].as_str().unwrap_or("?"));
                }
                "error" if message["request_id"] == id => return format!("error {}", message["code"]),
                "session_ended" => return "session ended before the message was taken".to_owned(),
                _ => {}
            }
        }
    }
}

/// One connection to one session.
struct Visit {
    socket: WebSocketStream<TcpStream>,
    session: String,
    epoch: Value,
    last_seq: u64,
    results: HashSet<String>,
}

impl Visit {
    async fn begin(address: &str, session: String) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gateway accepts");
        let (socket, _) =
            client_async(format!("ws://{address}/ws"), stream).await.expect("the gateway upgrades");
        Self { socket, session, epoch: Value::Null, last_seq: 0, results: HashSet::new() }
    }

    async fn send(&mut self, mut message: Value) {
        if message["id"].is_null() {
            message["id"] = uuid::Uuid::new_v4().to_string().into();
        }
        message["session_id"] = self.session.clone().into();
        // Closed: the next read says so.
        let _ = self.socket.send(Message::text(message.to_string())).await;
    }

    /// False if the session is over.
    async fn attach(&mut self, last_seq: Option<u64>) -> bool {
        self.send(json!({"type": "session_start", "id": "start", "last_seq": last_seq})).await;
        self.last_seq = last_seq.unwrap_or(0);
        loop {
            let message =
                timeout(PATIENCE, self.next()).await.expect("an answer").expect("an open connection");
            if message["request_id"] != "start" {
                continue;
            }
            if message["type"] == "session_info" {
                assert_ne!(message["replay"], "gap", "{}: the store has it all", self.session);
                self.epoch = message["epoch"].clone();
                if message["replay"] != "ok" {
                    self.last_seq = 0;
                }
                return true;
            }
            assert_eq!(message["code"], "session_ended", "{message}");
            return false;
        }
    }

    /// The next message; `None`: closed.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(seq) = message["seq"].as_u64() {
                        assert!(seq > self.last_seq, "{}: {seq} after {}", self.session, self.last_seq);
                        self.last_seq = seq;
                    }
                    if message["type"] == "result"
                        && let Some(id) = message["request_id"].as_str()
                    {
                        assert!(self.results.insert(id.to_owned()), "{}: two results for {id}", self.session);
                    }
                    return Some(message);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}
