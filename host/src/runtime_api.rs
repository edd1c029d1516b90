//! The Runtime API of one process: the wire around its [`Exchange`].

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header::CONTENT_TYPE, request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    body::Body,
    exchange::{Answer, Exchange, Offer, Refusal},
    extension,
    invocation::{LARGEST_REPLY, LARGEST_STREAM, document},
    serve::{self, Unread, empty, json},
    stream::{self, Part},
    telemetry,
};

const PREFIX: &str = "/2018-06-01";
const INVOCATION: &str = "/2018-06-01/runtime/invocation/";
/// What `next` tells of an invocation.
const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const INVOCATION_ID: HeaderName = HeaderName::from_static("lambda-runtime-invocation-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");
const TENANT_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-tenant-id");

const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");
const TRUNCATED: &str = "HTTP request detected as truncated";
/// How long it may take to read what a process said before it ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Where one process is served. It listens from the first moment; dropped, it closes, connections included.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) exchange: Arc<Exchange>,
    connections: TaskTracker,
    /// Where it is served.
    _thread: Arc<Handle>,
    _close: DropGuard,
}

impl Endpoint {
    /// On a loopback port of its own.
    pub(crate) fn bind(thread: Arc<Handle>, exchange: Arc<Exchange>, snap_start: bool) -> io::Result<Self> {
        let listener = net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (close, connections) = (CancellationToken::new(), TaskTracker::new());
        connections.close();
        let endpoint = Self {
            address,
            exchange: Arc::clone(&exchange),
            connections: connections.clone(),
            _thread: Arc::clone(&thread),
            _close: close.clone().drop_guard(),
        };
        let there = thread.enter();
        let listener = TcpListener::from_std(listener)?;
        drop(there);
        thread.spawn(serve::accept(listener, close.clone(), move |stream| {
            let exchange = Arc::clone(&exchange);
            serve::client(stream, close.clone(), &connections, move |request| {
                let exchange = Arc::clone(&exchange);
                async move { Ok(handle(&exchange, snap_start, request).await) }
            });
        }));
        Ok(endpoint)
    }

    /// Waits until all that a process said which has ended is heard.
    pub(crate) async fn drained(&self) {
        // Bounded: a child of its own may hold a connection.
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
    }
}

pub(crate) async fn handle(
    exchange: &Arc<Exchange>,
    snap_start: bool,
    request: Request<Incoming>,
) -> serve::Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if let Some(call) = path.strip_prefix(INVOCATION) {
        return match (&head.method, call.split_once('/')) {
            (&Method::GET, None) if call == "next" => match exchange.next().await {
                Ok(offer) => event(offer),
                Err(refusal) => refuse(refusal),
            },
            (&Method::POST, Some((id, "response"))) => response(exchange, id, &head.headers, body).await,
            (&Method::POST, Some((id, "error"))) => Box::pin(error(exchange, id, &head.headers, body)).await,
            _ => not_found(),
        };
    }
    match path.strip_prefix(PREFIX) {
        Some(call) => Box::pin(lifetime(exchange, snap_start, call, &head, body)).await,
        None if path == "/ping" => pong(),
        None => Box::pin(other(exchange, &head, body)).await,
    }
}

/// What a runtime says of its start, once at most.
async fn lifetime(
    exchange: &Exchange,
    snap_start: bool,
    call: &str,
    head: &Parts,
    body: Incoming,
) -> serve::Answer {
    match (&head.method, call) {
        (&Method::GET, "/ping") => pong(),
        (&Method::POST, "/runtime/init/error") => init_error(exchange, &head.headers, body).await,
        // There is no snapshot to wait for: who asks is restored at once.
        (&Method::GET, "/runtime/restore/next") if snap_start => match exchange.starting("Restoring") {
            Ok(()) => empty(StatusCode::OK),
            Err(refusal) => refuse(refusal),
        },
        (&Method::POST, "/runtime/restore/error") if snap_start => {
            init_error(exchange, &head.headers, body).await
        }
        _ => not_found(),
    }
}

