//! Records in, bytes out: our own goldens, the shared fixtures, and the laws of a shape.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use klr_aws::shards::Reading;
use klr_contract::{Partition, Place, Position, Record, Shape as _};
use klr_kinesis::{Config, Native, Part, Shape, records, sequence_number};
use proptest::prelude::*;
use serde_json::{Value, json};

const ARN: &str = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream";

fn config(arn: &str, role: &str) -> Config {
    Config { role: role.to_owned(), ..Config::new(arn.parse().unwrap(), "m").unwrap() }
}

fn reading(shard: &str) -> Reading {
    Reading { partition: Partition { index: 0, epoch: 1 }, shard: shard.into(), closed: false }
}

fn golden(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn natives(lines: &str) -> Vec<Native> {
    lines.lines().map(|line| Native::parse(line).unwrap()).collect()
}

#[test]
fn goldens_byte_for_byte() {
    let config = config(ARN, "arn:aws:iam::123456789012:role/lambda-role");
    let natives = natives(&golden("records.in.jsonl"));
    let event = Shape.event(&records(&config, &reading("shardId-000000000006"), &natives));
    assert_eq!(std::str::from_utf8(&event).unwrap(), golden("records.out.json").trim_end());
}

#[test]
fn a_line_that_is_no_record_says_what_was_expected() {
    for (line, expected) in [
        ("", "expected an element of Records[]"),
        (r#"{"SequenceNumber":"1"}"#, "expected an element of Records[]"),
        (r#"{"SequenceNumber":"1","Data":"?","PartitionKey":"k"}"#, "Data: expected standard base64"),
        (
            r#"{"SequenceNumber":"1","Data":"","PartitionKey":"k","ApproximateArrivalTimestamp":"soon"}"#,
            "ApproximateArrivalTimestamp: expected seconds",
        ),
    ] {
        let error = Native::parse(line).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// Every sample and recording of a Kinesis event: what we read from one, we write again.
#[test]
fn fixtures_come_out_as_they_were() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let mut checked = 0;
    for file in [
        "go-kinesis-event.json",
        "py-kinesisstreamcloudwatchlogsevent.json",
        "ts-kinesis-dynamodb-stream.json",
    ] {
        let text = fs::read_to_string(fixtures.join("events/kinesis").join(file)).unwrap();
        checked += check(&serde_json::from_str(&text).unwrap());
    }
    for entry in fs::read_dir(fixtures.join("esm-snapshots/kinesis")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        each_event(&serde_json::from_str(&text).unwrap(), &mut |event| checked += check(event));
    }
    assert!(checked > 40, "{checked} records");
}

fn each_event(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            if object.get("Records").is_some_and(|records| records[0]["eventSource"] == "aws:kinesis") {
                see(value);
            }
            object.values().for_each(|value| each_event(value, see));
        }
        Value::Array(list) => list.iter().for_each(|value| each_event(value, see)),
        _ => {}
    }
}

/// Takes the event apart into records, shapes them, and compares. (Recordings mask times, and the colon before a masked
/// ARN's region is theirs.)
fn check(event: &Value) -> usize {
    let all = event["Records"].as_array().unwrap();
    for record in all {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let its = &record["kinesis"];
        let masked = its["approximateArrivalTimestamp"].is_string();
        let mut expected = record.clone();
        if masked {
            expected["kinesis"]["approximateArrivalTimestamp"] = json!(1_700_000_000.123);
        }
        let line = json!({
            "SequenceNumber": its["sequenceNumber"], "PartitionKey": its["partitionKey"], "Data": its["data"],
            "ApproximateArrivalTimestamp": expected["kinesis"]["approximateArrivalTimestamp"],
        });
        let native = Native::parse(&line.to_string()).unwrap();
        let shard = text("eventID").rsplit_once(':').map(|(shard, _)| shard.to_owned()).unwrap();
        let shard = shard.split(":<").next().unwrap().to_owned();
        let config = config(&text("eventSourceARN"), &text("invokeIdentityArn"));
        let config =
            Config { arn: klr_aws::Arn { region: text("awsRegion"), ..config.arn.clone() }, ..config };
        let event = Shape.event(&records(&config, &reading(&shard), &[native]));
        let mut written: Value = serde_json::from_slice(&event).unwrap();
        written["Records"][0]["eventSourceARN"] = expected["eventSourceARN"].clone();
        expected["eventID"] = record["eventID"].clone();
        assert_eq!(written["Records"][0], expected);
        if !masked {
            serde_json::from_slice::<aws_lambda_events::kinesis::KinesisEvent>(&event).unwrap();
        }
    }
    all.len()
}

#[test]
fn locates_by_sequence_number_only() {
    let native = |number: &str, part| Native {
        sequence_number: number.to_owned(),
        part,
        arrival: Timestamp::UNIX_EPOCH,
        data: vec![],
        partition_key: "k".to_owned(),
        encrypted: false,
    };
    let part = |index, last| Some(Part { index, last });
    let natives = [native("9", None), native("10", part(0, false)), native("10", part(1, true))];
    let batch = records(&config(ARN, "r"), &reading("s"), &natives);
    assert_eq!(Shape.locate(&json!("9"), &batch), [0]);
    assert_eq!(Shape.locate(&json!("10"), &batch), [1, 2]);
    for none in [json!("11"), json!(""), json!(null), json!(9), json!(["9"]), json!("10:0")] {
        assert!(Shape.locate(&none, &batch).is_empty(), "{none}");
    }
    let positions: Vec<_> = batch.iter().map(position).collect();
    assert_eq!(
        positions,
        ["9", "10:0", "10"],
        "what is not the last of an aggregate is no place to go on after"
    );
    assert_eq!(sequence_number(b"10:0"), b"10");
}

fn position(record: &Record) -> String {
    let Place::At { position: Position::Opaque(at), .. } = &record.place else { unreachable!() };
    String::from_utf8(at.to_vec()).unwrap()
}

prop_compose! {
    fn any_native()(
        number in "[0-9]{1,56}",
        millis in 0_i64..4_000_000_000_000,
        data in prop::collection::vec(any::<u8>(), 0..60),
        partition_key in any::<String>(),
        encrypted: bool,
    ) -> Native {
        let arrival = Timestamp::from_millisecond(millis).unwrap();
        Native { sequence_number: number, part: None, arrival, data, partition_key, encrypted }
    }
}

proptest! {
    /// The size law of the contract, to the byte; and every consumer can read it back.
    #[test]
    fn laws_of_the_shape(natives in prop::collection::vec(any_native(), 1..8)) {
        let batch = records(&config(ARN, "r"), &reading("shardId-1"), &natives);
        let event = Shape.event(&batch);
        let size = Shape.frame() + Shape.opening(&batch[0]) + batch.iter().map(|record| Shape.cost(record)).sum::<usize>();
        prop_assert_eq!(event.len(), size);
        let parsed: Value = serde_json::from_slice(&event).unwrap();
        let typed: aws_lambda_events::kinesis::KinesisEvent = serde_json::from_slice(&event).unwrap();
        for (n, native) in natives.iter().enumerate() {
            let its = &parsed["Records"][n]["kinesis"];
            prop_assert_eq!(its["partitionKey"].as_str(), Some(native.partition_key.as_str()));
            prop_assert_eq!(its["sequenceNumber"].as_str(), Some(native.sequence_number.as_str()));
            let millis = (its["approximateArrivalTimestamp"].as_f64().unwrap() * 1000.0).round() as i64;
            prop_assert_eq!(millis, native.arrival.as_millisecond());
            prop_assert_eq!(its.get("encryptionType").is_some(), native.encrypted);
            prop_assert_eq!(&typed.records[n].kinesis.data.0, &native.data);
            let located = Shape.locate(&json!(native.sequence_number), &batch);
            prop_assert!(located.contains(&n));
        }
    }
}
