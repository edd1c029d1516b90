//! Orders of about a kilobyte, and what is asked of them.

use klr::pattern::Source;
use serde_json::{Value, json};

/// One to five fields.
pub const PATTERNS: &[(&str, &str)] = &[
    ("one field, first", r#"{"kind": ["order"]}"#),
    ("one field, last", r#"{"state": ["paid"]}"#),
    ("one field, no such", r#"{"nowhere": ["x"]}"#),
    ("two fields", r#"{"kind": ["order"], "customer": {"country": ["DE", "AT"]}}"#),
    ("number in a range", r#"{"total": [{"numeric": [">", 100, "<=", 5000]}]}"#),
    (
        "three fields",
        r#"{"kind": ["order"], "customer": {"tier": [{"prefix": "g"}]}, "total": [{"numeric": [">", 100]}]}"#,
    ),
    (
        "four fields, wildcard",
        r#"{"kind": ["order"], "customer": {"email": [{"wildcard": "*@example.*"}]}, "state": ["paid"], "id": [{"exists": true}]}"#,
    ),
    (
        "five fields",
        r#"{"kind": ["order"], "customer": {"country": [{"anything-but": "US"}], "tier": ["gold"]}, "state": [{"suffix": "id"}], "total": [{"numeric": ["<", 900]}]}"#,
    ),
    ("in an array's elements", r#"{"items": {"sku": [{"prefix": "SKU-1"}], "quantity": [2, 3]}}"#),
    ("absent field", r#"{"kind": ["order"], "cancelled": [{"exists": false}]}"#),
    ("$or", r#"{"kind": ["order"], "$or": [{"state": ["open"]}, {"customer": {"tier": ["gold"]}}]}"#),
];

/// Records whose data must be decoded.
pub const CARRIED: &[(&str, Source, &str)] = &[
    (
        "SQS body, two fields",
        Source::Sqs,
        r#"{"body": {"kind": ["order"], "customer": {"country": ["DE"]}}}"#,
    ),
    (
        "SQS body, five fields",
        Source::Sqs,
        r#"{"body": {"kind": ["order"], "customer": {"country": ["DE"], "tier": ["gold"]}, "state": ["paid"], "total": [{"numeric": [">", 100]}]}}"#,
    ),
    (
        "Kinesis data, two fields",
        Source::Kinesis,
        r#"{"data": {"kind": ["order"], "customer": {"country": ["DE"]}}}"#,
    ),
    (
        "Kafka value, two fields",
        Source::Kafka,
        r#"{"value": {"kind": ["order"], "customer": {"country": ["DE"]}}}"#,
    ),
];

fn order(n: usize) -> Value {
    let pick = |of: &[&'static str], step: usize| of[n / step % of.len()];
    json!({
        "id": format!("0191b6c2-7d7c-7e3a-9c55-{n:012}"),
        "kind": pick(&["order", "refund"], 3),
        "version": 3,
        "customer": {
            "id": 48_151_623 + n,
            "name": "Zoë O'Leary-Müller",
            "email": format!("zoe{n}@example.com"),
            "country": pick(&["DE", "AT", "US"], 1),
            "tier": pick(&["gold", "silver"], 2),
            "address": {"street": "Karl-Marx-Allee 1", "city": "Berlin", "zip": "10178", "geo": [52.5219, 13.4132]},
        },
        "items": (0..5).map(|i| json!({
            "sku": format!("SKU-{}", 1000 + n + i * 37),
            "title": "A thing with a \"name\" that is not short",
            "quantity": (n + i) % 4,
            "price": 19.99 + i as f64,
            "tags": ["new", "heavy"],
        })).collect::<Vec<_>>(),
        "total": 40.5 + (n * 97 % 900) as f64,
        "currency": "EUR",
        "notes": null,
        "gift": false,
        "placed": "2026-08-14T09:26:53.589Z",
        "state": pick(&["paid", "open"], 5),
    })
}

pub fn json() -> Vec<Vec<u8>> {
    (0..64).map(|n| order(n).to_string().into_bytes()).collect()
}

/// The same as records of a source.
pub fn records(source: Source) -> Vec<Vec<u8>> {
    let base64 = |body: &[u8]| base64_simd::STANDARD.encode_to_string(body);
    let record = |body: Vec<u8>| match source {
        Source::Sqs => json!({
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": String::from_utf8_lossy(&body),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2",
        }),
        Source::Kinesis => json!({
            "kinesis": {"partitionKey": "1", "data": base64(&body), "approximateArrivalTimestamp": 1545084650.987},
            "eventSource": "aws:kinesis",
        }),
        _ => {
            json!({"topic": "orders", "partition": 0, "offset": 15, "key": "cmVjb3JkS2V5", "value": base64(&body), "headers": []})
        }
    };
    json().into_iter().map(|body| record(body).to_string().into_bytes()).collect()
}

/// The other way to look at a record's data: take it out, decode it, parse it.
pub fn decoded(source: Source, record: &[u8], buffer: &mut Vec<u8>) -> bool {
    #[derive(serde::Deserialize)]
    struct Sqs<'r> {
        #[serde(borrow)]
        body: std::borrow::Cow<'r, str>,
    }
    #[derive(serde::Deserialize)]
    struct Kafka<'r> {
        value: &'r str,
    }
    #[derive(serde::Deserialize)]
    struct Kinesis<'r> {
        #[serde(borrow)]
        kinesis: Data<'r>,
    }
    #[derive(serde::Deserialize)]
    struct Data<'r> {
        data: &'r str,
    }
    buffer.clear();
    let text = match source {
        Source::Sqs => {
            let Ok(record) = serde_json::from_slice::<Sqs<'_>>(record) else { return false };
            return serde_json::from_str::<Value>(&record.body).is_ok();
        }
        Source::Kinesis => serde_json::from_slice::<Kinesis<'_>>(record).map(|record| record.kinesis.data),
        _ => serde_json::from_slice::<Kafka<'_>>(record).map(|record| record.value),
    };
    let base64 = text.is_ok_and(|text| base64_simd::STANDARD.decode_append(text, buffer).is_ok());
    base64 && serde_json::from_slice::<Value>(buffer).is_ok()
}

/// A thousand rules each, as a bus may have them.
pub fn rule_sets() -> Vec<(&'static str, Vec<String>)> {
    let of = |rule: &dyn Fn(usize) -> Value| (0..1000).map(|n| rule(n).to_string()).collect();
    vec![
        ("each its own string", of(&|n| json!({"customer": {"email": [format!("zoe{n}@example.com")]}}))),
        (
            "three fields",
            of(
                &|n| json!({"kind": ["order"], "customer": {"email": [format!("zoe{n}@example.com")]}, "state": ["paid"]}),
            ),
        ),
        (
            "each its own prefix",
            of(&|n| json!({"items": {"sku": [{"prefix": format!("SKU-{}", 1000 + n)}]}})),
        ),
        ("each its own range", of(&|n| json!({"total": [{"numeric": [">", n, "<=", n + 10]}]}))),
        (
            "each its own wildcard",
            of(&|n| json!({"customer": {"email": [{"wildcard": format!("*{n}@*.com")}]}})),
        ),
        ("each its own field", of(&|n| json!({format!("field{n}"): ["x"], "kind": ["order"]}))),
    ]
}
