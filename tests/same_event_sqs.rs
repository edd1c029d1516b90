//! Promise: an unmodified Lambda handler gets for an SQS message the very event AWS would send, whatever the message holds.
//!
//! The handler writes down what it gets and fails, so the message comes back, and the test asks the queue itself what is
//! true of it.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName as System};
use base64::{Engine, prelude::BASE64_STANDARD};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::{ElasticMq, Moto};
use klr_test_support::sqs::{Queue, text};
use klr_test_support::{eventually, python};
use serde_json::{Map, Value, json};

const KLR: &str = env!("CARGO_BIN_EXE_klr");
/// Seconds.
const VISIBILITY: u32 = 10;

const HANDLER: &str = r#"
import json

def handler(event, context):
    with open("events", "a") as file:
        file.write(json.dumps(event) + "\n")
    raise RuntimeError("the message must come back")
"#;

/// What SQS allows in a body: tab, line feed, carriage return, and all of Unicode from the blank on.
const BODY: &str =
    "tab\t lf\n crlf\r\n quote\" back\\slash </script> del\u{7f} nel\u{85} ls\u{2028} é 漢字 😀 \u{fffd}";
/// What other servers take besides.
const CONTROLS: &str = "bell\u{7} escape\u{1b} unit\u{1f} start\u{1}";

fn attribute(kind: &str, text: Option<&str>, bytes: Option<&[u8]>) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type(kind)
        .set_string_value(text.map(str::to_owned))
        .set_binary_value(bytes.map(|bytes| Blob::new(bytes.to_vec())))
        .build()
        .unwrap()
}

/// One message with all kinds of attributes, one without any.
fn send(queue: &Queue, body: &str) {
    let (client, url) = queue.client();
    let call = client.send_message().queue_url(url).message_body(body);
    let call = call
        .message_attributes("text", attribute("String", Some("é \" \\ 😀"), None))
        .message_attributes("label.ed", attribute("String.json", Some("{}"), None))
        .message_attributes("whole", attribute("Number", Some("-12345678901234567890"), None))
        .message_attributes("price", attribute("Number.float", Some("0.10"), None))
        .message_attributes("bytes", attribute("Binary", None, Some(&[0, 1, 127, 128, 255])));
    let bare = client.send_message().queue_url(url).message_body("bare");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        call.send().await.unwrap();
        bare.send().await.unwrap();
    });
}

fn python_function(name: &str, python: &str) -> String {
    format!(
        "---\napiVersion: klr.dev/v1alpha1\nkind: Function\nmetadata: {{name: {name}}}\nspec:\n  \
         command: [\"{python}\", -m, awslambdaric, app.handler]\n  timeout: 8\n"
    )
}

/// The first delivery of every message.
fn records(bridge: &Bridge) -> Vec<Value> {
    let lines = std::fs::read_to_string(bridge.dir().join("events")).unwrap_or_default();
    let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let records = events.flat_map(|mut event| match event["Records"].take() {
        Value::Array(records) if event.as_object().unwrap().len() == 1 => records,
        _ => panic!("expected a list of Records and nothing else in {event}"),
    });
    records.filter(|record| record["attributes"]["ApproximateReceiveCount"] == "1").collect()
}

