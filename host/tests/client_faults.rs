//! What goes wrong in one client's own way, and streams by real clients as callers get them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{
    built::{GO, JAVA, NODE, RUST},
    event_stream::{all, ask},
    eventually, header, invoke, invoke_with, json, start,
};
use serde_json::{Value, json};

/// It says nothing of it when it starts.
#[tokio::test]
async fn java_tells_of_a_bad_handler_at_each_invocation() {
    for handler in ["example.Fn::none", "example.None::handleRequest"] {
        let Some(settings) = JAVA.with(handler).settings() else { return };
        let host = start(settings).await;
        for _ in 0..2 {
            let failed = invoke_with(&host, &[("x-amz-log-type", "Tail")], "{}").await;
            assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"), "{handler}");
            // It goes on, and Lambda's report says nothing of what a runtime that goes on has reported.
            let log = BASE64_STANDARD.decode(header(&failed, "x-amz-log-result").unwrap()).unwrap();
            let log = String::from_utf8(log).unwrap();
            assert!(log.contains("REPORT RequestId: ") && !log.contains("Status: "), "{log}");
            let document = json(failed).await;
            let told = document["errorMessage"].as_str().unwrap();
            assert!(told.contains("none") || told.contains("None"), "{handler}: {document}");
        }
        assert_eq!((host.metrics().errors(), host.metrics().invocations()), (2, 2), "{handler}");
    }
}

/// Its client posts the error, and ends with 129: who called gets what was posted, and the next one another process.
#[tokio::test]
async fn nodes_uncaught_exception_is_its_callers_error() {
    let Some(settings) = NODE.settings() else { return };
    let host = start(settings).await;
    for (what, message) in [("throw later", "uncaught"), ("reject later", "unhandled")] {
        let failed = invoke(&host, json!({"do": what}).to_string()).await;
        assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"), "{what}");
        let document = json(failed).await;
        assert!(document["errorMessage"].as_str().unwrap().contains(message), "{document}");
        let cold_starts = host.metrics().cold_starts();
        assert_eq!(json(invoke(&host, "[1]").await).await, json!([1]), "{what}");
        eventually("by another process", || host.metrics().cold_starts() >= cold_starts).await;
    }
}

#[tokio::test]
async fn a_client_that_streams_is_passed_on_with_its_end() {
    for client in [NODE.with("index.stream"), GO, RUST] {
        let Some(settings) = client.settings() else { continue };
        let host = start(settings).await;
        let asked = json!({"do": "stream", "parts": ["one, ", "é😀"], "pause": 100}).to_string();
        let (payload, last) = all(ask(&host, &[], &asked).await).await;
        // Rust's client begins every stream with an HTTP head.
        let text = String::from_utf8(payload).unwrap();
        assert_eq!(text.rsplit('\0').next(), Some("one, é😀"), "{}", client.name);
        assert_eq!(last, json!({}), "{}", client.name);
    }
}

/// Both say so in trailers, of which Node declares one and Go both. Go's client does not say that it streams, so its reply is
/// passed on as a whole, or not at all.
#[tokio::test]
async fn a_client_that_fails_in_the_middle_says_so_at_the_end() {
    for (client, kind, passed) in [(NODE.with("index.stream"), "RangeError", "half"), (GO, "errorString", "")]
    {
        let Some(settings) = client.settings() else { continue };
        let host = start(settings).await;
        let asked = json!({"do": "fail", "parts": ["half"]}).to_string();
        let (payload, last) = all(ask(&host, &[], &asked).await).await;
        assert_eq!((&payload[..], &last["ErrorCode"]), (passed.as_bytes(), &json!(kind)), "{}", client.name);
        let details: Value = serde_json::from_str(last["ErrorDetails"].as_str().unwrap()).unwrap();
        assert_eq!(details["errorMessage"], "mid-stream", "{}", client.name);
        // To a caller that does not stream it is an error like any other.
        let failed = invoke(&host, asked).await;
        assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"), "{}", client.name);
        assert_eq!(json(failed).await["errorType"], kind, "{}", client.name);
        assert_eq!(host.metrics().cold_starts(), 1, "{}: the process stays", client.name);
    }
}
