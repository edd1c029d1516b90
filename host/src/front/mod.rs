//! What callers speak to. A path of the Invoke API's is the Invoke API; anything else is a CloudEvent, or, where the
//! function takes plain HTTP, a request to its Function URL. Every path but the Invoke API's may be the function's.

mod event;
mod function_url;
mod invoke;
mod reply;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header::RETRY_AFTER};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use self::{
    function_url::{Caller, Visit},
    invoke::RequestId,
};
use crate::{
    cloudevent::{self, Error::NotACloudEvent},
    function::Function,
    serve::Answer,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");

/// Answers one request, of the caller at `peer`. (Boxed: a future is as large as its largest branch, and is moved.)
pub(crate) async fn handle(
    function: &Arc<Function>,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    if let Some(call) = invoke::Call::of(head.uri.path()) {
        return Box::pin(invoke::answer(function, call, &head, body)).await;
    }
    if function.settings.http_events && cloudevent::Mode::of(&head.headers) == Err(NotACloudEvent) {
        let visit = Visit { peer, ..Visit::default() };
        return Box::pin(function_url::answer(function, &visit, &head, body)).await;
    }
    event::answer(function, &head, body).await
}

/// Answers a [`Visit`], or a call of the Invoke API's, from within this program; any other request is not found.
pub(crate) async fn call(function: &Arc<Function>, request: Request<Bytes>) -> Answer {
    let (mut head, body) = request.into_parts();
    let body = Full::new(body);
    if let Some(visit) = head.extensions.remove::<Visit>() {
        return Box::pin(function_url::answer(function, &visit, &head, body)).await;
    }
    match invoke::Call::of(head.uri.path()) {
        Some(call) => Box::pin(invoke::answer(function, call, &head, body)).await,
        None => crate::serve::empty(http::StatusCode::NOT_FOUND),
    }
}

/// The event a function without one gets, as on Lambda.
fn or_empty(payload: Bytes) -> Bytes {
    if payload.is_empty() { Bytes::from_static(b"{}") } else { payload }
}

/// Whether the bytes are one JSON text, and if not, where they cease to be.
///
/// Raw, because it checks that the text is UTF-8 as well, and builds nothing.
fn check_json(bytes: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("not JSON at line {}, column {}", error.line(), error.column())),
    }
}

/// An answer that has it as an extension is the host's: it turned the request away, and the function knows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnedAway;

/// A try later is worth it: the queue moves as fast as the function does.
fn retry_later(mut answer: Answer) -> Answer {
    answer.extensions_mut().insert(TurnedAway);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// A request's id.
fn new_id() -> Arc<str> {
    Arc::from(&*Uuid::new_v4().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("an id of ours is a header value")
}
