//! Delivery: a batch travels as one CloudEvent, binary mode, whose body is the Lambda event itself, and the answer decides
//! what becomes of the batch.
//!
//! [`outcome`] says what an answer means, [`reply`] reads a partial batch response, [`cloudevent`] names the batch,
//! [`tumbling`] adds what a window says, [`sink`] sends it over HTTP. All but the last are pure.
//!
//! What is given up goes another way: [`failure`] writes the record of it and sees it to the on-failure destination, which may
//! be a queue, a topic, a bucket (adapters have those), or any sink of CloudEvents ([`destination`]).

pub mod cloudevent;
pub mod destination;
pub mod failure;
pub mod outcome;
pub mod reply;
pub mod sink;
pub mod tumbling;

mod body;

use std::time::Duration;

use async_trait::async_trait;
use klr_contract::Record;
use uuid::Uuid;

pub use outcome::{AckMode, Outcome};
pub use tumbling::Window;

/// Something a batch can be handed to.
#[async_trait]
pub trait Invoker: Send + Sync {
    /// Deliver one batch and say how it went, within `timeout` (AWS: the function's), the answer included.
    /// A batch of a tumbling window goes with it, and with what its source calls its partition.
    async fn invoke(&self, batch: &[Record], window: Option<(&Window, &str)>, timeout: Duration)
    -> Delivered;

    /// Whether a batch first waits for its turn, and so may take longer than its timeout.
    fn waits(&self) -> bool {
        false
    }
}

/// How a delivery went, and what it was known by.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// How it went.
    pub outcome: Outcome,
    /// The id the function knew it by, where the answer says so (`x-amzn-requestid`).
    pub request: Option<Uuid>,
}

impl From<Outcome> for Delivered {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, request: None }
    }
}

/// The request id in an answer's headers.
pub(crate) fn request(headers: &http::HeaderMap) -> Option<Uuid> {
    headers.get("x-amzn-requestid")?.to_str().ok()?.parse().ok()
}
