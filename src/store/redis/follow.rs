//! Following what other nodes append: one connection waits for the streams of all followed sessions at once.
//!
//! A change of what is followed wakes the waiting read by an entry in a stream of the node's own (`cws:wake:…`), which is always among
//! those that are waited for: an entry is never missed, whether the read had begun or not.
//!
//! Positions are kept here, so a new connection goes on where the last one was: nothing twice, nothing missing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    connect::{Connector, Trouble, Wire},
    keys,
    link::Link,
    reader::{frame, number, text},
};
use crate::store::{Entry, Follow, Follower, NodeId, SessionKey, StoreError};

/// How long one read waits in Redis.
const BLOCK: Duration = Duration::from_secs(5);
/// How much longer the answer may take.
const LATE: Duration = Duration::from_secs(5);
/// Entries of one stream that one read gives at most.
const COUNT: usize = 64;
/// Wait before a connection is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long the waking stream is kept without use.
const WAKE_KEPT_MS: u64 = 60_000;

#[derive(Debug)]
struct Followed {
    stream: String,
    position: u64,
    sink: Arc<dyn Follower>,
}

/// What is followed.
#[derive(Debug, Default)]
pub(super) struct Following {
    all: Mutex<HashMap<u64, Followed>>,
    /// For who waits for the first; and for who wakes the read that waits for the others.
    begun: Notify,
    changed: Notify,
    next: AtomicU64,
}

impl Following {
    pub(super) fn follow(
        self: &Arc<Self>,
        key: &SessionKey,
        epoch: &str,
        after: u64,
        sink: Arc<dyn Follower>,
    ) -> Follow {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let followed = Followed { stream: keys::events(key, epoch), position: after, sink };
        self.all.lock().insert(id, followed);
        self.begun.notify_one();
        self.changed.notify_one();
        let this = Arc::clone(self);
        Follow::new(move || {
            this.all.lock().remove(&id);
        })
    }

    /// The streams, each with the least position of those that follow it.
    fn streams(&self) -> HashMap<String, u64> {
        let mut streams = HashMap::new();
        for followed in self.all.lock().values() {
            let position = streams.entry(followed.stream.clone()).or_insert(followed.position);
            *position = followed.position.min(*position);
        }
        streams
    }

    fn hand_out(&self, stream: &str, news: &[News]) {
        let mut all = self.all.lock();
        for followed in all.values_mut().filter(|followed| followed.stream == stream) {
            let mut some = Vec::new();
            for News { entry, lost } in news.iter().filter(|news| news.entry.seq > followed.position) {
                if let Some(through) = lost.filter(|through| *through > followed.position) {
                    if !some.is_empty() {
                        followed.sink.events(std::mem::take(&mut some));
                    }
                    followed.sink.lost(through);
                }
                some.push(entry.clone());
            }
            if let Some(last) = some.last() {
                followed.position = last.seq;
                followed.sink.events(some);
            }
        }
    }
}

#[derive(Debug)]
struct News {
    entry: Entry,
    lost: Option<u64>,
}

pub(super) struct Reader {
    pub(super) node: NodeId,
    pub(super) connector: Connector,
    pub(super) link: Arc<Link>,
    pub(super) following: Arc<Following>,
}

impl Reader {
    /// Until the store is closed.
    pub(super) async fn run(self) {
        let reading = async {
            loop {
                // No connection as long as nothing is followed.
                while self.following.all.lock().is_empty() {
                    self.following.begun.notified().await;
                }
                if let Err(trouble) = self.read_on().await {
                    ::log::debug!("store: following: {trouble}");
                }
                sleep(AGAIN).await;
            }
        };
        let waking = async {
            loop {
                self.following.changed.notified().await;
                self.wake().await;
            }
        };
        tokio::select! {
            () = reading => {}
            () = waking => {}
            () = self.link.closed() => {}
        }
    }

    /// Ends the read that waits, or the next one, at once.
    async fn wake(&self) {
        let Some(wire) = self.link.wire().await else { return };
        let key = keys::wake(&self.node);
        let mut add = redis::cmd("XADD");
        add.arg(&key).arg("MAXLEN").arg(1).arg("*").arg("w").arg("");
        let mut expire = redis::cmd("PEXPIRE");
        expire.arg(&key).arg(WAKE_KEPT_MS);
        // Should it fail, the read ends by itself within BLOCK.
        let _ = tokio::join!(wire.ask::<Value>(&add), wire.ask::<Value>(&expire));
    }

    async fn read_on(&self) -> Result<(), Trouble> {
        let wire = self.connector.connect().await?;
        let _hang_up = HangUp(&wire);
        let mut woken = String::from("0-0");
        loop {
            let streams = self.following.streams();
            if streams.is_empty() {
                return Ok(());
            }
            let read = read(&keys::wake(&self.node), &woken, &streams);
            let answer = timeout(BLOCK + LATE, wire.ask::<Value>(&read)).await;
            let answer = answer.map_err(|_| Trouble::Silent("no answer".to_owned()))??;
            for (stream, entries) in by_stream(answer)? {
                if streams.contains_key(&stream) {
                    let news: Result<Vec<_>, _> = entries.into_iter().map(news).collect();
                    self.following.hand_out(&stream, &news.map_err(|error| unreadable(&error))?);
                } else if let Some((id, _)) = entries.last() {
                    woken.clone_from(id);
                }
            }
        }
    }
}

struct HangUp<'a>(&'a Wire);

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

fn read(wake: &str, woken: &str, streams: &HashMap<String, u64>) -> Cmd {
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT").arg(COUNT).arg("BLOCK").arg(super::keeper::millis(BLOCK)).arg("STREAMS").arg(wake);
    let streams: Vec<_> = streams.iter().collect();
    for (stream, _) in &streams {
        read.arg(stream.as_str());
    }
    read.arg(woken);
    for (_, position) in &streams {
        read.arg(format!("{position}-0"));
    }
    read
}

type Entries = Vec<(String, Vec<Value>)>;

/// `[[stream, [[id, [name, value, …]], …]], …]`, or nil.
pub(super) fn by_stream(answer: Value) -> Result<Vec<(String, Entries)>, Trouble> {
    if answer == Value::Nil {
        return Ok(Vec::new());
    }
    redis::from_redis_value(answer).map_err(|error| Trouble::Denied(error.to_string()))
}

fn news((id, fields): (String, Vec<Value>)) -> Result<News, StoreError> {
    let mut fields = fields.into_iter();
    let (Some(_), Some(value)) = (fields.next(), fields.next()) else {
        return Err(StoreError::Database("an entry without a frame".to_owned()));
    };
    let seq = id.split('-').next().unwrap_or_default();
    let seq = number(&Value::SimpleString(seq.to_owned()))?;
    let lost = fields.nth(1).and_then(|lost| text(&lost).ok()?.parse().ok());
    Ok(News { entry: Entry { seq, frame: frame(value)? }, lost })
}

fn unreadable(error: &StoreError) -> Trouble {
    Trouble::Denied(error.to_string())
}
