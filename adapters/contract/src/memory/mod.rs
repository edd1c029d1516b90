//! In-memory sources, proved by the conformance suite like the real ones.

pub mod log;
pub mod queue;
