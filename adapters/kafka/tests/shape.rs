//! Messages in, events out, byte by byte.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

use std::path::PathBuf;

use jiff::Timestamp;
use klr_contract::{Partition, Place, Position, Record, Shape as _};
use klr_kafka::{Message, Shape};
use proptest::prelude::*;
use serde_json::{Value, json};

const ARN: &str = "arn:aws:kafka:us-east-1:123456789012:cluster/sales/abcd1234-abcd-cafe-abab-9876543210ab-4";
const SERVERS: &str = "b-1.example.com:9092,b-2.example.com:9092";

fn record(message: &Message) -> Record {
    Shape::record(message.native(), 1)
}

/// The native line of an event's record: keys are base64 already, headers lists of bytes.
fn lines_of(event: &Value) -> Vec<String> {
    event["records"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|list| list.as_array().unwrap())
        .map(Value::to_string)
        .collect()
}

#[test]
fn golden() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".in.jsonl") else {
            continue;
        };
        let input = std::fs::read_to_string(&path).unwrap();
        let expected = std::fs::read_to_string(dir.join(format!("{name}.out.json"))).unwrap();
        let records: Vec<_> = input.lines().map(|line| record(&Message::parse(line).unwrap())).collect();
        let event = Shape::of(SERVERS, (name == "msk").then_some(ARN)).event(&records);
        assert_eq!(std::str::from_utf8(&event).unwrap(), expected.trim_end(), "{name}");
        read_by_others(&event, name);
        cases += 1;
    }
    assert!(cases >= 16, "{cases} cases found in {}", dir.display());
}

/// One more consumer that must take what we write. (Kafka's own -1 for "no time" it cannot read.)
fn read_by_others(event: &[u8], name: &str) {
    if std::str::from_utf8(event).unwrap().contains(r#""timestamp":-1,"#) {
        return;
    }
    let event: aws_lambda_events::kafka::KafkaEvent = serde_json::from_slice(event).unwrap();
    let records: usize = event.records.values().map(Vec::len).sum();
    assert!(records > 0, "{name}");
}

/// The samples of AWS's own libraries, taken apart into messages and put together again. They may write `null` where live
/// events have no member, and schema metadata is a registry's.
#[test]
fn official_samples_come_out_the_same() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let mut samples = 0;
    for entry in std::fs::read_dir(fixtures.join("events/kafka")).unwrap() {
        let path = entry.unwrap().path();
        let mut sample: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for list in sample["records"].as_object_mut().unwrap().values_mut() {
            for record in list.as_array_mut().unwrap() {
                let members = record.as_object_mut().unwrap();
                members.retain(|name, value| !value.is_null() && !name.ends_with("SchemaMetadata"));
            }
        }
        let records: Vec<_> =
            lines_of(&sample).iter().map(|line| record(&Message::parse(line).unwrap())).collect();
        let shape =
            Shape::of(sample["bootstrapServers"].as_str().unwrap(), sample["eventSourceArn"].as_str());
        let event: Value = serde_json::from_slice(&shape.event(&records)).unwrap();
        assert_eq!(event, sample, "{}", path.display());
        samples += 1;
    }
    assert!(samples >= 6, "{samples} samples");
}

