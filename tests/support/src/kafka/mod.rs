//! The other side of a Kafka mapping: a topic and its records, what a group has committed, what a sink was handed.

mod group;
mod handed;
mod topic;

pub use group::Group;
pub use handed::{Handed, Place, failures, places};
pub use topic::{Message, Topic};
