//! S3 bucket notifications as Lambda events.
//!
//! AWS's own notifications (through SQS), and what stores with an S3 interface send to a webhook: MinIO, Ceph RGW,
//! SeaweedFS, RustFS and others that write `Records`. [`read`] is pure: a notification in, events out. [`router`] is the
//! webhook; what takes its events is the caller's [`Deliver`].
//!
//! With the feature `destination` a bucket is also where a mapping may send what it gives up, and where [`Objects`] are
//! read from.

mod config;
#[cfg(feature = "destination")]
mod destination;
mod event;
mod filter;
mod key;
mod members;
#[cfg(feature = "destination")]
mod object;
mod receive;
mod seaweed;
mod shape;

pub use config::{Config, EventVersion};
#[cfg(feature = "destination")]
pub use destination::Destination;
pub use event::{Attributes, Event};
#[cfg(feature = "destination")]
pub use object::{Objects, Refused};
pub use receive::{Deliver, LIMIT, Refusal, router};
pub use shape::{Notification, read};
