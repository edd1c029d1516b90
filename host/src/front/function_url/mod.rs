//! Plain HTTP, as a Lambda Function URL takes it: payload format 2.0 in, a status, headers and a body out.

mod event;
mod reply;
mod stream;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts};
use hyper::body::Body;

use super::{REQUEST_ID, header, new_id, retry_later};
use crate::{
    arrival::{self, Refused},
    function::Function,
    invocation::{Invocation, LARGEST_EVENT},
    serve::{Answer, Unread, json},
    trace,
};

/// Who visits a function at its URL, and how it is answered. A request that has one as an extension is a visit.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// Where the visitor is.
    pub peer: Option<SocketAddr>,
    /// Who signed the request, where that is asked for.
    pub caller: Option<Caller>,
    /// The alias whose URL it is, where it is one's: a part of the ARN the function is told.
    pub qualifier: Option<String>,
    /// Wait for the whole reply (AWS: invoke mode `BUFFERED`); else a reply that the function streams is streamed.
    pub buffered: bool,
}

/// Who signed a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account of the key.
    pub account: String,
    /// Who that is, as IAM calls it.
    pub arn: String,
    /// The access key's id.
    pub access_key: String,
}

/// Takes a request to the function.
pub(super) async fn answer(
    function: &Arc<Function>,
    visit: &Visit,
    head: &Parts,
    body: impl Body<Data = Bytes> + Unpin,
) -> Answer {
    let (id, told) = (new_id(), trace::of(&head.headers, None));
    let trace = trace::complete(Some(&told));
    let mut answer = call(function, visit, head, body, &id, [&told, &trace]).await;
    answer.headers_mut().insert(REQUEST_ID, header(&id));
    trace::tell(answer.headers_mut(), trace);
    answer
}

/// The event has the trace as the visitor `told` it, or its root alone; the function goes on with `trace`.
async fn call(
    function: &Arc<Function>,
    visit: &Visit,
    head: &Parts,
    body: impl Body<Data = Bytes> + Unpin,
    id: &Arc<str>,
    [told, trace]: [&HeaderValue; 2],
) -> Answer {
    let (place, body) = match arrival::receive(function, body, LARGEST_EVENT).await {
        Ok(received) => received,
        Err(Refused::Saturated) => return throttled(),
        Err(Refused::Unread(Unread::TooLarge)) => return too_large(),
        Err(Refused::Unread(Unread::Truncated)) => {
            return message(StatusCode::BAD_REQUEST, "the request's body was cut off");
        }
        Err(Refused::Unread(Unread::TooSlow)) => {
            return message(StatusCode::REQUEST_TIMEOUT, "the request's body took too long");
        }
    };
    let payload = event::of(head, &body, visit, id, told);
    // What the event adds, and base64, counts too.
    if payload.len() > LARGEST_EVENT {
        return too_large();
    }
    let invocation = Invocation {
        id: Arc::clone(id),
        payload,
        arn: match &visit.qualifier {
            Some(qualifier) => header(&format!("{}:{qualifier}", function.plan.variables.arn())),
            None => function.arn.clone(),
        },
        trace: trace.clone(),
        client_context: None,
        tenant: None,
        tail: false,
        stream: None,
    };
    if visit.buffered {
        return stream::whole(id, function.invoke(place, invocation).await);
    }
    stream::answer(function, place, invocation).await
}

fn failed() -> Answer {
    let mut answer = json(StatusCode::BAD_GATEWAY, &b"Internal Server Error"[..]);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn throttled() -> Answer {
    const BODY: &str = r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#;
    retry_later(json(StatusCode::TOO_MANY_REQUESTS, BODY))
}

fn too_large() -> Answer {
    message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
}

fn message(status: StatusCode, text: &str) -> Answer {
    json(status, serde_json::json!({ "message": text }).to_string())
}
