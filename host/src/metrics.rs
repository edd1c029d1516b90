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
    errors: AtomicU64,
    throttles: AtomicU64,
    timeouts: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) sandboxes: AtomicU64,
    cold_starts: AtomicU64,
    failed_starts: AtomicU64,
    durations: Histogram,
    starts: Histogram,
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

    /// Environments that have initialised.
    pub fn cold_starts(&self) -> u64 {
        self.cold_starts.load(Relaxed)
    }

    pub(crate) fn throttled(&self) {
        self.throttles.fetch_add(1, Relaxed);
    }

    /// An invocation has run for this long.
    pub(crate) fn ran(&self, took: Duration) {
        self.running.fetch_sub(1, Relaxed);
        self.took(took);
    }

    /// So long an invocation took, or the start within it that failed.
    pub(crate) fn took(&self, took: Duration) {
        self.durations.observe(took);
    }

    /// An environment was started, or not, within this long.
    pub(crate) fn started(&self, took: Duration, succeeded: bool) {
        let counter = if succeeded { &self.cold_starts } else { &self.failed_starts };
        counter.fetch_add(1, Relaxed);
        if succeeded {
            self.starts.observe(took);
        }
    }

    /// What came of an invocation.
    pub(crate) fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Replied(_) => {}
            Outcome::TimedOut(_) => {
                self.errors.fetch_add(1, Relaxed);
                self.timeouts.fetch_add(1, Relaxed);
            }
            Outcome::Failed(_) | Outcome::Lost(_) | Outcome::CutOff(_) => {
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
            ("klr_queued_invocations", "gauge", "Invocations waiting for an environment.", &self.queued),
            ("klr_sandboxes", "gauge", "Execution environments that have initialised.", &self.sandboxes),
            ("klr_cold_starts_total", "counter", "Environments that initialised.", &self.cold_starts),
            ("klr_failed_starts_total", "counter", "Environments that did not.", &self.failed_starts),
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
        self.durations.write(&mut text, "klr_duration_seconds", "How long invocations ran.", function);
        self.starts.write(&mut text, "klr_init_duration_seconds", "How long initialisations took.", function);
        text
    }
}

/// Upper bounds, in milliseconds: from a warm echo to Lambda's longest timeout.
const BOUNDS: [u64; 16] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000, 300_000, 900_000];

/// Durations, counted by size. Without a lock: it is on the way of every invocation.
#[derive(Debug, Default)]
struct Histogram {
    /// Each its own, not cumulative; the last is for what is above all bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| bound * 1000 < micros);
        self.counts[place].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str, function: &str) {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} histogram\n");
        let mut total = 0;
        let bounds = BOUNDS.iter().map(|bound| (*bound as f64 / 1000.0).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&self.counts) {
            total += count.load(Relaxed);
            let _ = writeln!(text, "{name}_bucket{{function=\"{function}\",le=\"{bound}\"}} {total}");
        }
        let sum = self.micros.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "{name}_sum{{function=\"{function}\"}} {sum}");
        let _ = writeln!(text, "{name}_count{{function=\"{function}\"}} {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_buckets_that_add_up() {
        let metrics = Metrics::default();
        for millis in [0, 1, 3, 900_001] {
            metrics.running.fetch_add(1, Relaxed);
            metrics.ran(Duration::from_millis(millis));
        }
        let text = metrics.prometheus("f");
        for line in [
            r#"klr_duration_seconds_bucket{function="f",le="0.001"} 2"#,
            r#"klr_duration_seconds_bucket{function="f",le="0.005"} 3"#,
            r#"klr_duration_seconds_bucket{function="f",le="900"} 3"#,
            r#"klr_duration_seconds_bucket{function="f",le="+Inf"} 4"#,
            r#"klr_duration_seconds_sum{function="f"} 900.005"#,
            r#"klr_duration_seconds_count{function="f"} 4"#,
            r#"klr_concurrent_executions{function="f"} 0"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }
}
