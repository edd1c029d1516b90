//! Records that are given up, and where they go.

use std::sync::Arc;

use async_trait::async_trait;
use klr_contract::{Error, Record};

use super::next::{GivenUp, Tries};

/// Records that are given up, of one batch.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which.
    pub records: Arc<Vec<Record>>,
    /// Why.
    pub why: GivenUp,
    /// What was tried.
    pub tries: Tries,
}

/// An on-failure destination.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Sends the failure record of what is given up; `partition` is what its source calls the partition of the first record.
    /// `Ok` means that the destination has it.
    async fn send(&self, failure: &Failure, partition: &str) -> Result<(), Error>;
}
