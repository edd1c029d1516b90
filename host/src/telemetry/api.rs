//! The wire of both APIs: one call each, of an extension that is known by its identifier.

use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;

use super::{
    Subscribed,
    event::{Event, Subscription as Told},
    subscription::{Api, Subscription},
};
use crate::{
    extension::{self, Registry},
    invocation::document,
    logs::Stream,
    serve::{self, Answer, json},
};

/// More than any subscription needs.
const LARGEST: usize = 64 * 1024;

/// `PUT /2022-07-01/telemetry`.
pub(crate) async fn telemetry(
    registry: &Registry,
    log: &Stream,
    headers: &HeaderMap,
    body: Incoming,
) -> Answer {
    subscribe(Api::Telemetry, registry, log, headers, body).await
}

/// `PUT /2020-08-15/logs`.
pub(crate) async fn logs(registry: &Registry, log: &Stream, headers: &HeaderMap, body: Incoming) -> Answer {
    subscribe(Api::Logs, registry, log, headers, body).await
}

async fn subscribe(
    api: Api,
    registry: &Registry,
    log: &Stream,
    headers: &HeaderMap,
    body: Incoming,
) -> Answer {
    let read = serve::read(body, LARGEST).await;
    let name = match extension::api::identify(registry, headers) {
        Ok((_, name)) => name,
        Err(refusal) => return refusal.answer(),
    };
    let Ok((body, _)) = read else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "ValidationError",
            "the request's body is too large or cut off",
        );
    };
    let asked = match Subscription::parse(api, &body) {
        Ok(asked) => asked,
        Err(invalid) => return refuse(StatusCode::BAD_REQUEST, "ValidationError", &invalid.to_string()),
    };
    let types = asked.types.clone();
    let state = match log.telemetry().subscribe(&name, asked) {
        Subscribed::Now => "Subscribed",
        Subscribed::Already => "Already subscribed",
        Subscribed::Closed => return closed(api),
    };
    let told = Told { name: &name, state, types: &types };
    log.platform(&match api {
        Api::Telemetry => Event::TelemetrySubscription(told),
        Api::Logs => Event::LogsSubscription(told),
    });
    json(StatusCode::OK, &b"\"OK\""[..])
}

fn closed(api: Api) -> Answer {
    let (kind, message) = match api {
        Api::Telemetry => ("Telemetry.SubscriptionClosed", "Telemetry API subscription is closed"),
        Api::Logs => ("Logs.SubscriptionClosed", "Logs API subscription is closed"),
    };
    refuse(StatusCode::FORBIDDEN, kind, message)
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Answer {
    json(status, document(kind, message))
}
