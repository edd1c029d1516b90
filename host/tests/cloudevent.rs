//! The CloudEvents HTTP binding, both ways.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use cloudevents::{AttributesReader, Data, Event, EventBuilder, EventBuilderV10, event::ExtensionValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use klr_host::cloudevent::{Error, binary_headers, parse, structured};

fn headers(given: &[(&str, &str)]) -> HeaderMap {
    let pairs = given.iter().map(|(name, value)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

const REQUIRED: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

fn binary(more: &[(&str, &str)], body: &'static str) -> Result<Event, Error> {
    parse(&headers(&[&REQUIRED[..], more].concat()), Bytes::from_static(body.as_bytes()))
}

fn json(body: &str) -> Result<Event, Error> {
    parse(
        &headers(&[("content-type", "application/cloudevents+json")]),
        Bytes::copy_from_slice(body.as_bytes()),
    )
}

fn bytes(event: &Event) -> Vec<u8> {
    Vec::try_from(event.data().unwrap().clone()).unwrap()
}

fn sample() -> Event {
    EventBuilderV10::new()
        .id("a 1")
        .source("arn:aws:sqs:us-east-1:123456789012:orders")
        .ty("com.amazonaws.sqs.batch")
        .subject("50 % \"Euro\" €")
        .time("2026-11-22T10:00:00.5Z")
        .extension("functionname", "orders")
        .extension("flag", true)
        .extension("count", 7)
        .data("application/json", Data::Binary(br#"{"z": 9007199254740993, "a":1.0}"#.to_vec()))
        .build()
        .unwrap()
}

#[test]
fn binary_mode_writes_ascii_headers_and_reads_them_back() {
    let event = sample();
    let written = binary_headers(&event).unwrap();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "a%201"),
        ("ce-source", "arn:aws:sqs:us-east-1:123456789012:orders"),
        ("ce-type", "com.amazonaws.sqs.batch"),
        ("ce-subject", "50%20%25%20%22Euro%22%20%E2%82%AC"),
        ("ce-time", "2026-11-22T10:00:00.500Z"),
        ("ce-functionname", "orders"),
        ("ce-flag", "true"),
        ("ce-count", "7"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(written.get(name).unwrap(), value, "{name}");
    }
    assert_eq!(written.len(), 10);
    let read = parse(&written, bytes(&event).into()).unwrap();
    assert_eq!(read.subject(), event.subject());
    assert_eq!(read.time(), event.time());
    assert_eq!(read.extension("count"), Some(&ExtensionValue::String("7".into())), "headers know text only");
    assert_eq!(bytes(&read), bytes(&event));
}

#[test]
fn structured_mode_keeps_the_data_as_it_is() {
    let event = sample();
    let written = structured(&event);
    let text = std::str::from_utf8(&written).unwrap();
    assert!(text.ends_with(r#","data":{"z": 9007199254740993, "a":1.0}}"#), "{text}");
    for member in [r#""count":7"#, r#""flag":true"#, r#""specversion":"1.0""#] {
        assert!(text.contains(member), "{text}");
    }
    let read = json(text).unwrap();
    assert_eq!(bytes(&read), bytes(&event));
    assert_eq!(read.subject(), event.subject());
}

#[test]
fn structured_mode_has_a_form_for_every_data() {
    let with = |kind: &str, data: Data| {
        let event = EventBuilderV10::new().id("1").source("/").ty("t").data(kind, data).build().unwrap();
        let written = structured(&event);
        let text = String::from_utf8(written.to_vec()).unwrap();
        assert_eq!(bytes(&json(&text).unwrap()), bytes(&event), "{text}");
        text
    };
    assert!(with("application/xml", Data::String("<a/>".into())).ends_with(r#""data":"<a/>"}"#));
    assert!(with("image/png", Data::Binary(vec![0xff, 0])).ends_with(r#""data_base64":"/wA="}"#));
    assert!(with("application/json", Data::Binary(b"{half".to_vec())).contains("data_base64"));
    assert!(with("application/json", Data::Json(serde_json::json!([1]))).ends_with(r#""data":[1]}"#));
    assert!(with("application/x+json", Data::String("[1, 2]".into())).ends_with(r#""data":[1, 2]}"#));
}

#[test]
fn quoted_and_encoded_values_are_decoded_once() {
    let subject =
        |value| binary(&[("ce-subject", value)], "").map(|event| event.subject().unwrap().to_owned());
    assert_eq!(subject("plain").unwrap(), "plain");
    assert_eq!(subject("%E2%82%AC%20%2541").unwrap(), "€ %41");
    assert_eq!(subject(r#""a \"b\" c""#).unwrap(), r#"a "b" c"#);
    assert_eq!(subject("é").unwrap(), "é", "UTF-8 that nobody encoded");
    assert!(matches!(subject("%FF"), Err(Error::Value { .. })));
}

#[test]
fn what_is_no_event_is_told_apart() {
    let empty = Bytes::new;
    assert_eq!(parse(&HeaderMap::new(), empty()), Err(Error::NotACloudEvent));
    assert_eq!(parse(&headers(&[("content-type", "application/json")]), empty()), Err(Error::NotACloudEvent));
    let batch = headers(&[("content-type", "Application/CloudEvents-Batch+JSON; charset=utf-8")]);
    assert_eq!(parse(&batch, empty()), Err(Error::Batched));
    let avro = headers(&[("content-type", "application/cloudevents+avro")]);
    assert!(matches!(parse(&avro, empty()), Err(Error::Format(_))));
    assert_eq!(parse(&headers(&[("ce-specversion", "0.3")]), empty()), Err(Error::Version("0.3".into())));
    assert_eq!(parse(&headers(&REQUIRED[..3]), empty()), Err(Error::Missing("type")));
    assert_eq!(binary(&[("ce-id", "2")], ""), Err(Error::Duplicate("id".into())));
    assert_eq!(binary(&[("ce-a_b", "2")], ""), Err(Error::Name("a_b".into())));
    assert_eq!(binary(&[("ce-data", "2")], ""), Err(Error::Name("data".into())));
    assert!(matches!(binary(&[("ce-time", "yesterday")], ""), Err(Error::Value { .. })));

    let with =
        |more: &str| json(&format!(r#"{{"specversion":"1.0","id":"1","source":"/","type":"t"{more}}}"#));
    assert!(with("").unwrap().data().is_none());
    assert!(with(r#","data":null,"x":null"#).unwrap().data().is_none());
    assert_eq!(with(r#","data":1,"data_base64":"MQ==""#), Err(Error::Data));
    assert_eq!(with(r#","data_base64":"?""#), Err(Error::Data));
    assert_eq!(with(r#","aB":1"#), Err(Error::Name("aB".into())));
    assert!(matches!(with(r#","a":1.5"#), Err(Error::Value { .. })));
    assert!(matches!(with(r#","a":{}"#), Err(Error::Value { .. })));
    assert!(matches!(json("{"), Err(Error::Malformed { line: 1, .. })));
    assert_eq!(json(r#"{"id":"1"}"#), Err(Error::Missing("specversion")));
}

#[test]
fn an_event_with_a_name_brokers_refuse_is_not_written() {
    let event = EventBuilderV10::new().id("1").source("/").ty("t").extension("my_ext", "1").build().unwrap();
    assert_eq!(binary_headers(&event), Err(Error::Name("my_ext".into())));
}

/// The conformance suite's minimal and full events, read where they lie.
#[test]
fn the_conformance_samples_are_read_alike_in_both_modes() {
    let Some(folder) = fixtures() else { return };
    let text = std::fs::read_to_string(folder.join("cloudevents/conformance/yaml/v1.yaml")).unwrap();
    let mut read = Vec::new();
    for document in text.split("\n---\n") {
        let field = |name: &str| {
            let line = document.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
            Some(line.trim().trim_start_matches(':').trim().trim_matches('"').to_owned())
        };
        let values = ["id", "type", "source", "time"].map(|name| (name, field(&format!("{name}:")).unwrap()));
        let extension = field("comexampleextension1").unwrap();
        let data = r#"{"world":"hello"}"#;
        assert!(document.contains(data), "{document}");
        let event = if document.contains("Mode: binary") {
            let mut more: Vec<(String, String)> =
                values.iter().map(|(name, value)| (format!("ce-{name}"), value.clone())).collect();
            more.push(("ce-specversion".into(), "1.0".into()));
            more.push(("ce-comexampleextension1".into(), extension.clone()));
            let more: Vec<(&str, &str)> = more.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            parse(&headers(&more), Bytes::from_static(data.as_bytes())).unwrap()
        } else {
            let members: String =
                values.iter().map(|(name, value)| format!(r#""{name}":"{value}","#)).collect();
            let extra = format!(r#""specversion":"1.0","comexampleextension1":"{extension}","data":{data}"#);
            json(&format!("{{{members}{extra}}}")).unwrap()
        };
        read.push(event);
    }
    assert!(read.len() >= 2);
    assert!(read.windows(2).all(|pair| pair[0] == pair[1]), "{read:#?}");
}

/// Where other people's samples lie; nothing, loudly, where they do not. Under `CI=true` that is a failure.
fn fixtures() -> Option<std::path::PathBuf> {
    let default = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let folder = std::env::var_os("KLR_FIXTURES").map_or(default, Into::into);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "no fixtures at {}", folder.display());
    eprintln!("SKIP: no fixtures at {}", folder.display());
    None
}
