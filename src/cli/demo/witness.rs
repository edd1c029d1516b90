//! Stands between the bridge and the function, and tells what goes by.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use tokio::sync::Notify;

use crate::cli::say;

/// What went by.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub deliveries: AtomicU64,
    pub kafka_records: AtomicU64,
    pub objects: AtomicU64,
    pub failed: AtomicU64,
    pub changed: Notify,
}

pub(super) struct Witness {
    pub client: reqwest::Client,
    pub function: String,
    pub seen: Arc<Seen>,
}

/// Passes every request on to the function, headers and body as they are.
pub(super) fn router(witness: Witness) -> Router {
    Router::new().fallback(post(pass)).with_state(Arc::new(witness))
}

async fn pass(State(witness): State<Arc<Witness>>, mut headers: HeaderMap, body: Bytes) -> Response {
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    let attribute =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let told = (attribute("ce-source"), attribute("ce-type"), attribute("ce-id"));
    let request = witness.client.post(&witness.function).headers(headers).body(body.clone());
    let answer = async {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok::<_, reqwest::Error>((status, headers, response.bytes().await?))
    };
    match answer.await {
        Ok((status, headers, reply)) => {
            witness.tell(told, &body, status, &reply);
            (status, headers, reply).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

impl Witness {
    fn tell(
        &self,
        (source, kind, id): (String, String, String),
        body: &Bytes,
        status: StatusCode,
        reply: &Bytes,
    ) {
        let mut event: Value = serde_json::from_slice(body).unwrap_or_default();
        let (records, objects) = counts(&event);
        let what = if records > 0 { format!("{records} records") } else { format!("{objects} object") };
        let reply = String::from_utf8_lossy(reply);
        say(format_args!("{source}\n  {kind}  id {id}  {what}\n  → {status}  {reply}"));
        let seen = &self.seen;
        let first = match records > 0 {
            true => seen.kafka_records.fetch_add(records, Ordering::Relaxed) == 0,
            false => seen.objects.fetch_add(objects, Ordering::Relaxed) == 0,
        };
        if first {
            shorten(&mut event);
            let pretty = serde_json::to_string_pretty(&event).unwrap_or_default();
            let pretty = indent(&pretty);
            say(format_args!("  the event, as the function sees it (one record of each list):\n{pretty}"));
        }
        seen.deliveries.fetch_add(1, Ordering::Relaxed);
        seen.failed.fetch_add(u64::from(!status.is_success()), Ordering::Relaxed);
        seen.changed.notify_one();
    }
}

/// Records of a Kafka event, objects of an S3 event.
fn counts(event: &Value) -> (u64, u64) {
    let length = |list: &Value| list.as_array().map_or(0, |list| list.len() as u64);
    let records = event["records"].as_object().map_or(0, |lists| lists.values().map(length).sum());
    (records, length(&event["Records"]))
}

/// One record of each list is enough to look at.
fn shorten(event: &mut Value) {
    for list in event
        .get_mut("records")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|lists| lists.values_mut())
    {
        if let Some(records) = list.as_array_mut() {
            records.truncate(1);
        }
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
