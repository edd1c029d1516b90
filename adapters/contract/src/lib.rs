//! What an adapter is.
//!
//! A *record* is one message of a source, shaped once, on arrival, into the JSON fragment the function will see. Its
//! bytes are never touched again: an event is fragments joined.
//!
//! A source is one of two things, and the difference is how it is settled:
//!
//! * a [`Queue`] (SQS, RabbitMQ, ActiveMQ) is settled item by item, in any order;
//! * a [`Log`] (Kafka, Kinesis, DynamoDB, DocumentDB) is settled from the head of each partition.
//!
//! A [`Store`] keeps the positions of a log that cannot keep them itself (Kinesis, DynamoDB Streams, DocumentDB).
//!
//! A [`Shape`] is the pure half of an adapter: it joins fragments to an event and says which record an identifier in a
//! partial batch response names.
//!
//! A [`Destination`] takes the records of what was given up; a [`BatchInfo`] says in them which records of a log they are
//! about.
//!
//! Invariants every adapter keeps: a record is handed over at most once per receipt (queue) or per epoch (log); within a
//! partition records come in order; nothing is settled that the engine did not ask to be settled.

mod destination;
mod error;
mod fragment;
mod log;
mod queue;
mod record;
mod shape;
mod store;
mod trace;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
pub mod memory;

pub use destination::{Attribute, BatchInfo, Destination, FailureRecord};
pub use error::{Error, Kind};
pub use fragment::{Fragment, Pieces};
pub use log::{Arrival, Log};
pub use queue::{Queue, Refused};
pub use record::{Partition, Place, Position, Reason, Record};
pub use shape::Shape;
pub use store::{Mark, Row, Store};
pub use trace::Trace;

/// Where records come from: the engine's one branch.
pub enum Source {
    /// Settled item by item.
    Queue(Box<dyn Queue>),
    /// Settled from the head of each partition.
    Log(Box<dyn Log>),
}
