//! Lambda's Invoke API.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use uuid::Uuid;

use super::{FUNCTION_ERROR, REQUEST_ID, TRACE_ID, check_json, header, or_empty, retry_later, trace};
use crate::{
    function::Function,
    invocation::{Done, Invocation, LARGEST_ASYNC_EVENT, LARGEST_EVENT, Outcome, VERSION, ascii_json},
    serve::{self, Answer, Unread, discard, empty, json},
};

/// What local emulators call the only function there is; their users' scripts have it in the path.
const EMULATORS_NAME: &str = "function";
const LARGEST_CLIENT_CONTEXT: usize = 3583;

/// The function named by an invocation's path, as it stands there.
pub(super) fn name(path: &str) -> Option<&str> {
    path.strip_prefix("/2015-03-31/functions/")?
        .strip_suffix("/invocations")
        .filter(|name| !name.contains('/'))
}

/// Answers one call.
pub(super) async fn answer(function: &Arc<Function>, name: &str, head: &Parts, body: Incoming) -> Answer {
    let (id, trace) = (Uuid::new_v4().to_string(), trace(&head.headers));
    let result = call(function, name, head, body, &id, &trace).await;
    let mut answer = result.unwrap_or_else(|exception| exception.answer());
    let headers = answer.headers_mut();
    headers.insert(REQUEST_ID, header(&id));
    headers.insert(TRACE_ID, trace);
    headers.insert(HeaderName::from_static("x-amzn-remapped-content-length"), HeaderValue::from_static("0"));
    answer
}

