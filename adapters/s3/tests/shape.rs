//! Notifications in, events out: our own goldens, AWS's recordings, the shared samples.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use jiff::Timestamp;
use klr_s3::{Config, Event, EventVersion, Notification, read};
use proptest::prelude::*;
use serde_json::{Value, json};

fn config(version: EventVersion) -> Config {
    Config { id: "trigger-1".to_owned(), region: "eu-central-1".to_owned(), version, ..Config::default() }
}

fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn golden(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn events(config: &Config, notification: &str) -> Vec<Event> {
    let event = |notification| match notification {
        Notification::Event(event) => *event,
        other => panic!("expected an event, got {other:?}"),
    };
    read(config, notification.as_bytes(), noon()).into_iter().map(event).collect()
}

fn event(notification: &str) -> Event {
    events(&config(EventVersion::Current), notification).remove(0)
}

#[test]
fn goldens_byte_for_byte() {
    let config = config(EventVersion::Current);
    let mut expected =
        golden("notifications.out.json").lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
    for line in golden("notifications.in.jsonl").lines() {
        for notification in read(&config, line.as_bytes(), noon()) {
            let written = match notification {
                Notification::Event(event) => String::from_utf8(event.body.to_vec()).unwrap(),
                Notification::Skip(why) => format!("skip: {why}"),
                Notification::Unreadable(why) => format!("unreadable: {why}"),
            };
            assert_eq!(Some(written), expected.next(), "{line}");
        }
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn every_golden_can_be_read_by_the_rust_types() {
    for line in golden("notifications.out.json").lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<aws_lambda_events::s3::S3Event>(line).unwrap();
    }
}

/// The recorder has masked ids and times; nothing here depends on them.
#[test]
fn awss_recordings_come_out_as_they_were() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let mut count = 0;
    for entry in fs::read_dir(fixtures.join("esm-snapshots/s3-to-sqs")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        each_record(&serde_json::from_str(&text).unwrap(), &mut |record| {
            same(record, EventVersion::Y2025);
            count += 1;
        });
    }
    assert!(count >= 10, "saw {count} recorded records");
}

/// The function has written the record into a table, in the table's types.
#[test]
fn what_a_function_got_comes_out_as_it_was() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let file = "esm-snapshots/s3-to-lambda/create-object-by-presigned-request-via-dynamodb.json";
    let text = fs::read_to_string(fixtures.join(file)).unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    for item in recorded["recorded-content"]["items"].as_array().unwrap() {
        same(&untyped(&item["data"]), EventVersion::Y2025);
    }
}

#[test]
fn the_samples_come_out_as_they_were() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    for file in [
        "go-s3-event.json",
        "go-s3-glacier-event.json",
        "go-s3-lifecycle-event.json",
        "go-s3-replication-event.json",
        "py-s3eventdecodedkey.json",
        "py-s3eventdeleteobject.json",
    ] {
        let sample = fs::read_to_string(fixtures.join("events/s3").join(file)).unwrap();
        let mut record = serde_json::from_str::<Value>(&sample).unwrap()["Records"][0].take();
        // Lambda itself sends no prefix, a blank is a plus, and 2.0 is a version of long ago.
        record["eventName"] = record["eventName"].as_str().unwrap().trim_start_matches("s3:").into();
        let key = record["s3"]["object"]["key"].as_str().unwrap().replace("%20", "+");
        record["s3"]["object"]["key"] = key.into();
        if record["eventVersion"] == "2.0" {
            record["eventVersion"] = "2.1".into();
        }
        let written = events(&config(EventVersion::Y2025), &sample).remove(0);
        assert_eq!(serde_json::from_slice::<Value>(&written.body).unwrap()["Records"][0], record, "{file}");
    }
}

fn same(record: &Value, version: EventVersion) {
    let notification = json!({ "Records": [record] }).to_string();
    let written = events(&config(version), &notification).remove(0);
    assert_eq!(serde_json::from_slice::<Value>(&written.body).unwrap()["Records"][0], *record);
}

