//! How many calls of the control plane are answered a second. AWS has such a limit (15 a second for most operations, all
//! callers of an account together), and tools are written to be told so; here there is none unless it is asked for.
//! Invocations have limits of their own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::{
    code,
    error::{Code, Error},
};

/// Fills up again as time goes by, to as many calls as there may be in a second.
#[derive(Debug, Clone, PartialEq)]
struct Bucket {
    rate: f64,
    left: f64,
    seen: Instant,
}

impl Bucket {
    fn new(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate);
        Self { rate, left: rate, seen: now }
    }

    /// Whether one more call is let in.
    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.seen).as_secs_f64();
        self.left = self.rate.min(self.left + since * self.rate);
        self.seen = now;
        let there = self.left >= 1.0;
        if there {
            self.left -= 1.0;
        }
        there
    }
}

/// The router, with so many calls a second let in, and as many at once.
pub fn limited(router: Router, rate: u32) -> Router {
    let bucket = Arc::new(Mutex::new(Bucket::new(rate, Instant::now())));
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let take = || bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        let let_in = is_exempt(request.uri().path()) || take();
        async move { if let_in { next.run(request).await } else { refusal() } }
    }))
}

/// Invocations, and links to code, which on AWS are S3's.
fn is_exempt(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let invocations = ["/invocations", "/invoke-async", "/response-streaming-invocations"];
    path.starts_with(code::PATH) || invocations.iter().any(|end| path.ends_with(end))
}

/// As AWS says it.
fn refusal() -> Response {
    Error::new(Code::TooManyRequests, "Rate exceeded")
        .with("Reason", "CallerRateLimitExceeded")
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Body, http::StatusCode, routing::any};
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn as_many_at_once_as_in_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2, start);
        let let_in = |bucket: &mut Bucket, after: u64| {
            (0..5).filter(|_| bucket.take(start + Duration::from_millis(after))).count()
        };
        assert_eq!([0, 500, 600, 60_000].map(|after| let_in(&mut bucket, after)), [2, 1, 0, 2]);
    }

    #[tokio::test]
    async fn invocations_are_no_calls_of_the_control_plane() {
        let router = limited(Router::new().fallback(any(|| async { "" })), 1);
        let status = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status()
        };
        assert_eq!(status("/2015-03-31/functions").await, StatusCode::OK);
        assert_eq!(status("/2015-03-31/functions").await, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(status("/2015-03-31/functions/f/invocations").await, StatusCode::OK);
    }
}
