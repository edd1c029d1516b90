//! `GET /functions/NAME/logs`: a function's log, a JSON object a line.
//!
//! `tail` says how many records from its end (all that are kept, if not); with `follow=true` the answer goes on with what
//! comes.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::stream;

use super::{Entry, Log, Logs};

/// For the admin port.
pub fn router(logs: Arc<Logs>) -> Router {
    Router::new().route("/functions/{name}/logs", get(log)).with_state(logs)
}

async fn log(State(logs): State<Arc<Logs>>, Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let asked = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(named) {
        return (StatusCode::BAD_REQUEST, "expected a function's bare name\n").into_response();
    }
    let tail = match asked("tail").map(|tail| tail.parse()) {
        None => usize::MAX,
        Some(Ok(tail)) => tail,
        Some(Err(_)) => return (StatusCode::BAD_REQUEST, "tail: expected a number\n").into_response(),
    };
    let follow = asked("follow").is_some_and(|follow| follow == "true");
    let log = logs.of(&name).await;
    let from = log.back(tail);
    if !follow {
        let (entries, end) = log.from(from);
        if end == 0 {
            return (StatusCode::NOT_FOUND, format!("function {name} has no log: nothing was invoked yet\n"))
                .into_response();
        }
        return ndjson(Body::from(lines(&entries)));
    }
    ndjson(Body::from_stream(stream::unfold((log, from), next)))
}

/// What there is from a number on, as soon as there is anything.
async fn next((log, from): (Arc<Log>, u64)) -> Option<(Result<Vec<u8>, Infallible>, (Arc<Log>, u64))> {
    log.reaches(from).await;
    let (entries, end) = log.from(from);
    Some((Ok(lines(&entries)), (log, end)))
}

fn lines(entries: &[Arc<Entry>]) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in entries {
        // Strings and times are always JSON.
        if serde_json::to_writer(&mut lines, &**entry).is_ok() {
            lines.push(b'\n');
        }
    }
    lines
}

fn ndjson(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