fn each_record(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) if object.get("eventSource").is_some_and(|source| source == "aws:s3") => {
            see(value)
        }
        Value::Object(object) => object.values().for_each(|value| each_record(value, see)),
        Value::Array(list) => list.iter().for_each(|value| each_record(value, see)),
        _ => {}
    }
}

fn untyped(attribute: &Value) -> Value {
    let (kind, value) = attribute.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" => value.clone(),
        "N" => serde_json::from_str(value.as_str().unwrap()).unwrap(),
        "M" => {
            value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), untyped(value))).collect()
        }
        other => panic!("no {other} in an S3 record"),
    }
}

#[test]
fn versions_of_2025() {
    let version = |name: &str| {
        let record = json!({
            "eventSource": "minio:s3", "eventName": name, "s3": { "bucket": { "name": "b" }, "object": { "key": "k" } },
        });
        let notification = json!({ "Records": [record] }).to_string();
        let body = events(&config(EventVersion::Y2025), &notification).remove(0).body;
        serde_json::from_slice::<Value>(&body).unwrap()["Records"][0]["eventVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (name, expected) in [
        ("s3:ObjectCreated:Put", "2.1"),
        ("s3:ObjectRestore:Completed", "2.1"),
        ("s3:ObjectRestore:Delete", "2.3"),
        ("s3:Replication:OperationFailedReplication", "2.2"),
        ("s3:LifecycleTransition", "2.3"),
        ("s3:LifecycleExpiration:Delete", "2.3"),
        ("s3:IntelligentTiering", "2.3"),
        ("s3:ObjectAcl:Put", "2.3"),
        ("s3:ObjectTagging:Put", "2.3"),
    ] {
        assert_eq!(version(name), expected, "{name}");
    }
}

#[test]
fn cloudevents_attributes_are_the_adapters() {
    let first = golden("notifications.in.jsonl").lines().next().unwrap().to_owned();
    let attributes = event(&first).attributes();
    assert_eq!(attributes.id, "C3D13FE58DE4C810.FMyUVURIY8/IgAtTv8x=");
    assert_eq!(attributes.source, "aws:s3.us-west-2.photos");
    assert_eq!(attributes.kind, "com.amazonaws.s3.ObjectCreated:Put");
    assert_eq!(attributes.subject, "in/a+b%40c.jpg");
    assert_eq!(attributes.time, "2026-08-01T10:00:00.123Z");
}

#[test]
fn an_id_without_request_ids_tells_changes_apart() {
    let id = |sequencer: &str, time: &str| {
        let object = json!({ "key": "k", "sequencer": sequencer });
        let s3 = json!({ "bucket": { "name": "b" }, "object": object });
        let record = json!({ "eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put", "eventTime": time, "s3": s3 });
        event(&json!({ "Records": [record] }).to_string()).attributes().id
    };
    let (early, late) = ("2026-11-22T10:00:00.000Z", "2026-11-22T10:00:01.000Z");
    assert_eq!(id("A1", early), "b.k..A1.ObjectCreated:Put");
    assert_eq!(id("A1", early), id("A1", late), "the same event, delivered again");
    assert_ne!(id("", early), id("", late), "without a sequencer the time tells");
}

proptest! {
    /// Whatever the bytes: no panic, and what comes out can be read.
    #[test]
    fn any_bytes(notification in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&config(EventVersion::Current), &notification, noon());
    }

    /// Any key a store can hold comes back through the decoding every Lambda handler does.
    #[test]
    fn any_key(key in "\\PC{1,40}") {
        let s3 = json!({ "bucket": { "name": "b" }, "object": { "key": key } });
        let record = json!({ "eventSource": "ceph:s3", "eventName": "ObjectCreated:Put", "s3": s3 });
        let event = event(&json!({ "Records": [record] }).to_string());
        prop_assert!(event.key.is_ascii());
        let decoded = event.key.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&decoded).decode_utf8().unwrap();
        prop_assert_eq!(decoded, key);
        serde_json::from_slice::<aws_lambda_events::s3::S3Event>(&event.body).unwrap();
    }
}
