//! Batches to a function that runs here, without a port in between.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body;
use http_body_util::LengthLimitError;
use jiff::Timestamp;
use klr_contract::{Record, Shape};

use super::runner::Function;
use crate::deliver::{
    AckMode, Delivered, Invoker, Outcome, Window,
    outcome::{LARGEST_REPLY, classify},
    request,
};

/// No function takes as long as this, its turn and its start included; who enforces its timeout has lost it.
const NEVER: Duration = Duration::from_secs(45 * 60);

/// Delivers the batches of one mapping to a function.
pub struct Local {
    /// Which.
    pub function: Arc<dyn Function>,
    /// Joins fragments.
    pub shape: Arc<dyn Shape>,
    /// What a tumbling window names its source: the ARN.
    pub source: String,
}

#[async_trait]
impl Invoker for Local {
    /// The function's own timeout is its host's to keep: `_timeout` is how long the source is patient.
    async fn invoke(
        &self,
        batch: &[Record],
        window: Option<(&Window, &str)>,
        _timeout: Duration,
    ) -> Delivered {
        let event = self.shape.event(batch);
        let event = match window {
            Some((window, partition)) => window.add_to(&event, partition, &self.source),
            None => event,
        };
        match tokio::time::timeout(NEVER, self.answer(event)).await {
            Ok(delivered) => delivered,
            Err(_) => Outcome::TimedOut.into(),
        }
    }

    /// AWS has a place at once, or says 429. A machine has few, and many batches are waiting for one.
    fn waits(&self) -> bool {
        true
    }
}

impl Local {
    async fn answer(&self, event: bytes::Bytes) -> Delivered {
        let (head, reply) = self.function.invoke(event).await.into_parts();
        let told = |outcome| Delivered { outcome, request: request(&head.headers) };
        let reply = match body::to_bytes(reply, LARGEST_REPLY).await {
            Ok(reply) => Some(reply),
            Err(error) if is_too_long(&error) => None,
            // The process ended in the middle of its answer.
            Err(_) => return told(Outcome::Broken),
        };
        if head.status == http::StatusCode::NOT_FOUND {
            return Outcome::Unreachable("Function does not exist".to_owned()).into();
        }
        // Not the function's failure, which is a 200. AWS: spends no attempt.
        if head.status.is_server_error() && !head.headers.contains_key("x-amz-function-error") {
            return told(Outcome::Unreachable(format!("the invocation was answered {}", head.status)));
        }
        told(classify(AckMode::Replied, head.status, &head.headers, reply, Timestamp::now()))
    }
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(|cause| cause.is::<LengthLimitError>())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use bytes::Bytes;
    use http::Response;

    use super::*;
    use crate::mapping::brackets::Brackets;

    /// Answers so, and with this function error.
    struct Answers(u16, Option<&'static str>);

    #[async_trait]
    impl Function for Answers {
        fn timeout(&self) -> Option<Duration> {
            None
        }

        fn places(&self) -> Option<usize> {
            None
        }

        async fn invoke(&self, _: Bytes) -> Response<Body> {
            let mut answer = Response::builder().status(self.0);
            if let Some(kind) = self.1 {
                answer = answer.header("x-amz-function-error", kind);
            }
            answer.body(Body::from("{}")).unwrap()
        }
    }

    #[tokio::test]
    async fn what_the_service_fails_at_is_not_the_functions_error() {
        let outcome = async |status, kind| {
            let function = Arc::new(Answers(status, kind));
            let local = Local { function, shape: Arc::new(Brackets), source: String::new() };
            local.invoke(&[], None, Duration::ZERO).await.outcome
        };
        for status in [404, 500, 502, 503, 504] {
            assert!(matches!(outcome(status, None).await, Outcome::Unreachable(_)), "{status}");
        }
        for status in [200, 500] {
            assert_eq!(outcome(status, Some("Unhandled")).await, Outcome::FunctionError, "{status}");
        }
        assert_eq!(outcome(200, None).await, Outcome::Done("{}".into()));
        assert_eq!(outcome(429, None).await, Outcome::Throttled { after: None });
    }
}
