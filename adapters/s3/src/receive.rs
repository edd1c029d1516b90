use std::{hint::black_box, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::{Config, Event, Notification, read};

/// The largest notification taken. (AWS's are 64 KB at most; a key is 1 KB, so thousands of records fit.)
pub const LIMIT: usize = 1 << 20;
/// Requests worked on at a time: with [`LIMIT`], what a webhook may hold in memory.
const AT_A_TIME: usize = 64;
/// What a sender is told to wait when the sink does not say.
const LATER: Duration = Duration::from_secs(5);

/// Who takes the events.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// `Ok` means the event is safe and the sender may forget it.
    async fn deliver(&self, event: Event) -> Result<(), Refusal>;
}

/// The event was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not now; perhaps after so long.
    Later(Option<Duration>),
    /// Never, and why. Goes into the answer: no payload, no secret.
    Never(String),
}

struct Webhook {
    config: Config,
    token: Option<String>,
    sink: Arc<dyn Deliver>,
    room: Semaphore,
}

/// The webhook, at `/`.
///
/// With a `token` a POST must carry `Authorization: Bearer TOKEN`, or the token alone: a sender like MinIO sends two words
/// as they are configured. 2xx comes after the sink took every event of the notification, which the sender repeats as a
/// whole otherwise. GET and HEAD answer 200 without a token: MinIO asks so whether its target lives, at start and ever after.
pub fn router(config: Config, token: Option<String>, sink: Arc<dyn Deliver>) -> Router {
    let webhook = Webhook { config, token, sink, room: Semaphore::new(AT_A_TIME) };
    Router::new()
        .route("/", get(|| async { StatusCode::OK }).post(take))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(Arc::new(webhook))
}

async fn take(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    if !webhook.admits(request.headers().get(header::AUTHORIZATION)) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response();
    }
    let Ok(_room) = webhook.room.try_acquire() else { return later(None) };
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let mut unreadable = None;
    for notification in read(&webhook.config, &body, Timestamp::now()) {
        match notification {
            Notification::Skip(why) => tracing::debug!(why, "notification skipped"),
            Notification::Unreadable(why) => unreadable = Some(why),
            Notification::Event(event) => match webhook.sink.deliver(*event).await {
                Ok(()) => {}
                Err(Refusal::Later(after)) => return later(after),
                Err(Refusal::Never(why)) => return (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
            },
        }
    }
    match unreadable {
        None => StatusCode::OK.into_response(),
        Some(why) => {
            tracing::warn!(why, "a notification cannot be read");
            (StatusCode::BAD_REQUEST, why).into_response()
        }
    }
}

fn later(after: Option<Duration>) -> Response {
    let after = after.unwrap_or(LATER);
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
}

impl Webhook {
    fn admits(&self, given: Option<&HeaderValue>) -> bool {
        let Some(token) = &self.token else { return true };
        let Some(given) = given.map(HeaderValue::as_bytes) else { return false };
        let bare = match given.split_at_checked("Bearer ".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii_start(),
            _ => given,
        };
        // Both compared always: how long it takes tells nothing of which was nearly right.
        same(bare, token.as_bytes()) | same(given, token.as_bytes())
    }
}

/// Whether two texts are the same, in time that depends on their lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |differing, (a, b)| black_box(differing | (a ^ b)));
    a.len() == b.len() && differing == 0
}
