//! CloudEvents over HTTP: what they become, what they are answered with, and the traces they carry.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{BOOTSTRAP, bootstrap, code, event, header, json, provided, start};
use klr_host::{Host, Reply, Settings};
use reqwest::{Client, RequestBuilder};
use serde_json::json;

const PARENT: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
const X_RAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

fn structured(host: &Host, event: &serde_json::Value) -> RequestBuilder {
    let to = Client::new().post(format!("http://{}/", host.address()));
    to.header("content-type", "application/cloudevents+json; charset=utf-8").body(event.to_string())
}

#[tokio::test]
async fn a_structured_event_gives_its_data_in_either_form() {
    let (host, _code) = bootstrap().await;
    let with = |member: &str, data: serde_json::Value| json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", member: data});
    let plain =
        structured(&host, &with("data", json!({"n": 9_007_199_254_740_993_u64}))).send().await.unwrap();
    assert_eq!(plain.text().await.unwrap(), r#"{"n":9007199254740993}"#);
    let encoded = structured(&host, &with("data_base64", json!("WzEsIDJd"))).send().await.unwrap();
    assert_eq!(encoded.text().await.unwrap(), "[1, 2]");
    let no_json = structured(&host, &with("data_base64", json!("/wA="))).send().await.unwrap();
    assert_eq!(no_json.status(), 400);
    let told = json(no_json).await["message"].as_str().unwrap().to_owned();
    assert!(told.contains("a function takes JSON only"), "{told}");
}

/// What a Broker is given back as an event goes into it again, so there is none about nothing.
#[tokio::test]
async fn a_reply_that_is_an_event_of_the_functions_own_is_kept() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { reply: Reply::Event, ..provided(&code) }).await;
    let own = r#"{"specversion":"1.0","type":"own","id":"i","source":"/o"}"#;
    for (data, body, kind, ce) in [
        ("[1]", "[1]", Some("application/json"), Some("dev.klr.function.reply")),
        ("null", "", None, None),
        (own, own, Some("application/cloudevents+json"), None),
    ] {
        let answer = event(&host, data).header("prefer", "reply").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{data}");
        assert_eq!((header(&answer, "content-type"), header(&answer, "ce-type")), (kind, ce), "{data}");
        assert_eq!(answer.text().await.unwrap(), body, "{data}");
    }
}

#[tokio::test]
async fn a_trace_goes_through_in_both_spellings() {
    let (host, _code) = bootstrap().await;
    let asked = || event(&host, r#"{"do":"context"}"#);
    for request in [
        asked().header("x-amzn-trace-id", X_RAY),
        asked().header("traceparent", PARENT),
        asked().header("ce-traceparent", PARENT),
        structured(
            &host,
            &json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "traceparent": PARENT,
                "data": {"do": "context"}}),
        ),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(header(&answer, "x-amzn-trace-id"), Some(X_RAY));
        assert_eq!(header(&answer, "traceparent"), Some(PARENT));
        assert_eq!(json(answer).await["headers"]["lambda-runtime-trace-id"], X_RAY);
    }
    let fresh = asked().send().await.unwrap();
    assert!(header(&fresh, "x-amzn-trace-id").unwrap().starts_with("Root=1-"));
    assert_eq!(header(&fresh, "traceparent"), None, "nobody is its parent");
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_a_remedy_and_costs_nothing() {
    let (host, _code) = bootstrap().await;
    let to = || Client::new().post(format!("http://{}/", host.address()));
    for (request, status, told) in [
        (to().body("{}"), 400, "--http-events 2.0"),
        (to().header("ce-specversion", "0.3"), 400, "expected \"1.0\""),
        (to().header("ce-specversion", "1.0").header("ce-id", "1"), 400, "\"source\" is missing"),
        (event(&host, "{}").header("ce-bad_name", "1"), 400, "bad_name"),
        (event(&host, "{}").header("ce-subject", "%FF"), 400, "percent-encoded UTF-8"),
        (event(&host, "{\"half\""), 400, "not JSON at line 1"),
        (event(&host, vec![b'"', 0xff, b'"']), 400, "not JSON"),
        (event(&host, format!("\"{}\"", "x".repeat(6_291_455))), 413, "6291456 bytes"),
        (to().header("content-type", "application/cloudevents-batch+json").body("[]"), 415, "one by one"),
        (to().header("content-type", "application/cloudevents+avro"), 415, "application/cloudevents+json"),
        (to().header("content-type", "application/cloudevents+json").body("{"), 400, "not a JSON object"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{told}");
        let document = json(answer).await;
        let message = document["message"].as_str().unwrap();
        assert!(message.contains(told) && document.get("errorType").is_none(), "{message}");
    }
    assert_eq!(host.metrics().invocations(), 0);
    assert_eq!(event(&host, "[1]").send().await.unwrap().status(), 200);
}
