//! Promise: filter criteria decide as AWS's do which records cost an invocation. What does not match is done at once, what
//! matches is delivered byte for byte; the cases are those recorded from AWS (`fixtures/esm-snapshots`), and a few more.

#![cfg(all(feature = "sqs", feature = "kafka", feature = "kinesis", feature = "dynamodb"))]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use base64::{Engine, prelude::BASE64_STANDARD};
use klr_test_support::dynamodb::Table;
use klr_test_support::kafka::{Message, Topic};
use klr_test_support::kinesis::{self, Stream};
use klr_test_support::klr::Setup;
use klr_test_support::servers::{DynamoDbLocal, ElasticMq, Kafka, KinesisMock};
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::{self, Counts, Queue};
use klr_test_support::{eventually, fixtures};
use serde_json::Value;

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const PATIENCE: Duration = Duration::from_secs(90);

/// The recorded cases of a source whose name begins so, with their names.
fn recorded(source: &str, begin: &str) -> Vec<(String, Value)> {
    let Some(fixtures) = fixtures() else { return Vec::new() };
    let files = std::fs::read_dir(fixtures.join("esm-snapshots").join(source)).unwrap();
    let mut cases: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(begin))
        .map(|path| (name(&path), serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()))
        .collect();
    cases.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(!cases.is_empty(), "{source}/{begin}* is not recorded");
    cases
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// A recorded mapping's criteria, as lines of a spec.
fn criteria(created: &Value) -> String {
    let filters = created["FilterCriteria"]["Filters"].as_array().unwrap();
    let patterns = filters.iter().map(|filter| {
        // What the recording blots out as a value that changes was a matcher.
        let pattern = filter["Pattern"].to_string();
        let pattern = pattern.replace("\"<approximate-creation-datetime>\"", r#"[{"numeric":[">",0]}]"#);
        format!("{{pattern: '{pattern}'}}")
    });
    format!("filterCriteria: {{filters: [{}]}}", patterns.collect::<Vec<_>>().join(", "))
}

fn sorted(mut bodies: Vec<String>) -> Vec<String> {
    bodies.sort();
    bodies
}

#[test]
fn sqs_delivers_what_aws_delivered_and_deletes_the_rest() {
    let Some(server) = ElasticMq::shared() else { return };
    for (name, case) in recorded("sqs", "sqs-event-filter-") {
        let content = &case["recorded-content"];
        let queue = Queue::standard(&server.endpoint, &name, 30);
        let records = content["invocation_events"].as_array().unwrap().iter();
        let bodies = records.flat_map(|event| event["Records"].as_array().unwrap());
        // Not as we would write it: the body must stay the one that was sent.
        let wanted: Vec<String> =
            bodies.map(|record| serde_json::to_string_pretty(&record["body"]).unwrap()).collect();
        let others = [
            r#"{"my-key": "other-value"}"#,
            r#"{"my-key-one": "my-value-one"}"#,
            r#"{"my-number": 99.5}"#,
            r#"{"my-number": "150"}"#,
            "plain text",
            r#"{"my-key": "my-value"} and more"#,
        ];
        let sent: Vec<String> = wanted.iter().cloned().chain(others.map(str::to_owned)).collect();
        queue.send_all(&sent);
        let sink = Sink::start(|_| Answer::json("null"));
        let spec = criteria(&content["create_event_source_mapping_response"]);
        let bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, &spec)).start();
        assert!(eventually(PATIENCE, || queue.counts() == Counts::EMPTY), "{name}: {}", bridge.stderr());
        let delivered = sink.requests().iter().flat_map(sqs::bodies).collect();
        assert_eq!(sorted(delivered), sorted(wanted), "{name}");
        let filtered = bridge.metric("klr_filtered_out_event_count_total", "");
        assert_eq!(filtered, others.len() as f64, "{name}");
    }
}

