//! One accepted socket: HTTP until it closes or is upgraded, then the connection, in the same task.

use std::{
    convert::Infallible,
    future::pending,
    pin::{Pin, pin},
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
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{io::AsyncWriteExt, sync::Notify, time::timeout};

use super::{
    Application, Body, Socket,
    admission::Place,
    answer::dress,
    doors::Peer,
    handshake::Handshake,
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

/// An upgrade that is to be answered.
struct Upgrade<A: Application> {
    handshake: Handshake,
    admitted: Box<Admitted<A>>,
}

/// Serves a socket to its end.
pub(super) async fn serve_socket<A: Application>(
    site: Arc<Site<A>>,
    socket: Socket,
    peer: Peer,
    place: Place,
) {
    let _open = Gauge::new(&site.settings.stats, |stats| &stats.sockets);
    // Boxed: the state of HTTP is freed when a connection begins, which may then live for days.
    let left = Box::pin(http(Arc::clone(&site), socket, peer, place.full)).await;
    let Some((upgrade, mut socket, early)) = left else { return };
    let Upgrade { handshake, admitted } = upgrade;
    let answered = timeout(site.settings.answer_timeout, socket.write_all(handshake.head().as_bytes())).await;
    if !matches!(answered, Ok(Ok(()))) {
        return;
    }
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

/// Runs HTTP until the socket closes, the server closes, or an upgrade is to be answered: then gives that, the socket, and what was read
/// beyond the request.
///
/// The 101 is not hyper's: to a request with `Connection: close, Upgrade` it answers with both, and there are clients that take the
/// `close` at its word.
async fn http<A: Application>(
    site: Arc<Site<A>>,
    socket: Socket,
    peer: Peer,
    full: bool,
) -> Option<(Upgrade<A>, Socket, Bytes)> {
    let settings = &site.settings;
    let exchanges = AtomicU64::new(0);
    let upgrade = Mutex::new(None);
    let upgrades = Notify::new();
    let service = service_fn(|request| {
        exchanges.fetch_add(1, Relaxed);
        let response = match respond(&site, peer, full, request) {
            Responded::Plain(response) => Some(response),
            Responded::Upgrade(asked) => {
                *upgrade.lock() = Some(asked);
                upgrades.notify_one();
                None
            }
        };
        async move {
            match response {
                Some(response) => Ok::<_, Infallible>(response),
                // HTTP ends here.
                None => pending().await,
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.max_header_bytes.max(8192))
        .max_header_size(settings.max_header_bytes.max(8192));
    let mut connection = builder.serve_connection(TokioIo::new(socket), service);
    let mut closing = pin!(site.shutdown.closing.cancelled());
    let mut stopping = false;
    let mut last = 0;
    loop {
        // hyper bounds the time that a request takes to come, not the time that an answer takes to be taken.
        let limit = settings.header_timeout + settings.answer_timeout;
        let step = async {
            tokio::select! {
                done = &mut connection => Step::Done(done),
                () = upgrades.notified() => Step::Upgrade,
                () = closing.as_mut(), if !stopping => Step::Stop,
            }
        };
        match timeout(limit, step).await {
            Ok(Step::Done(done)) => {
                if let Err(error) = done {
                    log::debug!("HTTP connection ended: {error}");
                }
                return None;
            }
            Ok(Step::Upgrade) => {
                let parts = connection.into_parts();
                return Some((upgrade.lock().take()?, parts.io.into_inner(), parts.read_buf));
            }
            Ok(Step::Stop) => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Err(_) if exchanges.load(Relaxed) == last => return None,
            Err(_) => last = exchanges.load(Relaxed),
        }
    }
}

/// What happens first.
enum Step {
    Done(hyper::Result<()>),
    Upgrade,
    Stop,
}

/// How a request is dealt with.
enum Responded<A: Application> {
    Plain(Response<Body>),
    Upgrade(Upgrade<A>),
}

/// Answers, but for an upgrade.
fn respond<A: Application>(
    site: &Site<A>,
    peer: Peer,
    full: bool,
    request: Request<Incoming>,
) -> Responded<A> {
    let has_body = !request.body().is_end_stream();
    let (parts, _) = request.into_parts();
    let (mut response, last) = match answer(site, peer, full, &parts) {
        Ok(Answer::Upgrade(handshake, admitted)) => {
            return Responded::Upgrade(Upgrade { handshake, admitted });
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
    Responded::Plain(response)
}
