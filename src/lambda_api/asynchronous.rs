//! The API's functions as the [queue](crate::queue) sees them: it invokes them, and asks for their settings.

use std::time::Duration;

use async_trait::async_trait;
use axum::{
    body::to_bytes,
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
};
use bytes::Bytes;

use super::{
    Api, event_config,
    name::{Form, Name},
};
use crate::queue::{Attempt, Event, Outcome, Policy, Settings};

/// AWS: what a function answers is 6 MB at most. What a queue keeps of an answer is no more.
const LARGEST_ANSWER: usize = 6_291_556 + 1024;

#[async_trait]
impl Attempt for Api {
    async fn attempt(&self, event: &Event) -> Outcome {
        let payload = event.payload.clone();
        let answer = self.invoke(&event.target, event.id, event.trace.as_deref(), payload).await;
        let (parts, body) = answer.into_parts();
        match to_bytes(body, LARGEST_ANSWER).await {
            Ok(reply) => outcome(parts.status, &parts.headers, reply),
            Err(_) => Outcome::Unreachable("its answer broke off, or is larger than 6 MB".to_owned()),
        }
    }
}

/// What an answer of the Invoke API says of an attempt.
fn outcome(status: StatusCode, headers: &HeaderMap, reply: Bytes) -> Outcome {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let version = || header("x-amz-executed-version").unwrap_or_else(|| "$LATEST".to_owned());
    match status {
        StatusCode::OK => match header("x-amz-function-error") {
            Some(kind) => Outcome::Error { version: version(), kind, reply },
            None => Outcome::Success { version: version(), reply },
        },
        StatusCode::NOT_FOUND => Outcome::Gone,
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
            Outcome::Throttled { after: seconds.map(Duration::from_secs) }
        }
        _ => {
            let code = header("x-amzn-errortype").unwrap_or_default();
            Outcome::Unreachable(format!("Invoke answered {} {code}", status.as_u16()))
        }
    }
}

#[async_trait]
impl Policy for Api {
    /// A name nobody could have asked for has none but the defaults.
    async fn of(&self, target: &str) -> Settings {
        let Ok(name) = Name::parse(target, None, Form::Namespaced, "InvokeFunction", self.identity()) else {
            return Settings::default();
        };
        event_config::effective(self, &name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, headers: &[(&'static str, &'static str)]) -> Outcome {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        outcome(StatusCode::from_u16(status).unwrap(), &headers.collect(), Bytes::from_static(b"1"))
    }

    #[test]
    fn an_answer_says_what_became_of_the_attempt() {
        let version = ("x-amz-executed-version", "7");
        assert!(matches!(of(200, &[version]), Outcome::Success { version, .. } if version == "7"));
        let error = of(200, &[version, ("x-amz-function-error", "Unhandled")]);
        assert!(matches!(error, Outcome::Error { kind, .. } if kind == "Unhandled"));
        assert!(matches!(of(404, &[]), Outcome::Gone));
        assert!(matches!(of(429, &[]), Outcome::Throttled { after: None }));
        let after = Some(Duration::from_secs(2));
        assert!(
            matches!(of(429, &[("retry-after", "2")]), Outcome::Throttled { after: told } if told == after)
        );
        assert!(matches!(of(500, &[]), Outcome::Unreachable(_)));
        assert!(matches!(of(502, &[]), Outcome::Unreachable(_)));
    }
}
