//! A reply that goes out as the function makes it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use tokio::sync::mpsc;

use super::{
    failed,
    reply::{self, SEPARATOR, Unfit},
    throttled,
};
use crate::{
    body::{Body, Cut},
    flight::{Place, Saturated},
    function::Function,
    invocation::{Done, Invocation, Outcome},
    serve::{Answer, empty},
    stream::{self, Part},
};

/// Parts that may wait for the caller to read on. Each is as large as what the function wrote at once.
const PARTS: usize = 2;
/// What a function may say before its body begins.
const LARGEST_HEAD: usize = 64 * 1024;
/// The content type of a stream that begins with its status and headers.
const WITH_HEAD: &str = "application/vnd.awslambda.http-integration-response";

/// Answers as soon as the function has said how its stream is to be answered, or is done without one.
pub(super) async fn answer(function: &Arc<Function>, place: Place, mut invocation: Invocation) -> Answer {
    let id = Arc::clone(&invocation.id);
    let (sender, mut parts) = stream::channel();
    invocation.stream = Some(sender);
    let function = Arc::clone(function);
    let invoking = Box::pin(async move { function.invoke(place, invocation).await });
    let (first, told) = stream::first(&mut parts, invoking).await;
    let Some(Part::Head(kind)) = first else { return whole(&id, told.await) };
    let (status, headers, begun) = match begin(kind, &mut parts).await {
        Ok(Some(begun)) => begun,
        // It failed before it had said anything.
        Ok(None) => return whole(&id, told.await),
        Err(unfit) => return unusable(&id, unfit),
    };
    let (sender, body) = mpsc::channel(PARTS);
    tokio::spawn(async move {
        if pass_on(begun, &mut parts, &sender).await.is_err() {
            // The caller has gone. The function runs to its end all the same.
            return;
        }
        if !matches!(told.await, Ok(Done { outcome: Outcome::Replied(_), .. })) {
            // Its status is out; all that is left to tell the caller is that there is no end.
            let _ = sender.send(Err(Cut)).await;
        }
    });
    let mut answer = empty(status);
    *answer.body_mut() = Body::Parts(body);
    *answer.headers_mut() = headers;
    answer
}

/// A reply that was not streamed.
pub(super) fn whole(id: &str, done: Result<Done, Saturated>) -> Answer {
    match done {
        Err(Saturated) => throttled(),
        Ok(Done { outcome: Outcome::Replied(reply), .. }) => {
            reply::to_http(&reply).unwrap_or_else(|unfit| unusable(id, unfit))
        }
        // What went wrong is the owner's to know, not the visitor's.
        Ok(Done { .. }) => failed(),
    }
}

fn unusable(id: &str, unfit: Unfit) -> Answer {
    tracing::warn!(request = id, %unfit, "the function's reply is no HTTP answer");
    failed()
}

type Begun = (StatusCode, HeaderMap, Bytes);

/// Reads a stream's own head, if it has one: the status, the headers, and the beginning of the body. Nothing, if the
/// stream ends before.
async fn begin(kind: Option<HeaderValue>, parts: &mut stream::Receiver) -> Result<Option<Begun>, Unfit> {
    if kind.as_ref().is_none_or(|kind| kind != WITH_HEAD) {
        let kind = kind.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        return Ok(Some((StatusCode::OK, headers, Bytes::new())));
    }
    let mut seen = BytesMut::new();
    loop {
        if let Some(at) = reply::separator(&seen) {
            let (status, mut headers) = reply::head(&seen[..at])?;
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            headers.remove(CONTENT_LENGTH);
            return Ok(Some((status, headers, seen.split_off(at + SEPARATOR.len()).freeze())));
        }
        if seen.len() > LARGEST_HEAD {
            return Err(Unfit::Headers);
        }
        match parts.recv().await {
            Some(Part::Data(data)) => seen.extend_from_slice(&data),
            Some(Part::Head(_)) => {}
            None => return Ok(None),
        }
    }
}

async fn pass_on(
    begun: Bytes,
    parts: &mut stream::Receiver,
    sender: &mpsc::Sender<Result<Bytes, Cut>>,
) -> Result<(), mpsc::error::SendError<Result<Bytes, Cut>>> {
    if !begun.is_empty() {
        sender.send(Ok(begun)).await?;
    }
    while let Some(part) = parts.recv().await {
        if let Part::Data(data) = part
            && !data.is_empty()
        {
            sender.send(Ok(data)).await?;
        }
    }
    Ok(())
}
