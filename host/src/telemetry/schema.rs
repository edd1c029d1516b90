//! The versions of the schema, and what each makes of an event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, InitStart, Report, ReportMetrics, Status, Written, iso8601};

/// A schema version. The order is that of their coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Schema {
    /// The Logs API's first.
    #[serde(rename = "2020-08-15")]
    Logs2020,
    /// The Logs API's second: it has `platform.runtimeDone`.
    #[serde(rename = "2021-03-18")]
    Logs2021,
    /// The Telemetry API's first: a log record is a string, whatever the log's format.
    #[serde(rename = "2022-07-01")]
    Telemetry2022July,
    #[serde(rename = "2022-12-13")]
    Telemetry2022December,
    #[serde(rename = "2025-01-29")]
    Telemetry2025,
}

impl Schema {
    pub(crate) const ALL: [Self; 5] = [
        Self::Logs2020,
        Self::Logs2021,
        Self::Telemetry2022July,
        Self::Telemetry2022December,
        Self::Telemetry2025,
    ];

    /// Whether it belongs to the Logs API, which the Telemetry API succeeded.
    pub(crate) fn is_of_logs(self) -> bool {
        self <= Self::Logs2021
    }

    /// Calls `send` with the JSON objects that `event` is told by: none where the version does not know it.
    pub(crate) fn render(self, at: Timestamp, event: &Event<'_>, mut send: impl FnMut(Vec<u8>)) {
        let time = iso8601(at);
        if self.is_of_logs() {
            return self.render_log(&time, event, &mut send);
        }
        match event {
            Event::Fault(_) | Event::LogsSubscription(_) => {}
            Event::InitStart(start) if self == Self::Telemetry2022July => {
                send(json(&time, Event::InitStart(InitStart { instance: None, ..*start })));
            }
            Event::FunctionRecord(record) if self == Self::Telemetry2022July => {
                send(json(&time, Event::FunctionRecord(record.as_text())));
            }
            Event::ExtensionRecord(record) if self == Self::Telemetry2022July => {
                send(json(&time, Event::ExtensionRecord(record.as_text())));
            }
            _ => send(json(&time, event)),
        }
    }

    fn render_log(self, time: &str, event: &Event<'_>, send: &mut dyn FnMut(Vec<u8>)) {
        match event {
            Event::Start(start) => {
                send(json(time, Log::Start { request_id: start.request_id, version: start.version }));
            }
            Event::RuntimeDone(done) if self == Self::Logs2021 => {
                send(json(time, Log::RuntimeDone { request_id: done.request_id, status: done.status }));
            }
            Event::Report(Report { request_id, metrics, .. }) => {
                send(json(time, Log::End { request_id }));
                send(json(time, Log::Report { request_id, metrics: *metrics }));
            }
            Event::Fault(fault) => send(json(time, Log::Fault(&fault.to_string()))),
            Event::FunctionRecord(record) => send(json(time, Event::FunctionRecord(record.as_text()))),
            Event::ExtensionRecord(record) => send(json(time, Event::ExtensionRecord(record.as_text()))),
            Event::Extension(_) | Event::LogsSubscription(_) | Event::LogsDropped(_) => {
                send(json(time, event));
            }
            _ => {}
        }
    }
}

