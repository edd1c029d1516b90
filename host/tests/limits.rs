//! Sizes to the byte, and the queue's end, at every front door.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{
    BOOTSTRAP, bootstrap, code, event, eventually, header, invoke, invoke_with, json, provided, start,
};
use klr_host::{Host, Settings};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

const LARGEST: usize = 6_291_456;
const LARGEST_ASYNC: usize = 1_048_576;
const LARGEST_CONTEXT: usize = 3583;

/// A JSON string of so many bytes.
fn sized(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

fn post(host: &Host, path: &str) -> RequestBuilder {
    Client::new().post(format!("http://{}{path}", host.address()))
}

async fn structured(host: &Host, data: String) -> Response {
    let event = format!(r#"{{"specversion":"1.0","id":"1","source":"/","type":"t",{data}}}"#);
    post(host, "/").header("content-type", "application/cloudevents+json").body(event).send().await.unwrap()
}

#[tokio::test]
async fn data_in_base64_counts_as_what_it_says() {
    let (host, _code) = bootstrap().await;
    for (bytes, status) in [(LARGEST, 200), (LARGEST + 1, 413)] {
        let data = format!(r#""data_base64":"{}""#, BASE64_STANDARD.encode(sized(bytes)));
        let answer = structured(&host, data).await;
        assert_eq!(answer.status(), status, "{bytes}");
        if status == 200 {
            assert!(answer.text().await.unwrap() == sized(bytes));
        } else {
            assert!(json(answer).await["message"].as_str().unwrap().contains("6291456 bytes"));
        }
    }
    assert_eq!(host.metrics().invocations(), 1);
}

#[tokio::test]
async fn an_asynchronous_event_may_be_a_mebibyte() {
    let (host, _code) = bootstrap().await;
    for (bytes, status) in [(LARGEST_ASYNC, 202), (LARGEST_ASYNC + 1, 413)] {
        let answer = invoke_with(&host, &[("x-amz-invocation-type", "Event")], sized(bytes)).await;
        assert_eq!(answer.status(), status, "{bytes}");
        if status == 413 {
            assert_eq!(header(&answer, "x-amzn-errortype"), Some("RequestTooLargeException"));
            let told = "Request must be smaller than 1048576 bytes for the InvokeFunction operation";
            assert_eq!(json(answer).await["message"], told);
        }
    }
    eventually("the one is invoked", || host.metrics().invocations() == 1).await;
}

#[tokio::test]
async fn a_client_context_is_counted_as_it_is_sent() {
    let (host, _code) = bootstrap().await;
    let context = |bytes: usize| {
        let around = r#"{"custom":{"a":""}}"#.len();
        let value = "x".repeat(bytes / 4 * 3 - around);
        BASE64_STANDARD.encode(format!(r#"{{"custom":{{"a":"{value}"}}}}"#))
    };
    let largest = context(LARGEST_CONTEXT);
    assert_eq!(largest.len(), 3580, "base64 comes in fours: it is the longest below the limit");
    let odd = invoke_with(&host, &[("x-amz-client-context", &"e".repeat(LARGEST_CONTEXT))], "{}").await;
    let told = json(odd).await["message"].to_string();
    assert!(told.contains("valid Base64"), "its length is fine: {told}");
    for (sent, status) in [(largest, 200), (context(LARGEST_CONTEXT + 1), 400)] {
        let answer = invoke_with(&host, &[("x-amz-client-context", &sent)], r#"{"do":"context"}"#).await;
        assert_eq!(answer.status(), status, "{}", sent.len());
        if status == 200 {
            let told = json(answer).await;
            let context = told["headers"]["lambda-runtime-client-context"].as_str().unwrap();
            let context: Value = serde_json::from_str(context).unwrap();
            assert!(context["custom"]["a"].as_str().unwrap().len() > 2600);
        } else {
            assert_eq!(sent.len(), 3584);
            let told = json(answer).await;
            assert!(told["message"].as_str().unwrap().contains("at most 3583 bytes, got 3584"), "{told}");
        }
    }
}

/// What the event adds to a request's body counts, too.
#[tokio::test]
async fn a_plain_request_is_as_large_as_the_event_made_of_it() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { http_events: true, ..provided(&code) }).await;
    // Of one host header and one set of times; only the request id differs, and not in length.
    let send = async |bytes: usize| {
        post(&host, "/").header("content-type", "text/plain").body("x".repeat(bytes)).send().await.unwrap()
    };
    let echoed = send(10).await;
    assert_eq!(echoed.status(), 200);
    let event = json(echoed).await;
    let more = (LARGEST - 10).to_string().len() - "10".len();
    // The content-length header's digits are in the event as well.
    let around = event.to_string().len() - 10 + more;
    for (bytes, status) in [(LARGEST - around, 200), (LARGEST - around + 1, 413), (LARGEST + 1, 413)] {
        assert_eq!(send(bytes).await.status(), status, "{bytes}");
    }
}

#[tokio::test]
async fn every_door_says_when_to_come_back() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { waiting: 0, http_events: true, ..provided(&code) }).await;
    let slow = tokio::spawn(event(&host, r#"{"do":"sleep","seconds":4}"#).send());
    eventually("it runs", || host.metrics().invocations() == 1).await;
    let doors = [
        ("a CloudEvent", event(&host, "[]")),
        ("Invoke", post(&host, "/2015-03-31/functions/function/invocations").body("[]")),
        (
            "Invoke, Event",
            post(&host, "/2015-03-31/functions/function/invocations")
                .header("x-amz-invocation-type", "Event")
                .body("[]"),
        ),
        ("InvokeAsync", post(&host, "/2014-11-13/functions/function/invoke-async").body("[]")),
        (
            "InvokeWithResponseStream",
            post(&host, "/2021-11-15/functions/function/response-streaming-invocations").body("[]"),
        ),
        ("plain HTTP", post(&host, "/any").body("[]")),
    ];
    let count = doors.len() as u64;
    for (door, request) in doors {
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (429, Some("1")), "{door}");
    }
    assert_eq!(host.metrics().throttles(), count);
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
    assert_eq!(host.metrics().invocations(), 2);
    host.stop(Duration::from_secs(5)).await;
}

#[test]
fn sizes_are_what_they_say() {
    assert_eq!((sized(10).len(), json!(sized(2))), (10, json!("\"\"")));
}
