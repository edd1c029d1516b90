use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::Error;

/// Where reading a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// At the oldest record there is.
    Oldest,
    /// At the first record at or after this moment: `AT_TIMESTAMP`, and a `LATEST` that had no record to stand on.
    Moment(Timestamp),
    /// After this record: its sequence number or resume token.
    After(String),
    /// Nowhere: the partition is closed, and all of it is done.
    Ended,
}

/// What is stored of one partition (design.md §9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The source's name for it: a shard id.
    pub partition: String,
    /// Which stream it is of. One that was deleted and made again under its old name has another identity.
    pub stream: String,
    /// Where reading goes on.
    pub mark: Mark,
    /// The member that reads it.
    pub owner: Option<String>,
    /// How often it was written; 0: never. A write of a row whose stored version is another one is refused.
    pub version: u64,
}

/// Where positions are kept for sources that cannot keep them.
///
/// Rows are written by compare-and-swap, so an owner that lost a partition cannot move it. Ownership is a row's `owner`,
/// and good as long as the owner is among the [`members`](Self::members).
#[async_trait]
pub trait Store: Send + Sync {
    /// Our own name among the members; another one after each start.
    fn member(&self) -> &str;

    /// The members that are alive, we among them, in order of their names. An error says that we may be taken for dead:
    /// others may claim what is ours.
    async fn members(&self) -> Result<Vec<String>, Error>;

    /// All rows of a mapping, in no order.
    async fn rows(&self, mapping: &str) -> Result<Vec<Row>, Error>;

    /// Writes these rows, each on its own and only over its `version`; what is stored has the next one. Answers the
    /// partitions whose row was refused because somebody else has written it. `Ok` means durable.
    async fn write(&self, mapping: &str, rows: &[Row]) -> Result<Vec<String>, Error>;

    /// Forgets these rows, each on its own and only at its `version`: of shards that are no more. Rows that somebody else has
    /// written meanwhile, or removed, are left as they are.
    async fn remove(&self, mapping: &str, rows: &[Row]) -> Result<(), Error>;

    /// How long to leave between two writes of a mapping that nobody waits for.
    fn pace(&self) -> Duration;

    /// Leaves: others need not wait for our time to run out. Rows are released before. Idempotent.
    async fn close(&self) -> Result<(), Error>;
}