#[test]
fn what_aws_refuses_is_refused_with_its_message() {
    let patterns = [
        ("sqs", "sqs-invalid-event-filter-none", "null"),
        ("sqs", "sqs-invalid-event-filter-invalid-filter2", r#"{"eventSource": "aws:sqs"}"#),
        ("dynamodb", "dynamodb-invalid-event-filter-single-string", "single-string"),
    ];
    for (source, begin, pattern) in patterns {
        for (name, case) in recorded(source, begin) {
            let content = case["recorded-content"].as_object().unwrap().values().next().unwrap();
            let message = content["message"].as_str().unwrap();
            let (arn, more) = match source {
                "sqs" => ("arn:aws:sqs:us-east-1:123456789012:q", ""),
                _ => {
                    ("arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/s", ", startingPosition: LATEST")
                }
            };
            let mapping = format!(
                "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {{name: m}}\nspec: {{eventSourceArn: '{arn}', \
                 functionName: f, sink: {{uri: 'http://localhost:9'}}{more}, \
                 filterCriteria: {{filters: [{{pattern: '{pattern}'}}]}}}}\n"
            );
            let mut bridge = Setup::run(KLR).resources("m.yaml", &mapping).start();
            assert_eq!(bridge.wait_exit(PATIENCE), Some(2), "{name}");
            assert!(
                bridge.stderr().contains(&format!("filters[0].pattern: {message}")),
                "{}",
                bridge.stderr()
            );
        }
    }
}

fn data(request: &Request) -> Vec<String> {
    let decode =
        |record: &Value| BASE64_STANDARD.decode(record["kinesis"]["data"].as_str().unwrap()).unwrap();
    kinesis::records(request).iter().map(|record| String::from_utf8(decode(record)).unwrap()).collect()
}

#[test]
fn kinesis_gives_each_function_its_own_records_and_goes_past_the_rest() {
    let Some(server) = KinesisMock::shared() else { return };
    for (name, case) in recorded("kinesis", "kinesis-event-filtering") {
        let content = &case["recorded-content"];
        let stream = Stream::new(&server.endpoint, "filtered", 1);
        let sent = [r#"{"event_type": "function_1"}"#, "no JSON", r#"{"event_type":  "function_2"}"#]
            .map(str::to_owned);
        stream.put_to(0, &sent);
        let state = tempfile::tempdir().unwrap();
        let sinks = [(); 2].map(|()| Sink::start(|_| Answer::status(200)));
        let created = ["create_event_source_mapping_response", "create_event_source_mapping_2_response"];
        let mapping = |n: usize| {
            let spec = format!("startingPosition: TRIM_HORIZON\n{}", criteria(&content[created[n]]));
            let mapping = stream.mapping(&sinks[n].uri, &spec);
            let mapping = mapping.replacen("metadata: {name: ", &format!("metadata: {{name: m{n}-"), 1);
            mapping.replacen("functionName: ", &format!("functionName: f{n}-"), 1)
        };
        let mappings = mapping(0) + &mapping(1);
        let mut bridge = Setup::run(KLR)
            .args(["--state", state.path().to_str().unwrap()])
            .resources("m.yaml", &mappings)
            .start();
        let count = || sinks.iter().map(Sink::count).sum::<usize>();
        assert!(eventually(PATIENCE, || count() >= 2), "{name}: {}", bridge.stderr());
        let delivered =
            sinks.each_ref().map(|sink| sink.requests().iter().flat_map(data).collect::<Vec<_>>());
        assert_eq!(delivered, [vec![sent[0].clone()], vec![sent[2].clone()]], "{name}");
        // The checkpoint went past what was filtered last, too: nothing of it is read again.
        let passed = || bridge.metric("klr_committed_event_count_total", "") >= 6.0;
        assert!(eventually(PATIENCE, passed), "{}", bridge.metrics());
        bridge.sigterm();
        assert_eq!(bridge.wait_exit(PATIENCE), Some(0), "{}", bridge.stderr());
        bridge.start_again();
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(bridge.metric("klr_polled_event_count_total", ""), 0.0, "{}", bridge.metrics());
        assert_eq!(count(), 2);
    }
}

#[test]
fn dynamodb_delivers_what_aws_delivered() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    for (name, case) in recorded("dynamodb", "dynamodb-event-filter-") {
        let content = &case["recorded-content"];
        let table = Table::new(&server.endpoint, "filtered", StreamViewType::NewAndOldImages);
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let item = |key: &str| HashMap::from([(key.to_owned(), text("presentValue"))]);
        table.put_item("id_value_1", item("presentKey"));
        table.put_item("id_value_2", item("otherKey"));
        // Changes nothing, and is no record.
        table.put_item("id_value_1", item("presentKey"));
        table.delete_item("id_value_2");
        let spec = format!(
            "startingPosition: TRIM_HORIZON\n{}",
            criteria(&content["create_event_source_mapping_response"])
        );
        let state = tempfile::tempdir().unwrap();
        let sink = Sink::start(|_| Answer::status(200));
        let bridge = Setup::run(KLR)
            .args(["--state", state.path().to_str().unwrap()])
            .resources("m.yaml", &table.mapping(&sink.uri, &spec))
            .start();
        let wanted: &[&str] = match name.strip_prefix("dynamodb-event-filter-").unwrap() {
            "insert-same-entry-twice" => &["INSERT id_value_1", "INSERT id_value_2"],
            "content-filter-type" => &["INSERT id_value_1"],
            // Leaves alone are looked at, and an attribute is an object: all pass, as recorded.
            "exists-false-filter" | "date-time-conversion" => {
                &["INSERT id_value_1", "INSERT id_value_2", "REMOVE id_value_2"]
            }
            other => panic!("{other}: recorded, and not known here"),
        };
        let delivered = || -> Vec<String> {
            let events = sink
                .requests()
                .into_iter()
                .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
            let record = |record: &Value| {
                let (kind, id) = (&record["eventName"], &record["dynamodb"]["Keys"]["id"]["S"]);
                format!("{} {}", kind.as_str().unwrap(), id.as_str().unwrap())
            };
            let mut seen: Vec<String> = events
                .flat_map(|event| event["Records"].as_array().unwrap().iter().map(record).collect::<Vec<_>>())
                .collect();
            seen.sort();
            seen
        };
        let passed = || bridge.metric("klr_committed_event_count_total", "") >= 3.0;
        assert!(eventually(PATIENCE, passed), "{name}: {} {}", bridge.metrics(), bridge.stderr());
        assert_eq!(delivered(), wanted, "{name}");
    }
}

#[test]
fn kafka_commits_past_what_is_filtered_and_passes_what_it_cannot_compare() {
    let Some(server) = Kafka::shared() else { return };
    let topic = Topic::create(server, 1);
    let values = [r#"{"kind": "order"}"#, r#"{"kind": "refund"}"#, "plain text", r#"{"kind":"refund"}"#];
    for value in values {
        topic.send(Message { value: Some(value.as_bytes()), ..Message::default() });
    }
    topic.flush();
    let sink = Sink::start(|_| Answer::status(200));
    let uri = format!("sink: {{ uri: '{}' }}", sink.uri);
    let filter = r#"filterCriteria: { filters: [ { pattern: '{"value": {"kind": ["order"]}}' } ] }"#;
    let mapping = topic.mapping(&["startingPosition: TRIM_HORIZON", &uri, filter]);
    let bridge = Setup::run(KLR).resources("m.yaml", &mapping).start();
    assert!(topic.group().wait_committed(&[(0, 4)].into(), PATIENCE), "{}", bridge.stderr());
    let mut delivered = Vec::new();
    for request in sink.requests() {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        for record in
            event["records"].as_object().unwrap().values().flat_map(|records| records.as_array().unwrap())
        {
            let value = BASE64_STANDARD.decode(record["value"].as_str().unwrap()).unwrap();
            delivered.push(String::from_utf8(value).unwrap());
        }
    }
    assert_eq!(delivered, [values[0], values[2]]);
    assert_eq!(bridge.metric("klr_filtered_out_event_count_total", ""), 2.0);
}
