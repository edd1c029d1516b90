//! The Runtime API of one process: the wire around its [`Exchange`].

mod answer;

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, request::Parts};
use hyper::body::Incoming;
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub(crate) use self::answer::error_type;
use crate::{
    body::Body,
    exchange::{Exchange, Offer, Refusal},
    extension,
    invocation::{LARGEST_REPLY, document},
    serve::{self, Unread, empty, json},
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

const TRUNCATED: &str = "HTTP request detected as truncated";
/// How long it may take to read what a process said before it ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The same where it is in the middle of an answer, which may be 6 MB and all in the system's hands.
const LAST_ANSWER: Duration = Duration::from_secs(1);

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
            let (exchange, answers) = (Arc::clone(&exchange), connections.clone());
            serve::client(stream, close.clone(), &connections, move |request| {
                let (exchange, answers) = (Arc::clone(&exchange), answers.clone());
                async move { Ok(handle(&exchange, &answers, snap_start, request).await) }
            });
        }));
        Ok(endpoint)
    }

    /// Waits until all that a process said which has ended is heard.
    pub(crate) async fn drained(&self) {
        // Bounded: a child of its own may hold a connection.
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
        if self.exchange.answering() {
            let _ = tokio::time::timeout(LAST_ANSWER, self.connections.wait()).await;
        }
    }
}

async fn handle(
    exchange: &Arc<Exchange>,
    answers: &TaskTracker,
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
            (&Method::POST, Some((_, "response" | "error"))) => {
                heard(answers, answered(Arc::clone(exchange), head, body)).await
            }
            _ => Box::pin(not_found(body)).await,
        };
    }
    match path.strip_prefix(PREFIX) {
        Some(call) => Box::pin(lifetime(exchange, snap_start, call, &head, body)).await,
        None if path == "/ping" => pong(),
        None => Box::pin(other(exchange, &head, body)).await,
    }
}

/// What a client has said is heard to its end, also if it hangs up or ends right after: hyper drops a request whose connection
/// has ended, and sees that end before we see the last of the body.
async fn heard(
    answers: &TaskTracker,
    answered: impl Future<Output = serve::Answer> + Send + 'static,
) -> serve::Answer {
    let mut answered = Box::pin(answered);
    match std::future::poll_fn(|cx| Poll::Ready(answered.as_mut().poll(cx))).await {
        Poll::Ready(answer) => answer,
        Poll::Pending => {
            answers.spawn(answered).await.unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// The answer to an invocation.
async fn answered(exchange: Arc<Exchange>, head: Parts, body: Incoming) -> serve::Answer {
    let call = head.uri.path().strip_prefix(INVOCATION).and_then(|call| call.split_once('/'));
    match call {
        Some((id, "response")) => answer::response(&exchange, id, &head.headers, body).await,
        Some((id, _)) => Box::pin(answer::error(&exchange, id, &head.headers, body)).await,
        None => not_found(body).await,
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
        _ => not_found(body).await,
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
            None => not_found(body).await,
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

async fn init_error(exchange: &Exchange, headers: &HeaderMap, body: Incoming) -> serve::Answer {
    match serve::read(body, LARGEST_REPLY).await {
        Ok((bytes, _)) => accepted(exchange.init_error(answer::posted(headers, bytes))),
        Err(Unread::TooLarge) => {
            Fault(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "the error document is too large")
                .answer()
        }
        Err(Unread::Truncated | Unread::TooSlow) => {
            Fault(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", TRUNCATED).answer()
        }
    }
}

/// What a client's call is refused with.
struct Fault<'a>(StatusCode, &'a str, &'a str);

impl Fault<'_> {
    fn answer(&self) -> serve::Answer {
        json(self.0, document(self.1, self.2))
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

/// What was sent is read all the same, or the connection, which clients keep, would end with the answer.
async fn not_found(body: Incoming) -> serve::Answer {
    serve::discard(body).await;
    empty(StatusCode::NOT_FOUND)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