async fn call(
    function: &Arc<Function>,
    name: &str,
    head: &Parts,
    body: Incoming,
    id: &str,
    trace: &HeaderValue,
) -> Result<Answer, Exception> {
    let kind = match checked(function, name, head) {
        Ok(kind) => kind,
        Err(exception) => {
            discard(body).await;
            return Err(exception);
        }
    };
    let Ok(place) = function.admit() else {
        discard(body).await;
        return Err(Exception::throttled());
    };
    let limit = if kind == Kind::Event { LARGEST_ASYNC_EVENT } else { LARGEST_EVENT };
    let payload = match serve::receive(body, limit).await {
        Ok(payload) => or_empty(payload),
        Err(Unread::TooLarge) => return Err(Exception::too_large(limit)),
        Err(Unread::Truncated) => return Err(Exception::content("the request's body was cut off")),
        Err(Unread::TooSlow) => return Err(Exception::content("the request's body took too long")),
    };
    check_json(&payload)
        .map_err(|why| Exception::content(&format!("Could not parse request body into json: {why}")))?;
    if kind == Kind::DryRun {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let invocation = Invocation {
        id: id.to_owned(),
        payload,
        arn: arn(function, head),
        trace: trace.clone(),
        // Both are heard of synchronous invocations only.
        client_context: if kind == Kind::Event { None } else { client_context(&head.headers)? },
        tenant: head.headers.get("x-amz-tenant-id").cloned(),
        tail: kind != Kind::Event && text(&head.headers, "x-amz-log-type") == Some("Tail"),
        stream: None,
    };
    if kind == Kind::Event {
        function.invoke_later(place, invocation);
        return Ok(empty(StatusCode::ACCEPTED));
    }
    let done = function.invoke(place, invocation).await.map_err(|_| Exception::throttled())?;
    Ok(finished(done))
}

/// 200 whatever came of it: a header says whether the function failed.
fn finished(done: Done) -> Answer {
    let (body, failed) = match done.outcome {
        Outcome::Replied(reply) => (reply, false),
        Outcome::Failed(document) | Outcome::TimedOut(document) | Outcome::Lost(document) => (document, true),
    };
    let mut answer = json(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.insert(HeaderName::from_static("x-amz-executed-version"), HeaderValue::from_static(VERSION));
    if failed {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }
    if let Some(tail) = done.tail {
        let encoded = HeaderValue::from_str(&BASE64_STANDARD.encode(tail)).expect("base64 is a header value");
        headers.insert(HeaderName::from_static("x-amz-log-result"), encoded);
    }
    answer
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

/// What can be said about a call before its body is read.
fn checked(function: &Function, name: &str, head: &Parts) -> Result<Kind, Exception> {
    if head.method != Method::POST {
        return Err(Exception::method());
    }
    if !names(function, name) {
        let arn = function.plan.variables.arn();
        return Err(Exception::not_found(&format!("Function not found: {}; this is {arn}", decoded(name))));
    }
    match text(&head.headers, "x-amz-invocation-type") {
        None | Some("RequestResponse") => Ok(Kind::RequestResponse),
        Some("Event") => Ok(Kind::Event),
        Some("DryRun") => Ok(Kind::DryRun),
        Some(_) => {
            Err(Exception::parameter("X-Amz-Invocation-Type: expected RequestResponse, Event or DryRun"))
        }
    }
}

/// Whether the path means our function: `name`, `account:function:name` or an ARN, each with or without `:qualifier`.
fn names(function: &Function, path: &str) -> bool {
    let path = decoded(path);
    let parts: Vec<&str> = path.split(':').collect();
    let name = match parts.as_slice() {
        ["arn", _, "lambda", _, _, "function", name] | ["arn", _, "lambda", _, _, "function", name, _] => {
            name
        }
        [_, "function", name] | [_, "function", name, _] => name,
        [name] | [name, _] => name,
        _ => return false,
    };
    path.len() <= 256 && (*name == function.settings.name || *name == EMULATORS_NAME)
}

fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

/// Our ARN, with the qualifier if the call has one.
fn arn(function: &Function, head: &Parts) -> HeaderValue {
    let arn = function.plan.variables.arn();
    let query = head.uri.query().unwrap_or_default();
    let qualifier = query.split('&').find_map(|pair| pair.strip_prefix("Qualifier="));
    let qualified = qualifier.filter(|q| !q.is_empty()).map(|q| format!("{arn}:{}", decoded(q)));
    qualified.and_then(|arn| HeaderValue::from_str(&arn).ok()).unwrap_or_else(|| header(arn))
}

/// The caller's client context, decoded.
fn client_context(headers: &HeaderMap) -> Result<Option<HeaderValue>, Exception> {
    let Some(encoded) = headers.get("x-amz-client-context") else { return Ok(None) };
    let wrong = || Exception::content("Client context must be a valid Base64-encoded JSON object.");
    if encoded.len() > LARGEST_CLIENT_CONTEXT {
        return Err(Exception::parameter(&format!(
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

/// An error of the service, not of the function.
struct Exception {
    status: StatusCode,
    name: &'static str,
    reason: Option<&'static str>,
    message: String,
}

impl Exception {
    fn new(status: StatusCode, name: &'static str, message: &str) -> Self {
        Self { status, name, reason: None, message: message.to_owned() }
    }

    fn content(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message)
    }

    fn parameter(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message)
    }

    fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "InvalidRequestException", "expected POST")
    }

    fn too_large(limit: usize) -> Self {
        let message = format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message)
    }

    fn throttled() -> Self {
        let throttled =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.");
        Self { reason: Some("ReservedFunctionConcurrentInvocationLimitExceeded"), ..throttled }
    }

    fn answer(&self) -> Answer {
        // AWS spells the member `Message` in this one exception, and `message` in the others it may be here.
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(rename = "Reason", skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
            #[serde(rename = "Type")]
            kind: &'a str,
            #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
            upper: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let message = Some(self.message.as_str());
        let (upper, message) =
            if self.status == StatusCode::NOT_FOUND { (message, None) } else { (None, message) };
        let document = Document { reason: self.reason, kind: "User", upper, message };
        let mut answer = json(self.status, serde_json::to_vec(&document).expect("strings are always JSON"));
        let name = HeaderValue::from_static(self.name);
        answer.headers_mut().insert(HeaderName::from_static("x-amzn-errortype"), name);
        if self.status == StatusCode::TOO_MANY_REQUESTS { retry_later(answer) } else { answer }
    }
}
