//! Lambda's Invoke API: Invoke, InvokeWithResponseStream, and the InvokeAsync of old.

mod address;
mod exception;
mod response_stream;

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use hyper::body::Body;

use self::exception::Exception;
use super::{FUNCTION_ERROR, REQUEST_ID, check_json, header, new_id, or_empty};
use crate::{
    arrival::{self, Refused},
    flight::Place,
    function::Function,
    invocation::{Invocation, LARGEST_ASYNC_EVENT, LARGEST_EVENT, Outcome, ascii_json},
    serve::{Answer, discard, empty, json},
    trace,
};

const LARGEST_CLIENT_CONTEXT: usize = 3583;
const LONGEST_TENANT: usize = 256;
/// What InvokeAsync takes, which nobody raised when Event invocations got more.
const LARGEST_OLD_EVENT: usize = 262_144;
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const REMAPPED_LENGTH: HeaderName = HeaderName::from_static("x-amzn-remapped-content-length");

/// A caller within this program may say what the invocation is to be known by: a UUID, in the request's extensions.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// A call by its path: the operation, and the function's name as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call<'a> {
    Invoke(&'a str),
    InvokeAsync(&'a str),
    InvokeWithResponseStream(&'a str),
}

impl<'a> Call<'a> {
    /// The call a path means, if it is one of this API's.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let name = |version: &str, operation: &str| {
            let name = path.strip_prefix(version)?.strip_suffix(operation)?;
            (!name.is_empty() && !name.contains('/')).then_some(name)
        };
        name("/2015-03-31/functions/", "/invocations")
            .map(Self::Invoke)
            .or_else(|| name("/2014-11-13/functions/", "/invoke-async").map(Self::InvokeAsync))
            // Older SDKs end it in a slash.
            .or_else(|| name("/2014-11-13/functions/", "/invoke-async/").map(Self::InvokeAsync))
            .or_else(|| {
                let name = name("/2021-11-15/functions/", "/response-streaming-invocations")?;
                Some(Self::InvokeWithResponseStream(name))
            })
    }

    fn name(self) -> &'a str {
        match self {
            Self::Invoke(name) | Self::InvokeAsync(name) | Self::InvokeWithResponseStream(name) => name,
        }
    }
}

/// Answers one call.
pub(super) async fn answer(
    function: &Arc<Function>,
    call: Call<'_>,
    head: &Parts,
    body: impl Body<Data = Bytes> + Unpin,
) -> Answer {
    let id = head.extensions.get().map_or_else(new_id, |RequestId(id)| Arc::from(id.as_str()));
    let trace = trace::of(&head.headers, None);
    let (request_id, traced) = (header(&id), trace.clone());
    let result = match checked(function, call, head, id, trace) {
        Ok(asked) => asked.perform(function, call, body).await,
        Err(exception) => {
            discard(body).await;
            Err(exception)
        }
    };
    let mut answer = result.unwrap_or_else(|exception| exception.answer());
    let headers = answer.headers_mut();
    headers.insert(REQUEST_ID, request_id);
    trace::tell(headers, traced);
    headers.insert(REMAPPED_LENGTH, HeaderValue::from_static("0"));
    answer
}

