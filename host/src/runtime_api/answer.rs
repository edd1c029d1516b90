//! What a process answers an invocation with, and what its caller gets of it.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::value::RawValue;

use super::{Fault, INVOCATION_ID, TRUNCATED, accepted, refuse, text};
use crate::{
    exchange::{Answer, Exchange, Refusal},
    invocation::{LARGEST_REPLY, LARGEST_STREAM, document},
    serve::{self, Unread},
    stream::{self, Part},
};

const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

pub(super) async fn response(
    exchange: &Arc<Exchange>,
    id: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> serve::Answer {
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
        (None | Some("streaming"), _) => serve::read(body, LARGEST_REPLY).await.map_or_else(
            |unread| Err((unread, LARGEST_REPLY)),
            |(bytes, trailers)| Ok(streamed_error(&trailers).unwrap_or(Answer::Response(bytes))),
        ),
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
    answer(exchange, id, attempt, reply).await
}

/// What became of reading an answer: where it could not be, why, and how large it might have been.
type Read = Result<Answer, (Unread, usize)>;

/// Hands over what the process answered, or what its caller gets instead. The client is told that all is well: at a refusal
/// most end, and where one process has many invocations in hand it would take the others with it. (Lambda answers 413 and 400.)
async fn answer(exchange: &Arc<Exchange>, id: &str, attempt: Option<&str>, read: Read) -> serve::Answer {
    accepted(match read {
        Ok(answer) => exchange.answer(id, attempt, answer),
        Err((Unread::TooLarge, limit)) => exchange.answer(id, attempt, too_large(limit)),
        Err((Unread::Truncated | Unread::TooSlow, _)) => {
            let instead = platform_error("Runtime.TruncatedResponse", TRUNCATED);
            exchange.cut_off(id, attempt, instead).await
        }
    })
}

/// Passes a reply on as it comes.
async fn pass_on(mut body: Incoming, kind: Option<HeaderValue>, stream: stream::Sender) -> Read {
    let mut passed = 0;
    // A caller that has gone is no reason to stop the function: on Lambda it runs to its end too.
    let _ = stream.send(Part::Head(kind)).await;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (Unread::Truncated, LARGEST_STREAM))?;
        match frame.into_data() {
            Ok(data) if passed + data.len() > LARGEST_STREAM => {
                serve::discard(body).await;
                return Err((Unread::TooLarge, LARGEST_STREAM));
            }
            Ok(data) => {
                passed += data.len();
                let _ = stream.send(Part::Data(data)).await;
            }
            Err(other) => {
                let trailers = other.into_trailers().unwrap_or_default();
                if let Some(error) = streamed_error(&trailers) {
                    return Ok(error);
                }
            }
        }
    }
    Ok(Answer::Streamed(passed))
}

pub(super) async fn error(
    exchange: &Arc<Exchange>,
    id: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> serve::Answer {
    let attempt = text(headers, INVOCATION_ID);
    if let Err(refusal) = exchange.expects(id, attempt) {
        serve::discard(body).await;
        return refuse(refusal);
    }
    let read = match serve::read(body, LARGEST_REPLY).await {
        Ok((bytes, _)) => Ok(Answer::Error(error_type(text(headers, ERROR_TYPE)), posted(headers, bytes))),
        Err(unread) => Err((unread, LARGEST_REPLY)),
    };
    answer(exchange, id, attempt, read).await
}

/// The error document as the caller gets it: the bytes the function posted, less the X-Ray cause that some carry.
pub(super) fn posted(headers: &HeaderMap, bytes: Bytes) -> Bytes {
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

fn platform_error(kind: &str, message: &str) -> Answer {
    Answer::Invalid(kind.to_owned(), document(kind, message))
}

fn too_large(limit: usize) -> Answer {
    let message = format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).");
    platform_error("Function.ResponseSizeTooLarge", &message)
}
