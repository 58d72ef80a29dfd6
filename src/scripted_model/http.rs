//! The HTTP side: accepts on loopback, reads bounded bodies, sends answers step by step.
//!
//! Speaks HTTP/1.1 to one kind of client, the CLI. Every answer, errors too, has the API's shape.

use std::{
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Either, Full, Limited, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    answer::{Answer, Attempts, Plan, choose},
    asked::Asked,
    record::Requests,
    script::{ApiError, Script},
    sse::{Events, Step, whole_message},
};

/// The real API's bound on a request.
const MAX_BODY: usize = 32 << 20;
/// Open connections; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

type Body = Either<Full<Bytes>, EventBody>;
type EventBody = StreamBody<std::pin::Pin<Box<dyn stream::Stream<Item = Result<Frame<Bytes>, Cut>> + Send>>>;

/// Ends the connection in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("the script cuts the stream")]
struct Cut;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) script: Script,
    pub(super) requests: Requests,
    pub(super) attempts: Mutex<Attempts>,
}

/// Accepts until `shutdown`.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
                tracker.spawn(async move {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = connection(stream, shared) => {}
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others have to end first.
                log::warn!("scripted model: accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Deltas are small and have to leave at once.
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // A client that leaves in mid-answer is how interrupts look from here.
        log::debug!("scripted model: connection ended: {error}");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Body> {
    let path = request.uri().path();
    let known = matches!(path, "/v1/messages" | "/v1/messages/count_tokens");
    if !known {
        let message = format!("the scripted model has no {path}");
        return error(StatusCode::NOT_FOUND, "not_found_error", &message);
    }
    if request.method() != Method::POST {
        let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "use POST");
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return response;
    }
    let counting = path.ends_with("/count_tokens");
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "the request exceeds 32 MB");
    };
    let body = body.to_bytes();
    let Ok(parsed) = serde_json::from_slice::<Value>(&body) else {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", "the body is not JSON");
    };
    if counting {
        return json_response(StatusCode::OK, &json!({"input_tokens": body.len() / 4}));
    }
    if !parsed["messages"].is_array() {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", "messages: field required");
    }
    let asked = Asked::read(&parsed);
    shared.requests.add(&asked);
    let fingerprint = fingerprint(&asked, &parsed["messages"]);
    let answer = choose(&shared.script, &asked, body.len(), fingerprint, &mut shared.attempts.lock());
    drop((parsed, body));
    match answer {
        Answer::Silence => std::future::pending().await,
        Answer::Error(failure) => api_error(&failure),
        Answer::Message(plan) if asked.stream => event_stream(plan),
        Answer::Message(plan) if plan.hang => std::future::pending().await,
        Answer::Message(plan) => {
            tokio::time::sleep(plan.wait).await;
            json_response(StatusCode::OK, &whole_message(&plan))
        }
    }
}

/// Equal for the retries of one request; different for the next turn and for other conversations.
fn fingerprint(asked: &Asked, messages: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    asked.conversation.hash(&mut hasher);
    asked.user_text.trim().hash(&mut hasher);
    messages.as_array().map_or(0, Vec::len).hash(&mut hasher);
    asked.rounds.hash(&mut hasher);
    hasher.finish()
}

fn event_stream(plan: Plan) -> Response<Body> {
    let steps = stream::unfold(Events::new(plan), |mut events| async move {
        match events.next()? {
            Step::Send(delay, bytes) => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Some((Ok(Frame::data(bytes)), events))
            }
            Step::Hang => std::future::pending().await,
            Step::Cut(delay) => {
                tokio::time::sleep(delay).await;
                Some((Err(Cut), events))
            }
        }
    });
    let steps: std::pin::Pin<Box<dyn stream::Stream<Item = _> + Send>> = Box::pin(steps);
    let mut response = Response::new(Either::Right(StreamBody::new(steps)));
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    response
}

fn api_error(failure: &ApiError) -> Response<Body> {
    // The range was checked when the script was read.
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = error(status, &failure.kind, &failure.message);
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    }
    response
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    json_response(status, &json!({"type": "error", "error": {"type": kind, "message": message}}))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body.to_string()))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
