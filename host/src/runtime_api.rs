//! The Runtime API of one process: the wire around its [`Exchange`].

use std::{io, net::SocketAddr, sync::Arc, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    exchange::{Answer, Exchange, Offer, Refusal},
    invocation::{LARGEST_REPLY, document},
    serve::{self, Unread, empty, json},
};

const PREFIX: &str = "/2018-06-01";

/// Where one process is served. It listens from the first moment; dropped, it closes, connections included.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) exchange: Arc<Exchange>,
    _close: DropGuard,
}

impl Endpoint {
    /// On a loopback port of its own.
    pub(crate) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let exchange = Arc::new(Exchange::new());
        let close = CancellationToken::new();
        let endpoint = Self { address, exchange: Arc::clone(&exchange), _close: close.clone().drop_guard() };
        tokio::spawn(serve::accept(listener, close.clone(), move |stream| {
            let exchange = Arc::clone(&exchange);
            serve::client(stream, close.clone(), move |request| {
                let exchange = Arc::clone(&exchange);
                async move { handle(&exchange, request).await }
            });
        }));
        Ok(endpoint)
    }
}

async fn handle(exchange: &Exchange, request: Request<Incoming>) -> serve::Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path == "/ping" {
        return pong();
    }
    let Some(path) = path.strip_prefix(PREFIX) else { return not_found() };
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    match (&head.method, steps.as_slice()) {
        (&Method::GET, ["ping"]) => pong(),
        (&Method::GET, ["runtime", "invocation", "next"]) => match exchange.next().await {
            Ok(offer) => event(offer),
            Err(refusal) => refuse(refusal),
        },
        (&Method::POST, ["runtime", "invocation", id, "response"]) => {
            response(exchange, id, &head.headers, body).await
        }
        (&Method::POST, ["runtime", "invocation", id, "error"]) => {
            error(exchange, id, &head.headers, body).await
        }
        (&Method::POST, ["runtime", "init", "error"]) => init_error(exchange, &head.headers, body).await,
        _ => not_found(),
    }
}

/// `next`: an event, with all that a client may look for.
fn event(offer: Offer) -> serve::Answer {
    let invocation = offer.invocation;
    let mut answer = json(StatusCode::OK, invocation.payload);
    let headers = answer.headers_mut();
    let id = HeaderValue::from_str(&invocation.id).expect("a UUID is a header value");
    headers.insert("lambda-runtime-aws-request-id", id);
    let attempt = HeaderValue::from_str(&offer.attempt).expect("a UUID is a header value");
    headers.insert("lambda-runtime-invocation-id", attempt);
    let deadline = offer.deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    headers.insert("lambda-runtime-deadline-ms", deadline.into());
    headers.insert("lambda-runtime-invoked-function-arn", invocation.arn);
    headers.insert("lambda-runtime-trace-id", invocation.trace);
    // Clients differ in what they make of an empty one, so there is none when there is nothing to say.
    if let Some(context) = invocation.client_context {
        headers.insert("lambda-runtime-client-context", context);
    }
    if let Some(tenant) = invocation.tenant {
        headers.insert("lambda-runtime-aws-tenant-id", tenant);
    }
    answer
}

