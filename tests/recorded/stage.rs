//! A stream, a function, a destination and the bridge between them, set as a recording says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine, prelude::BASE64_STANDARD};
use klr_test_support::dynamodb::Table;
use klr_test_support::kinesis::Stream;
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::s3::Bucket;
use klr_test_support::servers::{DynamoDbLocal, ElasticMq, KinesisMock, Moto};
use klr_test_support::sink::{Answer, Sink};
use klr_test_support::sns::Topic;
use klr_test_support::sqs::Queue;
use serde_json::{Map, Value, json};

use crate::case::{Case, How, number};

pub struct Stage {
    bridge: Bridge,
    destination: Option<Destination>,
    seen: Arc<Mutex<Seen>>,
    /// Answers while it lives.
    _sink: Sink,
}

/// What the function was invoked with.
#[derive(Default)]
struct Seen {
    events: Vec<Value>,
    /// Sequence numbers in the order they came first, and how often each came.
    order: Vec<String>,
    times: HashMap<String, usize>,
}

enum Origin {
    Kinesis(Stream),
    Table(Table),
}

enum Destination {
    Queue(Queue),
    Topic(Topic),
    Bucket(Bucket),
}

impl Stage {
    /// `None`: this machine lacks a server for it.
    pub fn set(case: &Case) -> Option<Self> {
        let origin = Origin::new(case)?;
        let destination = case.mapping["DestinationConfig"]["OnFailure"]["Destination"].as_str();
        let destination = match destination {
            Some(arn) => Some(Destination::new(arn)?),
            None => None,
        };
        let seen = Arc::<Mutex<Seen>>::default();
        let sink = function(case, &seen);
        let setup = Setup::run(env!("CARGO_BIN_EXE_klr"));
        let setup = destination.iter().fold(setup, |setup, to| {
            let (service, endpoint) = to.endpoint();
            setup.env(&format!("AWS_ENDPOINT_URL_{service}"), endpoint)
        });
        let mapping = origin.mapping(&sink.uri, &spec(&case.mapping, destination.as_ref()));
        let setup = setup.resources("stream.yaml", &mapping);
        let (stale, fresh) = case.put.split_at(case.stale);
        if !stale.is_empty() {
            let age = case.mapping["MaximumRecordAgeInSeconds"].as_u64().unwrap();
            origin.put(stale);
            sleep(Duration::from_secs(age + 2));
        }
        let late = case.mapping["StartingPosition"] == "LATEST";
        if !late {
            origin.put(fresh);
        }
        let mut bridge = setup.start();
        if late {
            bridge.wait_ready();
            origin.put(fresh);
        }
        Some(Self { bridge, destination, seen, _sink: sink })
    }

    pub fn events(&self) -> Vec<Value> {
        self.seen.lock().unwrap().events.clone()
    }

    pub fn take_failures(&self) -> Vec<Value> {
        self.destination.as_ref().map(Destination::take).unwrap_or_default()
    }

    pub fn words(&self) -> String {
        self.bridge.stderr()
    }
}

