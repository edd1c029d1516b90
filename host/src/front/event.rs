//! CloudEvents over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::ALLOW, request::Parts};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{FUNCTION_ERROR, REQUEST_ID, TRACE_ID, check_json, header, or_empty, retry_later, trace};
use crate::{
    Reply,
    cloudevent::{self, Received},
    function::Function,
    invocation::{Invocation, LARGEST_EVENT, Outcome, ascii_json},
    serve::{self, Answer, Unread, discard, empty, json},
};

/// The type of the event a reply travels in.
const REPLY_TYPE: HeaderValue = HeaderValue::from_static("dev.klr.function.reply");

/// Takes an event to the function.
pub(super) async fn answer(function: &Arc<Function>, head: &Parts, body: Incoming) -> Answer {
    if head.method != Method::POST {
        let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "expected POST with a CloudEvent");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    let Ok(place) = function.admit() else {
        discard(body).await;
        return saturated();
    };
    let received = match read_event(&head.headers, body).await {
        Ok(received) => received,
        Err(refused) => return refused,
    };
    let id = Uuid::new_v4().to_string();
    let trace = trace(&head.headers);
    let client_context = if function.settings.cloudevent_context { context(&received) } else { None };
    let invocation = Invocation {
        id: id.clone(),
        payload: or_empty(received.data.unwrap_or_default()),
        arn: header(function.plan.variables.arn()),
        trace: trace.clone(),
        client_context,
        tenant: None,
        tail: false,
        stream: None,
    };
    let mut answer = match function.invoke(place, invocation).await {
        Err(_) => return saturated(),
        Ok(done) => match done.outcome {
            Outcome::Replied(reply) => replied(function, &head.headers, &id, reply),
            Outcome::Failed(document) => {
                let mut answer = json(StatusCode::INTERNAL_SERVER_ERROR, document);
                answer.headers_mut().insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
                answer
            }
            Outcome::TimedOut(document) => json(StatusCode::GATEWAY_TIMEOUT, document),
            Outcome::Lost(document) => json(StatusCode::BAD_GATEWAY, document),
        },
    };
    answer.headers_mut().insert(REQUEST_ID, header(&id));
    answer.headers_mut().insert(TRACE_ID, trace);
    answer
}

async fn read_event(headers: &HeaderMap, body: Incoming) -> Result<Received, Answer> {
    // A structured event is larger than its data by its attributes, and by a third in base64.
    const ENVELOPE: usize = LARGEST_EVENT / 3 + 64 * 1024;
    let structured = cloudevent::is_structured(headers);
    let limit = if structured { LARGEST_EVENT + ENVELOPE } else { LARGEST_EVENT };
    let body = serve::receive(body, limit).await.map_err(|unread| match unread {
        Unread::TooLarge => too_large(),
        Unread::Truncated => refused(StatusCode::BAD_REQUEST, "the request's body was cut off"),
        Unread::TooSlow => refused(StatusCode::REQUEST_TIMEOUT, "the request's body took too long"),
    })?;
    let received = cloudevent::receive(headers, body).map_err(|error| {
        let status = match error {
            cloudevent::Error::Batched | cloudevent::Error::Format(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        };
        refused(status, &error.to_string())
    })?;
    if let Some(data) = &received.data {
        if data.len() > LARGEST_EVENT {
            return Err(too_large());
        }
        if !data.is_empty() {
            check_json(data).map_err(|why| {
                refused(
                    StatusCode::BAD_REQUEST,
                    &format!("the event's data is {why}; a function takes JSON only"),
                )
            })?;
        }
    }
    Ok(received)
}

/// The attributes as the function's client context. Strings only, and no `client`: clients die of anything else.
fn context(received: &Received) -> Option<HeaderValue> {
    #[derive(Serialize)]
    struct Context<'a> {
        custom: std::collections::BTreeMap<&'a str, &'a str>,
    }
    let custom = received.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    ascii_json(&serde_json::to_string(&Context { custom }).ok()?)
}

fn replied(function: &Function, headers: &HeaderMap, id: &str, reply: Bytes) -> Answer {
    let nothing = || empty(StatusCode::OK);
    match function.settings.reply {
        Reply::Never => nothing(),
        Reply::Auto if prefers_reply(headers) => nothing(),
        Reply::Auto | Reply::Always => json(StatusCode::OK, reply),
        // Nothing to say: an event that says so would go round in a broker for no one.
        Reply::Event if reply.is_empty() || &reply[..] == b"null" => nothing(),
        Reply::Event => {
            let mut answer = json(StatusCode::OK, reply);
            let time = header(&format!("{:.3}", Timestamp::now()));
            let attributes = [
                ("ce-specversion", HeaderValue::from_static("1.0")),
                ("ce-id", header(id)),
                ("ce-source", header(function.plan.variables.arn())),
                ("ce-type", REPLY_TYPE),
                ("ce-time", time),
            ];
            answer
                .headers_mut()
                .extend(attributes.map(|(name, value)| (HeaderName::from_static(name), value)));
            answer
        }
    }
}

/// Whether a Broker or its like asks: it sends `Prefer: reply`, perhaps among others.
fn prefers_reply(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("reply"))
}

/// An answer that is no function's: it has a `message`, and no `errorType`, by which callers tell the two apart.
fn refused(status: StatusCode, message: &str) -> Answer {
    #[derive(Serialize)]
    struct Message<'a> {
        message: &'a str,
    }
    json(status, serde_json::to_vec(&Message { message }).expect("a string is always JSON"))
}

fn too_large() -> Answer {
    refused(StatusCode::PAYLOAD_TOO_LARGE, &format!("the event's data is larger than {LARGEST_EVENT} bytes"))
}

fn saturated() -> Answer {
    retry_later(refused(StatusCode::TOO_MANY_REQUESTS, "every process is busy and the queue is full"))
}
