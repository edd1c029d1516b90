//! Plain HTTP, as a Lambda Function URL takes it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{BOOTSTRAP, code, event, header, invoke, json, provided, start};
use klr_host::{Host, Settings};
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;

/// The test function, which on one path takes a request's body for what it is asked to do.
async fn function() -> (Host, TempDir) {
    let asked = "    do = event.get(\"do\")";
    let from_body = "    if isinstance(event, dict) and event.get(\"rawPath\") == \"/do\":\n        \
                     payload = event[\"body\"].encode()\n        event = json.loads(payload)\n";
    assert!(BOOTSTRAP.contains(asked));
    let code = code(&BOOTSTRAP.replace(asked, &format!("{from_body}{asked}")));
    let settings = Settings { http_events: true, timeout: Duration::from_secs(3), ..provided(&code) };
    (start(settings).await, code)
}

fn post(host: &Host, path: &str) -> RequestBuilder {
    Client::new().post(format!("http://{}{path}", host.address()))
}

fn reply(host: &Host, reply: &serde_json::Value) -> RequestBuilder {
    post(host, "/do").header("content-type", "application/json").body(reply.to_string())
}

#[tokio::test]
async fn a_request_on_any_path_and_of_any_method_is_an_event() {
    let (host, _code) = function().await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let url = format!("http://{}/healthz/a%20b?x=1", host.address());
        let answer = Client::new().request(method.parse().unwrap(), url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method}");
        let id = header(&answer, "x-amzn-requestid").unwrap().to_owned();
        let seen = json(answer).await;
        assert_eq!(seen["requestContext"]["http"]["method"], method);
        assert_eq!(seen["requestContext"]["http"]["sourceIp"], "127.0.0.1");
        assert_eq!(seen["requestContext"]["requestId"], id);
        assert_eq!((&seen["rawPath"], &seen["rawQueryString"]), (&json!("/healthz/a%20b"), &json!("x=1")));
        assert_eq!(seen["headers"]["host"], host.address().to_string());
    }
    let chunks = vec![Ok::<_, std::io::Error>("one, "), Ok("two")];
    let chunked = post(&host, "/").body(reqwest::Body::wrap_stream(futures::stream::iter(chunks)));
    let seen = json(chunked.header("content-type", "text/plain").send().await.unwrap()).await;
    assert_eq!((&seen["body"], &seen["headers"]["content-length"]), (&json!("one, two"), &json!("8")));
    assert_eq!(seen["headers"].get("transfer-encoding"), None);
    let form = post(&host, "/").header("content-type", "application/x-www-form-urlencoded").body("a=b");
    let seen = json(form.send().await.unwrap()).await;
    assert_eq!((&seen["body"], &seen["isBase64Encoded"]), (&json!("YT1i"), &json!(true)));
}

#[tokio::test]
async fn the_functions_reply_is_the_answer() {
    let (host, _code) = function().await;
    let said = json!({"statusCode": 418, "headers": {"content-type": "text/html", "x-own": "é"}, "cookies": ["a=1", "b=2"],
        "body": "<p>é</p>"});
    let answer = reply(&host, &said).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (418, Some("text/html")));
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().cloned().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(answer.text().await.unwrap(), "<p>é</p>");
    let answer = reply(&host, &json!({"statusCode": 200, "body": "/wA=", "isBase64Encoded": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(&answer.bytes().await.unwrap()[..], [0xff, 0]);
    let answer = reply(&host, &json!("bare")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (200, Some("application/json")));
    assert_eq!(answer.text().await.unwrap(), "bare");
}

#[tokio::test]
async fn what_goes_wrong_is_not_the_visitors_to_know() {
    let (host, _code) = function().await;
    for asked in [
        json!({"do": "error"}),
        json!({"do": "exit", "code": 3}),
        json!({"do": "sleep", "seconds": 60}),
        json!({"statusCode": "odd"}),
    ] {
        let answer = reply(&host, &asked).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "x-amz-function-error")),
            (502, None),
            "{asked}"
        );
        assert_eq!(answer.text().await.unwrap(), "Internal Server Error");
    }
    let large = post(&host, "/").body(vec![b'x'; 6_291_457]).send().await.unwrap();
    assert_eq!(large.status(), 413);
    // In base64 it is a third larger.
    let large = post(&host, "/").body(vec![b'x'; 5_000_000]).send().await.unwrap();
    assert_eq!(large.status(), 413);
    assert_eq!(reply(&host, &json!([1])).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn events_and_invocations_are_what_they_were() {
    let (host, _code) = function().await;
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
    assert_eq!(event(&host, "[2]").send().await.unwrap().text().await.unwrap(), "[2]");
    let batch = post(&host, "/").header("content-type", "application/cloudevents-batch+json").body("[]");
    assert_eq!(batch.send().await.unwrap().status(), 415);
}
