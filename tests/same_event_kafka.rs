//! Promise: a function gets from Kafka the very event AWS would have sent it, and the batch travels as the CloudEvent that
//! Triggers can filter on.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::path::Path;
use std::time::Duration;

use klr_test_support::kafka::{Message, Topic};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::Kafka;
use klr_test_support::sink::{Answer, Sink};
use klr_test_support::{eventually, python};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const TIME: i64 = 1_790_000_000_123;
const WINDOW: &str = "maximumBatchingWindowInSeconds: 2";

/// Appends what it gets, as it gets it, to a file.
const HANDLER: &str = r#"
import json, os

def handler(event, context):
    with open(os.environ["EVENTS"], "a") as events:
        events.write(json.dumps(event) + "\n")
    return {"batchItemFailures": []}
"#;

/// Everything a message can be.
fn send_all_kinds(topic: &Topic) {
    let message =
        |partition, key, value| Message { partition, key, value, timestamp: Some(TIME), headers: &[] };
    let binary: &[u8] = &[118, 220, 0, 127, 128];
    let headers = [
        ("trace", Some(binary)),
        ("trace", Some(b"again".as_slice())),
        ("empty", Some(b"".as_slice())),
        ("", None),
        ("na\"me é", Some(b"x".as_slice())),
    ];
    topic.send(message(0, Some(b"key"), Some("caf\u{e9}".as_bytes())));
    topic.send(message(0, None, Some(b"{\"a\": 1}")));
    topic.send(message(0, Some(b"gone"), None));
    topic.send(message(0, Some(b""), Some(b"")));
    topic.send(Message { headers: &headers, ..message(1, Some(&[0, 255]), Some(&[0xff, 0xfe, 0x00])) });
    topic.flush();
}

/// The same as spec/events.md §4 has it: null members are missing, header bytes are signed, names repeat.
fn expected_records(topic: &str) -> Value {
    let record = |partition: i32, offset: i64, mut more: Value| {
        let record = more.as_object_mut().unwrap();
        for (name, value) in [
            ("topic", json!(topic)),
            ("partition", json!(partition)),
            ("offset", json!(offset)),
            ("timestamp", json!(TIME)),
            ("timestampType", json!("CREATE_TIME")),
        ] {
            record.insert(name.to_owned(), value);
        }
        record.entry("headers").or_insert(json!([]));
        more
    };
    let headers = json!([
        { "trace": [118, -36, 0, 127, -128] },
        { "trace": [97, 103, 97, 105, 110] },
        { "empty": [] },
        { "": [] },
        { "na\"me é": [120] },
    ]);
    json!({
        format!("{topic}-0"): [
            record(0, 0, json!({ "key": "a2V5", "value": "Y2Fmw6k=" })),
            record(0, 1, json!({ "value": "eyJhIjogMX0=" })),
            record(0, 2, json!({ "key": "Z29uZQ==" })),
            record(0, 3, json!({ "key": "", "value": "" })),
        ],
        format!("{topic}-1"): [record(1, 0, json!({ "key": "AP8=", "value": "//4A", "headers": headers }))],
    })
}

/// A `Function` klr runs: `HANDLER` under AWS's own runtime client.
fn function(setup: &Setup, python: &Path) -> String {
    setup.file("app.py", HANDLER);
    let events = setup.file("events", "");
    format!(
        "\n---\napiVersion: klr.dev/v1alpha1\nkind: Function\nmetadata: {{ name: process-orders }}\nspec:\n  \
         command: ['{}', -m, awslambdaric, app.handler]\n  code: .\n  timeout: 30\n  \
         environment: {{ variables: {{ EVENTS: '{}' }} }}\n",
        python.display(),
        events.display()
    )
}