/// What the Logs API told otherwise.
#[derive(Serialize)]
#[serde(tag = "type", content = "record", rename_all_fields = "camelCase")]
enum Log<'a> {
    #[serde(rename = "platform.start")]
    Start { request_id: &'a str, version: &'a str },
    #[serde(rename = "platform.runtimeDone")]
    RuntimeDone { request_id: &'a str, status: Status },
    #[serde(rename = "platform.end")]
    End { request_id: &'a str },
    #[serde(rename = "platform.report")]
    Report { request_id: &'a str, metrics: ReportMetrics },
    #[serde(rename = "platform.fault")]
    Fault(&'a str),
}

impl Event<'_> {
    /// As a line of a log in JSON format.
    pub(crate) fn json(&self, at: Timestamp) -> Vec<u8> {
        json(&iso8601(at), self)
    }
}

fn json(time: &str, event: impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Timed<'a, E> {
        time: &'a str,
        #[serde(flatten)]
        event: E,
    }
    serde_json::to_vec(&Timed { time, event }).expect("strings, numbers and JSON are always JSON")
}

impl<'a> Written<'a> {
    fn as_text(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text),
            Self::Object(raw) => Self::Text(raw.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::RawValue};

    use super::*;
    use crate::telemetry::event::*;

    const TIME: &str = "2026-11-22T10:00:00.123Z";

    fn rendered(schema: Schema, event: Event<'_>) -> Vec<Value> {
        let mut all = Vec::new();
        schema
            .render(TIME.parse().unwrap(), &event, |bytes| all.push(serde_json::from_slice(&bytes).unwrap()));
        all
    }

    fn report<'a>() -> Event<'a> {
        Event::Report(Report {
            request_id: "r",
            status: Status::Failure,
            error_type: Some("Runtime.ExitError"),
            metrics: ReportMetrics {
                duration_ms: 2.7,
                usage: Some(Usage {
                    billed_duration_ms: 3,
                    memory_size_mb: 128,
                    max_memory_used_mb: 36,
                    init_duration_ms: Some(100.5),
                }),
            },
            tracing: Tracing::of("Root=1"),
        })
    }

    #[test]
    fn a_report_is_told_as_documented() {
        let metrics = json!({"durationMs": 2.7, "billedDurationMs": 3, "memorySizeMB": 128,
            "maxMemoryUsedMB": 36, "initDurationMs": 100.5});
        for schema in [Schema::Telemetry2022July, Schema::Telemetry2022December, Schema::Telemetry2025] {
            let expected = json!({"time": TIME, "type": "platform.report", "record": {
                "requestId": "r", "status": "failure", "errorType": "Runtime.ExitError", "metrics": metrics,
                "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1"},
            }});
            assert_eq!(rendered(schema, report()), [expected]);
        }
        let end = json!({"time": TIME, "type": "platform.end", "record": {"requestId": "r"}});
        let told = json!({"time": TIME, "type": "platform.report", "record": {"requestId": "r", "metrics": metrics}});
        assert_eq!(rendered(Schema::Logs2020, report()), [end, told]);
    }

    #[test]
    fn the_versions_differ_in_what_they_know() {
        let instance = Some(Instance {
            function_name: "f",
            function_version: "$LATEST",
            instance_id: "2026/11/22/[$LATEST]0",
            instance_max_memory: 134_217_728,
        });
        let start = Event::InitStart(InitStart {
            initialization_type: "on-demand",
            phase: Phase::Init,
            runtime_version: "python3.13",
            runtime_version_arn: "arn",
            instance,
        });
        let [new] = &rendered(Schema::Telemetry2022December, start)[..] else { panic!() };
        assert_eq!(new["record"]["instanceMaxMemory"], 134_217_728);
        let [old] = &rendered(Schema::Telemetry2022July, start)[..] else { panic!() };
        let known = json!({"initializationType": "on-demand", "phase": "init",
            "runtimeVersion": "python3.13", "runtimeVersionArn": "arn"});
        assert_eq!(old["record"], known);
        assert!(rendered(Schema::Logs2021, start).is_empty());

        let done = Event::RuntimeDone(RuntimeDone {
            request_id: "r",
            status: Status::Success,
            error_type: None,
            metrics: RuntimeMetrics { duration_ms: 1.5, produced_bytes: 12 },
            spans: &[Span { name: "responseLatency", start: TIME.parse().unwrap(), duration_ms: 1.25 }],
            tenant_id: None,
            tracing: None,
        });
        let [told] = &rendered(Schema::Telemetry2025, done)[..] else { panic!() };
        let record = json!({"requestId": "r", "status": "success",
            "metrics": {"durationMs": 1.5, "producedBytes": 12},
            "spans": [{"name": "responseLatency", "start": TIME, "durationMs": 1.25}]});
        assert_eq!(told["record"], record);
        let [told] = &rendered(Schema::Logs2021, done)[..] else { panic!() };
        assert_eq!(told["record"], json!({"requestId": "r", "status": "success"}));
        assert!(rendered(Schema::Logs2020, done).is_empty());

        let fault =
            Event::Fault(Fault { request_id: "r", cause: Cause::Lost("it ended", "Runtime.ExitError") });
        assert!(rendered(Schema::Telemetry2025, fault).is_empty());
        let [told] = &rendered(Schema::Logs2020, fault)[..] else { panic!() };
        assert_eq!(told["record"], "RequestId: r Error: it ended\nRuntime.ExitError");
    }

    #[test]
    fn an_object_is_one_only_since_it_may_be() {
        let raw = RawValue::from_string(r#"{"level":"INFO"}"#.to_owned()).unwrap();
        let written = Event::FunctionRecord(Written::Object(&raw));
        assert_eq!(rendered(Schema::Telemetry2022December, written)[0]["record"]["level"], "INFO");
        for schema in [Schema::Telemetry2022July, Schema::Logs2020] {
            assert_eq!(rendered(schema, written)[0]["record"], r#"{"level":"INFO"}"#);
        }
    }
}
