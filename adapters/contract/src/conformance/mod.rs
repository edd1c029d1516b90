//! One suite for all adapters.

pub mod log;
pub mod queue;
pub mod store;
