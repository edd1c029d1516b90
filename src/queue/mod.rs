//! Asynchronous invocation: events that functions get some time soon (spec/async.md §1 to §3).
//!
//! ```text
//! accept → log (durable) → schedule → attempt → verdict → destination, dead-letter queue → settled
//! ```
//!
//! | word | what it is |
//! | --- | --- |
//! | event | what a function is to be invoked with, under one request id for all attempts |
//! | attempt | one invocation ([`Attempt`]): it succeeds, fails, is throttled, or reaches nobody |
//! | settings | a function's retries, age, destinations ([`Policy`]), asked for at each decision |
//! | verdict | the last word on an event; what is sent to a destination is its record |
//! | errand | one thing to be done with a verdict: a destination, a dead-letter queue |
//! | shelf | what failed for good and went nowhere: kept, bounded, until somebody redrives or purges it |
//!
//! Invariants: an event that was accepted is settled only when its function succeeded, or was given up and whoever is to hear
//! of it has confirmed that; what is in flight when the process dies is done again, nothing else is; nothing is kept in memory but a
//! few bytes an event. There is no order.
//!
//! `log` is the file, `schedule` and `next` decide and are pure, `drive` waits and does. Who invokes functions and who has
//! their settings is none of its business: push triggers and the Lambda API bring both.

mod admin;
mod destination;
mod drive;
mod error;
mod event;
mod handle;
mod held;
mod log;
mod metrics;
mod next;
mod policy;
mod record;
mod schedule;
mod writer;

pub use admin::{Waiting, Which, router};
pub use destination::{Aws, Destinations};
pub use drive::Means;
pub use error::Error;
pub use event::{Answer, Condition, Errand, Event, Stage, Stored, Verdict};
pub use handle::{Clock, LARGEST, Options, Queue, Size};
pub use metrics::Metrics;
pub use next::Delays;
pub use policy::{Attempt, Outcome, Policy, Settings};

#[cfg(test)]
mod tests;
