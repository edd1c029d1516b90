//! Records that are given up. [`deliver::failure`](crate::deliver::failure) says of them what AWS says, and to whom.

use std::sync::Arc;

use klr_contract::Record;

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
