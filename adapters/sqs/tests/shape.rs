//! Messages in, bytes out: our own goldens, the shared fixtures, and the laws of a shape.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use bytes::Bytes;
use klr_contract::{Place, Record, Shape as _};
use klr_sqs::{Attribute, Config, Content, Message, Shape, records};
use proptest::prelude::*;
use serde_json::{Value, json};

fn config(windowed: bool) -> Config {
    Config {
        arn: "arn:aws:sqs:us-east-2:123456789012:my-queue".to_owned(),
        region: "us-east-2".to_owned(),
        account: "123456789012".to_owned(),
        name: "my-queue".to_owned(),
        endpoint: None,
        windowed,
    }
}

fn golden(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn natives(lines: &str) -> Vec<Message> {
    lines.lines().map(|line| Message::native(line.as_bytes()).unwrap()).collect()
}

#[test]
fn goldens_byte_for_byte() {
    for (windowed, name) in [(false, "messages.out.json"), (true, "messages-windowed.out.json")] {
        let event = Shape.event(&records(&config(windowed), natives(&golden("messages.in.jsonl"))));
        assert_eq!(std::str::from_utf8(&event).unwrap(), golden(name).trim_end(), "{name}");
    }
}

#[test]
fn all_fragments_are_slices_of_one_buffer() {
    let records = records(&config(false), natives(&golden("messages.in.jsonl")));
    for pair in records.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|record| record.json.as_ref().unwrap().as_ptr_range());
        assert_eq!(before.end, after.start);
    }
}

#[test]
fn a_line_that_is_no_message_says_what_was_expected() {
    for line in ["", "[]", r#"{"MessageId":"m"}"#, r#"{"MessageId":"m","ReceiptHandle":"r","Body":1}"#] {
        let error = Message::native(line.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("expected an element of Messages[]"), "{error}");
    }
}

#[test]
fn locates_every_copy_and_only_by_string() {
    let named = |id: &str| Record {
        place: place(id),
        ..records(&config(false), vec![Message::default()])[0].clone()
    };
    let batch = [named("a"), named("b"), named("a")];
    assert_eq!(Shape.locate(&json!("a"), &batch), [0, 2]);
    for none in [json!("c"), json!(""), json!(null), json!(1), json!(["a"]), json!({ "a": "a" })] {
        assert!(Shape.locate(&none, &batch).is_empty(), "{none}");
    }
}

fn place(id: &str) -> Place {
    Place::Item { id: Bytes::copy_from_slice(id.as_bytes()), receipt: Bytes::from_static(b"r") }
}

/// The rows of `esm-snapshots/sqs` that show an event: record order, presence and spelling are AWS's own.
#[test]
fn the_recordings_come_out_as_they_were() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    let recorded = |file: &str| -> Value {
        let text = fs::read_to_string(fixtures.join("esm-snapshots/sqs").join(file)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["recorded-content"].take()
    };
    let plain = recorded("sqs-event-source-mapping.json")["events"][0].take();
    check(&plain, true);
    let first = recorded("message-body-and-attributes-passed-correctly.json")["first_attempt"].take();
    check(&first["Messages"][0]["Body"]["event"], false);
    let batches = recorded("report-batch-item-failures.json");
    let mut events = 0;
    each_event(&batches, &mut |event| {
        check(event, false);
        events += 1;
    });
    assert!(events >= 2, "both invocations are in the recording");
}

/// The hand-made samples: whatever we read from one, we write again.
#[test]
fn the_samples_come_out_as_they_were() {
    let Some(fixtures) = klr_test_support::fixtures() else { return };
    for file in [
        "py-snssqsfifoevent.json",
        "py-sqsdlqtriggerevent.json",
        "ts-sqs-sns-body.json",
        "py-s3sqsevent.json",
    ] {
        let text = fs::read_to_string(fixtures.join("events/sqs").join(file)).unwrap();
        check(&serde_json::from_str(&text).unwrap(), false);
    }
    let raw = fs::read_to_string(fixtures.join("events/sqs/rust-sqs-api-event-obj.json")).unwrap();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    for message in raw["Messages"].as_array().unwrap() {
        let read = Message::native(message.to_string().as_bytes()).unwrap();
        assert_eq!(message["MessageId"], read.id);
        assert_eq!(message["Body"], read.body);
    }
}

