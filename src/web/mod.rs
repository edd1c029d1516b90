//! The admin port: is it alive, is it ready, how much has it done, what does it run. Read-only.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    mapping::{Board, Entry},
    metrics::Metrics,
};

/// What functions there are, as `/functions` tells of them.
pub type Functions = Box<dyn Fn() -> Vec<Value> + Send + Sync>;

/// What the admin port tells of.
pub struct Admin {
    /// Every mapping, those that are not to run as well, and every push trigger.
    pub mappings: Arc<Board>,
    /// The functions that run here, asked anew each time.
    pub functions: Functions,
    /// All figures.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process begins to drain.
    pub stop: CancellationToken,
}

/// `/healthz`, `/readyz`, `/metrics`, `/mappings`, `/functions`, and what `more` has: on loopback alone, since it shows what functions write
/// and changes what waits for them. `address` is where it is served.
pub fn router(admin: Admin, more: Router, address: SocketAddr) -> Router {
    let more = if address.ip().is_loopback() { more } else { Router::new() };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/mappings", get(mappings))
        .route("/functions", get(functions))
        .with_state(Arc::new(admin))
        .merge(more);
    for_local_tools(router, address)
}

/// Keeps web pages out of what is served at `address`: requests with an `Origin`, on loopback those for a foreign `Host`.
pub(crate) fn for_local_tools(router: Router, address: SocketAddr) -> Router {
    let loopback = address.ip().is_loopback();
    router.layer(middleware::from_fn(move |request: Request, next: Next| local(loopback, request, next)))
}

/// What was begun is finished, also where its caller hangs up meanwhile: the server drops a handler then, between a change that is
/// durable and what is to follow from it.
pub(crate) async fn to_its_end(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process ends.
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
    }
}

/// Ready: every enabled mapping has reached its source once, and we are not draining.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let draining = admin.stop.is_cancelled();
    let ready = !draining && admin.mappings.is_ready();
    let mappings: Vec<_> = admin
        .mappings
        .all()
        .iter()
        .map(|Entry { status, .. }| {
            let (state, reason) = status.state(draining);
            json!({
                "name": status.name,
                "ready": status.is_ready(),
                "state": state,
                "stateTransitionReason": reason,
                "lastProcessingResult": status.last_processing_result(),
            })
        })
        .collect();
    let body = json!({ "ready": ready, "draining": draining, "mappings": mappings });
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// Every mapping: the resource, where it came from, how it is. What `klr mappings` and `klr export` read.
async fn mappings(State(admin): State<Arc<Admin>>) -> Response {
    let draining = admin.stop.is_cancelled();
    let mapping = |Entry { status, origin, written, .. }: &Entry| {
        let (state, reason) = status.state(draining);
        Some(json!({
            "name": status.name,
            "origin": origin,
            "state": state,
            "stateTransitionReason": reason,
            "lastProcessingResult": status.last_processing_result(),
            "resource": written.as_deref()?,
        }))
    };
    let mappings: Vec<_> = admin.mappings.all().iter().filter_map(mapping).collect();
    ([(header::CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "mappings": mappings })))
        .into_response()
}

/// Every function. What `klr functions` reads.
async fn functions(State(admin): State<Arc<Admin>>) -> Response {
    let functions = (admin.functions)();
    ([(header::CONTENT_TYPE, "application/json")], format!("{}\n", json!({ "functions": functions })))
        .into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A page could otherwise reach us by a name of its own that it lets point here.
async fn local(loopback: bool, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name =
        host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let foreign = loopback && !matches!(name, "" | "localhost" | "127.0.0.1" | "[::1]");
    if foreign || headers.contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "this port is for local tools, not for web pages\n").into_response();
    }
    next.run(request).await
}
