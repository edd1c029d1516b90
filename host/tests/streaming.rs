//! InvokeWithResponseStream: replies that arrive while the function makes them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{
    BOOTSTRAP, bootstrap, code,
    event_stream::{Decoder, all, ask},
    header, invoke, json, provided, start,
};
use klr_host::Settings;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn parts_arrive_while_the_function_still_runs() {
    let (host, _code) = bootstrap().await;
    let mut response = ask(&host, &[], r#"{"do":"stream parts","parts":3,"bytes":1000,"pause":1.5}"#).await;
    let begin = Instant::now();
    let mut decoder = Decoder::default();
    let mut arrivals = Vec::new();
    while let Some(bytes) = response.chunk().await.unwrap() {
        decoder.0.extend(bytes);
        while let Some((kind, body)) = decoder.next() {
            arrivals.push((kind, body.len(), begin.elapsed()));
        }
    }
    let kinds: Vec<_> = arrivals.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["PayloadChunk", "PayloadChunk", "PayloadChunk", "InvokeComplete"]);
    assert!(arrivals[0].2 < Duration::from_secs(1), "{arrivals:?}");
    assert!(arrivals[3].2 > Duration::from_secs(2), "{arrivals:?}");
}

#[tokio::test]
async fn a_buffered_reply_is_one_chunk_and_an_error_none() {
    let (host, _code) = bootstrap().await;
    assert_eq!(all(ask(&host, &[], "[1, 2]").await).await, (b"[1, 2]".to_vec(), serde_json::json!({})));
    let (payload, last) = all(ask(&host, &[], r#"{"do":"error"}"#).await).await;
    assert_eq!((payload.len(), &last["ErrorCode"]), (0, &"Odd".into()));
    let details: Value = serde_json::from_str(last["ErrorDetails"].as_str().unwrap()).unwrap();
    assert_eq!(details["errorMessage"], "as asked");
}

#[tokio::test]
async fn what_goes_wrong_in_the_middle_is_the_last_message() {
    let (host, _code) = bootstrap().await;
    let (payload, last) = all(ask(&host, &[], r#"{"do":"stream and fail"}"#).await).await;
    assert_eq!((payload, &last["ErrorCode"]), (b"half".to_vec(), &"Mid".into()));
    let crash = r#"{"do":"stream parts","parts":2,"bytes":10,"exit":true}"#;
    let (payload, last) = all(ask(&host, &[], crash).await).await;
    assert_eq!(payload.len(), 20);
    let code = last["ErrorCode"].as_str().unwrap();
    // The cut connection and the end of the process are seen in either order.
    assert!(["Runtime.ExitError", "Runtime.TruncatedResponse"].contains(&code), "{last}");
    assert_eq!(all(ask(&host, &[], "[1]").await).await.0, b"[1]");
}

#[tokio::test]
async fn a_stream_may_be_larger_than_a_buffered_reply() {
    let (host, _code) = bootstrap().await;
    let large = r#"{"do":"stream parts","parts":20,"bytes":1048576}"#;
    let (payload, last) = all(ask(&host, &[], large).await).await;
    assert_eq!((payload.len(), last), (20 * 1_048_576, serde_json::json!({})));
    let buffered = json(invoke(&host, large).await).await;
    assert_eq!(buffered["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(json(invoke(&host, r#"{"do":"context"}"#).await).await["count"], 3, "the process was kept");
}

#[tokio::test]
async fn the_log_and_the_dry_run_are_as_with_invoke() {
    let (host, _code) = bootstrap().await;
    let event = r#"{"do":"stream parts","parts":1,"bytes":1,"print":"said"}"#;
    let (_, last) = all(ask(&host, &[("x-amz-log-type", "Tail")], event).await).await;
    let log = BASE64_STANDARD.decode(last["LogResult"].as_str().unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    assert!(log.starts_with("START RequestId: ") && log.contains("\nsaid\nEND RequestId: "), "{log}");
    let dry = ask(&host, &[("x-amz-invocation-type", "DryRun")], "{}").await;
    assert_eq!((dry.status().as_u16(), dry.bytes().await.unwrap().len()), (204, 0));
    let wrong = ask(&host, &[("x-amz-invocation-type", "Event")], "{}").await;
    assert_eq!(header(&wrong, "x-amzn-errortype"), Some("InvalidParameterValueException"));
    let wrong = ask(&host, &[], "{half").await;
    assert_eq!(header(&wrong, "x-amzn-errortype"), Some("InvalidRequestContentException"));
}

#[tokio::test]
async fn a_caller_that_stops_reading_stalls_the_function_until_its_deadline_only() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { timeout: Duration::from_secs(3), ..provided(&code) }).await;
    let mut caller = tokio::net::TcpStream::connect(host.address()).await.unwrap();
    let event = r#"{"do":"stream parts","parts":100,"bytes":1048576}"#;
    let request = format!(
        "POST /2021-11-15/functions/function/response-streaming-invocations HTTP/1.1\r\nHost: h\r\n\
         Content-Length: {}\r\n\r\n{event}",
        event.len()
    );
    caller.write_all(request.as_bytes()).await.unwrap();
    common::eventually("it runs", || host.metrics().invocations() == 1).await;
    common::eventually("it is over", || host.metrics().timeouts() == 1).await;
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
    drop(caller);
}

#[tokio::test]
async fn a_caller_that_goes_does_not_stop_the_function() {
    let (host, _code) = bootstrap().await;
    let response = ask(&host, &[], r#"{"do":"stream parts","parts":4,"bytes":100000,"pause":0.3}"#).await;
    drop(response);
    let after = json(invoke(&host, r#"{"do":"context"}"#).await).await;
    assert_eq!(after["count"], 2, "it ran to its end in the same process");
    assert_eq!((host.metrics().invocations(), host.metrics().errors()), (2, 0));
}
