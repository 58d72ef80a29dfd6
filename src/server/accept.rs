//! The accept loop, and the end of a server.

use std::{
    future::Future,
    io,
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Application, BindAddr, Listener, Settings, Socket, admission::Admission, doors::Peer, http::serve_socket,
    router::Site,
};
use crate::wake::beside;

/// The two steps of a shutdown, both asked for from outside. Clones are the same shutdown.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No new connections, `/readyz` says 503; what is open goes on.
    pub draining: CancellationToken,
    /// Open connections are closed with 1001, the listener is closed, [`serve`] returns.
    pub closing: CancellationToken,
}

/// Waits after an error of `accept` that is not about one peer; doubled up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Where sockets come from.
pub(super) trait Source: Send + Sync {
    fn accept(&self) -> impl Future<Output = io::Result<(Socket, Option<IpAddr>)>> + Send;
}

impl Source for Listener {
    fn accept(&self) -> impl Future<Output = io::Result<(Socket, Option<IpAddr>)>> + Send {
        Self::accept(self)
    }
}

/// Serves until [`Shutdown::closing`], and then until every connection has ended, or for [`Settings::close_deadline`].
pub async fn serve<A: Application>(listener: Listener, app: Arc<A>, settings: Settings, shutdown: Shutdown) {
    let on_loopback = matches!(listener.local_addr(), BindAddr::Tcp(_)) && listener.local_addr().is_local();
    let deadline = settings.close_deadline;
    let admission = Admission::new(settings.max_connections, settings.max_per_address);
    let refusals = super::refusals::Refusals::default();
    let site = Arc::new(Site { app, settings, admission, on_loopback, shutdown: shutdown.clone(), refusals });
    let tasks = TaskTracker::new();
    // Cuts off what has not ended in time.
    let cut = CancellationToken::new();
    tokio::select! {
        () = shutdown.closing.cancelled() => {}
        never = accept_all(&listener, &site, &tasks, &cut) => match never {},
    }
    drop(listener);
    tasks.close();
    if timeout(deadline, tasks.wait()).await.is_err() {
        log::warn!("{} connections did not end in time", tasks.len());
        cut.cancel();
        tasks.wait().await;
    }
}

/// Accepts for ever. Running out of descriptors or memory is waited out: the sockets in the backlog wait too.
pub(super) async fn accept_all<A: Application>(
    source: &impl Source,
    site: &Arc<Site<A>>,
    tasks: &TaskTracker,
    cut: &CancellationToken,
) -> std::convert::Infallible {
    let stats = &site.settings.stats;
    let mut backoff = BACKOFF;
    loop {
        match source.accept().await {
            Ok((socket, address)) => {
                if backoff > BACKOFF {
                    log::info!("accepting connections again");
                }
                backoff = BACKOFF;
                stats.accepted.fetch_add(1, Relaxed);
                admit(site, tasks, cut, socket, address);
            }
            Err(error) if concerns_one_peer(&error) => {}
            Err(error) => {
                stats.accept_errors.fetch_add(1, Relaxed);
                if backoff == BACKOFF {
                    log::error!("cannot accept connections: {error}; trying again");
                }
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

fn admit<A: Application>(
    site: &Arc<Site<A>>,
    tasks: &TaskTracker,
    cut: &CancellationToken,
    socket: Socket,
    address: Option<IpAddr>,
) {
    // A proxy's address is not its clients'.
    let counted = address.filter(|address| !site.settings.proxies.trusts(Some(*address)));
    let Some(place) = site.admission.socket(counted) else {
        site.settings.stats.dropped.fetch_add(1, Relaxed);
        return;
    };
    let peer = Peer { address, on_loopback: site.on_loopback };
    let cut = cut.clone();
    tasks.spawn({
        let site = Arc::clone(site);
        async move { beside(serve_socket(site, socket, peer, place), cut.cancelled()).await }
    });
}

/// The peer gave up before it was accepted.
fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
