//! CloudEvents over HTTP.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header::ALLOW, request::Parts};
use hyper::body::Incoming;
use serde::Serialize;

use super::{FUNCTION_ERROR, REQUEST_ID, check_json, header, new_id, or_empty, reply, retry_later};
use crate::{
    arrival::{self, Refused},
    cloudevent::{self, Mode, Received},
    flight::Place,
    function::Function,
    invocation::{Invocation, LARGEST_EVENT, Outcome, ascii_json},
    serve::{Answer, Unread, discard, json},
    trace,
};

/// The most of an event's attributes that a function is handed. Every runtime client takes a header of that size.
const LARGEST_CONTEXT: usize = 16 * 1024;

/// Takes an event to the function.
pub(super) async fn answer(function: &Arc<Function>, head: &Parts, body: Incoming) -> Answer {
    if head.method != Method::POST {
        let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "expected POST with a CloudEvent");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    let (place, received) = match read_event(function, &head.headers, body).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let id = new_id();
    let trace = trace::of(&head.headers, received.attribute("traceparent"));
    let client_context = if function.settings.cloudevent_context { context(&received) } else { None };
    let invocation = Invocation {
        id: Arc::clone(&id),
        payload: or_empty(received.data.unwrap_or_default()),
        arn: function.arn.clone(),
        trace: trace.clone(),
        client_context,
        tenant: None,
        tail: false,
        stream: None,
    };
    let mut answer = match function.invoke(place, invocation).await {
        Err(_) => return saturated(),
        Ok(done) => match done.outcome {
            Outcome::Replied(reply) => reply::to_event(function, &head.headers, &id, reply),
            Outcome::Failed(document) => {
                let mut answer = json(StatusCode::INTERNAL_SERVER_ERROR, document);
                answer.headers_mut().insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
                answer
            }
            Outcome::TimedOut(document) => json(StatusCode::GATEWAY_TIMEOUT, document),
            Outcome::Lost(document) | Outcome::CutOff(document) => json(StatusCode::BAD_GATEWAY, document),
        },
    };
    answer.headers_mut().insert(REQUEST_ID, header(&id));
    trace::tell(answer.headers_mut(), trace);
    answer
}

async fn read_event<'a>(
    function: &Function,
    headers: &'a HeaderMap,
    body: Incoming,
) -> Result<(Place, Received<'a>), Answer> {
    // A structured event is larger than its data by its attributes, and by a third in base64.
    const ENVELOPE: usize = LARGEST_EVENT / 3 + 64 * 1024;
    let mode = match Mode::of(headers) {
        Ok(mode) => mode,
        Err(error) => {
            discard(body).await;
            return Err(no_event(&error));
        }
    };
    let limit = match mode {
        Mode::Binary => LARGEST_EVENT,
        Mode::Structured => LARGEST_EVENT + ENVELOPE,
    };
    let (place, body) = arrival::receive(function, body, limit).await.map_err(|why| match why {
        Refused::Saturated => saturated(),
        Refused::Unread(Unread::TooLarge) => too_large(),
        Refused::Unread(Unread::Truncated) => {
            refused(StatusCode::BAD_REQUEST, "the request's body was cut off")
        }
        Refused::Unread(Unread::TooSlow) => {
            refused(StatusCode::REQUEST_TIMEOUT, "the request's body took too long")
        }
    })?;
    let received = mode.receive(headers, body).map_err(|error| no_event(&error))?;
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
    Ok((place, received))
}

/// The attributes as the function's client context. Strings only, and no `client`: clients die of anything else. Where
/// they are too many, the longest are left out.
fn context(received: &Received<'_>) -> Option<HeaderValue> {
    #[derive(Serialize)]
    struct Context<'a> {
        custom: BTreeMap<&'a str, &'a str>,
    }
    let attributes = received.attributes.iter();
    let mut custom: BTreeMap<&str, &str> = attributes.map(|(name, value)| (&**name, &**value)).collect();
    loop {
        let context = ascii_json(&serde_json::to_string(&Context { custom: custom.clone() }).ok()?)?;
        if context.len() <= LARGEST_CONTEXT {
            return Some(context);
        }
        let longest = *custom.iter().max_by_key(|(_, value)| value.len())?.0;
        tracing::warn!(
            attribute = longest,
            "the event's attributes do not fit a client context: one is left out"
        );
        custom.remove(longest);
    }
}

/// An answer that is no function's: it has a `message`, and no `errorType`, by which callers tell the two apart.
fn refused(status: StatusCode, message: &str) -> Answer {
    #[derive(Serialize)]
    struct Message<'a> {
        message: &'a str,
    }
    json(status, serde_json::to_vec(&Message { message }).expect("a string is always JSON"))
}

fn no_event(error: &cloudevent::Error) -> Answer {
    let status = match error {
        cloudevent::Error::Batched | cloudevent::Error::Format(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    let remedy = match error {
        cloudevent::Error::NotACloudEvent => "; `--http-events 2.0` takes plain HTTP to the function",
        _ => "",
    };
    refused(status, &format!("{error}{remedy}"))
}

fn too_large() -> Answer {
    refused(StatusCode::PAYLOAD_TOO_LARGE, &format!("the event's data is larger than {LARGEST_EVENT} bytes"))
}

fn saturated() -> Answer {
    retry_later(refused(StatusCode::TOO_MANY_REQUESTS, "every process is busy and the queue is full"))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(attributes: &[(&str, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")] {
            headers.insert(HeaderName::try_from(format!("ce-{name}")).unwrap(), header(value));
        }
        for (name, value) in attributes {
            headers.insert(HeaderName::try_from(format!("ce-{name}")).unwrap(), header(value));
        }
        headers
    }

    fn told(attributes: &[(&str, String)]) -> HeaderValue {
        let headers = headers(attributes);
        let received = Mode::Binary.receive(&headers, bytes::Bytes::new()).unwrap();
        context(&received).unwrap()
    }

    #[test]
    fn attributes_become_strings_in_ascii() {
        let told = told(&[("subject", "%E2%82%AC".into()), ("count", "7".into())]);
        let expected = r#"{"custom":{"count":"7","id":"1","source":"/s","subject":"\u20ac","type":"t"}}"#;
        assert_eq!(told, expected);
    }

    #[test]
    fn attributes_that_do_not_fit_are_left_out_the_longest_first() {
        let told = told(&[("large", "x".repeat(LARGEST_CONTEXT)), ("small", "y".repeat(9000))]);
        let told = told.to_str().unwrap();
        assert!(told.contains("yyy") && !told.contains("large"), "{} bytes", told.len());
    }
}