/// The APIs of the extensions, served beside the runtime's.
async fn other(exchange: &Exchange, head: &Parts, body: Incoming) -> serve::Answer {
    let observer = &exchange.observer;
    let (registry, log) = (observer.extensions(), observer.log());
    let path = head.uri.path().trim_end_matches('/');
    match (&head.method, path) {
        (&Method::PUT, "/2022-07-01/telemetry") => {
            telemetry::api::telemetry(registry, log, &head.headers, body).await
        }
        (&Method::PUT, "/2020-08-15/logs") => telemetry::api::logs(registry, log, &head.headers, body).await,
        _ => match path.strip_prefix("/2020-01-01/extension/") {
            Some(call) => {
                extension::api::handle(registry, &observer.facts().function, call, head, body).await
            }
            None => not_found(),
        },
    }
}

/// `next`: an event, with all that a client may look for.
fn event(offer: Offer) -> serve::Answer {
    let invocation = offer.invocation;
    let mut answer = json(StatusCode::OK, invocation.payload);
    let headers = answer.headers_mut();
    let id = HeaderValue::from_str(&invocation.id).expect("a UUID is a header value");
    headers.insert(REQUEST_ID, id);
    headers.insert(INVOCATION_ID, offer.attempt);
    let deadline = offer.deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    headers.insert(DEADLINE_MS, deadline.into());
    headers.insert(FUNCTION_ARN, invocation.arn);
    headers.insert(TRACE_ID, invocation.trace);
    // Clients differ in what they make of an empty one, so there is none when there is nothing to say.
    if let Some(context) = invocation.client_context {
        headers.insert(CLIENT_CONTEXT, context);
    }
    if let Some(tenant) = invocation.tenant {
        headers.insert(TENANT_ID, tenant);
    }
    answer
}

async fn response(exchange: &Arc<Exchange>, id: &str, headers: &HeaderMap, body: Incoming) -> serve::Answer {
    let attempt = text(headers, INVOCATION_ID);
    let (deadline, stream) = match exchange.expects(id, attempt) {
        Ok(expected) => expected,
        Err(refusal) => {
            serve::discard(body).await;
            return refuse(refusal);
        }
    };
    let reply = match (text(headers, RESPONSE_MODE), stream) {
        (Some("streaming"), Some(stream)) => {
            let kind = headers.get(CONTENT_TYPE).cloned();
            match tokio::time::timeout_at(deadline, Box::pin(pass_on(body, kind, stream))).await {
                Ok(passed) => passed,
                // Whoever watches the process ends the invocation, and may be about to only now.
                Err(_) => return refuse(Refusal::TooLate),
            }
        }
        (None | Some("streaming"), _) => match serve::read(body, LARGEST_REPLY).await {
            Ok((bytes, trailers)) => streamed_error(&trailers).unwrap_or(Answer::Response(bytes)),
            Err(unread) => unreadable(unread, LARGEST_REPLY),
        },
        (Some(_), _) => {
            serve::discard(body).await;
            let message = "Invalid function response mode, expected streaming";
            let answer = platform_error("Runtime.InvalidResponseModeHeader", message);
            return match exchange.answer(id, attempt, answer) {
                Ok(()) => Fault(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", message).answer(),
                Err(refusal) => refuse(refusal),
            };
        }
    };
    accepted(exchange.answer(id, attempt, reply))
}

/// Passes a reply on as it comes.
async fn pass_on(mut body: Incoming, kind: Option<HeaderValue>, stream: stream::Sender) -> Answer {
    let mut passed = 0;
    // A caller that has gone is no reason to stop the function: on Lambda it runs to its end too.
    let _ = stream.send(Part::Head(kind)).await;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return unreadable(Unread::Truncated, LARGEST_STREAM) };
        match frame.into_data() {
            Ok(data) if passed + data.len() > LARGEST_STREAM => {
                serve::discard(body).await;
                return unreadable(Unread::TooLarge, LARGEST_STREAM);
            }
            Ok(data) => {
                passed += data.len();
                let _ = stream.send(Part::Data(data)).await;
            }
            Err(other) => {
                let trailers = other.into_trailers().unwrap_or_default();
                if let Some(error) = streamed_error(&trailers) {
                    return error;
                }
            }
        }
    }
    Answer::Streamed(passed)
}

async fn error(exchange: &Arc<Exchange>, id: &str, headers: &HeaderMap, body: Incoming) -> serve::Answer {
    let attempt = text(headers, INVOCATION_ID);
    if let Err(refusal) = exchange.expects(id, attempt) {
        serve::discard(body).await;
        return refuse(refusal);
    }
    let answer = match serve::read(body, LARGEST_REPLY).await {
        Ok((bytes, _)) => Answer::Error(error_type(text(headers, ERROR_TYPE)), posted(headers, bytes)),
        Err(unread) => unreadable(unread, LARGEST_REPLY),
    };
    accepted(exchange.answer(id, attempt, answer))
}

