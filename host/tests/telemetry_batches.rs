//! What a subscriber of the Telemetry API gets in one POST, what it is told it missed, and what each schema says of an event.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{BOOTSTRAP, Extensions, code, eventually, invoke, provided, start};
use klr_host::{Host, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A function beside one extension that has these lines of its log by this buffering.
async fn subscribed(buffering: Value, more: Value) -> (Host, Extensions, TempDir) {
    let code = code(BOOTSTRAP);
    let subscription = json!({"schemaVersion": "2022-12-13", "types": ["function"], "buffering": buffering});
    let mut what = json!({"telemetry": subscription, "events": ["SHUTDOWN"]});
    what.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let extensions = Extensions::new(&[("ext", what)]);
    let host = start(extensions.beside(provided(&code))).await;
    (host, extensions, code)
}

/// Has the function write so many lines of so many bytes each.
async fn write(host: &Host, lines: usize, bytes: usize) {
    let line = format!("{}\\n", "x".repeat(bytes)).repeat(lines);
    let line = line.trim_end_matches("\\n");
    assert_eq!(invoke(host, format!(r#"{{"do":"print","line":"{line}"}}"#)).await.status(), 200);
}

/// How many events each POST had, and how large it was.
fn posts(extensions: &Extensions) -> Vec<(usize, usize)> {
    let size = |post: &Value| usize::try_from(post["bytes"].as_u64().unwrap()).unwrap();
    extensions
        .saw("telemetry")
        .iter()
        .map(|post| (post["events"].as_array().unwrap().len(), size(post)))
        .collect()
}

#[tokio::test]
async fn a_post_has_as_many_events_as_were_asked_for() {
    let buffering = json!({"maxItems": 1000, "maxBytes": 1_048_576, "timeoutMs": 30_000});
    let (host, extensions, _code) = subscribed(buffering, json!({})).await;
    write(&host, 1500, 10).await;
    eventually("the full batch goes", || posts(&extensions).len() == 1).await;
    write(&host, 1000, 10).await;
    eventually("and the next", || posts(&extensions).len() == 2).await;
    // What is left waits for its time, or for the end.
    host.stop(Duration::from_secs(5)).await;
    let counts: Vec<_> = posts(&extensions).into_iter().map(|(events, _)| events).collect();
    assert_eq!(counts, [1000, 1000, 500]);
}

#[tokio::test]
async fn a_post_is_as_large_as_was_asked_for() {
    const LARGEST: usize = 262_144;
    let buffering = json!({"maxItems": 10_000, "maxBytes": LARGEST, "timeoutMs": 30_000});
    let (host, extensions, _code) = subscribed(buffering, json!({})).await;
    write(&host, 200, 2000).await;
    eventually("the full batch goes", || posts(&extensions).len() == 1).await;
    host.stop(Duration::from_secs(5)).await;
    let posts = posts(&extensions);
    let (events, bytes) = posts[0];
    // An event is its line and some 70 bytes; brackets and commas are not counted.
    assert!(bytes <= LARGEST + events + 1 && bytes > LARGEST - 2100, "{posts:?}");
    assert_eq!(posts.iter().map(|(events, _)| events).sum::<usize>(), 200);
    assert_eq!(posts.len(), 2, "{posts:?}");
}

#[tokio::test]
async fn a_post_waits_for_its_time_only() {
    let buffering = json!({"timeoutMs": 2000});
    let (host, extensions, _code) = subscribed(buffering, json!({})).await;
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        write(&host, 1, 10).await;
    }
    let written = begin.elapsed();
    eventually("its time comes", || !posts(&extensions).is_empty()).await;
    let took = begin.elapsed();
    // One POST, unless the machine was so slow that the three lines were not written in its time.
    let together = written < Duration::from_millis(1900);
    assert!(!together || posts(&extensions)[0].0 == 3, "{:?} after {written:?}", posts(&extensions));
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    host.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_was_dropped_is_counted_in_records_and_bytes() {
    let code = code(BOOTSTRAP);
    let subscription = json!({"schemaVersion": "2025-01-29", "types": ["platform", "function"],
        "buffering": {"maxItems": 1000, "timeoutMs": 25}});
    let what = json!({"telemetry": subscription, "first post takes": 4, "events": ["SHUTDOWN"]});
    let extensions = Extensions::new(&[("slow", what)]);
    let host = start(extensions.beside(provided(&code))).await;
    // The first batch is on its way, and is not taken. A second and a third of at most a thousand have room behind it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    write(&host, 6000, 100).await;
    let dropped = || {
        let telemetry = extensions.telemetry();
        let told = telemetry.into_iter().filter(|event| event["type"] == "platform.logsDropped");
        told.map(|event| event["record"].clone()).collect::<Vec<_>>()
    };
    eventually("it is told what it missed", || !dropped().is_empty()).await;
    host.stop(Duration::from_secs(5)).await;
    let told = dropped();
    let sum = |member: &str| told.iter().map(|record| record[member].as_u64().unwrap()).sum::<u64>();
    let (records, bytes) = (sum("droppedRecords"), sum("droppedBytes"));
    let got = extensions.telemetry().iter().filter(|event| event["type"] == "function").count() as u64;
    // Some of the platform's may be among them.
    assert!((6000 - got..6010 - got).contains(&records), "{got} and {records}");
    let line = extensions.telemetry().into_iter().find(|event| event["type"] == "function").unwrap();
    let size = line.to_string().len() as u64;
    assert!(bytes.abs_diff(records * size) < 10 * 1000, "{bytes} bytes of {records} records of {size}");
    for record in told {
        let members: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, ["droppedBytes", "droppedRecords", "reason"]);
    }
}

/// The members an event's record has, those of its metrics too.
fn members(telemetry: &[Value], kind: &str) -> BTreeSet<String> {
    let event = telemetry.iter().find(|event| event["type"] == kind);
    let record = &event.unwrap_or_else(|| panic!("no {kind}"))["record"];
    let metrics = record["metrics"].as_object().into_iter().flat_map(|metrics| metrics.keys());
    record.as_object().unwrap().keys().chain(metrics).cloned().collect()
}

#[tokio::test]
async fn every_schema_has_its_members() {
    let code = code(BOOTSTRAP);
    let schemas = ["2022-07-01", "2022-12-13", "2025-01-29"];
    let names = ["first", "second", "third"];
    let what = schemas.map(|schema| {
        json!({"telemetry": {"schemaVersion": schema, "types": ["platform", "function", "extension"],
            "buffering": {"timeoutMs": 25}}, "events": ["SHUTDOWN"]})
    });
    let all: Vec<_> = names.into_iter().zip(what).collect();
    let extensions = Extensions::new(&all);
    let environment = vec![("AWS_LAMBDA_LOG_FORMAT".to_owned(), "JSON".to_owned())];
    let host = start(extensions.beside(Settings { environment, ..provided(&code) })).await;
    invoke(&host, r#"{"do":"print","line":"{\"level\":\"INFO\",\"message\":\"m\"}"}"#).await;
    invoke(&host, r#"{"do":"exit","code":3}"#).await;
    host.stop(Duration::from_secs(5)).await;
    for (name, schema) in names.into_iter().zip(schemas) {
        let got: Vec<Value> = extensions
            .saw("telemetry")
            .into_iter()
            .filter(|post| post["who"] == name)
            .flat_map(|post| post["events"].as_array().unwrap().clone())
            .collect();
        let has = |kind: &str, expected: &[&str]| {
            let expected: BTreeSet<String> = expected.iter().map(|&member| member.to_owned()).collect();
            assert_eq!(members(&got, kind), expected, "{schema}: {kind}");
        };
        let common = ["initializationType", "phase", "runtimeVersion", "runtimeVersionArn"];
        let instance: &[&str] = match schema {
            "2022-07-01" => &[],
            _ => &["functionName", "functionVersion", "instanceId", "instanceMaxMemory"],
        };
        has("platform.initStart", &[&common[..], instance].concat());
        has("platform.initRuntimeDone", &["initializationType", "phase", "status"]);
        has("platform.initReport", &["initializationType", "phase", "status", "metrics", "durationMs"]);
        has("platform.start", &["requestId", "version", "functionArn", "tracing"]);
        let done = ["requestId", "status", "metrics", "durationMs", "producedBytes", "spans", "tracing"];
        has("platform.runtimeDone", &done);
        let report = ["requestId", "status", "metrics", "durationMs", "billedDurationMs", "memorySizeMB"];
        has("platform.report", &[&report[..], &["maxMemoryUsedMB", "initDurationMs", "tracing"]].concat());
        has("platform.extension", &["name", "state", "events"]);
        has("platform.telemetrySubscription", &["name", "state", "types"]);
        let failed: Vec<_> = got.iter().filter(|event| event["record"]["status"] == "failure").collect();
        assert_eq!(failed.len(), 2, "{schema}: runtimeDone and report of the lost one");
        assert!(failed.iter().all(|event| event["record"]["errorType"] == "Runtime.ExitError"), "{schema}");
        let line = &got.iter().find(|event| event["type"] == "function").unwrap()["record"];
        assert_eq!(line.is_object(), schema != "2022-07-01", "{schema}: {line}");
        let times = got.iter().map(|event| event["time"].as_str().unwrap());
        assert!(times.clone().all(|time| time.len() == "2026-11-22T00:00:00.000Z".len()), "{schema}");
    }
}
