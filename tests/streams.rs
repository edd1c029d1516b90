//! Promise: Kinesis and DynamoDB Streams are triggers as on AWS: in order, on from where it was after a kill -9, and what the
//! function will not take goes to the on-failure destination.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::StreamViewType;
use base64::{Engine, prelude::BASE64_STANDARD};
use klr_test_support::dynamodb::Table;
use klr_test_support::eventually;
use klr_test_support::kinesis::{self, Stream};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::{DynamoDbLocal, ElasticMq, KinesisMock};
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::Queue;
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);

fn start(mapping: &str, state: &TempDir) -> Bridge {
    let state = state.path().to_str().unwrap();
    Setup::run(env!("CARGO_BIN_EXE_klr")).args(["--state", state]).resources("stream.yaml", mapping).start()
}

fn data(request: &Request) -> Vec<String> {
    let text = |record: &Value| {
        let data = record["kinesis"]["data"].as_str().unwrap();
        String::from_utf8(BASE64_STANDARD.decode(data).unwrap()).unwrap()
    };
    kinesis::records(request).iter().map(text).collect()
}

/// What was delivered successfully, in order.
fn delivered(sink: &Sink) -> Vec<String> {
    sink.requests().iter().flat_map(data).collect()
}

#[test]
fn a_stream_goes_on_where_it_was_after_a_kill() {
    let Some(server) = KinesisMock::shared() else { return };
    let stream = Stream::new(&server.endpoint, "orders", 1);
    let state = tempfile::tempdir().unwrap();
    let records = |from: usize| (from..from + 200).map(|n| format!("{n:04}")).collect::<Vec<_>>();
    stream.put_to(0, &records(0));
    let sink = Sink::start(|_| Answer::status(200));
    let mapping = stream.mapping(&sink.uri, "startingPosition: TRIM_HORIZON\nbatchSize: 50");
    let mut bridge = start(&mapping, &state);
    assert!(eventually(PATIENCE, || delivered(&sink).len() >= 200), "{}", bridge.stderr());
    // Settled positions are written at most every tenth of a second, and on a busy disk a write takes longer than that.
    std::thread::sleep(Duration::from_secs(3));
    bridge.kill9();
    stream.put_to(0, &records(200));
    bridge.start_again();
    assert!(eventually(PATIENCE, || delivered(&sink).len() >= 400), "{}", bridge.stderr());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(delivered(&sink), [records(0), records(200)].concat(), "in order, and none again");
}

#[test]
fn what_the_function_will_not_take_goes_to_the_destination() {
    let (Some(server), Some(queues)) = (KinesisMock::shared(), ElasticMq::shared()) else { return };
    let stream = Stream::new(&server.endpoint, "poison", 1);
    let queue = Queue::standard(&queues.endpoint, "failed", 30);
    let state = tempfile::tempdir().unwrap();
    stream.put_to(0, &(0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    let sink = Sink::start(|request| {
        Answer::status(if data(request).contains(&"4".to_owned()) { 500 } else { 200 })
    });
    let spec = format!(
        "startingPosition: TRIM_HORIZON\nbatchSize: 10\nmaximumRetryAttempts: 0\nbisectBatchOnFunctionError: true\n\
         destinationConfig: {{onFailure: {{destination: \"{}\"}}}}",
        queue.arn()
    );
    let bridge = Setup::run(env!("CARGO_BIN_EXE_klr"))
        .args(["--state", state.path().to_str().unwrap()])
        .env("AWS_ENDPOINT_URL_SQS", &queues.endpoint)
        .resources("stream.yaml", &stream.mapping(&sink.uri, &spec))
        .start();
    let mut bodies = Vec::new();
    let arrived = eventually(PATIENCE, || {
        bodies.extend(queue.take_bodies());
        !bodies.is_empty()
    });
    assert!(arrived, "{}", bridge.stderr());
    let record: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    let info = &record["KinesisBatchInfo"];
    assert_eq!((&info["batchSize"], &info["streamArn"]), (&Value::from(1), &Value::from(stream.arn())));
    assert!(info["shardId"].as_str().unwrap().starts_with("shardId-"), "{info}");
    let good = || {
        let all = sink.requests();
        let good = all.iter().filter(|request| !data(request).contains(&"4".to_owned()));
        good.flat_map(data).collect::<Vec<_>>()
    };
    assert!(eventually(PATIENCE, || good().len() >= 9), "{}", bridge.stderr());
    assert_eq!(good(), ["0", "1", "2", "3", "5", "6", "7", "8", "9"]);
}

#[test]
fn a_tables_changes_come_in_order_and_a_window_keeps_its_state() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let table = Table::new(&server.endpoint, "orders", StreamViewType::NewAndOldImages);
    let state = tempfile::tempdir().unwrap();
    let sink = Sink::start(|request| {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        let seen =
            event["state"]["n"].as_u64().unwrap_or(0) + event["Records"].as_array().unwrap().len() as u64;
        Answer::json(format!("{{\"state\":{{\"n\":{seen}}}}}"))
    });
    let spec = "startingPosition: TRIM_HORIZON\nbatchSize: 3\ntumblingWindowInSeconds: 600";
    for n in 0..9 {
        table.put("one", &n.to_string());
    }
    let bridge = start(&table.mapping(&sink.uri, spec), &state);
    let events = || -> Vec<Value> {
        sink.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    };
    let count = |events: &[Value]| {
        events.iter().map(|event| event["Records"].as_array().unwrap().len()).sum::<usize>()
    };
    assert!(eventually(PATIENCE, || count(&events()) >= 9), "{}", bridge.stderr());
    let mut windows: BTreeMap<String, u64> = BTreeMap::new();
    let mut bodies = Vec::new();
    for event in events() {
        let window = event["window"]["start"].as_str().unwrap().to_owned();
        let before = windows.entry(window).or_default();
        assert_eq!(event["state"]["n"].as_u64().unwrap_or(0), *before, "the state is the last answer's");
        assert!(
            event["shardId"].as_str().unwrap().starts_with("shardId-")
                && event["eventSourceARN"] == table.stream
        );
        for record in event["Records"].as_array().unwrap() {
            *before += 1;
            bodies.push(record["dynamodb"]["NewImage"]["body"]["S"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(bodies, (0..9).map(|n| n.to_string()).collect::<Vec<_>>());
}
