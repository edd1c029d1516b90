//! Invoke, InvokeWithResponseStream, and the InvokeAsync of old.
//!
//! What is to be answered at once runs in the [fleet](crate::fleet); an event goes to the queue, and its caller hears so when
//! it is safe there. The queue and the mappings come back in by [`Api::invoke`].

mod call;
mod payload;
mod runs;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, Request, StatusCode},
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use klr_host::{RequestId, complete_trace};
use uuid::Uuid;

use self::call::{Asked, Kind, Operation};
use super::{
    Api, Code, Error,
    answer::{Answer, REQUEST_ID},
    body::{LARGEST, Query},
    function::{self, Resolved},
    name::{Form, Name},
};
use crate::queue::{self, Event};

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/2015-03-31/functions/{function}/invocations", route(Operation::Invoke))
        .route("/2014-11-13/functions/{function}/invoke-async", route(Operation::InvokeAsync))
        .route("/2021-11-15/functions/{function}/response-streaming-invocations", route(Operation::Stream))
        // Of a request nobody checked the size of yet.
        .layer(DefaultBodyLimit::max(LARGEST))
}

/// X-Ray's header.
const TRACE: &str = "x-amzn-trace-id";

type Payload = Result<Bytes, axum::extract::rejection::BytesRejection>;

fn route(operation: Operation) -> MethodRouter<Arc<Api>> {
    let answered = move |State(api): State<Arc<Api>>,
                         Path(function): Path<String>,
                         query: Query,
                         headers: HeaderMap,
                         payload: Payload| async move {
        answer(&api, operation, &function, &query, &headers, payload).await
    };
    post(answered)
}

async fn answer(
    api: &Arc<Api>,
    operation: Operation,
    function: &str,
    query: &Query,
    headers: &HeaderMap,
    payload: Payload,
) -> Answer {
    let asked = Asked::read(operation, headers)?;
    let name =
        Name::parse(function, query.qualifier(), Form::Namespaced, operation.action(), api.identity())?;
    let payload = payload.map_err(|_| asked.too_large(LARGEST + 1))?;
    let resolved = function::resolve(api, &name)?;
    asked.check(&payload)?;
    let id = Uuid::new_v4();
    match asked.kind {
        Kind::DryRun => Ok(StatusCode::NO_CONTENT.into_response()),
        Kind::Event => {
            let trace = complete_trace(headers.get(TRACE));
            let queue = api.queue.get().ok_or_else(missing_part)?;
            // An event without one is an empty object.
            let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
            let traced = trace.to_str().ok().map(str::to_owned);
            queue.accept(Event { trace: traced, ..Event::new(id, resolved.arn, payload) }).await?;
            Ok(accepted(id, trace))
        }
        Kind::RequestResponse => run(api, operation, &name, resolved, id, headers, payload).await,
    }
}

/// Not accepted: the caller is to try again, later or smaller.
impl From<queue::Error> for Error {
    fn from(error: queue::Error) -> Self {
        if let queue::Error::Full { .. } = error {
            tracing::warn!(%error, "an event is not taken");
            return Self::new(Code::TooManyRequests, "Rate Exceeded.")
                .with("Reason", "CallerRateLimitExceeded");
        }
        tracing::error!(%error, "an event is not taken");
        Self::new(Code::Service, "An error occurred and the request cannot be processed.")
    }
}

/// 202, known by the id and the trace the function will be told.
fn accepted(id: Uuid, trace: HeaderValue) -> Response {
    let mut answer = StatusCode::ACCEPTED.into_response();
    let headers = answer.headers_mut();
    if let Ok(id) = id.to_string().parse() {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(TRACE, trace);
    headers.insert("x-amzn-remapped-content-length", HeaderValue::from_static("0"));
    answer
}

/// Runs it, and answers what it answers.
async fn run(
    api: &Api,
    operation: Operation,
    name: &Name,
    resolved: Resolved,
    id: Uuid,
    headers: &HeaderMap,
    payload: Bytes,
) -> Answer {
    let mut request = Request::post(operation.path(name)).extension(RequestId(id.to_string()));
    for known in ["x-amz-log-type", "x-amz-client-context"] {
        if let Some(value) = headers.get(known) {
            request = request.header(known, value);
        }
    }
    request = request.header(TRACE, complete_trace(headers.get(TRACE)));
    // The name was parsed, so it is a path.
    let request = request.body(payload).map_err(|_| Error::invalid("FunctionName"))?;
    pass_on(api, &resolved, request).await
}

/// Has the function, or the version it is this time, answer.
pub(super) async fn pass_on(api: &Api, resolved: &Resolved, request: Request<Bytes>) -> Answer {
    let fleet = api.fleet.get().ok_or_else(missing_part)?;
    // Any number from 0 up to 1, the same bits an id is made of.
    let draw = f64::from(u32::try_from(Uuid::new_v4().as_u128() >> 96).unwrap_or_default()) / 2_f64.powi(32);
    let version = runs::version(api, resolved, draw);
    settled(api, &version).await;
    // It may have been changed or deleted meanwhile: the fleet is not to have it back as it was.
    let version = function::version(api, &version.function, &version.qualifier())
        .ok_or_else(|| Error::not_found(format!("Function not found: {}", resolved.arn)))?;
    Ok(fleet.invoke(&runs::spec(api, &version), request).await)
}

/// Waits until a version that is being created is there. AWS does so for most; for some it refuses meanwhile.
async fn settled(api: &Api, version: &function::Version) {
    let left = version.active_from.duration_since(api.now());
    if let Ok(left) = Duration::try_from(left) {
        tokio::time::sleep(left).await;
    }
}

/// The API was opened without what runs functions.
fn missing_part() -> Error {
    Error::new(Code::Service, "Functions are not run here: expected an API with a fleet and a queue.")
}

impl Api {
    /// What is deleted runs no more, once it is done with what it has.
    pub(super) fn retire(&self, deleted: &Name) {
        if let Some(fleet) = self.fleet.get() {
            fleet.retire(&deleted.function, deleted.qualifier.as_deref());
        }
    }

    /// Starts what is provisioned of a version before anybody calls.
    pub(super) fn prepare(&self, version: &function::Version) {
        if let Some(fleet) = self.fleet.get() {
            fleet.prepare(&runs::spec(self, version));
        }
    }

    /// Invokes a function by its name or ARN, with a qualifier or without, as the Invoke API would be answered: what the queue
    /// and the mappings come in by. `id` is what the function knows the invocation by.
    pub async fn invoke(
        &self,
        target: &str,
        id: Uuid,
        trace: Option<&str>,
        payload: Bytes,
    ) -> Response<Body> {
        let mut headers = HeaderMap::new();
        if let Some(trace) = trace.and_then(|trace| HeaderValue::from_str(trace).ok()) {
            headers.insert(TRACE, trace);
        }
        let answer = async {
            let name =
                Name::parse(target, None, Form::Namespaced, Operation::Invoke.action(), self.identity())?;
            let resolved = function::resolve(self, &name)?;
            run(self, Operation::Invoke, &name, resolved, id, &headers, payload).await
        };
        answer.await.into_response()
    }
}

#[cfg(test)]
mod tests;
