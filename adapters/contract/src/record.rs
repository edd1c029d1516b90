use bytes::Bytes;
use jiff::Timestamp;

use crate::{Fragment, Trace};

/// One record, already in the function's shape.
///
/// Cloning a record copies nothing of it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The JSON fragment as it stands in the event, or why the record could not be shaped. A record without a fragment
    /// keeps its place and is discarded as a batch of one.
    pub json: Result<Fragment, Reason>,
    /// How the source names it.
    pub place: Place,
    /// The source's own time for it (sent, appended, arrived): record age is counted from here.
    pub at: Timestamp,
    /// The trace it is part of, if it says so: the delivery goes on with it. Boxed: few do, and records are moved often.
    pub trace: Option<Box<Trace>>,
}

impl Record {
    /// Bytes of the fragment; none if it could not be shaped.
    pub fn len(&self) -> usize {
        self.json.as_ref().map_or(0, |fragment| fragment.len())
    }

    /// Whether there is no fragment to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a source names a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a queue.
    Item {
        /// Stable over redeliveries (SQS: message id).
        id: Bytes,
        /// Good for this receive only (SQS: receipt handle).
        receipt: Bytes,
    },
    /// In a log.
    At {
        /// Whose order it is part of.
        partition: Partition,
        /// Where in that order.
        position: Position,
        /// A hash of the partition key, for lanes within a shard; 0 where the source has none.
        key: u32,
    },
}

/// A handle for a partition while we own it.
///
/// `index` is the source's number for it (Kafka: the partition number); the source knows its name. `epoch` is new each
/// time the partition is gained, so that an answer that belongs to an earlier ownership can be told and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The source's number.
    pub index: u32,
    /// Which ownership.
    pub epoch: u32,
}

/// A place in a partition. Opaque to the engine, which only hands back what it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Position {
    /// Kafka: the record's own offset.
    Offset(i64),
    /// Anything else (sequence number, resume token).
    Opaque(Bytes),
}

/// Why a record could not be shaped. Named as AWS names it in failure records where it has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(pub String);
