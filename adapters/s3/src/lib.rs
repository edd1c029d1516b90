//! S3 bucket notifications as Lambda events.
//!
//! AWS's own notifications (through SQS), and what stores with an S3 interface send to a webhook: MinIO, Ceph RGW,
//! SeaweedFS, RustFS and others that write `Records`. [`read`] is pure: a notification in, events out. [`router`] is the
//! webhook; what takes its events is the caller's [`Deliver`].
//!
//! With the feature `destination` a bucket is also where a mapping may send what it gives up.

mod config;
#[cfg(feature = "destination")]
mod destination;
mod event;
mod filter;
mod key;
mod members;
mod receive;
mod seaweed;
mod shape;

pub use config::{Config, EventVersion};
#[cfg(feature = "destination")]
pub use destination::Destination;
pub use event::{Attributes, Event};
pub use receive::{Deliver, LIMIT, Refusal, router};
pub use shape::{Notification, read};
