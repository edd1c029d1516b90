//! Records in, bytes out: our own goldens, the shared fixtures, and the laws of a shape.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use klr_aws::shards::Reading;
use klr_contract::{Partition, Place, Position, Record, Shape as _};
use klr_dynamodb::{Attribute, Blob, Change, Config, Identity, Item, Native, Shape, records};
use proptest::prelude::*;
use serde_json::{Value, json};

const ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/ExampleTable/stream/2016-12-01T00:00:00.000";

fn shape(natives: Vec<Native>) -> Vec<Record> {
    let reading = Reading { partition: Partition { index: 0, epoch: 1 }, shard: "s".into(), closed: false };
    records(&Config::new(ARN.parse().unwrap(), "m").unwrap(), &reading, natives)
}

fn golden(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

#[test]
fn goldens_byte_for_byte() {
    let natives = golden("records.in.jsonl").lines().map(|line| Native::parse(line).unwrap()).collect();
    let event = Shape.event(&shape(natives));
    assert_eq!(std::str::from_utf8(&event).unwrap(), golden("records.out.json").trim_end());
}

#[test]
fn a_line_that_is_no_record_says_what_was_expected() {
    for line in [
        "",
        "[]",
        r#"{"eventID":"1","eventName":"INSERT"}"#,
        r#"{"eventID":"1","eventName":"INSERT","dynamodb":{"SequenceNumber":"1","Keys":{"a":{"Q":"1"}}}}"#,
    ] {
        let error = Native::parse(line).unwrap_err().to_string();
        assert!(error.starts_with("expected an element of Records[]"), "{error}");
    }
}

/// Every sample and recording of a DynamoDB event: what we read from one, we write again.
#[test]
fn fixtures_come_out_as_they_were() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let mut checked = 0;
    for file in ["go-dynamodb-event.json", "go-dynamodb-time-window-event.json"] {
        let text = fs::read_to_string(fixtures.join("events/dynamodb").join(file)).unwrap();
        checked += check(&serde_json::from_str(&text).unwrap());
    }
    for entry in fs::read_dir(fixtures.join("esm-snapshots/dynamodb")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        each_event(&serde_json::from_str(&text).unwrap(), &mut |event| checked += check(event));
    }
    assert!(checked > 15, "{checked} records");
}

fn each_event(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            if object.get("Records").is_some_and(|records| records[0]["eventSource"] == "aws:dynamodb") {
                see(value);
            }
            object.values().for_each(|value| each_event(value, see));
        }
        Value::Array(list) => list.iter().for_each(|value| each_event(value, see)),
        _ => {}
    }
}

fn check(event: &Value) -> usize {
    let all = event["Records"].as_array().unwrap();
    for record in all {
        let mut expected = record.clone();
        let masked = record["dynamodb"]["ApproximateCreationDateTime"].is_string();
        if masked {
            expected["dynamodb"]["ApproximateCreationDateTime"] = json!(1_700_000_000);
        }
        let native = Native::parse(&expected.to_string()).unwrap();
        let event = Shape.event(&shape(vec![native]));
        let mut written: Value = serde_json::from_slice(&event).unwrap();
        written["Records"][0]["eventSourceARN"] = expected["eventSourceARN"].clone();
        assert_eq!(written["Records"][0], expected);
        serde_json::from_slice::<aws_lambda_events::dynamodb::Event>(&event).unwrap();
    }
    all.len()
}

#[test]
fn locates_by_sequence_number_and_lanes_go_by_key() {
    let native = |number: &str, key: &str| Native {
        event_id: "1".to_owned(),
        event_name: "INSERT".to_owned(),
        event_version: "1.1".to_owned(),
        region: "us-east-1".to_owned(),
        dynamodb: Change {
            approximate_creation_date_time: None,
            keys: Item::from([("id".to_owned(), Attribute::S(key.to_owned()))]),
            new_image: None,
            old_image: None,
            sequence_number: number.to_owned(),
            size_bytes: None,
            stream_view_type: None,
        },
        user_identity: None,
    };
    let batch = shape(vec![native("9", "a"), native("10", "b"), native("11", "a")]);
    assert_eq!(Shape.locate(&json!("10"), &batch), [1]);
    for none in [json!("1"), json!(""), json!(null), json!(9), json!(["9"])] {
        assert!(Shape.locate(&none, &batch).is_empty(), "{none}");
    }
    let keys: Vec<u32> = batch.iter().map(key).collect();
    assert_eq!(keys[0], keys[2]);
    assert_ne!(keys[0], keys[1]);
}

fn key(record: &Record) -> u32 {
    let Place::At { key, position: Position::Opaque(_), .. } = &record.place else { unreachable!() };
    *key
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let blob = || prop::collection::vec(any::<u8>(), 0..9).prop_map(Blob);
    let leaf = prop_oneof![
        any::<String>().prop_map(Attribute::S),
        "-?[0-9]{1,38}".prop_map(Attribute::N),
        blob().prop_map(Attribute::B),
        prop::collection::vec(any::<String>(), 0..3).prop_map(Attribute::SS),
        prop::collection::vec("[0-9]{1,9}", 0..3).prop_map(Attribute::NS),
        prop::collection::vec(blob(), 0..3).prop_map(Attribute::BS),
        any::<bool>().prop_map(Attribute::Bool),
        Just(Attribute::Null(true)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Attribute::L),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(Attribute::M),
        ]
    })
}

fn item() -> impl Strategy<Value = Item> {
    prop::collection::btree_map(any::<String>(), attribute(), 0..4)
}

prop_compose! {
    fn any_native()(
        keys in item(), new_image in prop::option::of(item()), old_image in prop::option::of(item()),
        sequence_number in "[0-9]{1,40}", second in 0_i64..4_000_000_000, size in prop::option::of(0_i64..400_000),
        ttl: bool,
    ) -> Native {
        let user_identity = ttl.then(|| Identity {
            kind: "Service".to_owned(),
            principal_id: "dynamodb.amazonaws.com".to_owned(),
        });
        let dynamodb = Change {
            approximate_creation_date_time: jiff::Timestamp::from_second(second).ok(),
            keys, new_image, old_image, sequence_number, size_bytes: size,
            stream_view_type: Some("NEW_AND_OLD_IMAGES".to_owned()),
        };
        Native {
            event_id: "e".to_owned(), event_name: "MODIFY".to_owned(), event_version: "1.1".to_owned(),
            region: "us-east-1".to_owned(), dynamodb, user_identity,
        }
    }
}

proptest! {
    /// The size law of the contract, to the byte; and what an event says, read back, is the record it was made of.
    #[test]
    fn laws_of_the_shape(natives in prop::collection::vec(any_native(), 1..6)) {
        let batch = shape(natives.clone());
        let event = Shape.event(&batch);
        let size = Shape.frame() + Shape.opening(&batch[0]) + batch.iter().map(|record| Shape.cost(record)).sum::<usize>();
        prop_assert_eq!(event.len(), size);
        let parsed: Value = serde_json::from_slice(&event).unwrap();
        for (n, native) in natives.iter().enumerate() {
            let again = Native::parse(&parsed["Records"][n].to_string()).unwrap();
            prop_assert_eq!(&again, native);
            let located = Shape.locate(&json!(native.dynamodb.sequence_number), &batch);
            prop_assert!(located.contains(&n));
        }
    }
}
