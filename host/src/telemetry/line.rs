//! Events as lines of a log in text format.

use std::fmt;

use jiff::Timestamp;

use super::event::{Category, Cause, Event, Extension, Fault, InitReport, Report, Status, Subscription};

impl Event<'_> {
    /// Calls `line` with each record of the log stream, without its newline. Not every event has one.
    pub(crate) fn lines(&self, at: Timestamp, mut line: impl FnMut(fmt::Arguments<'_>)) {
        match self {
            Self::InitStart(start) => line(format_args!(
                "INIT_START Runtime Version: {}\tRuntime Version ARN: {}",
                start.runtime_version, start.runtime_version_arn
            )),
            // A start that went well is told by the first report's `Init Duration`.
            Self::InitReport(report) if report.status != Status::Success => line(format_args!("{report}")),
            Self::Start(start) => {
                line(format_args!("START RequestId: {} Version: {}", start.request_id, start.version));
            }
            Self::Fault(Fault { request_id, cause: Cause::TimedOut(after) }) => line(format_args!(
                "{at:.3} {request_id} Task timed out after {:.2} seconds",
                after.as_secs_f64()
            )),
            Self::Fault(fault) => line(format_args!("{fault}")),
            Self::Report(report) => {
                line(format_args!("END RequestId: {}", report.request_id));
                line(format_args!("{report}"));
            }
            Self::Extension(extension) => line(format_args!("{extension}")),
            Self::TelemetrySubscription(told) => line(format_args!("TELEMETRY\t{told}")),
            Self::LogsSubscription(told) => line(format_args!("LOGS\t{told}")),
            _ => {}
        }
    }
}

/// A number with two decimals, written for every invocation: the standard library's way of it, right to the last digit of
/// any float, takes as long as the rest of the line.
struct Hundredths(f64);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0 * 100.0).round() as u64;
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

/// What a report's status adds to its line.
struct Ending<'a>(Status, Option<&'a str>);

impl fmt::Display for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Status::Success, _) => Ok(()),
            Self(Status::Timeout, _) => f.write_str("Status: timeout"),
            Self(_, None) => f.write_str("Status: error"),
            Self(_, Some(kind)) => write!(f, "Status: error\tError Type: {kind}"),
        }
    }
}

impl fmt::Display for InitReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            super::event::Phase::Init => "init",
            super::event::Phase::Invoke => "invoke",
        };
        let ending = Ending(self.status, self.error_type);
        write!(f, "INIT_REPORT Init Duration: {:.2} ms\tPhase: {phase}\t{ending}", self.metrics.duration_ms)
    }
}

impl fmt::Display for Report<'_> {
    /// A tab ends each field, the last as well, as on Lambda; only a status has none after it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = Hundredths(self.metrics.duration_ms);
        write!(f, "REPORT RequestId: {}\tDuration: {took} ms\t", self.request_id)?;
        if let Some(usage) = &self.metrics.usage {
            let (billed, size) = (usage.billed_duration_ms, usage.memory_size_mb);
            write!(f, "Billed Duration: {billed} ms\tMemory Size: {size} MB\t")?;
            write!(f, "Max Memory Used: {} MB\t", usage.max_memory_used_mb)?;
            if let Some(init) = usage.init_duration_ms {
                write!(f, "Init Duration: {init:.2} ms\t")?;
            }
        }
        Ending(self.status, self.error_type).fmt(f)
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::TimedOut(after) => {
                write!(
                    f,
                    "RequestId: {} Task timed out after {:.2} seconds",
                    self.request_id,
                    after.as_secs_f64()
                )
            }
            Cause::Lost(what, kind) => write!(f, "RequestId: {} Error: {what}\n{kind}", self.request_id),
        }
    }
}

impl fmt::Display for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.events.join(", ");
        write!(f, "EXTENSION\tName: {}\tState: {}\tEvents: [{events}]", self.name, self.state)?;
        match self.error_type {
            Some(kind) => write!(f, "\tError Type: {kind}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Subscription<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |category: &Category| match category {
            Category::Platform => "Platform",
            Category::Function => "Function",
            Category::Extension => "Extension",
        };
        let types: Vec<_> = self.types.iter().map(name).collect();
        write!(f, "Name: {}\tState: {}\tTypes: [{}]", self.name, self.state, types.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::telemetry::event::*;

    fn lines(event: Event<'_>) -> Vec<String> {
        let mut all = Vec::new();
        event.lines("2026-11-22T10:00:00.1234Z".parse().unwrap(), |line| all.push(line.to_string()));
        all
    }

    fn report(status: Status, error_type: Option<&str>, init: Option<f64>) -> String {
        let usage = Usage {
            billed_duration_ms: 4,
            memory_size_mb: 128,
            max_memory_used_mb: 36,
            init_duration_ms: init,
        };
        let metrics = ReportMetrics { duration_ms: 3.6249, usage: Some(usage) };
        let mut all =
            lines(Event::Report(Report { request_id: "r", status, error_type, metrics, tracing: None }));
        assert_eq!(all[0], "END RequestId: r");
        all.swap_remove(1)
    }

    #[test]
    fn reports_read_as_lambdas() {
        let fine = report(Status::Success, None, Some(150.214));
        let common = "REPORT RequestId: r\tDuration: 3.62 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t\
                      Max Memory Used: 36 MB\t";
        assert_eq!(fine, format!("{common}Init Duration: 150.21 ms\t"));
        assert_eq!(report(Status::Timeout, None, None), format!("{common}Status: timeout"));
        let lost = report(Status::Failure, Some("Runtime.ExitError"), None);
        assert_eq!(lost, format!("{common}Status: error\tError Type: Runtime.ExitError"));
    }

    #[test]
    fn the_other_lines_read_as_lambdas() {
        let start = Start {
            request_id: "r",
            version: "$LATEST",
            function_arn: "arn",
            tenant_id: None,
            tracing: None,
        };
        assert_eq!(lines(Event::Start(start)), ["START RequestId: r Version: $LATEST"]);
        let late = Fault { request_id: "r", cause: Cause::TimedOut(Duration::from_secs(3)) };
        assert_eq!(
            lines(Event::Fault(late)),
            ["2026-11-22T10:00:00.123Z r Task timed out after 3.00 seconds"]
        );
        let lost = Fault { request_id: "r", cause: Cause::Lost("gone", "Runtime.ExitError") };
        assert_eq!(lines(Event::Fault(lost)), ["RequestId: r Error: gone\nRuntime.ExitError"]);
        let init = InitReport {
            initialization_type: "on-demand",
            phase: Phase::Init,
            metrics: InitMetrics { duration_ms: 10_000.5 },
            status: Status::Timeout,
            error_type: None,
        };
        assert_eq!(
            lines(Event::InitReport(init)),
            ["INIT_REPORT Init Duration: 10000.50 ms\tPhase: init\tStatus: timeout"]
        );
        assert!(lines(Event::InitReport(InitReport { status: Status::Success, ..init })).is_empty());
        let extension =
            Extension { name: "ext", state: "Ready", events: &["INVOKE", "SHUTDOWN"], error_type: None };
        assert_eq!(
            lines(Event::Extension(extension)),
            ["EXTENSION\tName: ext\tState: Ready\tEvents: [INVOKE, SHUTDOWN]"]
        );
        let types = &[Category::Platform, Category::Function];
        let subscription = Subscription { name: "ext", state: "Subscribed", types };
        assert_eq!(
            lines(Event::TelemetrySubscription(subscription)),
            ["TELEMETRY\tName: ext\tState: Subscribed\tTypes: [Platform, Function]"]
        );
    }
}
