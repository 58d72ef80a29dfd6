//! From a request to its answer. Hand-rolled: paths are matched exactly, there are no parameters.
//!
//! Order of the checks, the same for every path: Host (400, or 403 against re-binding), token (401), route (404), method (405);
//! for `/ws` then Origin (403), handshake (426, 400), and only then whether there is room (503). A drain is told before anything
//! about tokens, so that balancers turn away without one.

use std::sync::Arc;

use hyper::{
    Method, Response, StatusCode,
    header::{ALLOW, RETRY_AFTER},
    http::request::Parts,
};

use super::{
    Application, Settings,
    admission::{AddressPlace, Admission},
    answer::{Body, Problem, json},
    doors::{self, Peer},
    handshake::{self, Handshake},
    tokens::Pass,
};
use crate::connection;

/// What all requests of one server share.
pub(super) struct Site<A> {
    pub(super) app: Arc<A>,
    pub(super) settings: Settings,
    pub(super) admission: Admission,
    pub(super) on_loopback: bool,
    pub(super) shutdown: super::Shutdown,
    pub(super) refusals: super::refusals::Refusals,
}

/// How a request is answered.
pub(super) enum Answer<A: Application> {
    Plain(Response<Body>),
    /// With 101, and then the connection.
    Upgrade(Handshake, Box<Admitted<A>>),
}

/// A connection that may come in.
pub(super) struct Admitted<A: Application> {
    pub(super) connection: connection::Connection<A>,
    /// Who came in; `None` where there are no tokens.
    pub(super) pass: Option<Pass>,
    pub(super) place: Option<AddressPlace>,
}

const OK: &str = r#"{"status":"ok"}"#;

/// Answers a request. `full`: it came through a socket for which there was no place.
pub(super) fn answer<A: Application>(
    site: &Site<A>,
    peer: Peer,
    full: bool,
    request: &Parts,
) -> Result<Answer<A>, Problem> {
    let path = request.uri.path();
    if path == "/healthz" {
        return reading(request).map(|()| Answer::Plain(json(StatusCode::OK, OK)));
    }
    if path == "/readyz" {
        reading(request)?;
        return ready(site).map(Answer::Plain);
    }
    let draining = site.shutdown.draining.is_cancelled() || site.shutdown.closing.is_cancelled();
    if full || (draining && path == "/ws") {
        return Err(if draining { going_away() } else { no_place() });
    }
    let host = doors::host(peer, request)?;
    doors::rebinding(&site.settings, peer, host)?;
    let pass = doors::pass(&site.settings, &request.headers);
    if path == "/ws" {
        let pass = pass?;
        if request.method != Method::GET {
            return Err(method_not_allowed("GET"));
        }
        doors::origin(&site.settings, &request.headers, host)?;
        let handshake = handshake::check(request)?;
        let admitted = admit(site, peer, pass, request)?;
        return Ok(Answer::Upgrade(handshake, Box::new(admitted)));
    }
    let Some(reply) = site.app.http(request) else {
        pass?;
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path"));
    };
    if !reply.public {
        pass?;
    }
    reading(request)?;
    Ok(Answer::Plain(reply.response))
}

fn admit<A: Application>(
    site: &Site<A>,
    peer: Peer,
    pass: Option<Pass>,
    request: &Parts,
) -> Result<Admitted<A>, Problem> {
    let proxies = &site.settings.proxies;
    let address = proxies.client(peer.address, &request.headers);
    // A proxy's sockets are not counted when they are accepted; here its client is known.
    let place = match address {
        Some(address) if proxies.trusts(peer.address) => {
            Some(site.admission.address(address).ok_or_else(no_place)?)
        }
        _ => None,
    };
    let owner = pass.as_ref().map_or_else(|| "".into(), Pass::owner);
    let peer = connection::Peer { id: super::http::next_id(), address, owner };
    let settings = &site.settings;
    let connection = connection::Connection::prepare(
        Arc::clone(&site.app),
        peer,
        Arc::clone(&settings.connection),
        Arc::clone(&settings.stats),
    );
    let refused = |refusal: connection::Refusal| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, refusal.code, refusal.message).with(RETRY_AFTER, "5")
    };
    Ok(Admitted { connection: connection.map_err(refused)?, pass, place })
}

fn ready<A: Application>(site: &Site<A>) -> Result<Response<Body>, Problem> {
    if site.shutdown.draining.is_cancelled() || site.shutdown.closing.is_cancelled() {
        return Err(going_away());
    }
    match site.app.ready() {
        Ok(None) => Ok(json(StatusCode::OK, OK)),
        Ok(Some(note)) => {
            let body = serde_json::json!({"status": "ok", "note": note});
            Ok(json(StatusCode::OK, body.to_string()))
        }
        Err(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", why)),
    }
}

/// GET, and HEAD (whose body hyper leaves out).
fn reading(request: &Parts) -> Result<(), Problem> {
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    if reads { Ok(()) } else { Err(method_not_allowed("GET, HEAD")) }
}

fn method_not_allowed(allow: &'static str) -> Problem {
    let text = format!("only {allow} here");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text).with(ALLOW, allow)
}

fn no_place() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "capacity", "no place for another connection")
        .with(RETRY_AFTER, "5")
        .last()
}

fn going_away() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "the server is going away")
        .with(RETRY_AFTER, "5")
        .last()
}
