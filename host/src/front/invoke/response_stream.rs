//! InvokeWithResponseStream: a reply that goes out as the function makes it.
//!
//! AWS slows a stream to 2 MiB/s after its first 6 MiB. Nothing is slowed here: whoever pays for the bandwidth sets its
//! limits.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{EXECUTED_VERSION, Exception, reply};
use crate::{
    body::{Body, Cut},
    eventstream,
    flight::Place,
    function::Function,
    invocation::{Done, Invocation, Outcome},
    serve::{Answer, empty},
    stream::{self, Part},
};

/// Messages that may wait for the caller to read on. Each is as large as what the function wrote at once.
const MESSAGES: usize = 2;
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");

/// Answers as soon as the function streams, or is done without.
pub(super) async fn answer(
    function: &Arc<Function>,
    place: Place,
    mut invocation: Invocation,
) -> Result<Answer, Exception> {
    let (sender, mut parts) = stream::channel();
    invocation.stream = Some(sender);
    let (version, function) = (function.version.clone(), Arc::clone(function));
    let invoking = Box::pin(async move { function.invoke(place, invocation).await });
    let (first, told) = stream::first(&mut parts, invoking).await;
    if first.is_none() {
        return whole(told.await.map_err(|_| Exception::throttled())?, version);
    }
    let (messages, body) = mpsc::channel(MESSAGES);
    tokio::spawn(async move {
        if pass_on(&mut parts, &messages).await.is_err() {
            // The caller has gone. The function runs to its end all the same.
            return;
        }
        if let Ok(done) = told.await {
            let (document, failed) = reply(done.outcome);
            let complete = Complete::of(failed.then_some(&document), done.tail);
            let _ = messages.send(Ok(complete.message())).await;
        }
    });
    Ok(answered(Body::Parts(body), version))
}

async fn pass_on(
    parts: &mut stream::Receiver,
    messages: &mpsc::Sender<Result<Bytes, Cut>>,
) -> Result<(), mpsc::error::SendError<Result<Bytes, Cut>>> {
    while let Some(part) = parts.recv().await {
        match part {
            Part::Data(data) if !data.is_empty() => messages.send(Ok(chunk(&data))).await?,
            Part::Data(_) | Part::Head(_) => {}
        }
    }
    Ok(())
}

/// A reply that was not streamed is one chunk.
fn whole(done: Done, version: HeaderValue) -> Result<Answer, Exception> {
    if matches!(done.outcome, Outcome::CutOff(_)) {
        return Err(Exception::cut_off());
    }
    let (reply, failed) = reply(done.outcome);
    let complete = Complete::of(failed.then_some(&reply), done.tail).message();
    let body =
        if failed || reply.is_empty() { complete } else { [&chunk(&reply)[..], &complete].concat().into() };
    Ok(answered(Body::Whole(body), version))
}

fn answered(body: Body, version: HeaderValue) -> Answer {
    let mut answer = empty(StatusCode::OK);
    *answer.body_mut() = body;
    answer.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
    answer.headers_mut().insert(EXECUTED_VERSION, version);
    answer
}

fn chunk(payload: &[u8]) -> Bytes {
    eventstream::event("PayloadChunk", "application/octet-stream", payload)
}

/// The last message. What it has no member for went well.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Complete {
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_details: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_result: Option<String>,
}

impl Complete {
    fn of(error: Option<&Bytes>, tail: Option<Vec<u8>>) -> Self {
        Self {
            error_code: error.map(|document| error_type(document)),
            error_details: error.map(|document| String::from_utf8_lossy(document).into_owned()),
            log_result: tail.map(|tail| BASE64_STANDARD.encode(tail)),
        }
    }

    fn message(&self) -> Bytes {
        let json = serde_json::to_vec(self).expect("strings are always JSON");
        eventstream::event("InvokeComplete", "application/json", &json)
    }
}

/// The type an error document names.
fn error_type(document: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        error_type: String,
    }
    serde_json::from_slice(document).map_or_else(|_| "Unhandled".to_owned(), |it: Document| it.error_type)
}
