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

/// No function runs as long as this; who enforces its timeout has lost it.
const NEVER: Duration = Duration::from_secs(16 * 60);

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
        told(classify(AckMode::Replied, head.status, &head.headers, reply, Timestamp::now()))
    }
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(|cause| cause.is::<LengthLimitError>())
}
