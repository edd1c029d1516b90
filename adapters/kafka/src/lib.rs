//! Apache Kafka as a Lambda event source.
//!
//! One mapping reads one topic as one member of a consumer group. The nouns:
//!
//! * a *pull* is what one wake-up of the consumer drained; its records are shaped at once, into one buffer per partition,
//!   so that a partition that is stuck does not keep the bytes of the others;
//! * the [`Shape`] is the pure half: native message → fragment → event; `klr shape kafka` uses it without a broker;
//! * the [`Source`] is the other half. librdkafka's callbacks block, so the consumer lives on a thread of its own
//!   (`thread.rs`), which meets the runtime at two places only: the *inbox* (what came, bounded) and the *ledger* (what is
//!   owned, done and committed).
//!
//! What it keeps: an offset is committed only after the engine said so; a starting position is committed before the first
//! record is handed over; after `Losing` or `Lost` nothing of that epoch is handed over or committed.
//!
//! Another topic of the same cluster is where a mapping may send what it gives up: [`Destination`], with [`BatchInfo`] for
//! what failure records say, wherever they go.
//!
//! Isolation is librdkafka's default, `read_committed`: records of aborted transactions are not delivered and those of an
//! open one wait for its end. (AWS does not say; what was rolled back should not reach a function.)

mod batch_info;
mod buffers;
mod client;
mod config;
mod destination;
mod embedded;
mod error;
mod inbox;
#[cfg(feature = "registry")]
mod learn;
mod ledger;
mod native;
mod offsets;
mod pull;
mod rebalance;
#[cfg(feature = "registry")]
mod registry;
mod shape;
mod shared;
mod source;
mod start;
mod thread;
mod token;

pub use batch_info::BatchInfo;
pub use config::*;
pub use destination::Destination;
pub use embedded::{Embedded, EmbeddedError};
#[cfg(feature = "iam")]
pub use klr_aws::WebIdentity;
pub use native::{Header, Message, Native, TimestampType};
pub use shape::Shape;
pub use source::Source;
#[cfg(feature = "iam")]
pub use token::Signer;
pub use token::{ClientCredentials, Error as TokenError, Invalid, Token, Tokens};