/// A call whose head is in order: the invocation it asks for, without its payload.
struct Asked {
    kind: Kind,
    invocation: Invocation,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

impl Asked {
    async fn perform(
        self,
        function: &Arc<Function>,
        call: Call<'_>,
        body: impl Body<Data = Bytes> + Unpin,
    ) -> Result<Answer, Exception> {
        if self.kind == Kind::DryRun {
            discard(body).await;
            return Ok(empty(StatusCode::NO_CONTENT));
        }
        let limit = match (call, self.kind) {
            (Call::InvokeAsync(_), _) => LARGEST_OLD_EVENT,
            (_, Kind::Event) => LARGEST_ASYNC_EVENT,
            _ => LARGEST_EVENT,
        };
        let (place, payload) = payload(function, body, limit).await?;
        let invocation = Invocation { payload, ..self.invocation };
        match (call, self.kind) {
            (Call::InvokeAsync(_), _) => {
                function.invoke_later(place, invocation);
                Ok(json(StatusCode::ACCEPTED, &b"{\"Status\":202}"[..]))
            }
            (_, Kind::Event) => {
                function.invoke_later(place, invocation);
                Ok(empty(StatusCode::ACCEPTED))
            }
            (Call::InvokeWithResponseStream(_), _) => {
                response_stream::answer(function, place, invocation).await
            }
            _ => invoke(function, place, invocation).await,
        }
    }
}

async fn payload(
    function: &Function,
    body: impl Body<Data = Bytes> + Unpin,
    limit: usize,
) -> Result<(Place, Bytes), Exception> {
    let received = arrival::receive(function, body, limit).await;
    let (place, payload) = received.map_err(|refused| match refused {
        Refused::Unread(unread) => Exception::unread(unread, limit),
        Refused::Saturated => Exception::throttled(),
    })?;
    let payload = or_empty(payload);
    check_json(&payload)
        .map_err(|why| Exception::content(format!("Could not parse request body into json: {why}")))?;
    Ok((place, payload))
}

/// 200 whatever came of it: a header says whether the function failed.
async fn invoke(function: &Arc<Function>, place: Place, invocation: Invocation) -> Result<Answer, Exception> {
    let done = function.invoke(place, invocation).await.map_err(|_| Exception::throttled())?;
    if matches!(done.outcome, Outcome::CutOff(_)) {
        return Err(Exception::cut_off());
    }
    let (body, failed) = reply(done.outcome);
    let mut answer = json(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.insert(EXECUTED_VERSION, function.version.clone());
    if failed {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }
    if let Some(tail) = done.tail {
        headers.insert(HeaderName::from_static("x-amz-log-result"), header(&BASE64_STANDARD.encode(tail)));
    }
    Ok(answer)
}

/// The reply or the error document, and whether it is the latter.
fn reply(outcome: Outcome) -> (Bytes, bool) {
    match outcome {
        Outcome::Replied(reply) => (reply, false),
        Outcome::Failed(document)
        | Outcome::TimedOut(document)
        | Outcome::Lost(document)
        | Outcome::CutOff(document) => (document, true),
    }
}

/// What can be said about a call before its body is read.
fn checked(
    function: &Function,
    call: Call<'_>,
    head: &Parts,
    id: Arc<str>,
    trace: HeaderValue,
) -> Result<Asked, Exception> {
    let headers = &head.headers;
    if head.method != Method::POST {
        return Err(Exception::method());
    }
    let arn = address::arn(function, call.name(), head.uri.query())?;
    let kind = kind(call, headers)?;
    let tail = match text(headers, "x-amz-log-type") {
        None | Some("None") => false,
        Some("Tail") => kind == Kind::RequestResponse,
        Some(_) => return Err(Exception::parameter("X-Amz-Log-Type: expected None or Tail")),
    };
    let tenant = headers.get("x-amz-tenant-id").cloned();
    let fits = |tenant: &HeaderValue| (1..=LONGEST_TENANT).contains(&tenant.len()) && tenant.to_str().is_ok();
    if !tenant.as_ref().is_none_or(fits) {
        let expected = format!("X-Amz-Tenant-Id: expected 1 to {LONGEST_TENANT} characters of ASCII");
        return Err(Exception::parameter(expected));
    }
    // Heard of synchronous invocations only.
    let client_context = if kind == Kind::RequestResponse { client_context(headers)? } else { None };
    let payload = Bytes::new();
    let invocation = Invocation { id, payload, arn, trace, client_context, tenant, tail, stream: None };
    Ok(Asked { kind, invocation })
}

fn kind(call: Call<'_>, headers: &HeaderMap) -> Result<Kind, Exception> {
    match (call, text(headers, "x-amz-invocation-type")) {
        (Call::InvokeAsync(_), _) | (Call::Invoke(_), Some("Event")) => Ok(Kind::Event),
        (_, None | Some("RequestResponse")) => Ok(Kind::RequestResponse),
        (_, Some("DryRun")) => Ok(Kind::DryRun),
        (Call::Invoke(_), Some(_)) => {
            Err(Exception::parameter("X-Amz-Invocation-Type: expected RequestResponse, Event or DryRun"))
        }
        (_, Some(_)) => {
            Err(Exception::parameter("X-Amz-Invocation-Type: expected RequestResponse or DryRun"))
        }
    }
}

/// The caller's client context, decoded.
fn client_context(headers: &HeaderMap) -> Result<Option<HeaderValue>, Exception> {
    let Some(encoded) = headers.get("x-amz-client-context") else { return Ok(None) };
    let wrong = || Exception::content("Client context must be a valid Base64-encoded JSON object.");
    if encoded.len() > LARGEST_CLIENT_CONTEXT {
        return Err(Exception::parameter(format!(
            "X-Amz-Client-Context: expected at most {LARGEST_CLIENT_CONTEXT} bytes, got {}",
            encoded.len()
        )));
    }
    let decoded = BASE64_STANDARD.decode(encoded).map_err(|_| wrong())?;
    let json = String::from_utf8(decoded).map_err(|_| wrong())?;
    check_json(json.as_bytes()).map_err(|_| wrong())?;
    if !json.trim_start().starts_with('{') {
        return Err(wrong());
    }
    Ok(ascii_json(&json))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
