use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Error, Partition, Position, Record};

/// What a log has to say.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// The next record of its partition.
    Record(Record),
    /// The source passed over places up to and including this one (transaction markers, compacted tails, what a filter leaves
    /// out): done without us. When what was last there was written, where that is known.
    Passed(Partition, Position, Option<Timestamp>),
    /// We own the partition; its records follow, from the first that is not checkpointed. Its starting position is
    /// already checkpointed (else LATEST and a crash would lose records).
    Gained(Partition),
    /// The partition is to be let go. The source waits (bounded) until `release` is called for it.
    Losing(Partition),
    /// The partition is gone, without warning. Nothing of this epoch can be checkpointed any more.
    Lost(Partition),
    /// No record will follow: the shard is closed, or (`--once`) the end as it was at the start is reached.
    Ended(Partition),
}

/// A source that is settled from the head of each partition.
///
/// Ownership first: `Gained` comes before a partition's records, and after `Losing` or `Lost` none of that epoch follows.
#[async_trait]
pub trait Log: Send + Sync {
    /// What came, ownership changes first; at most `want` records, and with `want` 0 only ownership changes. Waits for the
    /// first. Cancel-safe: dropping the future loses nothing.
    ///
    /// An empty answer says that the source is reached and where it begins is fixed, and that it has given us no partition yet
    /// (or a group has more members than partitions), or none that we did not have.
    async fn next(&self, want: usize) -> Result<Vec<Arrival>, Error>;

    /// Let a partition flow, or stop it. Records already on their way may still arrive. An old epoch is ignored.
    fn flow(&self, partition: Partition, open: bool);

    /// Everything up to **and including** each position is done. Old epochs are ignored. `Ok` means durable. The engine
    /// has one call outstanding and carries everything done since the last in the next.
    async fn checkpoint(&self, through: &[(Partition, Position)]) -> Result<(), Error>;

    /// Let the partition go (drained after `Losing`, or at the end), `through` being the last position done, if any is new
    /// since the last checkpoint that succeeded. It is made durable first. Does not wait for an outstanding `checkpoint`.
    async fn release(&self, partition: Partition, through: Option<Position>) -> Result<(), Error>;

    /// What the source calls a partition that was gained: a shard id, `topic-0`. It goes into failure records and tumbling
    /// windows. `None` for one that never was; an old epoch's name is still known.
    fn name(&self, partition: Partition) -> Option<Arc<str>>;

    /// Records between the checkpoint and the end of each owned partition, as last seen. For metrics only: never waits.
    fn lag(&self) -> Vec<(Partition, u64)>;

    /// Stop reading and leave (consumer group, leases) after everything was released. Idempotent.
    async fn close(&self) -> Result<(), Error>;
}
