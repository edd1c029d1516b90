//! Events as lines of a log in text format.

use std::fmt;

use jiff::Timestamp;

use super::event::{Category, Cause, Event, Extension, Fault, InitReport, Report, Status, Subscription};

/// Most reports are shorter.
const LINE: usize = 256;

impl Event<'_> {
    /// Calls `line` with each record of the log stream, without its newline. Not every event has one.
    ///
    /// Those that every invocation has are put together piece by piece: formatting takes three times as long.
    pub(crate) fn lines(&self, at: Timestamp, mut line: impl FnMut(&str)) {
        match self {
            Self::InitStart(start) => line(&format!(
                "INIT_START Runtime Version: {}\tRuntime Version ARN: {}",
                start.runtime_version, start.runtime_version_arn
            )),
            // A start that went well is told by the first report's `Init Duration`.
            Self::InitReport(report) if report.status != Status::Success => line(&report.to_string()),
            Self::Start(start) => {
                line(&["START RequestId: ", start.request_id, " Version: ", start.version].concat());
            }
            Self::Fault(Fault { request_id, cause: Cause::TimedOut(after) }) => {
                line(&format!("{at:.3} {request_id} Task timed out after {:.2} seconds", after.as_secs_f64()))
            }
            Self::Fault(fault) => line(&fault.to_string()),
            Self::Report(report) => {
                line(&["END RequestId: ", report.request_id].concat());
                line(&report.line());
            }
            Self::Extension(extension) => line(&extension.to_string()),
            Self::TelemetrySubscription(told) => line(&format!("TELEMETRY\t{told}")),
            Self::LogsSubscription(told) => line(&format!("LOGS\t{told}")),
            _ => {}
        }
    }
}

/// What a report's status adds to its line. Lambda's says nothing of an error that the runtime reported: that is the function's
/// own affair.
struct Ending<'a>(Status, Option<&'a str>);

impl fmt::Display for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Status::Success | Status::Reported, _) => Ok(()),
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

impl Report<'_> {
    /// A tab ends each field, the last as well, as on Lambda; only a status has none after it.
    fn line(&self) -> String {
        let (mut whole, mut hundredths) = (itoa::Buffer::new(), itoa::Buffer::new());
        let took = (self.metrics.duration_ms * 100.0).round() as u64;
        // A hundred more, for its digit: a zero in front is kept.
        let (whole, hundredths) = (whole.format(took / 100), &hundredths.format(100 + took % 100)[1..]);
        let mut text = String::with_capacity(LINE);
        text.extend(["REPORT RequestId: ", self.request_id, "\tDuration: ", whole, ".", hundredths, " ms\t"]);
        if let Some(usage) = &self.metrics.usage {
            let mut field = |name, number: u64, unit| {
                text.extend([name, itoa::Buffer::new().format(number), unit]);
            };
            field("Billed Duration: ", usage.billed_duration_ms, " ms\t");
            field("Memory Size: ", usage.memory_size_mb.into(), " MB\t");
            field("Max Memory Used: ", usage.max_memory_used_mb, " MB\t");
            if let Some(init) = usage.init_duration_ms {
                text += &format!("Init Duration: {init:.2} ms\t");
            }
        }
        if !matches!(self.status, Status::Success | Status::Reported) {
            text += &Ending(self.status, self.error_type).to_string();
        }
        text
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
        event.lines("2026-11-22T10:00:00.1234Z".parse().unwrap(), |line| all.push(line.to_owned()));
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
        assert_eq!(report(Status::Reported, Some("Runtime.Unknown"), None), common);
        let unable = report(Status::Error, Some("Runtime.ImportModuleError"), None);
        assert_eq!(unable, format!("{common}Status: error\tError Type: Runtime.ImportModuleError"));
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
