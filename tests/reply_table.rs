//! Promise: a function's reply means what it means on AWS, row by row of the table in spec/esm.md §1.9, for every source
//! that takes partial batch responses, by the one parser that the live path and later tools share.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use bytes::Bytes;
use klr::deliver::Outcome;
use klr::deliver::reply::{self, Failed};
use klr::mapping::Policy;
use klr::mapping::next::{Judged, judge};
use klr_contract::{Record, Shape};
use serde_json::{Value, json};

/// A batch of a source, and how its identifiers look.
struct Source {
    name: &'static str,
    shape: Box<dyn Shape>,
    batch: Vec<Record>,
    /// Name the second and third record.
    valid: [Value; 2],
    /// Well-formed, but nobody of this batch.
    unknown: Vec<Value>,
    wrong_type: Vec<Value>,
}

fn sqs() -> Source {
    let config = klr_sqs::Config {
        arn: "arn:aws:sqs:us-east-1:123456789012:orders".to_owned(),
        region: "us-east-1".to_owned(),
        account: "123456789012".to_owned(),
        name: "orders".to_owned(),
        endpoint: None,
        windowed: false,
    };
    let message = |id: &str| klr_sqs::Message { id: id.to_owned(), ..klr_sqs::Message::default() };
    Source {
        name: "sqs",
        shape: Box::new(klr_sqs::Shape),
        batch: klr_sqs::records(&config, ["m-0", "m-1", "m-2", "m-3"].map(message).to_vec()),
        valid: [json!("m-1"), json!("m-2")],
        unknown: vec![json!("m-9"), json!("M-1"), json!("m-1 ")],
        wrong_type: vec![json!(1), json!(true), json!(["m-1"]), json!({"messageId": "m-1"})],
    }
}

fn kafka() -> Source {
    let record = |(partition, offset)| {
        let native = klr_kafka::Native {
            topic: "a-topic",
            partition,
            offset,
            timestamp: 1_545_084_650_987,
            timestamp_type: klr_kafka::TimestampType::CreateTime,
            key: None,
            value: Some(b"v"),
            headers: std::iter::empty(),
        };
        klr_kafka::Shape::record(native, 1)
    };
    let identifier = |partition: &str, offset: i64| json!({"partition": partition, "offset": offset});
    Source {
        name: "kafka",
        shape: Box::new(klr_kafka::Shape::of("localhost:9092", None)),
        batch: [(0, 100), (0, 101), (1, 100), (1, 101)].map(record).to_vec(),
        valid: [identifier("a-topic-0", 101), identifier("a-topic-1", 100)],
        unknown: vec![identifier("a-topic-0", 99), identifier("a-topic-2", 100), identifier("topic-0", 101)],
        wrong_type: vec![
            json!("a-topic-0"),
            json!(101),
            json!({"partition": "a-topic-0", "offset": "101"}),
            json!({"partition": 0, "offset": 101}),
            json!({"partition": "a-topic-0"}),
            json!({"offset": 101}),
        ],
    }
}

fn list(entries: Vec<Value>) -> String {
    json!({ "batchItemFailures": entries }).to_string()
}

fn item(identifier: &Value) -> Value {
    json!({ "itemIdentifier": identifier })
}

/// Replies after which the whole batch is settled.
const SUCCESS: [&str; 15] = [
    "null",
    "",
    " \n",
    "\"\"",
    "[]",
    "{}",
    r#"{"batchItemFailures": []}"#,
    r#"{"batchItemFailures": null}"#,
    r#"{"statusCode": 200}"#,
    r#"{"statusCode": 500, "BatchItemFailures": [{"itemIdentifier": "m-1"}]}"#,
    "\"ok\"",
    "5",
    "true",
    "[1]",
    r#"[{"itemIdentifier": "m-1"}]"#,
];

/// Replies after which the whole batch has failed, whatever the source.
const FAILURE: [&str; 12] = [
    "{",
    "ok",
    "{'batchItemFailures': []}",
    r#"{"batchItemFailures": []} trailing"#,
    r#"{"batchItemFailures": "m-1"}"#,
    r#"{"batchItemFailures": {"itemIdentifier": "m-1"}}"#,
    r#"{"batchItemFailures": [{"foo": "x"}]}"#,
    r#"{"batchItemFailures": [{"foo": null}]}"#,
    r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
    r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
    r#"{"batchItemFailures": [{}]}"#,
    r#"{"batchItemFailures": ["m-1"]}"#,
];

fn each_source(check: impl Fn(&Source, &dyn Fn(&str) -> Failed)) {
    for source in [sqs(), kafka()] {
        check(&source, &|reply: &str| reply::parse(reply.as_bytes(), &source.batch, &*source.shape));
    }
}

#[test]
fn no_list_or_an_empty_one_is_success() {
    each_source(|source, parse| {
        for reply in SUCCESS {
            assert_eq!(parse(reply), Failed::None, "{}: {reply}", source.name);
        }
    });
}

#[test]
fn the_listed_records_failed_in_any_order_and_however_often() {
    each_source(|source, parse| {
        let [first, second] = [0, 1].map(|n| item(&source.valid[n]));
        for (entries, failed) in [
            (vec![first.clone()], vec![1]),
            (vec![second.clone(), first.clone()], vec![1, 2]),
            (vec![first.clone(), first.clone(), second.clone(), first.clone()], vec![1, 2]),
        ] {
            let reply = list(entries);
            assert_eq!(parse(&reply), Failed::Some(failed), "{}: {reply}", source.name);
        }
        // More members, here and there, are no reason to distrust the rest.
        let reply = json!({"batchItemFailures": [{"itemIdentifier": source.valid[0], "why": "x"}], "n": 1})
            .to_string();
        assert_eq!(parse(&reply), Failed::Some(vec![1]), "{}: {reply}", source.name);
    });
}

#[test]
fn one_bad_entry_fails_the_whole_batch_even_among_good_ones() {
    each_source(|source, parse| {
        let bad = source.unknown.iter().chain(&source.wrong_type).map(item);
        let bare = source.wrong_type.iter().cloned();
        let more = [json!({"foo": "x"}), json!({"itemIdentifier": ""}), json!({"itemIdentifier": null})];
        for bad in bad.chain(bare).chain(more) {
            for entries in [
                vec![bad.clone()],
                vec![item(&source.valid[0]), bad.clone()],
                vec![bad.clone(), item(&source.valid[1])],
            ] {
                let reply = list(entries);
                assert!(matches!(parse(&reply), Failed::All(_)), "{}: {reply}", source.name);
            }
        }
        for reply in FAILURE {
            assert!(matches!(parse(reply), Failed::All(_)), "{}: {reply}", source.name);
        }
    });
}

#[test]
fn without_the_setting_the_reply_is_not_read_and_an_error_fails_the_batch_either_way() {
    for source in [sqs(), kafka()] {
        let judge = |report, outcome| {
            judge(&Policy { report, ..Policy::default() }, outcome, &source.batch, &*source.shape)
        };
        for reply in SUCCESS.iter().chain(&FAILURE) {
            let reply = Bytes::from_static(reply.as_bytes());
            assert_eq!(judge(false, Outcome::Done(reply)), Judged::Done, "{}", source.name);
        }
        for (outcome, report) in [Outcome::FunctionError, Outcome::TimedOut].into_iter().zip([true, false]) {
            assert!(matches!(judge(report, outcome), Judged::Failed(_)), "{}", source.name);
        }
        let listed = Bytes::from(list(vec![item(&source.valid[1])]));
        assert_eq!(judge(true, Outcome::Done(listed)), Judged::Partial(vec![2]), "{}", source.name);
    }
}
