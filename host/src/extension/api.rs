//! The wire of the Extensions API.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    registry::{Refusal, Registry},
    shutdown::epoch_ms,
};
use crate::{
    invocation::{Invocation, document},
    serve::{self, Answer, empty, json},
    telemetry::event::Tracing,
};

const NAME: &str = "lambda-extension-name";
const IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-identifier");
const EVENT_IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-event-identifier");
const FEATURES: &str = "lambda-extension-accept-feature";
const ERROR_TYPE: &str = "lambda-extension-function-error-type";
/// More than any call needs.
const LARGEST: usize = 1024 * 1024;

/// What a registration is answered with.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Function {
    pub(crate) function_name: String,
    pub(crate) function_version: String,
    pub(crate) handler: String,
    /// For those who ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account_id: Option<String>,
}

/// Answers one call; `path` is what follows `/2020-01-01/extension/`.
pub(crate) async fn handle(
    registry: &Registry,
    function: &Function,
    path: &str,
    head: &Parts,
    body: Incoming,
) -> Answer {
    let answer = match (&head.method, path) {
        (&Method::POST, "register") => register(registry, function, &head.headers, body).await,
        (&Method::GET, "event/next") => next(registry, &head.headers).await,
        (&Method::POST, "init/error") => error(registry, &head.headers, body, Registry::init_error).await,
        (&Method::POST, "exit/error") => error(registry, &head.headers, body, Registry::exit_error).await,
        _ => return empty(StatusCode::NOT_FOUND),
    };
    answer.unwrap_or_else(|refusal| refusal.answer())
}

/// What extensions are told of an invocation.
pub(crate) fn invoke(invocation: &Invocation, deadline: Instant) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Invoke<'a> {
        event_type: &'static str,
        deadline_ms: u64,
        request_id: &'a str,
        invoked_function_arn: &'a str,
        tracing: Option<Tracing<'a>>,
    }
    let event = Invoke {
        event_type: "INVOKE",
        deadline_ms: epoch_ms(deadline),
        request_id: &invocation.id,
        invoked_function_arn: invocation.arn.to_str().unwrap_or_default(),
        tracing: invocation.trace.to_str().ok().and_then(Tracing::of),
    };
    serde_json::to_vec(&event).expect("strings and numbers are always JSON").into()
}

/// Who calls: the identifier it was given, and its name.
pub(crate) fn identify(registry: &Registry, headers: &HeaderMap) -> Result<(Uuid, String), Refusal> {
    let given = headers.get(IDENTIFIER).filter(|value| !value.is_empty()).ok_or(Refusal::NoIdentifier)?;
    let id = given.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Refusal::InvalidIdentifier)?;
    Ok((id, registry.name(id)?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    /// Go's client sends `null` for none.
    #[serde(default)]
    events: Option<Vec<String>>,
    #[serde(default)]
    configuration_keys: Option<Vec<String>>,
}

async fn register(
    registry: &Registry,
    function: &Function,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let read = serve::read(body, LARGEST).await;
    let name = text(headers, NAME).filter(|name| !name.is_empty()).ok_or(Refusal::NoName)?;
    let (body, _) = read.map_err(|_| Refusal::InvalidRequest("the body is too large or cut off".into()))?;
    let asked: Registration =
        serde_json::from_slice(&body).map_err(|error| Refusal::InvalidRequest(error.to_string()))?;
    if asked.configuration_keys.is_some_and(|keys| !keys.is_empty()) {
        let why = "configurationKeys are deprecated; use environment variables instead";
        return Err(Refusal::InvalidRequest(why.into()));
    }
    let id = registry.register(name, &asked.events.unwrap_or_default())?;
    tracing::debug!(extension = name, "an extension registered");
    let mut function = function.clone();
    let features = text(headers, FEATURES).unwrap_or_default();
    if !features.split(',').any(|feature| feature.trim() == "accountId") {
        function.account_id = None;
    }
    let body = serde_json::to_vec(&function).expect("strings are always JSON");
    let mut answer = json(StatusCode::OK, body);
    answer.headers_mut().insert(IDENTIFIER, identifier(id));
    Ok(answer)
}

async fn next(registry: &Registry, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let (id, _) = identify(registry, headers)?;
    let mut answer = json(StatusCode::OK, registry.next(id).await?);
    answer.headers_mut().insert(EVENT_IDENTIFIER, identifier(Uuid::new_v4()));
    Ok(answer)
}

async fn error(
    registry: &Registry,
    headers: &HeaderMap,
    body: Incoming,
    report: fn(&Registry, Uuid, &str) -> Result<(), Refusal>,
) -> Result<Answer, Refusal> {
    // What it says beyond the type is for nobody; AWS keeps it to itself too.
    serve::discard(body).await;
    let (id, _) = identify(registry, headers)?;
    let kind = text(headers, ERROR_TYPE).filter(|kind| !kind.is_empty()).ok_or(Refusal::NoErrorType)?;
    report(registry, id, kind)?;
    Ok(json(StatusCode::ACCEPTED, &b"{\"status\":\"OK\"}"[..]))
}

impl Refusal {
    /// 403, with Lambda's name for it.
    pub(crate) fn answer(&self) -> Answer {
        let kind = match self {
            Self::NoName => "Extension.InvalidExtensionName",
            Self::Closed => "Extension.RegistrationClosed",
            Self::Unknown(_) => "Extension.UnknownExtensionIdentifier",
            Self::NoIdentifier => "Extension.MissingExtensionIdentifier",
            Self::InvalidIdentifier => "Extension.InvalidExtensionIdentifier",
            Self::InvalidState { .. } | Self::NameTaken => "Extension.InvalidExtensionState",
            Self::TooMany => "Extension.TooManyExtensions",
            Self::InvalidEvent(..) => "Extension.InvalidEventType",
            Self::InvalidRequest(_) => "InvalidRequestFormat",
            Self::NoErrorType => "Extension.MissingHeader",
        };
        json(StatusCode::FORBIDDEN, document(kind, &self.to_string()))
    }
}

fn identifier(id: Uuid) -> HeaderValue {
    HeaderValue::from_str(&id.to_string()).expect("a UUID is a header value")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
