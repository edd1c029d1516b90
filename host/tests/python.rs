//! An unmodified Python handler under AWS's own runtime client, awslambdaric.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{event, header, invoke, json, python, start};
use klr_host::Settings;
use tempfile::TempDir;

const HANDLER: &str = r#"
import os, sys, time

def handler(event, context):
    do = event.get("do")
    if do == "raise":
        raise ValueError("as asked")
    if do == "exit":
        os._exit(event["code"])
    if do == "sleep":
        time.sleep(event["seconds"])
    if do == "size":
        return "x" * (event["bytes"] - 2)
    if do == "context":
        return {
            "id": context.aws_request_id, "arn": context.invoked_function_arn, "name": context.function_name,
            "left": context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb,
            "custom": context.client_context.custom if context.client_context else None,
            "env": os.environ.get("AWS_EXECUTION_ENV"),
        }
    return event
"#;

/// The settings of a function, and its code; nothing where there is no awslambdaric.
fn function(handler: &str) -> Option<(Settings, TempDir)> {
    let python = python()?;
    let code = tempfile::tempdir().unwrap();
    std::fs::write(code.path().join("app.py"), HANDLER).unwrap();
    let command = [python.to_str().unwrap(), "-m", "awslambdaric", handler].map(str::to_owned).to_vec();
    let directory = Some(code.path().to_owned());
    let timeout = Duration::from_secs(30);
    Some((Settings { command, directory, timeout, cloudevent_context: true, ..Settings::default() }, code))
}

#[tokio::test]
async fn a_handler_gets_the_event_and_its_context() {
    let Some((settings, _code)) = function("app.handler") else { return };
    let host = start(settings).await;
    let records = serde_json::json!({"Records": [{"n": 9_007_199_254_740_993_u64, "s": "é"}]});
    let echoed = event(&host, records.to_string()).send().await.unwrap();
    assert_eq!(echoed.status(), 200);
    assert_eq!(json(echoed).await, records);
    let told = event(&host, r#"{"do":"context"}"#).header("ce-subject", "q").send().await.unwrap();
    let id = header(&told, "x-amzn-requestid").unwrap().to_owned();
    let told = json(told).await;
    assert_eq!(told["id"], id);
    assert_eq!(told["arn"], "arn:aws:lambda:us-east-1:123456789012:function:function");
    assert_eq!((&told["name"], &told["memory"]), (&"function".into(), &"128".into()));
    assert_eq!(told["custom"]["subject"], "q");
    assert!((20_000..=30_000).contains(&told["left"].as_u64().unwrap()), "{told}");
}

#[tokio::test]
async fn errors_crashes_and_large_replies_leave_a_host_that_works() {
    let Some((settings, _code)) = function("app.handler") else { return };
    let host = start(settings).await;
    let failed = event(&host, r#"{"do":"raise"}"#).send().await.unwrap();
    assert_eq!((failed.status().as_u16(), header(&failed, "x-amz-function-error")), (500, Some("Unhandled")));
    let document = json(failed).await;
    assert_eq!(
        (&document["errorType"], &document["errorMessage"]),
        (&"ValueError".into(), &"as asked".into())
    );
    assert!(document["stackTrace"].is_array() && document["requestId"].is_string(), "passed on untouched");

    for (code, reason) in [(3, "exit status 3"), (0, "Runtime exited without providing a reason")] {
        let lost = event(&host, format!(r#"{{"do":"exit","code":{code}}}"#)).send().await.unwrap();
        assert_eq!(lost.status(), 502);
        let document = json(lost).await;
        assert_eq!(document["errorType"], "Runtime.ExitError");
        assert!(document["errorMessage"].as_str().unwrap().ends_with(reason), "{document}");
    }
    for (bytes, status) in [(6_291_556, 200), (6_291_557, 500), (10, 200)] {
        let answer = event(&host, format!(r#"{{"do":"size","bytes":{bytes}}}"#)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{bytes} bytes");
        if status == 500 {
            assert_eq!(json(answer).await["errorType"], "Function.ResponseSizeTooLarge");
        }
    }
}

#[tokio::test]
async fn a_slow_handler_is_stopped_and_the_next_call_works() {
    let Some((settings, _code)) = function("app.handler") else { return };
    let host = start(Settings { timeout: Duration::from_secs(4), ..settings }).await;
    let late = event(&host, r#"{"do":"sleep","seconds":60}"#).send().await.unwrap();
    assert_eq!(late.status(), 504);
    assert_eq!(json(late).await["errorType"], "Sandbox.Timedout");
    assert_eq!(invoke(&host, "{}").await.text().await.unwrap(), "{}");
}

#[tokio::test]
async fn a_handler_that_is_not_there_is_told_as_lambda_tells_it() {
    let Some((settings, _code)) = function("nowhere.handler") else { return };
    let host = start(settings).await;
    assert!(!host.ready());
    let failed = invoke(&host, "{}").await;
    assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"));
    assert_eq!(json(failed).await["errorType"], "Runtime.ImportModuleError");
}
