//! In-memory sources, proved by the conformance suite like the real ones, and the in-memory store.

pub mod log;
pub mod queue;
pub mod store;
