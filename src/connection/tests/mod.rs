//! A connection over an in-memory pipe, its peer played byte by byte. Time is tokio's, paused, so that minutes pass at once and
//! always to the same end.

mod closing;
mod cursors;
mod limits;
mod time;
mod traffic;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Notify,
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Connection, End, Outbox, Peer, Refusal, Service, Settings, Snapshot, Stats, Verdict};
use crate::{log::EventLog, protocol::codes::CloseCode};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// Does what it is told to.
#[derive(Default)]
struct Probe {
    heard: Mutex<Vec<String>>,
    news: Notify,
    logs: Vec<Arc<EventLog>>,
    announces: bool,
    release: Notify,
    clients: Arc<()>,
}

impl Probe {
    /// Waits until this text was heard.
    async fn hears(&self, text: &str) {
        while !self.heard.lock().iter().any(|heard| heard == text) {
            self.news.notified().await;
        }
    }

    fn log(&self, session: &str) -> &Arc<EventLog> {
        self.logs.iter().find(|log| log.key().as_ref() as &str == session).unwrap()
    }
}

impl Service for Probe {
    type Client = Arc<()>;

    fn connected(&self, _: &Peer, _: &Outbox) -> Result<Arc<()>, Refusal> {
        Ok(Arc::clone(&self.clients))
    }

    async fn text(&self, _: &mut Arc<()>, frame: Utf8Bytes, outbox: &Outbox) -> Verdict {
        self.heard.lock().push(frame.to_string());
        self.news.notify_one();
        let (word, rest) = frame.split_once(' ').unwrap_or((&frame, ""));
        match word {
            "bad" => return Verdict::Bad,
            "quiet" => {}
            "close" => outbox.close(CloseCode::Normal, "bye"),
            "panic" => panic!("as asked"),
            "wait" => self.release.notified().await,
            "slow" => {
                tokio::time::sleep(std::time::Duration::from_secs(rest.parse().unwrap())).await;
                self.heard.lock().push("done".to_owned());
            }
            "flood" => {
                for _ in 0..rest.parse().unwrap() {
                    outbox.notices().try_send("x".repeat(1000).into()).ok();
                }
            }
            "attach" => {
                let log = self.log(rest);
                let attached = log.attach(crate::log::From::After { seq: 0, epoch: None }, outbox.doorbell());
                outbox.frame(format!("attached {rest}").into()).await.unwrap();
                outbox.attach(attached.cursor).await.unwrap();
            }
            "detach" => {
                outbox.detach(rest).await.unwrap();
                outbox.frame(format!("detached {rest}").into()).await.unwrap();
            }
            _ => drop(outbox.frame(frame).await),
        }
        Verdict::Good
    }

    async fn binary(&self, _: &mut Arc<()>, frame: Bytes, outbox: &Outbox) -> Verdict {
        let _ = outbox.binary(frame).await;
        Verdict::Good
    }

    async fn rate_limited(&self, _: &mut Arc<()>, frame: Option<&Utf8Bytes>, outbox: &Outbox) {
        let what = frame.map_or("binary", |text| text);
        let _ = outbox.frame(format!("limited {what}").into()).await;
    }

    fn heartbeat(&self) -> Option<Utf8Bytes> {
        Some("beat".into())
    }

    fn announce(&self, bytes: usize) -> Option<Utf8Bytes> {
        self.announces.then(|| format!("announced {bytes}").into())
    }

    fn cut(&self, frame: &Utf8Bytes, max_bytes: usize) -> Option<Utf8Bytes> {
        Some(format!("{} of {}", &frame[..max_bytes], frame.len()).into())
    }

    fn gap(&self, session: &str, first_seq: u64) -> Option<Utf8Bytes> {
        Some(format!("gap {session} {first_seq}").into())
    }
}

/// One connection and its peer.
struct Test {
    peer: DuplexStream,
    probe: Arc<Probe>,
    stats: Arc<Stats>,
    going_away: CancellationToken,
    outbox: Outbox,
    task: JoinHandle<End>,
}

