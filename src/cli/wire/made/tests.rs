//! Mappings made while we run, over real servers, with a function that only notes what it gets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use klr_test_support::servers::{DynamoDbLocal, ElasticMq, KinesisMock};
use serde_json::{Value, json};

use super::*;
use crate::lambda_api::mapping::Function;

const PATIENCE: Duration = Duration::from_secs(60);

/// Notes the events it is called with.
#[derive(Default)]
struct Notes(Mutex<Vec<Value>>);

#[async_trait]
impl Function for Notes {
    fn timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(3))
    }

    fn places(&self) -> Option<usize> {
        None
    }

    async fn invoke(&self, event: Bytes) -> Response<Body> {
        self.0.lock().unwrap().push(serde_json::from_slice(&event).unwrap());
        Response::new(Body::from("null"))
    }
}

impl Notes {
    fn records(&self) -> Vec<Value> {
        // Kafka's are by partition.
        let lists = |event: &Value| match event["records"].as_object() {
            Some(partitions) => partitions.values().cloned().collect(),
            None => vec![event["Records"].clone()],
        };
        let events = self.0.lock().unwrap();
        events.iter().flat_map(lists).flat_map(|list| list.as_array().unwrap().clone()).collect()
    }

    async fn wait_for(&self, records: usize) {
        let begun = Instant::now();
        while self.records().len() < records {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.records());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn mapping(spec: Value) -> config::Mapping {
    let uuid = Uuid::from_u128(7);
    let mut resource = json!({
        "apiVersion": "klr.dev/v1alpha1", "kind": "EventSourceMapping", "metadata": {"name": uuid, "uid": uuid},
        "spec": {"functionName": "f"},
    });
    resource["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    config::of(resource, "test").unwrap().mappings.remove(0)
}

async fn made(state: &tempfile::TempDir) -> Arc<Made> {
    let mut wiring = Wiring::new(64 << 20, Duration::from_secs(5), false).unwrap();
    let place = super::super::Place::at(state.path());
    wiring.keep_state_in(place).await.unwrap();
    Made::new(Arc::new(wiring), CancellationToken::new())
}

/// Runs a mapping through its life; `put` sends the nth record.
async fn live(spec: Value, missing: Option<(Value, &str)>, put: impl Fn(usize)) {
    let state = tempfile::tempdir().unwrap();
    let made = made(&state).await;
    let board = &made.wiring.board;
    if let Some((spec, words)) = missing {
        let refused = made.check(&mapping(spec), Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(refused.to_string(), words);
    }

    let mapping = mapping(spec);
    made.check(&mapping, Duration::from_secs(3)).await.unwrap();
    put(0);
    // A log's end is a time to some: not the one this record has.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (notes, begun) = (Arc::new(Notes::default()), Instant::now());
    let function = || Arc::clone(&notes) as Arc<dyn Function>;
    let status = made.start(mapping.clone(), function());
    tokio::time::timeout(PATIENCE, status.settled()).await.unwrap();
    println!("{} is read after {:?}", mapping.name, begun.elapsed());
    assert_eq!(board.all()[0].status.state(false).0, "Enabled");
    // What a log had before it was fixed where to begin does not come; a queue has no before.
    let earlier = usize::from(mapping.written["spec"].get("startingPosition").is_none());
    put(1);
    notes.wait_for(earlier + 1).await;

    made.stop(mapping.uuid).await;
    made.rest(&mapping);
    assert_eq!(board.all()[0].status.state(false).0, "Disabled");
    put(2);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(notes.records().len(), earlier + 1, "nothing is read while it is stopped");
    made.start(mapping.clone(), function());
    notes.wait_for(earlier + 2).await;
    made.stop_all().await;
    made.forget(&mapping).await;
    assert!(board.all().is_empty() && !made.wiring.metrics.text().unwrap().contains(&mapping.name));
    made.wiring.leave_state().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue() {
    let Some(server) = tokio::task::spawn_blocking(ElasticMq::shared).await.unwrap() else { return };
    let queue =
        tokio::task::spawn_blocking(|| klr_test_support::sqs::Queue::standard(&server.endpoint, "made", 30));
    let queue = Arc::new(queue.await.unwrap());
    let spec = |arn: String| json!({"eventSourceArn": arn, "endpoint": server.endpoint});
    let no_queue = "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS \
                    Error Message: The specified queue does not exist.";
    let put = |nth: usize| {
        let queue = Arc::clone(&queue);
        std::thread::spawn(move || queue.send(format!("m{nth}"))).join().unwrap();
    };
    live(spec(queue.arn()), Some((spec(format!("{}-missing", queue.arn())), no_queue)), put).await;

    let state = tempfile::tempdir().unwrap();
    let slow = made(&state).await.check(&mapping(spec(queue.arn())), Duration::from_secs(60)).await;
    let words = "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds";
    assert_eq!(slow.unwrap_err().to_string(), words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kinesis_stream() {
    let Some(server) = tokio::task::spawn_blocking(KinesisMock::shared).await.unwrap() else { return };
    let stream =
        tokio::task::spawn_blocking(|| klr_test_support::kinesis::Stream::new(&server.endpoint, "made", 2));
    let stream = Arc::new(stream.await.unwrap());
    let spec = |arn: String| json!({"eventSourceArn": arn, "endpoint": server.endpoint, "startingPosition": "LATEST"});
    let missing = format!("{}-missing", stream.arn());
    let words = format!("Stream not found: {missing}");
    let put = |nth: usize| {
        let stream = Arc::clone(&stream);
        std::thread::spawn(move || stream.put([(format!("k{nth}").as_str(), b"x".as_slice())]))
            .join()
            .unwrap();
    };
    live(spec(stream.arn()), Some((spec(missing), &words)), put).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tables_stream() {
    use aws_sdk_dynamodb::types::StreamViewType;
    use klr_test_support::dynamodb::Table;

    let Some(server) = tokio::task::spawn_blocking(DynamoDbLocal::shared).await.unwrap() else { return };
    let table =
        tokio::task::spawn_blocking(|| Table::new(&server.endpoint, "made", StreamViewType::NewImage));
    let table = Arc::new(table.await.unwrap());
    let spec = |arn: String| json!({"eventSourceArn": arn, "endpoint": server.endpoint, "startingPosition": "LATEST"});
    let missing = table.stream.replace("made", "missing");
    let words = format!("Stream not found: {missing}");
    let put = |nth: usize| {
        let table = Arc::clone(&table);
        std::thread::spawn(move || table.put(&format!("i{nth}"), "x")).join().unwrap();
    };
    live(spec(table.stream.clone()), Some((spec(missing), &words)), put).await;
}

/// Whether a cluster is there shows when it is read: AWS does not look.
#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread")]
async fn a_topic() {
    let broker = klr_kafka::Embedded::start("made", 2).unwrap();
    let spec = json!({
        "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [broker.bootstrap()]}},
        "topics": ["made"], "startingPosition": "LATEST", "maximumBatchingWindowInSeconds": 0,
    });
    let put = |nth: usize| {
        let produced = async { broker.produce("made", &format!("k{nth}"), "x", ("h", "v")).await.unwrap() };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(produced));
    };
    live(spec, None, put).await;
}
