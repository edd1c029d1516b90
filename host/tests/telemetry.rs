//! The Telemetry API, and the Logs API before it: what a subscribed extension receives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{BOOTSTRAP, Extensions, code, eventually, invoke, provided, start};
use klr_host::{Host, Logs, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

const ALL: [&str; 3] = ["platform", "function", "extension"];
const PRINT: &str = r#"{"do":"print","line":"said"}"#;

fn quiet(code: &TempDir) -> Settings {
    Settings { logs: Logs::Quiet, ..provided(code) }
}

async fn stop(host: Host) {
    host.stop(Duration::from_secs(5)).await;
}

fn of<'a>(telemetry: &'a [Value], kind: &str) -> Vec<&'a Value> {
    telemetry.iter().filter(|event| event["type"] == kind).map(|event| &event["record"]).collect()
}

#[tokio::test]
async fn everything_is_told_in_its_order() {
    let code = code(BOOTSTRAP);
    let subscription = json!({"schemaVersion": "2022-12-13", "types": ALL, "buffering": {"timeoutMs": 25}});
    let extensions = Extensions::new(&[("ext", json!({"telemetry": subscription}))]);
    let host = start(extensions.beside(quiet(&code))).await;
    let subscribed = &extensions.saw("subscribed")[0];
    assert_eq!((subscribed["status"].as_u64(), &subscribed["body"]), (Some(200), &"OK".into()));
    let id = invoke(&host, PRINT).await.headers()["x-amzn-requestid"].to_str().unwrap().to_owned();
    invoke(&host, r#"{"do":"error"}"#).await;
    invoke(&host, r#"{"do":"kill"}"#).await;
    eventually("all reports are there", || of(&extensions.telemetry(), "platform.report").len() >= 3).await;
    let too_late = &extensions.saw("too late")[0];
    assert_eq!(too_late["status"], 403);
    assert_eq!(too_late["body"]["errorType"], "Telemetry.SubscriptionClosed");
    stop(host).await;

    let telemetry = extensions.telemetry();
    let kinds: Vec<_> = telemetry.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let first = |kind: &str| kinds.iter().position(|it| *it == kind).unwrap_or_else(|| panic!("no {kind}"));
    let order = [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        "platform.start",
        "function",
        "platform.report",
    ];
    // The function's line comes by a pipe, and may be behind the end of its invocation.
    let places: Vec<_> = order.iter().filter(|kind| **kind != "function").map(|kind| first(kind)).collect();
    assert!(places.is_sorted(), "{kinds:?}");
    assert!(first("function") > first("platform.start"));

    let init = of(&telemetry, "platform.initStart")[0];
    assert_eq!((&init["initializationType"], &init["phase"]), (&"on-demand".into(), &"init".into()));
    assert_eq!(
        (&init["functionName"], &init["instanceMaxMemory"]),
        (&"function".into(), &(128 << 20).into())
    );
    assert!(init["instanceId"].as_str().unwrap().contains("/[$LATEST]"), "{init}");
    let extension = json!({"name": "ext", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]});
    assert_eq!(of(&telemetry, "platform.extension")[0], &extension);
    let told = json!({"name": "ext", "state": "Subscribed", "types": ALL});
    assert_eq!(of(&telemetry, "platform.telemetrySubscription")[0], &told);
    assert_eq!(of(&telemetry, "function")[0], "said");
    assert_eq!(of(&telemetry, "extension")[0], &Value::from(format!("ext was told of {id}")));

    let start = of(&telemetry, "platform.start")[0];
    assert_eq!((&start["requestId"], &start["version"]), (&id.as_str().into(), &"$LATEST".into()));
    let done = of(&telemetry, "platform.runtimeDone");
    let statuses: Vec<_> = done.iter().map(|done| done["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["success", "error", "failure"]);
    assert_eq!(done[2]["errorType"], "Runtime.ExitError");
    let spans: Vec<_> =
        done[0]["spans"].as_array().unwrap().iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(spans, ["responseLatency", "responseDuration", "runtimeOverhead"]);
    assert_eq!(done[0]["metrics"]["producedBytes"], "null".len());
    let report = &of(&telemetry, "platform.report")[0]["metrics"];
    let number = |name: &str| report[name].as_f64().unwrap();
    let beyond = number("billedDurationMs") - number("durationMs") - number("initDurationMs");
    // To the microsecond, each of them.
    assert!((-0.01..1.01).contains(&beyond), "{report}");
    assert_eq!(report["memorySizeMB"], 128);
    assert!(report["maxMemoryUsedMB"].as_u64().unwrap() > 5, "{report}");
    assert!(report["initDurationMs"].as_f64().unwrap() > 1.0, "{report}");
}

#[tokio::test]
async fn lines_by_tcp_and_the_older_schemas() {
    let code = code(BOOTSTRAP);
    let tcp = json!({"schemaVersion": "2022-07-01", "types": ALL, "protocol": "TCP", "buffering": {"timeoutMs": 25}});
    let logs = json!({"schemaVersion": "2021-03-18", "types": ALL, "buffering": {"timeoutMs": 25}});
    let extensions =
        [("tcp", json!({"telemetry": tcp})), ("old", json!({"telemetry": logs, "api": "/2020-08-15/logs"}))];
    let extensions = Extensions::new(&extensions);
    let environment = vec![("AWS_LAMBDA_LOG_FORMAT".to_owned(), "JSON".to_owned())];
    let host = start(extensions.beside(Settings { environment, ..quiet(&code) })).await;
    invoke(&host, r#"{"do":"print","line":"{\"level\":\"INFO\",\"message\":\"m\"}"}"#).await;
    let got = |who: &str| -> Vec<Value> {
        let batches = extensions.saw("telemetry").into_iter().filter(|seen| seen["who"] == who);
        batches.flat_map(|batch| batch["events"].as_array().unwrap().clone()).collect()
    };
    for who in ["tcp", "old"] {
        eventually(who, || {
            let got = got(who);
            !of(&got, "platform.report").is_empty() && !of(&got, "function").is_empty()
        })
        .await;
        let got = got(who);
        assert_eq!(of(&got, "function")[0], r#"{"level":"INFO","message":"m"}"#, "a string in old schemas");
    }
    assert!(of(&got("tcp"), "platform.initStart")[0].get("functionName").is_none());
    let old = got("old");
    let start = of(&old, "platform.start")[0];
    assert_eq!(start.as_object().unwrap().len(), 2, "{start}");
    assert_eq!(of(&old, "platform.end")[0]["requestId"], start["requestId"]);
    assert_eq!(of(&old, "platform.runtimeDone")[0]["status"], "success");
    let told = json!({"name": "old", "state": "Subscribed", "types": ALL});
    assert_eq!(of(&old, "platform.logsSubscription")[0], &told);
    stop(host).await;
}

#[tokio::test]
async fn what_a_slow_receiver_leaves_no_room_for_is_dropped_and_told() {
    let code = code(BOOTSTRAP);
    let subscription = json!({"schemaVersion": "2022-12-13", "types": ["platform", "function"],
        "buffering": {"maxItems": 1000, "timeoutMs": 100}});
    let what = json!({"telemetry": subscription, "first post takes": 3, "events": ["SHUTDOWN"]});
    let extensions = Extensions::new(&[("slow", what)]);
    let host = start(extensions.beside(quiet(&code))).await;
    let lines = 8000;
    let many = "x\\n".repeat(lines - 1) + "x";
    invoke(&host, format!(r#"{{"do":"print","line":"{many}"}}"#)).await;
    invoke(&host, PRINT).await;
    let dropped = || of(&extensions.telemetry(), "platform.logsDropped").len();
    eventually("it is told what it missed", || dropped() > 0).await;
    // What is still buffered is sent before the end.
    stop(host).await;
    let telemetry = extensions.telemetry();
    let dropped: u64 =
        of(&telemetry, "platform.logsDropped").iter().map(|it| it["droppedRecords"].as_u64().unwrap()).sum();
    assert!(of(&telemetry, "platform.logsDropped")[0]["reason"].as_str().unwrap().contains("slower"));
    // What was dropped may be of the platform's as well.
    let got = of(&telemetry, "function").len() as u64;
    let all = lines as u64 + 1;
    assert!(dropped > 1000 && got < all && got + dropped >= all, "{got} and {dropped} of {all}");
}

#[tokio::test]
async fn what_is_no_subscription_is_refused() {
    let code = code(BOOTSTRAP);
    for (subscription, field) in [
        (json!({"schemaVersion": "2022-12-13", "types": []}), "types"),
        (json!({"schemaVersion": "2020-08-15", "types": ["function"]}), "schemaVersion"),
        (json!({"types": ["function"], "buffering": {"maxItems": 10}}), "buffering.maxItems"),
    ] {
        let extensions = Extensions::new(&[("ext", json!({"telemetry": subscription}))]);
        let host = start(extensions.beside(quiet(&code))).await;
        let subscribed = &extensions.saw("subscribed")[0];
        assert_eq!(subscribed["status"], 400);
        assert_eq!(subscribed["body"]["errorType"], "ValidationError");
        assert!(subscribed["body"]["errorMessage"].as_str().unwrap().contains(field), "{subscribed}");
        stop(host).await;
    }
}
