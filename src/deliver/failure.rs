//! What is given up, on its way to the on-failure destination.

mod record;
#[cfg(test)]
#[cfg(all(feature = "sqs", feature = "kafka"))]
mod tests;

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use klr_contract::{Destination, Error, FailureRecord};

use crate::mapping::Failure;
pub use record::{Exhausted, Form, Template};

/// Records of one batch that are on their way at a time, where each is sent by itself. They go in order.
const AT_ONCE: usize = 256;

/// Delivers the failure records of one mapping to its on-failure destination.
pub struct Delivery {
    /// How they are written.
    pub template: Template,
    /// Where they go.
    pub destination: Arc<dyn Destination>,
}

impl Delivery {
    /// Sends what is to be said of a failure; `partition` is what its source calls the partition of the first record. `Ok`
    /// means that the destination has all of it.
    pub async fn send(&self, failure: &Failure, partition: &str) -> Result<(), Error> {
        let now = Timestamp::now();
        if self.template.form == Form::Batch {
            return self.destination.put(&self.template.batch(failure, partition, now)).await;
        }
        // Written one by one: together they would be a second copy of the batch.
        stream::iter(0..failure.records.len())
            .map(|index| self.put(self.template.one(failure, index, partition, now)))
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn put(&self, record: FailureRecord) -> Result<(), Error> {
        self.destination.put(&record).await
    }
}