async fn response(exchange: &Exchange, id: &str, headers: &HeaderMap, body: Incoming) -> serve::Answer {
    let attempt = text(headers, "lambda-runtime-invocation-id");
    if let Err(refusal) = exchange.expects(id, attempt) {
        serve::discard(body).await;
        return refuse(refusal);
    }
    let mode = text(headers, "lambda-runtime-function-response-mode");
    if mode.is_some_and(|mode| mode != "streaming") {
        let message = "Invalid function response mode, expected streaming";
        serve::discard(body).await;
        let fault = Fault(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", message.into());
        return fail(exchange, id, attempt, ("Runtime.InvalidResponseModeHeader", message), fault);
    }
    let (bytes, trailers) = match serve::read(body, LARGEST_REPLY).await {
        Ok(read) => read,
        Err(unread) => return unreadable(exchange, id, attempt, unread),
    };
    // A client that fails in the middle of a stream says so in trailers; Node sends one that it did not declare.
    let reply = match text(&trailers, "lambda-runtime-function-error-type") {
        Some(kind) => Answer::Error(streamed_error(kind, &trailers)),
        None => Answer::Response(bytes),
    };
    accepted(exchange.answer(id, attempt, reply))
}

async fn error(exchange: &Exchange, id: &str, headers: &HeaderMap, body: Incoming) -> serve::Answer {
    let attempt = text(headers, "lambda-runtime-invocation-id");
    if let Err(refusal) = exchange.expects(id, attempt) {
        serve::discard(body).await;
        return refuse(refusal);
    }
    match serve::read(body, LARGEST_REPLY).await {
        Ok((bytes, _)) => accepted(exchange.answer(id, attempt, Answer::Error(posted(headers, bytes)))),
        Err(unread) => unreadable(exchange, id, attempt, unread),
    }
}

async fn init_error(exchange: &Exchange, headers: &HeaderMap, body: Incoming) -> serve::Answer {
    match serve::read(body, LARGEST_REPLY).await {
        Ok((bytes, _)) => accepted(exchange.fail(posted(headers, bytes))),
        Err(Unread::TooLarge) => too_large(),
        Err(Unread::Truncated | Unread::TooSlow) => truncated(),
    }
}

/// The error document as the caller gets it: the bytes the function posted, less the X-Ray cause that some carry.
fn posted(headers: &HeaderMap, bytes: Bytes) -> Bytes {
    if bytes.is_empty() {
        let kind = text(headers, "lambda-runtime-function-error-type").unwrap_or("Runtime.Unknown");
        return document(kind, "Unknown application error occurred");
    }
    let with_cause = text(headers, CONTENT_TYPE.as_str())
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

/// The error document out of a stream's trailers.
fn streamed_error(kind: &str, trailers: &HeaderMap) -> Bytes {
    let body = text(trailers, "lambda-runtime-function-error-body");
    match body.and_then(|body| BASE64_STANDARD.decode(body).ok()) {
        Some(bytes) if !bytes.is_empty() => bytes.into(),
        _ => document(kind, "the function failed while it streamed its reply"),
    }
}

/// What a call of the client's is refused with.
struct Fault(StatusCode, &'static str, String);

impl Fault {
    fn answer(&self) -> serve::Answer {
        json(self.0, document(self.1, &self.2))
    }
}

/// Fails the invocation with an error document of ours, and refuses the client's call.
fn fail(
    exchange: &Exchange,
    id: &str,
    attempt: Option<&str>,
    (kind, message): (&str, &str),
    fault: Fault,
) -> serve::Answer {
    match exchange.answer(id, attempt, Answer::Error(document(kind, message))) {
        Ok(()) => fault.answer(),
        Err(refusal) => refuse(refusal),
    }
}

fn unreadable(exchange: &Exchange, id: &str, attempt: Option<&str>, unread: Unread) -> serve::Answer {
    match unread {
        Unread::TooLarge => {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({LARGEST_REPLY} bytes)."
            );
            let told = ("Function.ResponseSizeTooLarge", message.as_str());
            fail(exchange, id, attempt, told, too_large_fault())
        }
        Unread::Truncated | Unread::TooSlow => {
            let message = "HTTP request detected as truncated";
            let fault = Fault(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", message.into());
            fail(exchange, id, attempt, ("Runtime.TruncatedResponse", message), fault)
        }
    }
}

fn too_large_fault() -> Fault {
    let message = format!("Exceeded maximum allowed payload size ({LARGEST_REPLY} bytes).");
    Fault(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
}

fn too_large() -> serve::Answer {
    too_large_fault().answer()
}

fn truncated() -> serve::Answer {
    Fault(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", "HTTP request detected as truncated".into())
        .answer()
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
        Refusal::InvalidState { .. } => (StatusCode::FORBIDDEN, "InvalidStateTransition"),
    };
    Fault(status, kind, refusal.to_string()).answer()
}

fn pong() -> serve::Answer {
    http::Response::new(Full::new(Bytes::from_static(b"pong")))
}

fn not_found() -> serve::Answer {
    empty(StatusCode::NOT_FOUND)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_taken_out_of_an_error_document_and_nothing_else_is_touched() {
        let mut headers = HeaderMap::new();
        let bytes = Bytes::from_static(br#"{"errorType":"E", "n":1.0,"errorCause":{"paths":[]}}"#);
        assert_eq!(posted(&headers, bytes.clone()), bytes);
        let kind = HeaderValue::from_static("application/vnd.aws.lambda.error.cause+json");
        headers.insert(CONTENT_TYPE, kind);
        assert_eq!(posted(&headers, bytes), r#"{"errorType":"E","n":1.0}"#);
    }

    #[test]
    fn an_error_without_a_document_gets_one() {
        let mut headers = HeaderMap::new();
        headers.insert("lambda-runtime-function-error-type", HeaderValue::from_static("Runtime.Odd"));
        let told = posted(&headers, Bytes::new());
        assert!(told.starts_with(br#"{"errorType":"Runtime.Odd""#), "{told:?}");
    }
}