fn function(case: &Case, seen: &Arc<Mutex<Seen>>) -> Sink {
    let seen = Arc::clone(seen);
    // The records' masks, in the order their sequence numbers come.
    let masks: Vec<String> = case.put[case.stale..].iter().map(|record| number(record).to_owned()).collect();
    let function = case.function.clone();
    Sink::forgetful(move |request| {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        let mut seen = seen.lock().unwrap();
        let failed: Vec<String> = event["Records"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|record| {
                let number = number(record).to_owned();
                if !seen.order.contains(&number) {
                    seen.order.push(number.clone());
                }
                let at = seen.order.iter().position(|one| *one == number).unwrap();
                let times = seen.times.entry(number).or_default();
                *times += 1;
                function.fails_on(masks.get(at).map(String::as_str), *times)
            })
            .map(|record| number(record).to_owned())
            .collect();
        seen.events.push(event);
        match &function.how {
            How::Answers(answer) => Answer::json(answer.to_string()),
            How::Reports => {
                let item = |number: &String| json!({"itemIdentifier": number});
                let items: Vec<Value> = failed.iter().map(item).collect();
                Answer::json(json!({"batchItemFailures": items}).to_string())
            }
            How::Raises if failed.is_empty() => Answer::json("null"),
            How::Raises => Answer::status(500)
                .header("x-amz-function-error", "Unhandled")
                .body(r#"{"errorMessage":"recorded","errorType":"Exception"}"#),
        }
    })
}

/// The mapping's spec: the API's names in camelCase; what a recording leaves out or nulls is left out.
fn spec(mapping: &Value, destination: Option<&Destination>) -> String {
    const NAMES: [(&str, &str); 9] = [
        ("BatchSize", "batchSize"),
        ("BisectBatchOnFunctionError", "bisectBatchOnFunctionError"),
        ("FunctionResponseTypes", "functionResponseTypes"),
        ("MaximumBatchingWindowInSeconds", "maximumBatchingWindowInSeconds"),
        ("MaximumRecordAgeInSeconds", "maximumRecordAgeInSeconds"),
        ("MaximumRetryAttempts", "maximumRetryAttempts"),
        ("ParallelizationFactor", "parallelizationFactor"),
        ("StartingPosition", "startingPosition"),
        ("TumblingWindowInSeconds", "tumblingWindowInSeconds"),
    ];
    let line = |(theirs, ours): &(&str, &str)| {
        mapping.get(*theirs).filter(|value| !value.is_null()).map(|value| format!("{ours}: {value}"))
    };
    let mut lines: Vec<String> = NAMES.iter().filter_map(line).collect();
    let to = destination.map(|to| json!({"onFailure": {"destination": to.arn()}}));
    lines.extend(to.map(|to| format!("destinationConfig: {to}")));
    lines.join("\n")
}

impl Origin {
    fn new(case: &Case) -> Option<Self> {
        let first = case.put.first().unwrap_or(&Value::Null);
        let arn = case.mapping["EventSourceArn"].as_str().unwrap_or_default();
        let table = arn.contains(":dynamodb:") || first.get("dynamodb").is_some();
        if !table {
            return Some(Self::Kinesis(Stream::new(&KinesisMock::shared()?.endpoint, "recorded", 1)));
        }
        let change = &first["dynamodb"];
        let view = change["StreamViewType"].as_str().unwrap_or("NEW_IMAGE").into();
        let key = change["Keys"].as_object().and_then(|keys| keys.keys().next());
        let key = key.map_or("my_partition_key", String::as_str);
        Some(Self::Table(Table::with_key(&DynamoDbLocal::shared()?.endpoint, "recorded", view, key)))
    }

    /// All in one call, if that can be: they are in the stream together then.
    fn put(&self, records: &[Value]) {
        match self {
            Self::Kinesis(stream) => {
                let text = |value: &Value, other: &str| value.as_str().unwrap_or(other).to_owned();
                let record = |record: &Value| {
                    let record = &record["kinesis"];
                    let data = BASE64_STANDARD.decode(text(&record["data"], "aGVsbG8=")).unwrap();
                    (text(&record["partitionKey"], "test"), data)
                };
                let records: Vec<_> = records.iter().map(record).collect();
                stream.put(records.iter().map(|(key, data)| (key.as_str(), data.as_slice())));
            }
            Self::Table(table) => {
                for record in records {
                    let change = &record["dynamodb"];
                    let item = change["NewImage"].as_object().or_else(|| change["Keys"].as_object());
                    let default = json!({"my_partition_key": {"S": "hello world"}});
                    let item = item.or_else(|| default.as_object()).unwrap();
                    table.put_whole(attributes(item));
                }
            }
        }
    }

    fn mapping(&self, sink: &str, spec: &str) -> String {
        match self {
            Self::Kinesis(stream) => stream.mapping(sink, spec),
            Self::Table(table) => table.mapping(sink, spec),
        }
    }
}

fn attributes(item: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().and_then(|typed| typed.iter().next()).unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(BASE64_STANDARD.decode(text()).unwrap())),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(true),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(attributes(value.as_object().unwrap())),
        other => panic!("an attribute of type {other}"),
    }
}

impl Destination {
    fn new(arn: &str) -> Option<Self> {
        Some(match arn.split(':').nth(2).unwrap() {
            "sqs" => Self::Queue(Queue::standard(&ElasticMq::shared()?.endpoint, "failed", 300)),
            "sns" => Self::Topic(Topic::create(&Moto::shared()?.endpoint, "failed")),
            "s3" => {
                let name = format!("failed-{}", uuid::Uuid::new_v4());
                Self::Bucket(Bucket::create(&Moto::shared()?.endpoint, &name))
            }
            other => panic!("a destination of the service {other}"),
        })
    }

    fn arn(&self) -> String {
        match self {
            Self::Queue(queue) => queue.arn(),
            Self::Topic(topic) => topic.arn.clone(),
            Self::Bucket(bucket) => format!("arn:aws:s3:::{}", bucket.name),
        }
    }

    /// The service, and where it is.
    fn endpoint(&self) -> (&str, &str) {
        match self {
            Self::Queue(_) => ("SQS", &ElasticMq::shared().unwrap().endpoint),
            Self::Topic(_) => ("SNS", &Moto::shared().unwrap().endpoint),
            Self::Bucket(_) => ("S3", &Moto::shared().unwrap().endpoint),
        }
    }

    /// The failure records that came. (What is in a bucket stays there, under keys of AWS's layout.)
    fn take(&self) -> Vec<Value> {
        let parse = |text: &String| serde_json::from_str::<Value>(text).unwrap();
        match self {
            Self::Queue(queue) => queue.take_bodies().iter().map(parse).collect(),
            Self::Topic(topic) => {
                topic.take().iter().map(|notification| parse(notification)["Message"].clone()).collect()
            }
            Self::Bucket(bucket) => bucket
                .take_objects()
                .iter()
                .map(|(key, text)| {
                    let record = parse(text);
                    let path: Vec<&str> = key.split('/').collect();
                    assert!(path.len() == 8 && path[..2] == ["aws", "lambda"], "{key}");
                    let time = record["timestamp"].as_str().unwrap()[..19].replace(':', ".");
                    assert!(path[7].starts_with(&format!("{time}-")), "{key} of {time}");
                    record
                })
                .collect(),
        }
    }
}
