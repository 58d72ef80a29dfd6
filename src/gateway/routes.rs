//! HTTP routes besides those of the server itself: the console's files, the protocol's schema, the metrics.

use http_body_util::Full;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, VARY,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::GatewayService;
use super::{exposition, metrics::OPEN_METRICS, metrics::PLAIN};
use crate::console;
use crate::protocol::schema::PROTOCOL_SCHEMA;
use crate::server::{Body, Reply};

/// The answer to a GET of a path that is not the server's own.
pub(super) fn answer(request: &Parts, service: &GatewayService) -> Option<Reply> {
    match request.uri.path() {
        "/protocol.schema.json" => Some(Reply { public: false, response: schema() }),
        "/metrics" => Some(Reply { public: false, response: metrics(request, service) }),
        path if service.with_console() => console_file(path, request),
        _ => None,
    }
}

fn metrics(request: &Parts, service: &GatewayService) -> Response<Body> {
    let accepted = request.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (page, kind) = if exposition::wants_open_metrics(accepted) {
        (service.metrics(), OPEN_METRICS)
    } else {
        (exposition::plain(&service.metrics()), PLAIN)
    };
    let mut response = Response::new(Full::from(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

fn schema() -> Response<Body> {
    let mut response = Response::new(Full::from(PROTOCOL_SCHEMA));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/schema+json"));
    response
}

fn console_file(path: &str, request: &Parts) -> Option<Reply> {
    let asset = console::asset(path)?;
    let known = request.headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let unchanged = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == asset.etag));
    let body = if unchanged { Body::default() } else { Full::from(asset.bytes) };
    let mut response = Response::new(body);
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(console::CONTENT_SECURITY_POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Names stay when contents change: the browser asks each time, and gets 304.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, HeaderValue::from_static(asset.etag));
    Some(Reply { public: true, response })
}
