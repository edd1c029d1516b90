//! Delivery: a batch travels as one CloudEvent, binary mode, whose body is the Lambda event itself, and the answer decides
//! what becomes of the batch.
//!
//! [`outcome`] says what an answer means, [`reply`] reads a partial batch response, [`cloudevent`] names the batch,
//! [`tumbling`] adds what a window says, [`sink`] sends it over HTTP. All but the last are pure.

pub mod cloudevent;
pub mod outcome;
pub mod reply;
pub mod sink;
pub mod tumbling;

use std::time::Duration;

use async_trait::async_trait;
use klr_contract::Record;

pub use outcome::{AckMode, Outcome};
pub use tumbling::Window;

/// Something a batch can be handed to.
#[async_trait]
pub trait Invoker: Send + Sync {
    /// Deliver one batch and say how it went, within `timeout` (AWS: the function's), the answer included.
    /// A batch of a tumbling window goes with it, and with what its source calls its partition.
    async fn invoke(&self, batch: &[Record], window: Option<(&Window, &str)>, timeout: Duration) -> Outcome;
}
