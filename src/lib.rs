//! klr-bridge: AWS Lambda's triggers, outside AWS.
//!
//! | module | what it is |
//! | --- | --- |
//! | `config` | what users write, and what it means |
//! | `mapping` | the engine: batches, windows, retries, checkpoints |
//! | `deliver` | a batch as a CloudEvent, and what the answer means |
//! | [`pattern`] | event patterns: filter criteria, rules, filter policies |
//! | `trigger` | push triggers: bucket notifications |
//! | `queue` | asynchronous invocation: the durable queue, its retries and destinations |
//! | `state` | positions, for sources that cannot keep them: a file, a DynamoDB table |
//! | `lambda_api` | Lambda's control-plane REST API: functions, layers, mappings as resources |
//! | `fleet` | functions from code, under the host |
//! | `cli` | the verbs of `klr`; the only place that wires |
//! | `web` | health, readiness, metrics |
//!
//! [`pattern`] stands alone: with `default-features = false` it is all there is, for use in other projects.
//!
//! Sources are crates of their own under `adapters/`, the function host is `host/`.

#[cfg(feature = "bridge")]
pub mod cli;
#[cfg(feature = "bridge")]
pub mod config;
#[cfg(feature = "bridge")]
pub mod deliver;
#[cfg(feature = "lambda-api")]
pub mod fleet;
#[cfg(feature = "bridge")]
mod hex;
#[cfg(feature = "lambda-api")]
pub mod lambda_api;
#[cfg(feature = "bridge")]
pub mod mapping;
#[cfg(feature = "bridge")]
pub mod metrics;
pub mod pattern;
#[cfg(feature = "queue")]
pub mod queue;
#[cfg(any(feature = "state", feature = "table"))]
pub mod state;
#[cfg(feature = "bridge")]
pub mod telemetry;
#[cfg(feature = "bridge")]
pub mod trigger;
#[cfg(feature = "bridge")]
pub mod web;
