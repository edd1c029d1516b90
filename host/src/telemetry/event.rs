//! What happens in an execution environment, in the records of the Telemetry API.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::level::Level;

/// How an initialisation or an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Success,
    /// The runtime said so of its own start, or we did of its answer.
    Error,
    /// The runtime said so of an invocation, and goes on. The same to everybody but readers of Lambda's `REPORT` line.
    #[serde(rename = "error")]
    Reported,
    /// A process was lost.
    Failure,
    Timeout,
}

/// Where an initialisation happened: before the first invocation, or again within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Init,
    Invoke,
}

/// One event. It borrows, since it is written down for whoever wants it at the moment it happens.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", content = "record")]
pub(crate) enum Event<'a> {
    #[serde(rename = "platform.initStart")]
    InitStart(InitStart<'a>),
    #[serde(rename = "platform.initRuntimeDone")]
    InitRuntimeDone(InitRuntimeDone<'a>),
    #[serde(rename = "platform.initReport")]
    InitReport(InitReport<'a>),
    #[serde(rename = "platform.start")]
    Start(Start<'a>),
    #[serde(rename = "platform.runtimeDone")]
    RuntimeDone(RuntimeDone<'a>),
    #[serde(rename = "platform.report")]
    Report(Report<'a>),
    /// Why an invocation failed that the function did not fail itself. The log stream and the Logs API have it; in the
    /// Telemetry API it is the report's status.
    #[serde(rename = "platform.fault")]
    Fault(Fault<'a>),
    #[serde(rename = "platform.extension")]
    Extension(Extension<'a>),
    #[serde(rename = "platform.telemetrySubscription")]
    TelemetrySubscription(Subscription<'a>),
    #[serde(rename = "platform.logsSubscription")]
    LogsSubscription(Subscription<'a>),
    #[serde(rename = "platform.logsDropped")]
    LogsDropped(LogsDropped<'a>),
    /// What the function wrote.
    #[serde(rename = "function")]
    FunctionRecord(Written<'a>),
    /// What an extension wrote.
    #[serde(rename = "extension")]
    ExtensionRecord(Written<'a>),
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitStart<'a> {
    pub(crate) initialization_type: &'a str,
    pub(crate) phase: Phase,
    pub(crate) runtime_version: &'a str,
    pub(crate) runtime_version_arn: &'a str,
    /// Since the second version of the schema.
    #[serde(flatten)]
    pub(crate) instance: Option<Instance<'a>>,
}

/// Which environment initialises.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance<'a> {
    pub(crate) function_name: &'a str,
    pub(crate) function_version: &'a str,
    /// The name of its log stream.
    pub(crate) instance_id: &'a str,
    /// In bytes.
    pub(crate) instance_max_memory: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitRuntimeDone<'a> {
    pub(crate) initialization_type: &'a str,
    pub(crate) phase: Phase,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitReport<'a> {
    pub(crate) initialization_type: &'a str,
    pub(crate) phase: Phase,
    pub(crate) metrics: InitMetrics,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitMetrics {
    pub(crate) duration_ms: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Start<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) version: &'a str,
    pub(crate) function_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tracing: Option<Tracing<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Tracing<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

impl<'a> Tracing<'a> {
    /// Of an X-Ray header.
    pub(crate) fn of(header: &'a str) -> Option<Self> {
        (!header.is_empty()).then_some(Self { kind: "X-Amzn-Trace-Id", value: header })
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeDone<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<&'a str>,
    pub(crate) metrics: RuntimeMetrics,
    #[serde(skip_serializing_if = "<[Span]>::is_empty")]
    pub(crate) spans: &'a [Span],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tracing: Option<Tracing<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeMetrics {
    pub(crate) duration_ms: f64,
    pub(crate) produced_bytes: u64,
}

/// A part of an invocation.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    pub(crate) name: &'static str,
    #[serde(serialize_with = "milliseconds")]
    pub(crate) start: Timestamp,
    pub(crate) duration_ms: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<&'a str>,
    pub(crate) metrics: ReportMetrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tracing: Option<Tracing<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportMetrics {
    pub(crate) duration_ms: f64,
    /// Not told of one invocation where several share the environment.
    #[serde(flatten)]
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    pub(crate) billed_duration_ms: u64,
    #[serde(rename = "memorySizeMB")]
    pub(crate) memory_size_mb: u32,
    #[serde(rename = "maxMemoryUsedMB")]
    pub(crate) max_memory_used_mb: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) init_duration_ms: Option<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) cause: Cause<'a>,
}

/// Why an invocation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Cause<'a> {
    /// Over the function's timeout, which is this long.
    TimedOut(std::time::Duration),
    /// Something was lost: what is said of it, and the error type.
    Lost(&'a str, &'a str),
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Extension<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: &'a str,
    pub(crate) events: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_type: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Subscription<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: &'a str,
    pub(crate) types: &'a [Category],
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogsDropped<'a> {
    pub(crate) reason: &'a str,
    pub(crate) dropped_records: u64,
    pub(crate) dropped_bytes: u64,
}

/// A record of a log, as it was written: an object where the log's format is JSON and it is one.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum Written<'a> {
    Text(&'a str),
    Object(&'a RawValue),
}

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Category {
    Platform,
    Function,
    Extension,
}

impl Event<'_> {
    pub(crate) fn category(&self) -> Category {
        match self {
            Self::FunctionRecord(_) => Category::Function,
            Self::ExtensionRecord(_) => Category::Extension,
            _ => Category::Platform,
        }
    }

    /// How much it matters, by Lambda's table of system log events.
    pub(crate) fn level(&self) -> Level {
        let by_status = |status: Status, fine| if status == Status::Success { fine } else { Level::Warn };
        match self {
            Self::InitRuntimeDone(done) => by_status(done.status, Level::Debug),
            Self::InitReport(report) => by_status(report.status, Level::Debug),
            Self::RuntimeDone(done) => by_status(done.status, Level::Debug),
            Self::Report(report) => by_status(report.status, Level::Info),
            Self::Extension(extension) if extension.error_type.is_some() => Level::Warn,
            Self::LogsDropped(_) | Self::Fault(_) => Level::Warn,
            _ => Level::Info,
        }
    }
}

/// A moment as Lambda writes it: UTC, with milliseconds.
pub(crate) fn iso8601(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn milliseconds<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}
