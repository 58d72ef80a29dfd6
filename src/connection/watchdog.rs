//! Time: heartbeats, silent peers, sockets that take nothing, and the wish to close from above.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{End, Settings, outbox::Shared, socket::Socket};
use crate::protocol::codes::CloseCode;

/// Who wakes so much later than it wanted to (at most: a quarter of a heartbeat) stood still: a process that was stopped, a machine
/// that was frozen.
const LATE: Duration = Duration::from_secs(1);
/// Shorter times than this would only burn CPU.
const SHORTEST: Duration = Duration::from_millis(5);

pub(super) struct Watchdog<'a, IO> {
    pub(super) socket: &'a Socket<IO>,
    pub(super) settings: &'a Settings,
    pub(super) shared: &'a Shared,
    pub(super) busy: &'a AtomicBool,
    pub(super) beat: &'a AtomicBool,
    pub(super) going_away: &'a CancellationToken,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Watchdog<'_, IO> {
    /// Runs until the peer is given up.
    pub(super) async fn run(self) -> End {
        tokio::select! {
            end = self.watch() => end,
            end = self.overdue() => end,
            end = async {
                self.going_away.cancelled().await;
                self.shared.end(End::Ours(CloseCode::GoingAway, "server is going away"));
                std::future::pending().await
            } => end,
        }
    }

    /// A peer that does not take what is being written must not put off the end.
    async fn overdue(&self) -> End {
        let end = self.shared.ended().await;
        sleep(self.settings.close_timeout).await;
        end
    }

    async fn watch(&self) -> End {
        let heartbeat = self.settings.heartbeat.max(SHORTEST);
        let patience = self.settings.send_timeout.max(SHORTEST);
        let late = LATE.min(heartbeat / 4);
        let mut next_beat = Instant::now() + heartbeat;
        // A reader that is in a handler does not read, and a gateway that stood still does nothing: the peer is not to blame for that
        // time.
        let (mut excused, mut resumed) = (Instant::now(), Instant::now());
        let mut looked = false;
        loop {
            let times = self.socket.times();
            let now = Instant::now();
            if self.busy.load(Ordering::Relaxed) {
                excused = now;
            }
            let silent_at = times.heard.max(times.moved).max(excused).max(resumed) + heartbeat * 2;
            let stalled_at = times.blocked.map_or(now, |since| since.max(resumed)) + patience;
            if now >= stalled_at {
                return End::Stalled;
            }
            if now >= silent_at {
                if looked {
                    return End::Ours(CloseCode::HeartbeatTimeout, "no sign of life");
                }
                // What the socket has for the reader is told to it first.
                looked = true;
                tokio::task::yield_now().await;
                continue;
            }
            looked = false;
            if now >= next_beat {
                next_beat = now + heartbeat;
                self.socket.beat();
                self.beat.store(true, Ordering::Relaxed);
                self.shared.doorbell.nudge();
            }
            let due = next_beat.min(silent_at).min(stalled_at);
            sleep_until(due).await;
            if due.elapsed() > late {
                resumed = Instant::now();
            }
        }
    }
}