/// What spec/events.md §1 makes of the message as the server gives it now, `windowed` or not.
fn expected(message: &Message, queue: &Queue, windowed: bool, delivered: &Value) -> Value {
    let mut system: Map<String, Value> = Map::new();
    for (name, value) in message.attributes().unwrap() {
        system.insert(name.as_str().to_owned(), json!(value));
    }
    // It has been received again since.
    system.insert(System::ApproximateReceiveCount.as_str().to_owned(), json!("1"));
    let mut record = json!({
        "messageId": message.message_id(),
        "receiptHandle": delivered["receiptHandle"],
        "body": message.body(),
        "attributes": system,
        "messageAttributes": attributes(message),
        "md5OfBody": message.md5_of_body(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn(),
        "awsRegion": "us-east-1",
    });
    match message.md5_of_message_attributes() {
        Some(md5) => record["md5OfMessageAttributes"] = json!(md5),
        None if windowed => record["md5OfMessageAttributes"] = Value::Null,
        None => {}
    }
    record
}

fn attributes(message: &Message) -> Value {
    let attributes = message.message_attributes().into_iter().flatten().map(|(name, value)| {
        let mut member =
            json!({"stringListValues": [], "binaryListValues": [], "dataType": value.data_type()});
        match value.data_type().starts_with("Binary") {
            true => {
                let bytes = value.binary_value().unwrap().as_ref();
                member["binaryValue"] = json!(BASE64_STANDARD.encode(bytes));
            }
            false => member["stringValue"] = json!(value.string_value().unwrap()),
        }
        (name.clone(), member)
    });
    Value::Object(attributes.collect())
}

/// Two queues, the second with a batching window; each gets two messages.
fn the_handler_sees_what_the_queue_says(endpoint: &str, body: &str) {
    let Some(venv) = python::venv(&["awslambdaric"]) else { return };
    let python = venv.join("bin/python").display().to_string();
    let queues = ["plain", "windowed"].map(|name| Queue::standard(endpoint, name, VISIBILITY));
    queues.iter().for_each(|queue| send(queue, body));
    let function = |queue: &Queue| python_function(&format!("function-of-{}", queue.name), &python);
    let resources = queues[0].mapping_spec("")
        + &queues[1].mapping_spec("maximumBatchingWindowInSeconds: 1")
        + &queues.iter().map(function).collect::<String>();
    let setup = Setup::run(KLR).resources("m.yaml", &resources);
    setup.file("app.py", HANDLER);
    let mut bridge = setup.start();

    let came = eventually(Duration::from_secs(40), || records(&bridge).len() == 4);
    assert!(came, "{:?}\n{}", records(&bridge), bridge.stderr());
    bridge.kill9();
    let records = records(&bridge);
    for (queue, windowed) in queues.iter().zip([false, true]) {
        let mut left: BTreeSet<String> = [body.to_owned(), "bare".to_owned()].into();
        let all = eventually(Duration::from_secs(40), || {
            for message in queue.receive() {
                let id = message.message_id().unwrap();
                let delivered = records.iter().find(|record| text(record, "messageId") == id).unwrap();
                assert_eq!(delivered, &expected(&message, queue, windowed, delivered));
                assert!(!text(delivered, "receiptHandle").is_empty());
                left.remove(message.body().unwrap());
            }
            left.is_empty()
        });
        assert!(all, "{left:?} did not come back to {}", queue.name);
    }
}

#[test]
fn on_elasticmq() {
    let Some(server) = ElasticMq::shared() else { return };
    the_handler_sees_what_the_queue_says(&server.endpoint, BODY);
}

#[test]
fn on_moto_control_characters_too() {
    let Some(server) = Moto::shared() else { return };
    the_handler_sees_what_the_queue_says(&server.endpoint, &format!("{BODY} {CONTROLS}"));
}

/// The two shapes of `md5OfMessageAttributes` without attributes, seen by the function itself.
#[test]
fn a_batching_window_shows_in_one_member() {
    let Some(server) = ElasticMq::shared() else { return };
    let Some(venv) = python::venv(&["awslambdaric"]) else { return };
    let python = venv.join("bin/python").display().to_string();
    for (window, expected) in [(0, None), (1, Some(&Value::Null))] {
        let queue = Queue::standard(&server.endpoint, "bare", 30);
        queue.send("bare");
        let spec = format!("maximumBatchingWindowInSeconds: {window}");
        let function = python_function(&format!("function-of-{}", queue.name), &python);
        let setup = Setup::run(KLR).resources("m.yaml", &(queue.mapping_spec(&spec) + &function));
        setup.file("app.py", HANDLER);
        let bridge = setup.start();
        assert!(eventually(Duration::from_secs(30), || records(&bridge).len() == 1), "{}", bridge.stderr());
        assert_eq!(records(&bridge)[0].get("md5OfMessageAttributes"), expected, "window {window}");
    }
}
