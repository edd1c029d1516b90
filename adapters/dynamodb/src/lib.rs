//! DynamoDB Streams as a Lambda event source.
//!
//! * The [`Source`] reads a table's stream with all its shards, as [`klr_aws::shards`] has it.
//! * The [`Shape`] is the pure half: [`Native`] record → fragment → event; `klr shape dynamodb` uses it without a stream.
//!
//! A *position* is a record's sequence number. The starting position `LATEST` is the moment of the first start: what was
//! changed in the same second may be delivered too, because streams know seconds only.

mod config;
mod record;
mod service;
mod shape;
mod source;

pub use config::{Config, NotAStream, Start};
pub use klr_aws::shards::OnLostPosition;
pub use record::{Attribute, Blob, Change, Identity, Item, Native, NotARecord};
pub use service::{Cursor, Stream};
pub use shape::{Shape, records};
pub use source::{Source, find};
