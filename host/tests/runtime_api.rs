//! What a runtime client meets: the Runtime API, as a `bootstrap` sees it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{BOOTSTRAP, bootstrap, code, header, invoke, invoke_with, json, provided, start};
use klr_host::Settings;

#[tokio::test]
async fn next_has_every_header_a_client_may_look_for() {
    let (host, _code) = bootstrap().await;
    let context = [
        ("x-amz-client-context", "eyJjdXN0b20iOnsia8OpeSI6InYifX0="), // {"custom":{"kéy":"v"}}
        ("x-amz-tenant-id", "blue"),
        ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
    ];
    let told = json(invoke_with(&host, &context, r#"{"do":"context"}"#).await).await;
    let headers = &told["headers"];
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["lambda-runtime-aws-request-id"].as_str().unwrap().len(), 36);
    assert_eq!(headers["lambda-runtime-invocation-id"].as_str().unwrap().len(), 36);
    assert_eq!(
        headers["lambda-runtime-invoked-function-arn"],
        "arn:aws:lambda:us-east-1:123456789012:function:function"
    );
    assert_eq!(headers["lambda-runtime-trace-id"], context[2].1);
    assert_eq!(headers["lambda-runtime-client-context"], r#"{"custom":{"k\u00e9y":"v"}}"#);
    assert_eq!(headers["lambda-runtime-aws-tenant-id"], "blue");
    let deadline: f64 = headers["lambda-runtime-deadline-ms"].as_str().unwrap().parse().unwrap();
    let left = deadline - told["now"].as_f64().unwrap();
    assert!((20_000.0..=30_001.0).contains(&left), "{left} ms left");

    let told = json(invoke(&host, r#"{"do":"context"}"#).await).await;
    let headers = &told["headers"];
    assert!(headers["lambda-runtime-trace-id"].as_str().unwrap().starts_with("Root=1-"), "{headers}");
    assert_eq!(headers.get("lambda-runtime-client-context"), None);
    assert_eq!(headers.get("lambda-runtime-aws-tenant-id"), None);
    host.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_process_sees_lambdas_environment_and_not_the_hosts() {
    let code = code(BOOTSTRAP);
    let environment = vec![("TABLE".into(), "t".into()), ("_X".into(), "dropped".into())];
    let handler = Some("app.handler".to_owned());
    let host = start(Settings { environment, handler, ..provided(&code) }).await;
    let told = json(invoke(&host, r#"{"do":"context"}"#).await).await;
    let env = &told["env"];
    assert_eq!(env["_HANDLER"], "app.handler");
    assert_eq!(env["TABLE"], "t");
    assert_eq!(env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "128");
    assert_eq!(env["LAMBDA_TASK_ROOT"], code.path().canonicalize().unwrap().to_str().unwrap());
    // Cargo sets these for us; the function must not know.
    for hosts in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "_X"] {
        assert_eq!(env.get(hosts), None, "{hosts}");
    }
}

#[tokio::test]
async fn wrong_calls_are_refused_and_the_right_one_still_counts() {
    let (host, _code) = bootstrap().await;
    let told = json(invoke(&host, r#"{"do":"wrong answers"}"#).await).await;
    for (number, status, kind, message) in [
        (0, 400, "InvalidRequestID", "Invalid request ID"),
        (1, 400, "InvalidRequestID", "Invalid request ID"),
        (2, 403, "InvalidStateTransition", "State transition from Running to "),
    ] {
        let told = &told[number];
        assert_eq!((&told[0], &told[1]), (&status.into(), &"application/json".into()), "{told}");
        assert_eq!(told[2]["errorType"], kind);
        assert!(told[2]["errorMessage"].as_str().unwrap().starts_with(message), "{told}");
    }
    assert_eq!(told[3], 403);
    let after = invoke(&host, r#"{"do":"context"}"#).await;
    assert_eq!(json(after).await["count"], 2, "the process was kept");
}

#[tokio::test]
async fn an_error_may_carry_a_mebibyte_of_xray_cause() {
    let (host, _code) = bootstrap().await;
    let failed = invoke(&host, r#"{"do":"error","cause":1048576}"#).await;
    assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"));
    let document = failed.text().await.unwrap();
    assert_eq!(document, r#"{"errorType": "Odd", "errorMessage": "as asked", "extra": 1}"#, "byte for byte");
}

#[tokio::test]
async fn replies_up_to_the_limit_pass_and_one_byte_more_does_not() {
    let (host, _code) = bootstrap().await;
    for (bytes, fits) in [(6_291_456, true), (6_291_556, true), (6_291_557, false)] {
        let answer = invoke(&host, format!(r#"{{"do":"size","bytes":{bytes}}}"#)).await;
        let failed = header(&answer, "x-amz-function-error").map(str::to_owned);
        let body = answer.bytes().await.unwrap();
        if fits {
            assert_eq!((body.len(), failed), (bytes, None));
        } else {
            assert_eq!(failed.as_deref(), Some("Unhandled"));
            let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(document["errorType"], "Function.ResponseSizeTooLarge");
            let told = "Response payload size exceeded maximum allowed payload size (6291556 bytes).";
            assert_eq!(document["errorMessage"], told);
        }
    }
    assert_eq!(invoke(&host, "7").await.text().await.unwrap(), "7");
}

#[tokio::test]
async fn a_streamed_reply_is_taken_whole_and_its_trailers_are_read() {
    let (host, _code) = bootstrap().await;
    let whole = invoke(&host, r#"{"do":"stream"}"#).await;
    assert_eq!(header(&whole, "x-amz-function-error"), None);
    assert_eq!(whole.text().await.unwrap(), r#"{"streamed":true}"#);
    let failed = invoke(&host, r#"{"do":"stream and fail"}"#).await;
    assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"));
    assert_eq!(failed.text().await.unwrap(), r#"{"errorType":"Mid","errorMessage":"stream"}"#);
    let long = json(invoke(&host, r#"{"do":"stream and fail","times":10000}"#).await).await;
    assert_eq!((&long["errorType"], long["errorMessage"].as_str().unwrap().len()), (&"Mid".into(), 60_000));
    let odd = json(invoke(&host, r#"{"do":"odd mode"}"#).await).await;
    assert_eq!(odd["errorType"], "Runtime.InvalidResponseModeHeader");
    let cut = json(invoke(&host, r#"{"do":"truncate"}"#).await).await;
    assert_eq!(cut["errorType"], "Runtime.TruncatedResponse");
}

#[tokio::test]
async fn only_a_function_from_a_snapshot_is_restored() {
    let first_line = "if os.environ.get(\"FAIL_INIT\"):";
    let asks = "status = call(\"GET\", \"/restore/next\")[0].status\n\
                if status == 200 and os.environ.get(\"FAIL_RESTORE\"):\n    \
                call(\"POST\", \"/restore/error\", json.dumps({\"errorType\": \"Runtime.AfterRestoreError\"}))\n    \
                sys.exit(65)\n\
                os.environ[\"RESTORED\"] = str(status)\n";
    let code = code(&BOOTSTRAP.replace(first_line, &format!("{asks}{first_line}")));
    for (snap_start, kind, status) in [(true, "snap-start", "200"), (false, "on-demand", "404")] {
        let host = start(Settings { snap_start, ..provided(&code) }).await;
        let told = json(invoke(&host, r#"{"do":"context"}"#).await).await;
        assert_eq!(told["env"]["AWS_LAMBDA_INITIALIZATION_TYPE"], kind);
        assert_eq!(told["env"]["RESTORED"], status);
    }
    let environment = vec![("FAIL_RESTORE".to_owned(), "1".to_owned())];
    let host = start(Settings { snap_start: true, environment, ..provided(&code) }).await;
    let failed = json(invoke(&host, "{}").await).await;
    assert_eq!(failed["errorType"], "Runtime.AfterRestoreError");
}

/// Undocumented, and asked by what waits for the endpoint.
#[tokio::test]
async fn a_ping_is_answered() {
    let (host, _code) = bootstrap().await;
    let told = json(invoke(&host, r#"{"do":"ping"}"#).await).await;
    assert_eq!(told, serde_json::json!([200, "pong"]));
}

#[tokio::test]
async fn no_call_stalls() {
    let (host, _code) = bootstrap().await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/2015-03-31/functions/function/invocations", host.address());
    let call = async || client.post(&url).body("{}").send().await.unwrap().bytes().await.unwrap();
    call().await;
    let mut took = Vec::new();
    for _ in 0..200 {
        let begin = std::time::Instant::now();
        call().await;
        took.push(begin.elapsed());
    }
    took.sort();
    // A delayed acknowledgement costs every call 40 ms. The quickest tenth does not mind a machine that is busy with other
    // things.
    let quick = took[took.len() / 10];
    assert!(quick < Duration::from_millis(30), "{quick:?} a call");
}
