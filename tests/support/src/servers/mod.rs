//! Servers of other people, started by the scripts in `tests/servers`.

mod kafka;
mod process;
mod registry;
mod server;
mod sqs;
mod streams;

pub use kafka::{Kafka, Options};
pub use process::free_ports;
pub use registry::Apicurio;
pub use sqs::{ElasticMq, Moto};
pub use streams::{DynamoDbLocal, KinesisMock, LocalStack};

/// Says loudly that a test cannot run here; under `CI=true` panics instead.
pub fn unavailable(what: &str, why: &str) {
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "{what} is not available, and CI=true skips nothing: {why}");
    eprintln!("\n*** SKIP: {what} is not available: {why} ***\n");
}
