//! Verdicts to real queues, topics, buses, buckets and functions.

use std::sync::Arc;

use klr_test_support::{
    client::send,
    s3::Bucket,
    servers::{ElasticMq, Moto},
    sns::Topic,
    sqs,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::world::{World, error, event, eventually, open};
use crate::queue::{Aws, Means, Outcome, Settings};

const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";

/// One event for [`ARN`], its function answering `outcome`, through a queue whose destinations are at `endpoint`, to its
/// end.
async fn one(endpoint: &str, settings: Settings, outcome: Outcome) -> Arc<World> {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(settings);
    world.answers(ARN, [outcome]);
    let queue = open(directory.path()).await;
    let (stop, running) = (CancellationToken::new(), Arc::clone(&queue));
    let means = Means {
        attempt: Arc::clone(&world) as _,
        policy: Arc::clone(&world) as _,
        destinations: Arc::new(Aws::new(&queue, "us-east-1", Some(endpoint))),
    };
    let told = stop.clone();
    let running = tokio::spawn(async move { running.run(means, told).await });
    queue.accept(event(ARN, 7)).await.unwrap();
    eventually("it is settled", || queue.size().events == 0).await;
    stop.cancel();
    running.await.unwrap();
    world
}

fn failing(to: &str) -> Settings {
    Settings { retries: 0, on_failure: Some(to.to_owned()), ..Settings::default() }
}

async fn moto() -> Option<&'static str> {
    Some(spawn_blocking(Moto::shared).await.unwrap()?.endpoint.as_str())
}

fn is_record(text: &str, condition: &str) {
    let record: Value = serde_json::from_str(text).unwrap();
    assert_eq!(record["requestContext"]["condition"], condition, "{text}");
    assert_eq!(record["requestContext"]["functionArn"], format!("{ARN}:$LATEST"));
    assert_eq!(record["requestPayload"], json!({"n": 7}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_gets_the_record_and_a_dead_letter_queue_the_event() {
    let elastic = spawn_blocking(ElasticMq::shared).await.unwrap().map(|server| server.endpoint.as_str());
    for endpoint in [moto().await, elastic].into_iter().flatten() {
        let made = spawn_blocking(move || {
            ["records", "letters"].map(|name| sqs::Queue::standard(endpoint, name, 30))
        });
        let [records, letters] = made.await.unwrap();
        let settings = Settings { dead_letter: Some(letters.arn()), ..failing(&records.arn()) };
        one(endpoint, settings, error("no")).await;
        let success = Settings { on_success: Some(records.arn()), ..Settings::default() };
        one(endpoint, success, super::world::success()).await;
        spawn_blocking(move || {
            let bodies = records.take_bodies();
            assert_eq!(bodies.len(), 2, "{bodies:?}");
            let of = |condition: &str| bodies.iter().find(|body| body.contains(condition)).unwrap();
            is_record(of("RetriesExhausted"), "RetriesExhausted");
            is_record(of("Success"), "Success");
            let [letter] = &letters.receive()[..] else { panic!("one letter") };
            assert_eq!(letter.body(), Some("{\"n\":7}"));
            let attributes = letter.message_attributes().unwrap();
            let attribute = |name: &str| {
                let attribute = &attributes[name];
                (attribute.data_type().to_owned(), attribute.string_value().unwrap().to_owned())
            };
            let [string, number] = ["String", "Number"].map(str::to_owned);
            assert_eq!(attribute("RequestID"), (string.clone(), event(ARN, 7).id.to_string()));
            assert_eq!(attribute("ErrorCode"), (number, "200".to_owned()));
            assert_eq!(attribute("ErrorMessage"), (string, "no".to_owned()));
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_publishes_the_record_and_the_dead_letter() {
    let Some(endpoint) = moto().await else { return };
    let topic = spawn_blocking(move || Topic::create(endpoint, "records")).await.unwrap();
    let settings = Settings { dead_letter: Some(topic.arn.clone()), ..failing(&topic.arn) };
    one(endpoint, settings, error("no")).await;
    let notifications = spawn_blocking(move || topic.take()).await.unwrap();
    let read = |text: &String| serde_json::from_str::<Value>(text).unwrap();
    let [first, second] = &notifications.iter().map(read).collect::<Vec<_>>()[..] else {
        panic!("{notifications:?}")
    };
    let (record, letter) =
        if first["MessageAttributes"].is_null() { (first, second) } else { (second, first) };
    is_record(record["Message"].as_str().unwrap(), "RetriesExhausted");
    assert_eq!(letter["Message"], "{\"n\":7}");
    assert_eq!(letter["MessageAttributes"]["ErrorCode"], json!({"Type": "Number", "Value": "200"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gets_an_object() {
    let Some(endpoint) = moto().await else { return };
    let bucket = spawn_blocking(move || Bucket::create(endpoint, "records")).await.unwrap();
    one(endpoint, failing("arn:aws:s3:::records"), error("no")).await;
    let objects = spawn_blocking(move || bucket.take_objects()).await.unwrap();
    let [(key, content)] = &objects[..] else { panic!("{objects:?}") };
    assert!(key.starts_with("aws/lambda/async/f/20"), "{key}");
    is_record(content, "RetriesExhausted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_gets_an_event() {
    let Some(endpoint) = moto().await else { return };
    let made = spawn_blocking(move || {
        let queue = sqs::Queue::standard(endpoint, "bus", 30);
        let ask = |operation: &str, body: Value| {
            let headers = [
                ("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/events/aws4_request"),
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-target", &format!("AWSEvents.{operation}")),
            ];
            let answer = send("POST", endpoint, &headers, body.to_string()).unwrap();
            assert_eq!(answer.status, 200, "{operation}: {}", answer.text());
        };
        ask("CreateEventBus", json!({"Name": "results"}));
        let pattern = json!({"source": ["lambda"]}).to_string();
        ask("PutRule", json!({"Name": "all", "EventBusName": "results", "EventPattern": pattern}));
        let target = json!({"Id": "queue", "Arn": queue.arn()});
        ask("PutTargets", json!({"Rule": "all", "EventBusName": "results", "Targets": [target]}));
        queue
    });
    let queue = made.await.unwrap();
    let bus = "arn:aws:events:us-east-1:123456789012:event-bus/results";
    one(endpoint, failing(bus), error("no")).await;
    let success = Settings { on_success: Some(bus.to_owned()), ..Settings::default() };
    one(endpoint, success, super::world::success()).await;
    let bodies = spawn_blocking(move || queue.take_bodies()).await.unwrap();
    let mut kinds = Vec::new();
    for body in &bodies {
        let seen: Value = serde_json::from_str(body).unwrap();
        assert_eq!(seen["source"], "lambda");
        assert_eq!(seen["resources"], json!([bus, format!("{ARN}:$LATEST")]));
        assert_eq!(seen["detail"]["requestPayload"], json!({"n": 7}));
        kinds.push(seen["detail-type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    let kind = |how: &str| format!("Lambda Function Invocation Result - {how}");
    assert_eq!(kinds, [kind("Failure"), kind("Success")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_gets_the_record_as_its_event() {
    let other = "arn:aws:lambda:us-east-1:123456789012:function:other";
    let world = one("http://127.0.0.1:9", failing(other), error("no")).await;
    let attempts: Vec<_> = world.attempts().into_iter().map(|(function, ..)| function).collect();
    assert_eq!(attempts, [ARN, other]);
}