#[test]
fn what_is_no_message_is_refused_without_quoting_it() {
    for (line, expected) in [
        ("hello", "one Kafka message"),
        ("[1]", "one Kafka message"),
        (r#"{"partition":0,"offset":1}"#, "missing field `topic`"),
        (r#"{"topic":"t","partition":0,"offset":1,"value":"s3cret!"}"#, "value: expected standard base64"),
        (
            r#"{"topic":"t","partition":0,"offset":1,"headers":["s3cret"]}"#,
            "headers: expected a list of objects",
        ),
        (r#"{"topic":"t","partition":0,"offset":1,"headers":[{"a":[300]}]}"#, "bytes between -128 and 255"),
        (
            r#"{"topic":"t","partition":0,"offset":1,"timestampType":"s3cret"}"#,
            "timestampType: expected CREATE_TIME",
        ),
        (
            r#"{"topic":"t","partition":0,"offset":1,"payload":"x","headers":["a"]}"#,
            "headers: expected a flat list",
        ),
    ] {
        let error = Message::parse(line).unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let error = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        assert!(error.contains(expected), "{line}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

fn at(topic: &str, partition: u32, offset: i64) -> Record {
    let line =
        json!({ "topic": topic, "partition": partition, "offset": offset, "timestamp": 1, "value": "YQ==" });
    record(&Message::parse(&line.to_string()).unwrap())
}

#[test]
fn identifiers_name_records() {
    let shape = Shape::of(SERVERS, None);
    let batch =
        [at("my-topic-1", 0, 100), at("my-topic-1", 10, 100), at("my-topic-1", 0, 101), at("other", 0, 100)];
    let locate = |identifier: Value| shape.locate(&identifier, &batch);
    assert_eq!(locate(json!({"partition": "my-topic-1-0", "offset": 100})), [0]);
    assert_eq!(locate(json!({"partition": "my-topic-1-10", "offset": 100})), [1]);
    assert_eq!(locate(json!({"offset": 101, "partition": "my-topic-1-0", "more": true})), [2]);
    assert_eq!(locate(json!({"partition": "other-0", "offset": 100})), [3]);
    for nothing in [
        json!("my-topic-1-0"),
        json!(100),
        json!(null),
        json!([{"partition": "my-topic-1-0", "offset": 100}]),
        json!({}),
        json!({"partition": "my-topic-1-0"}),
        json!({"offset": 100}),
        json!({"partition": "my-topic-1-0", "offset": "100"}),
        json!({"partition": "my-topic-1-0", "offset": 100.5}),
        json!({"partition": "my-topic-1-0", "offset": 102}),
        json!({"partition": "my-topic-1-00", "offset": 100}),
        json!({"partition": "my-topic-1-+0", "offset": 100}),
        json!({"partition": "my-topic-1", "offset": 100}),
        json!({"partition": "my-topic-0", "offset": 100}),
        json!({"partition": 0, "offset": 100}),
    ] {
        assert_eq!(locate(nothing.clone()), [0_usize; 0], "{nothing}");
    }
}

#[test]
fn an_empty_batch_is_an_event_too() {
    let event = Shape::of("a:1", None).event(&[]);
    assert_eq!(event, r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"a:1","records":{}}"#);
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let header = (".{0,12}", bytes());
    let headers = prop::collection::vec(header, 0..4);
    ("[a-zA-Z0-9._-]{1,20}|.{0,6}", 0..30_i32, any::<i64>(), any::<i64>(), bytes(), bytes(), headers)
        .prop_map(|(topic, partition, offset, timestamp, key, value, headers)| {
            let list = |bytes: &Vec<u8>| json!(bytes);
            let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| base64(bytes));
            let headers: Vec<_> =
                headers.iter().map(|(n, v)| json!({ n.clone(): v.as_ref().map(list) })).collect();
            let line = json!({
                "topic": topic, "partition": partition, "offset": offset, "timestamp": timestamp,
                "key": text(&key), "value": text(&value), "headers": headers,
            });
            Message::parse(&line.to_string()).unwrap()
        })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

proptest! {
    /// The size law of the contract, and nothing of the batch is lost, doubled or out of order.
    #[test]
    fn sizes_are_exact(messages in prop::collection::vec(message(), 1..20), msk: bool) {
        let shape = Shape::of(SERVERS, msk.then_some(ARN));
        // A mapping has one topic; its name stands in every fragment.
        let topic = messages[0].native().topic;
        let of_topic = |message: &Message| Shape::record(klr_kafka::Native { topic, ..message.native() }, 1);
        let batch: Vec<_> = messages.iter().map(of_topic).collect();
        let mut partitions = Vec::new();
        let mut size = shape.frame();
        for record in &batch {
            let Place::At { partition, .. } = &record.place else { unreachable!() };
            if !partitions.contains(partition) {
                partitions.push(*partition);
                size += shape.opening(record);
            }
            size += shape.cost(record);
        }
        let event = shape.event(&batch);
        prop_assert_eq!(event.len(), size);

        let parsed: Value = serde_json::from_slice(&event).unwrap();
        for partition in &partitions {
            let list = &parsed["records"][format!("{topic}-{}", partition.index)];
            let is_of = |record: &&Record| matches!(&record.place, Place::At { partition: p, .. } if p == partition);
            let expected: Vec<Value> = batch
                .iter()
                .filter(is_of)
                .map(|record| serde_json::from_slice(record.json.as_ref().unwrap()).unwrap())
                .collect();
            prop_assert_eq!(list, &json!(expected));
        }
        prop_assert_eq!(parsed["records"].as_object().unwrap().len(), partitions.len());
    }

    /// What an event says, read back, is the message it was made of.
    #[test]
    fn nothing_is_lost_in_a_fragment(message in message()) {
        let again = Message::parse(std::str::from_utf8(record(&message).json.as_ref().unwrap()).unwrap()).unwrap();
        let null_is_empty = |m: &Message| {
            let native = m.native();
            let headers: Vec<_> = native.headers.map(|(n, v)| (n.to_owned(), v.unwrap_or_default().to_vec())).collect();
            (native.topic.to_owned(), native.offset, native.timestamp, native.key.map(<[u8]>::to_vec), headers)
        };
        prop_assert_eq!(null_is_empty(&again), null_is_empty(&message));
        prop_assert_eq!(again.native().value, message.native().value);
    }

    /// Whatever a function answers, looking it up does not panic and finds only what is there.
    #[test]
    fn locating_is_total(partition in ".{0,10}", offset: i64) {
        let batch = [at("t", 0, offset)];
        let found = Shape::of(SERVERS, None).locate(&json!({ "partition": partition, "offset": offset }), &batch);
        prop_assert_eq!(!found.is_empty(), partition == "t-0");
    }
}

#[test]
fn places_and_times_are_the_records_own() {
    let line =
        r#"{"topic":"t","partition":3,"offset":7,"timestamp":1545084650987,"timestampType":"CREATE_TIME"}"#;
    let record = record(&Message::parse(line).unwrap());
    let partition = Partition { index: 3, epoch: 1 };
    assert_eq!(record.place, Place::At { partition, position: Position::Offset(7), key: 0 });
    assert_eq!(record.at, Timestamp::from_millisecond(1_545_084_650_987).unwrap());
    let expected = br#"{"topic":"t","partition":3,"offset":7,"timestamp":1545084650987,"timestampType":"CREATE_TIME","headers":[]}"#;
    assert_eq!(record.json.as_deref(), Ok(&expected[..]));
}