/// `pipe`: bytes that each direction holds.
fn start(probe: Probe, settings: Settings, pipe: usize) -> Test {
    start_with(&Arc::default(), probe, settings, pipe)
}

/// Of several connections that are counted together.
fn start_with(stats: &Arc<Stats>, probe: Probe, settings: Settings, pipe: usize) -> Test {
    let (peer, server) = duplex(pipe);
    let (probe, stats) = (Arc::new(probe), Arc::clone(stats));
    let who = Peer { id: 7, address: None, owner: "".into() };
    let connection =
        Connection::prepare(Arc::clone(&probe), who, Arc::new(settings), Arc::clone(&stats)).unwrap();
    let outbox = connection.outbox().clone();
    let going_away = CancellationToken::new();
    let task = TaskTracker::new().spawn({
        let going_away = going_away.clone();
        async move { connection.run(server, Bytes::new(), &going_away).await }
    });
    Test { peer, probe, stats, going_away, outbox, task }
}

fn simple() -> Test {
    start(Probe::default(), Settings::default(), 1 << 20)
}

/// A frame as a client sends it; the mask is not zero, so that unmasking shows.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xFFFF => {
            out.push(0xFE);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(0xFF);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

impl Test {
    async fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.peer.write_all(&frame(first, payload.as_ref())).await.unwrap();
    }

    async fn say(&mut self, text: &str) {
        self.send(TEXT, text).await;
    }

    /// The next frame, `None` at the end of the stream.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.peer.read_u8().await.ok()?;
        let len = match self.peer.read_u8().await.unwrap() {
            126 => self.peer.read_u16().await.unwrap().into(),
            127 => self.peer.read_u64().await.unwrap(),
            len => len.into(),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.peer.read_exact(&mut payload).await.unwrap();
        Some((first, payload))
    }

    async fn hear(&mut self) -> String {
        self.hear_paced(|_| std::future::ready(())).await
    }

    /// The next text message. `pause` is waited for after each of its frames, as long as such a frame takes to come. Pings between
    /// fragments are answered.
    async fn hear_paced<P: Future<Output = ()>>(&mut self, pause: impl Fn(usize) -> P) -> String {
        let (first, mut text) = self.next().await.expect("a frame");
        pause(text.len()).await;
        let mut is_last = first == TEXT;
        assert!(is_last || first == TEXT & 0x7F, "{first:x}: {text:?}");
        while !is_last {
            match self.next().await.expect("a fragment") {
                (PING, payload) => self.send(PONG, payload).await,
                (first @ (0x00 | 0x80), more) => {
                    assert!(!more.is_empty() && std::str::from_utf8(&more).is_ok());
                    pause(more.len()).await;
                    text.extend(more);
                    is_last = first == 0x80;
                }
                (first, payload) => panic!("{first:x} amid a message: {payload:?}"),
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// The next text message, past pings.
    async fn hear_next_text(&mut self) -> String {
        loop {
            match self.next().await.expect("a frame") {
                (TEXT, text) => return String::from_utf8(text).unwrap(),
                (PING, _) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Expects a close frame next, and answers it.
    async fn expect_close(&mut self, code: u16) {
        let (first, payload) = self.next().await.expect("a close frame");
        assert_eq!((first, &payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
        let _ = self.peer.write_all(&frame(CLOSE, &payload[..2])).await;
    }

    /// Waits for the end of the connection; everything is back.
    async fn end(self) -> (End, Snapshot) {
        let Self { peer, probe, stats, task, .. } = self;
        let end = task.await.unwrap();
        drop(peer);
        assert_eq!(Arc::strong_count(&probe.clients), 1, "the client's state is gone");
        let snapshot = stats.snapshot();
        assert_eq!(snapshot.connections, 0);
        assert_eq!(snapshot.closes, vec![(end.code(), 1)]);
        (end, snapshot)
    }
}
