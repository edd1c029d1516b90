use bytes::Bytes;
use serde_json::Value;

use crate::{Pieces, Record};

/// The pure half of an adapter: the whole of it is testable with a file.
///
/// The three sizes are exact. `frame() + Σ opening(first record of each partition) + Σ cost(record)` is the length of
/// `event(batch)`, so a batch can be filled to the last byte a function may take.
pub trait Shape: Send + Sync {
    /// Bytes of an event around its records, less the comma the first one does not need.
    fn frame(&self) -> usize;

    /// Bytes that the first record of a partition adds besides itself (Kafka: the key and brackets of its list, less the
    /// comma the first one does not need). 0 where the event is one flat list.
    fn opening(&self, record: &Record) -> usize;

    /// Bytes a record adds: its fragment and a comma.
    fn cost(&self, record: &Record) -> usize {
        record.len() + 1
    }

    /// The Lambda event: fragments joined, in the order given (Kafka: per partition). Records without a fragment must not
    /// be in the batch.
    fn event(&self, batch: &[Record]) -> Bytes;

    /// The same, in the pieces it lies in: a shape whose sources lay fragments side by side need not copy them.
    fn pieces(&self, batch: &[Record]) -> Pieces {
        self.event(batch).into()
    }

    /// The records that one `itemIdentifier` of a partial batch response names: none if it is of the wrong type or names
    /// no record of this batch, several if the batch holds copies of one message.
    fn locate(&self, identifier: &Value, batch: &[Record]) -> Vec<usize>;
}
