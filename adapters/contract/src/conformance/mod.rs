//! One suite for all adapters.

pub mod queue;
