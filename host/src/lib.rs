//! Runs any Lambda function as it is.
//!
//! The nouns:
//!
//! * a *sandbox* (AWS: execution environment) is one runtime process and the Runtime API endpoint that serves it alone;
//! * the *function* is a pool of sandboxes with one queue in front of them;
//! * the *front* is what callers speak to: CloudEvents over HTTP, and Lambda's Invoke API.
//!
//! What holds throughout:
//!
//! * the endpoint listens before its process starts, and closes with it: a client of an older process can neither be
//!   refused at the start nor answer for an invocation that is not its own;
//! * what becomes of the process answers the one invocation it held, and never ends the host;
//! * an invocation nobody waits for any more does not start;
//! * no process outlives the [`Host`]: its whole group is killed, and reaped. In a program whose `main` calls [`warden`]
//!   that holds for a host that is killed, too;
//! * an invocation passes from its caller to the process and back without a task of its own, and without a process being
//!   started for it where one is free. It is served by the thread that has the caller's connection and the one that has the
//!   process's; there is no other.

mod admin;
mod arrival;
mod body;
mod cgroup;
mod children;
pub mod cli;
pub mod cloudevent;
mod embedded;
mod ending;
mod environment;
mod error;
mod eventstream;
mod exchange;
mod exit;
mod extension;
mod flight;
mod folder;
mod front;
mod function;
mod host;
mod invocation;
mod launch;
mod layers;
mod logs;
mod memory;
mod metrics;
mod mount;
mod observer;
mod partition;
mod pool;
mod process;
mod runtime_api;
mod sandbox;
mod serve;
mod settings;
mod stream;
mod telemetry;
mod threads;
mod trace;
mod variables;

pub use body::{Body, Cut};
pub use children::{reap, warden};
pub use embedded::Embedded;
pub use error::Error;
pub use folder::Folder;
pub use front::{Caller, RequestId, TurnedAway, Visit};
pub use host::Host;
pub use logs::{Record, Source};
pub use metrics::Metrics;
pub use partition::partition;
pub use settings::{Inherit, Logs, Mount, OtherVersion, Reply, Settings};
pub use trace::complete as complete_trace;
