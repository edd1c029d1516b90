//! The end of an environment, in Lambda's order and times.
//!
//! | extensions | the runtime | the extensions |
//! | --- | --- | --- |
//! | none | SIGTERM, 2 s | |
//! | internal only | SIGTERM, 500 ms | |
//! | external | SIGTERM, 600 ms | then `SHUTDOWN`; 2 s in all |
//!
//! Whoever is not gone by then is killed, with its whole group. Lambda sends a runtime without extensions no SIGTERM at all;
//! here it gets what it would of any other platform that stops a container. After a timeout or a failure the runtime is
//! killed at once, and the extensions have the 2 s to themselves.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::{Event, Processes};
use crate::{observer::Observer, process::Process};

/// What a runtime without extensions gets.
const ALONE: Duration = Duration::from_secs(2);
const WITH_INTERNAL: Duration = Duration::from_millis(500);
/// What runtime and extensions get together.
const WITH_EXTERNAL: Duration = Duration::from_secs(2);
/// The runtime's part of it.
const RUNTIMES_PART: Duration = Duration::from_millis(600);

/// What sending the rest of the telemetry may take of it.
const FLUSH: Duration = Duration::from_millis(500);

/// Why an environment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Reason {
    /// It is not needed any more.
    Spindown,
    Timeout,
    Failure,
}

/// Ends the processes of an environment; none is left on return.
pub(crate) async fn end(
    runtime: Option<Process>,
    extensions: Processes,
    observer: &Observer,
    reason: Reason,
) {
    let begin = Instant::now();
    if let Some(runtime) = runtime {
        let grace = match (extensions.is_empty(), observer.extensions().is_empty()) {
            (true, true) => ALONE,
            (true, false) => WITH_INTERNAL,
            (false, _) => RUNTIMES_PART,
        };
        match reason {
            Reason::Spindown => runtime.terminate(grace).await,
            Reason::Timeout | Reason::Failure => runtime.kill().await,
        }
    }
    if extensions.is_empty() {
        return;
    }
    let deadline = begin + WITH_EXTERNAL;
    // Before they are told, for many go at once: the last reports are those of what went wrong.
    let _ = tokio::time::timeout(FLUSH, observer.log().telemetry().flush()).await;
    observer.extensions().tell(Event::Shutdown, &document(reason, deadline));
    extensions.end(observer, deadline).await;
}

fn document(reason: Reason, deadline: Instant) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shutdown {
        event_type: &'static str,
        shutdown_reason: Reason,
        deadline_ms: u64,
    }
    let deadline_ms = epoch_ms(deadline);
    let event = Shutdown { event_type: "SHUTDOWN", shutdown_reason: reason, deadline_ms };
    serde_json::to_vec(&event).expect("strings and numbers are always JSON").into()
}

/// A moment to come, on the clock on the wall.
pub(super) fn epoch_ms(at: Instant) -> u64 {
    let wall = SystemTime::now() + at.saturating_duration_since(Instant::now());
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
