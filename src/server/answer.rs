//! HTTP answers: JSON bodies, the headers that each carries.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;

/// Bodies are complete when they are answered.
pub type Body = Full<Bytes>;

/// An answer of [`Application::http`](super::Application::http).
#[derive(Debug)]
pub struct Reply {
    /// Given even without a token (static files of the console).
    pub public: bool,
    /// The answer to GET. The server adds `x-content-type-options`, and `cache-control: no-store` where there is none.
    pub response: Response<Body>,
}

/// An answer of the server's own, other than success.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The connection ends with this answer.
    pub(super) last: bool,
    /// What the operator's log says of it: what was wrong, and the flag that would allow it.
    pub(super) told: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new(), last: false, told: None }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    pub(super) fn telling(mut self, told: String) -> Self {
        self.told = Some(told);
        self
    }

    pub(super) fn last(mut self) -> Self {
        self.last = true;
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Outer<'a> {
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            message: &'a str,
        }
        let body = Outer { error: Inner { code: self.code, message: &self.message } };
        let mut response = json(self.status, serde_json::to_vec(&body).unwrap_or_default());
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What every answer has.
pub(super) fn dress(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
