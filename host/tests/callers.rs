//! What callers meet: CloudEvents, the Invoke API, and the queue's end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{
    BOOTSTRAP, Gate, bootstrap, code, event, eventually, header, invoke, invoke_with, json, metric, provided,
    start,
};
use klr_host::{Reply, Settings};
use reqwest::{Client, Response};

async fn post(url: &str, kind: &str, body: impl Into<reqwest::Body>) -> Response {
    Client::new().post(url).header("content-type", kind).body(body).send().await.unwrap()
}

#[tokio::test]
async fn events_reach_the_function_byte_for_byte_in_both_modes_on_any_path() {
    let (host, _code) = bootstrap().await;
    let url = format!("http://{}/any/path", host.address());
    // A number that no double holds, an order of keys, white space: all must survive.
    let data = r#"{"z": 9007199254740993, "a":1.0}"#;
    let answer = event(&host, data).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (200, Some("application/json")));
    assert_eq!(answer.text().await.unwrap(), data);

    let attributes = r#""specversion":"1.0","id":"1","source":"/s","type":"t","n":5,"b":true,"x":null"#;
    let structured = format!(r#"{{{attributes}, "data" : {data} }}"#);
    let answer = post(&url, "application/cloudevents+json; charset=utf-8", structured).await;
    assert_eq!(answer.text().await.unwrap(), data);

    let structured = format!(r#"{{{attributes},"data_base64":"eyJhIjoxfQ=="}}"#);
    let answer = post(&url, "application/cloudevents+json", structured).await;
    assert_eq!(answer.text().await.unwrap(), r#"{"a":1}"#);

    let answer = post(&url, "application/cloudevents+json", format!("{{{attributes}}}")).await;
    assert_eq!(answer.text().await.unwrap(), "{}", "no data is an empty event");
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_the_reason() {
    let (host, _code) = bootstrap().await;
    let url = format!("http://{}/", host.address());
    let refused = async |answer: Response, status: u16, why: &str| {
        assert_eq!(answer.status(), status, "{why}");
        let body = json(answer).await;
        assert!(body["message"].as_str().unwrap().contains(why), "{body}");
        assert_eq!(body.get("errorType"), None, "not the function's error");
    };
    refused(post(&url, "application/json", "{}").await, 400, "not a CloudEvent").await;
    refused(post(&url, "application/cloudevents-batch+json", "[]").await, 415, "one by one").await;
    refused(post(&url, "application/cloudevents+avro", "x").await, 415, "application/cloudevents+json").await;
    refused(post(&url, "application/cloudevents+json", "[]").await, 400, "not a JSON object").await;
    refused(event(&host, "{half").send().await.unwrap(), 400, "not JSON").await;
    refused(event(&host, "\"\u{feff}").send().await.unwrap(), 400, "not JSON").await;
    refused(event(&host, vec![b'"', 0xff, b'"']).send().await.unwrap(), 400, "not JSON").await;
    refused(event(&host, "{}").header("ce-bad_name", "1").send().await.unwrap(), 400, "bad_name").await;
    refused(event(&host, "{}").header("ce-id", "2").send().await.unwrap(), 400, "more than once").await;
    refused(Client::new().get(&url).send().await.unwrap(), 405, "POST").await;
    assert_eq!(host.metrics().invocations(), 0);
}

#[tokio::test]
async fn an_event_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let (host, _code) = bootstrap().await;
    let sized = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for (bytes, status) in [(6_291_456, 200), (6_291_457, 413)] {
        let answer = event(&host, sized(bytes)).send().await.unwrap();
        assert_eq!(answer.status(), status);
        if status == 200 {
            assert_eq!(answer.bytes().await.unwrap().len(), bytes);
        }
        let invoked = invoke(&host, sized(bytes)).await;
        assert_eq!(invoked.status(), status);
        if status == 413 {
            assert_eq!(header(&invoked, "x-amzn-errortype"), Some("RequestTooLargeException"));
            let told = "Request must be smaller than 6291456 bytes for the InvokeFunction operation";
            assert_eq!(json(invoked).await["message"], told);
        }
    }
    // In structured mode it is the data that counts, not what is around it.
    let around =
        |data: String| format!(r#"{{"specversion":"1.0","id":"1","source":"/","type":"t","data":{data}}}"#);
    let url = format!("http://{}/", host.address());
    for (bytes, status) in [(6_291_456, 200), (6_291_457, 413)] {
        let answer = post(&url, "application/cloudevents+json", around(sized(bytes))).await;
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn an_error_is_a_500_with_the_document_and_the_mark() {
    let (host, _code) = bootstrap().await;
    let failed = event(&host, r#"{"do":"error"}"#).send().await.unwrap();
    assert_eq!(failed.status(), 500);
    assert_eq!(header(&failed, "x-amz-function-error"), Some("Unhandled"));
    assert_eq!(json(failed).await["errorType"], "Odd");
}

#[tokio::test]
async fn a_reply_is_given_as_it_is_asked_for() {
    let code = code(BOOTSTRAP);
    for (reply, plain, to_broker) in [
        (Reply::Auto, "[1]", ""),
        (Reply::Always, "[1]", "[1]"),
        (Reply::Never, "", ""),
        (Reply::Event, "[1]", "[1]"),
    ] {
        let host = start(Settings { reply, ..provided(&code) }).await;
        let answer = event(&host, "[1]").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        if reply == Reply::Event {
            assert_eq!(header(&answer, "ce-specversion"), Some("1.0"));
            assert_eq!(header(&answer, "ce-type"), Some("dev.klr.function.reply"));
            let arn = "arn:aws:lambda:us-east-1:123456789012:function:function";
            assert_eq!(header(&answer, "ce-source"), Some(arn));
            assert_eq!(header(&answer, "ce-id"), header(&answer, "x-amzn-requestid"));
            klr_host::cloudevent::parse(answer.headers(), bytes::Bytes::new()).unwrap();
        }
        assert_eq!(answer.text().await.unwrap(), plain, "{reply:?}");
        let answer = event(&host, "[1]").header("prefer", "wait=5, Reply").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), to_broker, "{reply:?}");
    }
}

#[tokio::test]
async fn attributes_reach_the_function_when_asked_to() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { cloudevent_context: true, ..provided(&code) }).await;
    let asked = event(&host, r#"{"do":"context"}"#).header("ce-subject", "a%20%C3%A9").header("ce-n", "5");
    let told = json(asked.send().await.unwrap()).await;
    let context: serde_json::Value =
        serde_json::from_str(told["headers"]["lambda-runtime-client-context"].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({"custom": {
        "id": "1", "source": "/tests", "type": "test", "subject": "a é", "n": "5",
        "datacontenttype": "application/json",
    }});
    assert_eq!(context, expected);
}

#[tokio::test]
async fn both_http_versions_are_spoken_on_one_port() {
    let (host, _code) = bootstrap().await;
    let url = format!("http://{}/2015-03-31/functions/function/invocations", host.address());
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.post(&url).body("[2]").send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "[2]");
    assert_eq!(invoke(&host, "[1]").await.version(), reqwest::Version::HTTP_11);
}

#[tokio::test]
async fn the_invoke_api_answers_as_lambdas() {
    let (host, _code) = bootstrap().await;
    let answer = invoke(&host, "").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-amz-executed-version"), Some("$LATEST"));
    assert_eq!(header(&answer, "x-amzn-requestid").map(str::len), Some(36));
    assert_eq!(header(&answer, "x-amzn-remapped-content-length"), Some("0"));
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert!(header(&answer, "x-amzn-trace-id").unwrap().starts_with("Root=1-"));
    assert_eq!(answer.text().await.unwrap(), "{}", "no payload is an empty event");

    let tailed = invoke_with(&host, &[("x-amz-log-type", "Tail")], r#"{"do":"print","line":"hello"}"#).await;
    let tail = decode(header(&tailed, "x-amz-log-result").unwrap());
    let id = header(&tailed, "x-amzn-requestid").unwrap();
    let start = format!(
        "START RequestId: {id} Version: $LATEST\nhello\nEND RequestId: {id}\nREPORT RequestId: {id}\t"
    );
    assert!(tail.starts_with(&start), "{tail}");

    let dry = invoke_with(&host, &[("x-amz-invocation-type", "DryRun")], "{}").await;
    assert_eq!(dry.status(), 204);
    let before = host.metrics().invocations();
    let later = invoke_with(&host, &[("x-amz-invocation-type", "Event")], "{}").await;
    assert_eq!((later.status().as_u16(), later.bytes().await.unwrap().len()), (202, 0));
    eventually("it runs by itself", || host.metrics().invocations() == before + 1).await;
}

fn decode(base64: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    String::from_utf8(BASE64_STANDARD.decode(base64).unwrap()).unwrap()
}

#[tokio::test]
async fn the_invoke_api_knows_its_function_and_refuses_as_lambdas() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { name: "orders".into(), ..provided(&code) }).await;
    let call = async |path: &str, headers: &[(&str, &str)], body: &'static str| {
        let url = format!("http://{}/2015-03-31/functions/{path}/invocations", host.address());
        let mut request = Client::new().post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    for name in [
        "orders",
        "orders:live",
        "123456789012:function:orders",
        "arn:aws:lambda:eu-west-1:123456789012:function:orders",
        "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aorders%3A%24LATEST",
    ] {
        assert_eq!(call(name, &[], "{}").await.status(), 200, "{name}");
    }
    let unknown = call("other", &[], "{}").await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(header(&unknown, "x-amzn-errortype"), Some("ResourceNotFoundException"));
    assert!(json(unknown).await["Message"].as_str().unwrap().contains("other"));
    let wrong = call("orders", &[], "{half").await;
    assert_eq!(wrong.status(), 400);
    assert_eq!(header(&wrong, "x-amzn-errortype"), Some("InvalidRequestContentException"));
    for context in ["!", "bnVsbA=="] {
        let wrong = call("orders", &[("x-amz-client-context", context)], "{}").await;
        assert_eq!(header(&wrong, "x-amzn-errortype"), Some("InvalidRequestContentException"));
    }
    let tenant = "t".repeat(257);
    for given in [
        ("x-amz-invocation-type", "Sometimes"),
        ("x-amz-log-type", "Head"),
        ("x-amz-tenant-id", tenant.as_str()),
        ("x-amz-tenant-id", "é"),
    ] {
        let wrong = call("orders", &[given], "{}").await;
        assert_eq!(header(&wrong, "x-amzn-errortype"), Some("InvalidParameterValueException"), "{given:?}");
    }
}

#[tokio::test]
async fn a_qualifier_reaches_the_function_in_its_arn() {
    let (host, _code) = bootstrap().await;
    let call = async |path: &str| {
        let url = format!("http://{}/2015-03-31/functions/{path}", host.address());
        Client::new().post(url).body(r#"{"do":"context"}"#).send().await.unwrap()
    };
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:function";
    for (path, qualifier) in [
        ("function/invocations", ""),
        ("function/invocations?Qualifier=live", ":live"),
        ("function:live/invocations", ":live"),
        ("function:live/invocations?Qualifier=live", ":live"),
        ("function/invocations?Qualifier=%24LATEST", ":$LATEST"),
        ("1:function:function:3/invocations", ":3"),
    ] {
        let told = json(call(path).await).await;
        let expected = format!("{arn}{qualifier}");
        assert_eq!(told["headers"]["lambda-runtime-invoked-function-arn"], expected, "{path}");
    }
    for path in [
        "function:live/invocations?Qualifier=test",
        "function/invocations?Qualifier=a%20b",
        &format!("{}/invocations", "f".repeat(257)),
    ] {
        let wrong = call(path).await;
        assert_eq!(header(&wrong, "x-amzn-errortype"), Some("InvalidParameterValueException"), "{path}");
    }
}

#[tokio::test]
async fn the_invoke_api_of_old_is_answered_too() {
    let (host, _code) = bootstrap().await;
    let url = format!("http://{}/2014-11-13/functions/function/invoke-async", host.address());
    let answer = post(&url, "application/json", "{}").await;
    assert_eq!((answer.status().as_u16(), json(answer).await), (202, serde_json::json!({"Status": 202})));
    eventually("it runs", || host.metrics().invocations() == 1).await;
    let large = post(&url, "application/json", format!("\"{}\"", "x".repeat(262_143))).await;
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn a_full_queue_answers_429_and_everything_accepted_is_done() {
    let (host, _code) = bootstrap().await;
    let gate = Gate::closed();
    let first = tokio::spawn(event(&host, gate.event()).send());
    eventually("it runs", || host.metrics().invocations() == 1).await;
    let mut waiting: Vec<_> = (0..10).map(|n| tokio::spawn(event(&host, format!("[{n}]")).send())).collect();
    waiting.push(first);
    eventually("all ten wait", || metric(&host, "klr_queued_invocations") == 10).await;
    let turned_away = event(&host, "[]").send().await.unwrap();
    assert_eq!((turned_away.status().as_u16(), header(&turned_away, "retry-after")), (429, Some("1")));
    let turned_away = invoke(&host, "[]").await;
    assert_eq!(turned_away.status(), 429);
    assert_eq!(header(&turned_away, "x-amzn-errortype"), Some("TooManyRequestsException"));
    gate.open();
    for task in waiting {
        assert_eq!(task.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(host.metrics().throttles(), 2);
}

#[tokio::test]
async fn who_gave_up_waiting_is_not_served() {
    let (host, _code) = bootstrap().await;
    let gate = Gate::closed();
    let slow = tokio::spawn(event(&host, gate.event()).send());
    eventually("it runs", || host.metrics().invocations() == 1).await;
    let impatient = event(&host, "[]").timeout(Duration::from_millis(300)).send().await;
    assert!(impatient.unwrap_err().is_timeout());
    gate.open();
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
    assert_eq!(host.metrics().invocations(), 2);
}

#[tokio::test]
async fn a_turn_that_does_not_come_within_the_timeout_is_a_429_too_and_never_runs() {
    let code = code(BOOTSTRAP);
    let host = start(Settings { timeout: Duration::from_secs(4), ..provided(&code) }).await;
    let [one, two, three] = [(); 3].map(|()| event(&host, r#"{"do":"sleep","seconds":3}"#).send());
    let (one, two, three) = tokio::join!(one, two, three);
    let mut statuses = [one, two, three].map(|answer| answer.unwrap().status().as_u16());
    statuses.sort();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
    assert_eq!(host.metrics().invocations(), 3);
}