async fn init_error(exchange: &Exchange, headers: &HeaderMap, body: Incoming) -> serve::Answer {
    match serve::read(body, LARGEST_REPLY).await {
        Ok((bytes, _)) => accepted(exchange.init_error(posted(headers, bytes))),
        Err(Unread::TooLarge) => {
            Fault(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "the error document is too large")
                .answer()
        }
        Err(Unread::Truncated | Unread::TooSlow) => {
            Fault(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", TRUNCATED).answer()
        }
    }
}

/// The error document as the caller gets it: the bytes the function posted, less the X-Ray cause that some carry.
fn posted(headers: &HeaderMap, bytes: Bytes) -> Bytes {
    if bytes.is_empty() {
        let kind = text(headers, ERROR_TYPE).unwrap_or("Runtime.Unknown");
        return document(kind, "Unknown application error occurred");
    }
    let with_cause = text(headers, CONTENT_TYPE)
        .is_some_and(|kind| kind.starts_with("application/vnd.aws.lambda.error.cause+json"));
    if !with_cause {
        return bytes;
    }
    let Ok(mut fields) = serde_json::from_slice::<std::collections::BTreeMap<String, &RawValue>>(&bytes)
    else {
        return bytes;
    };
    fields.remove("errorCause");
    serde_json::to_vec(&fields).map_or(bytes.clone(), Bytes::from)
}

/// The error that a stream's trailers tell, if they do; Node sends one that it did not declare.
fn streamed_error(trailers: &HeaderMap) -> Option<Answer> {
    let kind = text(trailers, ERROR_TYPE)?;
    let body = text(trailers, ERROR_BODY);
    let document = match body.and_then(|body| BASE64_STANDARD.decode(body).ok()) {
        Some(bytes) if !bytes.is_empty() => bytes.into(),
        _ => document(kind, "the function failed while it streamed its reply"),
    };
    Some(Answer::Error(error_type(Some(kind)), document))
}

/// An error type in the terms Lambda's telemetry has for it.
pub(crate) fn error_type(told: Option<&str>) -> String {
    let proper = |name: &str| {
        name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|b| b.is_ascii_alphabetic())
    };
    let told = told.unwrap_or_default();
    match told.split_once('.') {
        Some(("Runtime" | "Function", name)) if proper(name) => told.to_owned(),
        Some(("Function", _)) => "Function.Unknown".to_owned(),
        _ => "Runtime.Unknown".to_owned(),
    }
}

/// What a client's call is refused with.
struct Fault<'a>(StatusCode, &'a str, &'a str);

impl Fault<'_> {
    fn answer(&self) -> serve::Answer {
        json(self.0, document(self.1, self.2))
    }
}

fn platform_error(kind: &str, message: &str) -> Answer {
    Answer::Error(kind.to_owned(), document(kind, message))
}

/// What an answer that cannot be used is for the caller. The client is told that all is well: at a refusal most end, and
/// where one process has many invocations in hand it would take the others with it. (Lambda answers 413 and 400.)
fn unreadable(unread: Unread, limit: usize) -> Answer {
    match unread {
        Unread::TooLarge => {
            let message =
                format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).");
            platform_error("Function.ResponseSizeTooLarge", &message)
        }
        Unread::Truncated | Unread::TooSlow => platform_error("Runtime.TruncatedResponse", TRUNCATED),
    }
}

fn accepted(result: Result<(), Refusal>) -> serve::Answer {
    match result {
        Ok(()) => json(StatusCode::ACCEPTED, &b"{\"status\":\"OK\"}"[..]),
        Err(refusal) => refuse(refusal),
    }
}

fn refuse(refusal: Refusal) -> serve::Answer {
    let (status, kind) = match refusal {
        Refusal::InvalidRequestId => (StatusCode::BAD_REQUEST, "InvalidRequestID"),
        Refusal::TooLate => (StatusCode::GONE, "InvokeTimeout"),
        Refusal::InvalidState { .. } => (StatusCode::FORBIDDEN, "InvalidStateTransition"),
    };
    Fault(status, kind, &refusal.to_string()).answer()
}

fn pong() -> serve::Answer {
    http::Response::new(Body::Whole(Bytes::from_static(b"pong")))
}

fn not_found() -> serve::Answer {
    empty(StatusCode::NOT_FOUND)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
