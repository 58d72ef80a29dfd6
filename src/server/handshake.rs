//! The WebSocket handshake (RFC 6455, section 4.2).

use hyper::{
    HeaderMap, Method, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, GetAll, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
    },
    http::request::Parts,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{answer::Problem, doors::SUBPROTOCOL};

/// The subprotocol, chosen where a client offers it.
const PROTOCOL: &str = "claude-ws.v1";

/// A handshake that can be answered with 101.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: String,
    chosen: bool,
}

/// Checks the request. 426 for one that asks for no WebSocket or another version, 400 for a broken one.
pub(super) fn check(request: &Parts) -> Result<Handshake, Problem> {
    let headers = &request.headers;
    debug_assert_eq!(request.method, Method::GET, "the router's to check");
    if !lists(headers, &UPGRADE, "websocket") {
        let text = "this is a WebSocket endpoint";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", text)
            .with(UPGRADE, "websocket")
            .with(CONNECTION, "upgrade"));
    }
    let bad = |text| {
        Err(Problem::new(StatusCode::BAD_REQUEST, "bad_handshake", text).with(SEC_WEBSOCKET_VERSION, "13"))
    };
    if request.version != Version::HTTP_11 {
        return bad("HTTP/1.1 is required");
    }
    // Where a body ends and frames begin is what a proxy in front may see otherwise than this side.
    let empty = headers.get_all(CONTENT_LENGTH).iter().all(|length| length.as_bytes() == b"0");
    if headers.contains_key(TRANSFER_ENCODING) || !empty {
        return bad("a handshake has no body");
    }
    if !lists(headers, &CONNECTION, "upgrade") {
        return bad("Connection does not list `upgrade`");
    }
    match only(headers, &SEC_WEBSOCKET_VERSION) {
        Some(b"13") => {}
        Some(_) => {
            let text = "only version 13 of the WebSocket protocol is spoken";
            return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "bad_version", text)
                .with(UPGRADE, "websocket")
                .with(CONNECTION, "upgrade")
                .with(SEC_WEBSOCKET_VERSION, "13"));
        }
        None => return bad("Sec-WebSocket-Version is missing"),
    }
    let Some(key) = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        return bad("Sec-WebSocket-Key is missing or not 16 bytes in base64");
    };
    let accept = derive_accept_key(key);
    let protocols = || offered(headers.get_all(SEC_WEBSOCKET_PROTOCOL));
    let chosen = protocols().any(|protocol| protocol == PROTOCOL);
    // A token is not chosen, and browsers give up a connection of which no subprotocol was: without saying why.
    if !chosen && protocols().any(|protocol| protocol.starts_with(SUBPROTOCOL)) {
        return bad(
            "the token's subprotocol must not stand alone: offer `claude-ws.v1` beside it, which is chosen",
        );
    }
    Ok(Handshake { accept, chosen })
}

impl Handshake {
    /// The 101, to its last byte. Never names another subprotocol than ours, so never a token; and never says `close`, which the
    /// request may have (an upgraded connection ends as its own protocol has it).
    pub(super) fn head(&self) -> String {
        let chosen =
            if self.chosen { format!("sec-websocket-protocol: {PROTOCOL}\r\n") } else { String::new() };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {}\r\n{chosen}\r\n",
            self.accept
        )
    }
}

/// The items of a comma-separated list, over all its lines.
pub(super) fn offered(lines: GetAll<'_, HeaderValue>) -> impl Iterator<Item = &str> {
    lines.into_iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

fn lists(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    offered(headers.get_all(name)).any(|offer| offer.eq_ignore_ascii_case(item))
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| line.as_bytes().trim_ascii())
}

/// 16 bytes in base64: 22 digits, of the last one only two bits, and `==`.
fn is_key(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key.split_at_checked(22) else { return false };
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.iter().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQ=A",
            b"dGhlIHNhbXBsZSBub25j Q==",
            b"AAAA",
        ] {
            assert!(!is_key(bad));
        }
    }
}