/// The events the handler wrote.
fn events(bridge: &Bridge) -> Vec<Value> {
    let text = std::fs::read_to_string(bridge.dir().join("events")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What an unmodified Python handler got of `mapping`, once everything is committed.
fn handled(topic: &Topic, mapping: &str, python: &Path) -> Vec<Value> {
    let setup = Setup::run(env!("CARGO_BIN_EXE_klr"));
    let function = function(&setup, python);
    let bridge = setup.resources("orders.yaml", &(mapping.to_owned() + &function)).start();
    let ends = topic.ends();
    assert!(topic.group().wait_committed(&ends, PATIENCE), "{}", bridge.stderr());
    assert!(eventually(PATIENCE, || !events(&bridge).is_empty()));
    events(&bridge)
}

#[test]
fn a_python_handler_gets_the_event_of_a_self_managed_cluster() {
    let Some(venv) = python::venv(&["awslambdaric"]) else { return };
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 2);
    send_all_kinds(&topic);
    let report = "functionResponseTypes: [ReportBatchItemFailures]";
    let mapping = topic.mapping(&["startingPosition: TRIM_HORIZON", WINDOW, report]);
    let expected = json!({
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": kafka.bootstrap,
        "records": expected_records(&topic.name),
    });
    assert_eq!(handled(&topic, &mapping, &venv.join("bin/python")), [expected]);
}

#[test]
fn a_python_handler_gets_the_event_of_an_msk_cluster() {
    const ARN: &str =
        "arn:aws:kafka:us-east-1:123456789012:cluster/orders/6cc0432b-8618-4f44-bccc-e1fbd8fb7c4d-2";
    let Some(venv) = python::venv(&["awslambdaric"]) else { return };
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 2);
    send_all_kinds(&topic);
    let mapping = topic.msk_mapping(ARN, &["startingPosition: TRIM_HORIZON", WINDOW]);
    let expected = json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": ARN,
        "bootstrapServers": kafka.bootstrap,
        "records": expected_records(&topic.name),
    });
    assert_eq!(handled(&topic, &mapping, &venv.join("bin/python")), [expected]);
}

#[test]
fn a_batch_travels_as_a_cloud_event() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 3);
    for (partition, timestamp) in [(2, TIME), (2, TIME + 5), (2, TIME + 1)] {
        let timestamp = Some(timestamp);
        topic.send(Message { partition, value: Some(b"x"), timestamp, ..Message::default() });
    }
    topic.flush();
    let sink = Sink::start(|request| match request.index {
        0 => Answer::status(500),
        _ => Answer::status(200),
    });
    let to = format!("sink: {{ uri: '{}/orders?x=1' }}", sink.uri);
    let mapping = topic.mapping(&["startingPosition: TRIM_HORIZON", WINDOW, &to]);
    let bridge = Setup::run(env!("CARGO_BIN_EXE_klr"))
        .resources("orders.yaml", &mapping)
        .env("K_CE_OVERRIDES", r#"{"extensions":{"team":"blue"}}"#)
        .start();
    assert!(topic.group().wait_committed(&topic.ends(), PATIENCE), "{}", bridge.stderr());

    let requests = sink.requests();
    let [first, again] = &requests[..] else { panic!("{} requests", requests.len()) };
    for (header, expected) in [
        ("content-type", "application/json".to_owned()),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-type", "com.amazonaws.kafka.batch".to_owned()),
        ("ce-source", format!("kafka://{}/{}", kafka.bootstrap, topic.name)),
        ("ce-subject", topic.name.clone()),
        ("ce-functionname", "process-orders".to_owned()),
        ("ce-partitionkey", format!("{}-2", topic.name)),
        ("ce-team", "blue".to_owned()),
    ] {
        assert_eq!(first.header(header), Some(expected.as_str()), "{header}");
    }
    let time = first.header("ce-time").unwrap();
    assert!(
        time.starts_with("2026-09-21T14:13:20.128") && time.ends_with('Z'),
        "the newest record's: {time}"
    );
    let trace = first.header("ce-traceparent").unwrap();
    assert!(trace.len() == 55 && trace.starts_with("00-"), "{trace}");
    assert_eq!(first.header("prefer"), None);
    assert_eq!(first.uri.path_and_query().unwrap(), "/orders?x=1");
    let id = first.header("ce-id").unwrap();
    assert!(!id.is_empty() && again.header("ce-id") == Some(id), "the same batch, the same id");
    assert_eq!(first.body, again.body);
}

#[test]
fn a_trace_that_all_records_share_goes_on() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 2);
    let traced = [("traceparent", Some(PARENT.as_bytes())), ("tracestate", Some(b"a=1".as_slice()))];
    for (partition, headers) in [(0, traced.as_slice()), (0, &traced), (1, &traced), (1, &[])] {
        topic.send(Message { partition, value: Some(b"x"), headers, ..Message::default() });
    }
    topic.flush();
    let sink = Sink::start(|_| Answer::status(200));
    let to = format!("sink: {{ uri: '{}' }}", sink.uri);
    // One request a partition: its two records fill a batch.
    let mapping = topic.mapping(&["startingPosition: TRIM_HORIZON", "batchSize: 2", &to]);
    let bridge = Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", &mapping).start();
    assert!(topic.group().wait_committed(&topic.ends(), PATIENCE), "{}", bridge.stderr());
    for request in sink.requests() {
        let whole = request.header("ce-partitionkey").unwrap().ends_with("-0");
        assert_eq!(request.header("ce-traceparent") == Some(PARENT), whole, "{request:?}");
        assert_eq!(request.header("ce-tracestate") == Some("a=1"), whole, "{request:?}");
    }
}
