use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::invocation::Outcome;

/// What was done, in AWS's terms. Counted from the start of the host.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) invocations: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) throttles: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) sandboxes: AtomicU64,
}

impl Metrics {
    /// Invocations the function was called for, whatever came of them. Throttled ones are not among them.
    pub fn invocations(&self) -> u64 {
        self.invocations.load(Relaxed)
    }

    /// Invocations that failed: the function's own errors, timeouts, lost processes.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Calls turned away with 429.
    pub fn throttles(&self) -> u64 {
        self.throttles.load(Relaxed)
    }

    /// Invocations that took longer than the function's timeout.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.load(Relaxed)
    }

    pub(crate) fn throttled(&self) {
        self.throttles.fetch_add(1, Relaxed);
    }

    /// An invocation has run for this long.
    pub(crate) fn ran(&self, _took: Duration) {
        self.running.fetch_sub(1, Relaxed);
    }

    /// What came of an invocation.
    pub(crate) fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Replied(_) => {}
            Outcome::TimedOut(_) => {
                self.errors.fetch_add(1, Relaxed);
                self.timeouts.fetch_add(1, Relaxed);
            }
            Outcome::Failed(_) | Outcome::Lost(_) => {
                self.errors.fetch_add(1, Relaxed);
            }
        }
    }

    /// As Prometheus reads it.
    pub fn prometheus(&self, function: &str) -> String {
        let series = [
            ("klr_invocations_total", "counter", "Times the function was invoked.", &self.invocations),
            ("klr_errors_total", "counter", "Invocations that failed.", &self.errors),
            ("klr_throttles_total", "counter", "Calls turned away, the queue being full.", &self.throttles),
            ("klr_timeouts_total", "counter", "Invocations over the function's timeout.", &self.timeouts),
            ("klr_concurrent_executions", "gauge", "Invocations running now.", &self.running),
            ("klr_sandboxes", "gauge", "Execution environments that have initialised.", &self.sandboxes),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in series {
            let value = value.load(Relaxed);
            // Writing to a String cannot fail; the function's name was checked to need no escaping.
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{function=\"{function}\"}} {value}\n"
            );
        }
        text
    }
}
