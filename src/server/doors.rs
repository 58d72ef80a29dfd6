//! Who may come in: token, then Origin and Host.

use std::net::IpAddr;

use hyper::{
    HeaderMap, StatusCode, Version,
    header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, WWW_AUTHENTICATE},
    http::request::Parts,
};

use super::{Settings, answer::Problem, handshake::offered, refusals::quoted, tokens::Pass};

/// Before the token in a subprotocol's name, for browsers, which cannot set headers.
pub(super) const SUBPROTOCOL: &str = "bearer.";

/// What a server knows of the socket that a request came through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// `None`: a unix socket.
    pub(super) address: Option<IpAddr>,
    /// The server listens on a loopback address.
    pub(super) on_loopback: bool,
}

/// Who the caller is; `None` where no tokens are set.
pub(super) fn pass(settings: &Settings, headers: &HeaderMap) -> Result<Option<Pass>, Problem> {
    let Some(tokens) = &settings.tokens else { return Ok(None) };
    let token = token(headers);
    token.and_then(|token| tokens.admit(token)).map(Some).ok_or_else(|| {
        let told = match token {
            Some(_) => "its token is not in the tokens file (--auth-token-file; SIGHUP reads it again)",
            None => {
                "it has no token (--auth-token-file): \"Authorization: Bearer …\", or subprotocol \"bearer.…\""
            }
        };
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid token is required")
            .with(WWW_AUTHENTICATE, "Bearer")
            .telling(told.to_owned())
    })
}

/// The token that the request carries: in `Authorization`, or as a subprotocol. Never in the URL, which ends up in logs.
fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    if let Some(line) = lines.next() {
        let (scheme, token) = line.as_bytes().split_at_checked(7)?;
        if scheme.eq_ignore_ascii_case(b"bearer ") {
            return lines.next().is_none().then(|| token.trim_ascii());
        }
    }
    let mut tokens = offered(headers.get_all(SEC_WEBSOCKET_PROTOCOL))
        .filter_map(|protocol| protocol.strip_prefix(SUBPROTOCOL));
    let token = tokens.next()?;
    tokens.next().is_none().then_some(token.as_bytes())
}

/// The request names its host as HTTP wants it: exactly once, though not on unix sockets.
pub(super) fn host(peer: Peer, request: &Parts) -> Result<Option<&str>, Problem> {
    let bad = || Problem::new(StatusCode::BAD_REQUEST, "bad_request", "one valid Host header is required");
    let mut lines = request.headers.get_all(HOST).iter();
    let host = match (lines.next(), lines.next()) {
        (None, _) if peer.address.is_none() || request.version < Version::HTTP_11 => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| bad())?),
        _ => return Err(bad()),
    };
    // RFC 9112, section 3.2.2: the host of an absolute target overrides.
    Ok(request.uri.authority().map(hyper::http::uri::Authority::as_str).or(host))
}

/// Without tokens a loopback server trusts whoever reaches it, so it must not be reached through a name that somebody else's
/// DNS points to 127.0.0.1.
pub(super) fn rebinding(settings: &Settings, peer: Peer, host: Option<&str>) -> Result<(), Problem> {
    let exposed = settings.tokens.is_none() && peer.on_loopback;
    let Some(host) = host.filter(|host| exposed && !settings.origins.knows_host(host)) else { return Ok(()) };
    let text = "this server is only reachable as localhost (see --allow-origin and --auth-token-file)";
    let told = format!(
        "it came for the host {}, which is not localhost; --allow-origin SCHEME://HOST or --auth-token-file would let it in",
        quoted(host.as_bytes())
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden_host", text).telling(told))
}

/// A page of another host may not come in unless it is named.
pub(super) fn origin(settings: &Settings, headers: &HeaderMap, host: Option<&str>) -> Result<(), Problem> {
    let mut lines = headers.get_all(ORIGIN).iter();
    let Some(origin) = lines.next() else { return Ok(()) };
    let (text, told) = if lines.next().is_some() {
        ("there are several Origin headers".to_owned(), "it has several Origin headers".to_owned())
    } else if origin.to_str().is_ok_and(|origin| settings.origins.allows(origin, host)) {
        return Ok(());
    } else if origin == "null" {
        let told =
            "its page has no Origin of its own (a file, or a frame that is sandboxed): serve it over HTTP";
        (compared(origin, host), told.to_owned())
    } else {
        let name = quoted(origin.as_bytes());
        let told =
            format!("pages of the Origin {name} may not connect; --allow-origin {name} would let them in");
        (compared(origin, host), told)
    };
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden_origin", text).telling(told))
}

/// What was compared, so that whoever set up a proxy sees what it made of the headers. Does not tell which origins are allowed.
fn compared(origin: &HeaderValue, host: Option<&str>) -> String {
    let origin = quoted(origin.as_bytes());
    let host = match host {
        Some(host) => {
            let host = quoted(host.as_bytes());
            format!("is not that of the request's Host {host} (does a proxy rewrite it?)")
        }
        None => "cannot be compared with a Host, as the request has none".to_owned(),
    };
    format!("the Origin {origin} {host}, and no --allow-origin names it")
}