fn each_event(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            if object.get("Records").is_some_and(|records| records[0]["eventSource"] == "aws:sqs") {
                see(value);
            }
            object.values().for_each(|value| each_event(value, see));
        }
        Value::Array(list) => list.iter().for_each(|value| each_event(value, see)),
        _ => {}
    }
}

/// Takes the event apart into messages, shapes them, and compares. (A body the recorder has parsed is text again.)
fn check(event: &Value, windowed: bool) {
    for record in event["Records"].as_array().unwrap() {
        let mut expected = record.clone();
        if !expected["body"].is_string() {
            expected["body"] = record["body"].to_string().into();
        }
        let text = |name: &str| expected[name].as_str().unwrap_or_default().to_owned();
        let config =
            Config { arn: text("eventSourceARN"), region: text("awsRegion"), windowed, ..config(windowed) };
        let message = Message {
            id: text("messageId"),
            receipt: text("receiptHandle"),
            body: text("body"),
            md5_of_body: text("md5OfBody"),
            md5_of_attributes: expected["md5OfMessageAttributes"].as_str().map(str::to_owned),
            system: members(&expected["attributes"], |value| value.as_str().unwrap().to_owned()),
            attributes: members(&expected["messageAttributes"], attribute),
        };
        let event = Shape.event(&records(&config, vec![message]));
        let written: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!(written["Records"][0], expected);
        serde_json::from_slice::<aws_lambda_events::sqs::SqsEvent>(&event).unwrap();
    }
}

fn members<T>(object: &Value, read: impl Fn(&Value) -> T) -> Vec<(String, T)> {
    object.as_object().unwrap().iter().map(|(name, value)| (name.clone(), read(value))).collect()
}

fn attribute(value: &Value) -> Attribute {
    let content = Content::Text(value["stringValue"].as_str().unwrap().to_owned());
    Attribute { content, data_type: value["dataType"].as_str().unwrap().to_owned() }
}

fn any_attribute() -> impl Strategy<Value = Attribute> {
    let content =
        prop_oneof![any::<String>().prop_map(Content::Text), any::<Vec<u8>>().prop_map(Content::Binary),];
    (content, ".{0,9}").prop_map(|(content, data_type)| Attribute { content, data_type })
}

prop_compose! {
    fn any_message()(
        body in any::<String>(),
        id in "[a-c]",
        system in prop::collection::btree_map("[A-Z][a-z]{1,6}", any::<String>(), 0..4),
        attributes in prop::collection::btree_map(any::<String>(), any_attribute(), 0..4),
        md5 in prop::option::of("[0-9a-f]{32}"),
    ) -> Message {
        Message {
            id,
            receipt: body.clone(),
            body,
            md5_of_body: String::new(),
            md5_of_attributes: md5,
            system: system.into_iter().collect(),
            attributes: attributes.into_iter().collect(),
        }
    }
}

proptest! {
    /// The size law of the contract, to the byte; the body untouched; every consumer can read it.
    #[test]
    fn laws_of_the_shape(messages in prop::collection::vec(any_message(), 1..8), windowed: bool) {
        let bodies: Vec<_> = messages.iter().map(|message| message.body.clone()).collect();
        let batch = records(&config(windowed), messages);
        let event = Shape.event(&batch);
        let size = Shape.frame()
            + Shape.opening(&batch[0])
            + batch.iter().map(|record| Shape.cost(record)).sum::<usize>();
        prop_assert_eq!(event.len(), size);
        let parsed: Value = serde_json::from_slice(&event).unwrap();
        for (n, body) in bodies.iter().enumerate() {
            prop_assert_eq!(parsed["Records"][n]["body"].as_str(), Some(body.as_str()));
        }
        let typed: aws_lambda_events::sqs::SqsEvent = serde_json::from_slice(&event).unwrap();
        prop_assert_eq!(typed.records.len(), batch.len());
        for (n, record) in batch.iter().enumerate() {
            let Place::Item { id, .. } = &record.place else { unreachable!() };
            let found = Shape.locate(&json!(std::str::from_utf8(id).unwrap()), &batch);
            prop_assert!(found.contains(&n));
        }
    }
}
