//! Amazon Kinesis Data Streams as a Lambda event source.
//!
//! * The [`Source`] reads a stream with all its shards, as [`klr_aws::shards`] has it: by `GetRecords` within the throughput
//!   all readers of a shard share, or, where the mapping names a consumer, by `SubscribeToShard` with a throughput of its
//!   own.
//! * The [`Shape`] is the pure half: [`Native`] record → fragment → event; `klr shape kinesis` uses it without a stream.
//!
//! A *position* is a record's sequence number. Records that the producer library has aggregated are handed over as they are,
//! except to a consumer: AWS unpacks them there, and so do we. A user record that is not its aggregate's last is then at
//! `sequence-number:part`, so that a restart does not go past the rest.
//!
//! The starting position `LATEST` is the moment of the first start by our clock: records of that moment and later, by the
//! service's clock, are delivered, however often we start before the first checkpoint.

mod aggregate;
mod calls;
mod config;
mod poll;
mod record;
mod shape;
mod source;
mod subscribe;

pub use config::{Config, NotAStream};
pub use klr_aws::shards::{OnLostPosition, Start};
pub use record::{Native, NotARecord, Part};
pub use shape::{Shape, records, sequence_number};
pub use source::{Source, find};
