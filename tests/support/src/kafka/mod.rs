//! The other side of a Kafka mapping: a topic and its records, what a group has committed.

mod event;
mod group;
mod topic;

pub use event::{failures, places};
pub use group::Group;
pub use topic::{Message, Topic};
