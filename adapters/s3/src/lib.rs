//! S3 bucket notifications as Lambda events.
//!
//! AWS's own notifications (through SQS), and what stores with an S3 interface send to a webhook: MinIO, Ceph RGW,
//! SeaweedFS, RustFS and others that write `Records`. [`read`] is pure: a notification in, events out. [`router`] is the
//! webhook; what takes its events is the caller's [`Deliver`].

mod config;
mod event;
mod filter;
mod key;
mod members;
mod receive;
mod seaweed;
mod shape;

pub use config::{Config, EventVersion};
pub use event::{Attributes, Event};
pub use receive::{Deliver, LIMIT, Refusal, router};
pub use shape::{Notification, read};
