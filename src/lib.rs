//! klr-bridge: AWS Lambda's triggers, outside AWS.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`config`] | what users write, and what it means |
//! | [`mapping`] | the engine: batches, windows, retries, checkpoints |
//! | [`deliver`] | a batch as a CloudEvent, and what the answer means |
//! | [`trigger`] | push triggers: bucket notifications |
//! | `state` | positions, for sources that cannot keep them: a file, a DynamoDB table |
//! | [`cli`] | the verbs of `klr`; the only place that wires |
//! | [`web`] | health, readiness, metrics |
//!
//! Sources are crates of their own under `adapters/`, the function host is `host/`.

pub mod cli;
pub mod config;
pub mod deliver;
pub mod mapping;
pub mod metrics;
#[cfg(any(feature = "state", feature = "table"))]
pub mod state;
pub mod telemetry;
pub mod trigger;
pub mod web;
