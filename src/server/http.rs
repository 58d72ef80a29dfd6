//! One accepted socket: HTTP until it closes or is upgraded, then the connection, in the same task.

use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    Application, Body, Socket,
    admission::Place,
    answer::dress,
    doors::Peer,
    router::{Admitted, Answer, Site, answer},
};
use crate::connection::Gauge;
use crate::protocol::codes::CloseCode;
use crate::wake::beside;

/// Numbers connections.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// What an answered upgrade leaves for the time after the last HTTP byte.
type Pending<A> = Arc<Mutex<Option<(OnUpgrade, Box<Admitted<A>>)>>>;

/// Serves a socket to its end.
pub(super) async fn serve_socket<A: Application>(
    site: Arc<Site<A>>,
    socket: Socket,
    peer: Peer,
    place: Place,
) {
    let _open = Gauge::new(&site.settings.stats, |stats| &stats.sockets);
    let waiting = Pending::<A>::default();
    // Boxed: the state of HTTP is freed when a connection begins, which may then live for days.
    Box::pin(http(Arc::clone(&site), socket, peer, place.full, Arc::clone(&waiting))).await;
    let Some((upgrade, admitted)) = waiting.lock().take() else { return };
    let Some((socket, early)) = upgraded(upgrade).await else { return };
    let Admitted { connection, pass, place: _address } = *admitted;
    let outbox = connection.outbox().clone();
    let revoked = async {
        match pass {
            Some(pass) => pass.revoked().await,
            None => pending().await,
        }
        outbox.close(CloseCode::Policy, "the token was revoked");
        pending().await
    };
    beside(connection.run(socket, early, &site.shutdown.closing), revoked).await;
    drop(place);
}

/// The socket under an upgrade, and what was read beyond the request.
async fn upgraded(upgrade: OnUpgrade) -> Option<(Socket, Bytes)> {
    // hyper is done with the socket, so this waits for nothing.
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Socket>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

/// Runs HTTP until the socket closes, is upgraded, or the server closes.
async fn http<A: Application>(
    site: Arc<Site<A>>,
    socket: Socket,
    peer: Peer,
    full: bool,
    pending: Pending<A>,
) {
    let settings = &site.settings;
    let exchanges = AtomicU64::new(0);
    let service = service_fn(|request| {
        exchanges.fetch_add(1, Relaxed);
        let response = respond(&site, peer, full, request, &pending);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.max_header_bytes.max(8192))
        .max_header_size(settings.max_header_bytes.max(8192));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service).with_upgrades());
    let mut closing = pin!(site.shutdown.closing.cancelled());
    let mut stopping = false;
    let mut last = 0;
    loop {
        // hyper bounds the time that a request takes to come, not the time that an answer takes to be taken.
        let limit = settings.header_timeout + settings.answer_timeout;
        let step = async {
            tokio::select! {
                done = connection.as_mut() => Some(done),
                () = closing.as_mut(), if !stopping => None,
            }
        };
        match timeout(limit, step).await {
            Ok(Some(done)) => {
                if let Err(error) = done {
                    log::debug!("HTTP connection ended: {error}");
                }
                return;
            }
            Ok(None) => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            Err(_) if exchanges.load(Relaxed) == last => return,
            Err(_) => last = exchanges.load(Relaxed),
        }
    }
}

/// Answers, and leaves an upgrade behind.
fn respond<A: Application>(
    site: &Site<A>,
    peer: Peer,
    full: bool,
    mut request: Request<Incoming>,
    pending: &Pending<A>,
) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let has_body = !request.body().is_end_stream();
    let (parts, _) = request.into_parts();
    let (mut response, last) = match answer(site, peer, full, &parts) {
        Ok(Answer::Upgrade(handshake, admitted)) => {
            *pending.lock() = Some((upgrade, admitted));
            return handshake.into_response();
        }
        Ok(Answer::Plain(response)) => (response, false),
        Err(problem) => {
            let last = problem.last;
            log::debug!("{} {} answered with {}", parts.method, parts.uri.path(), problem.status);
            if let Some(told) = &problem.told {
                let address = site.settings.proxies.client(peer.address, &parts.headers);
                site.refusals.tell(address, told);
            }
            site.settings.stats.refused.fetch_add(1, Relaxed);
            (problem.into_response(), last)
        }
    };
    dress(&mut response);
    // Bodies are never read here, and a connection cannot go on behind an unread one.
    if last || has_body {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
