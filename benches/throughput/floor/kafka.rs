//! One consumer; a task for each partition, which POSTs its batches one after the other; a commit every 100 ms. What it
//! POSTs is what the bridge does, a Lambda event, so that both sides do the same job; it is written straight into the body.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message};
use tokio::sync::mpsc;

use super::post;

/// Records that wait for their partition's task. An answer of the broker brings a thousand of one partition: with room for
/// fewer the others' tasks would go hungry while it is worked off.
const WAITING: usize = 4_000;

/// Next to read, by partition.
type Done = Arc<Mutex<HashMap<i32, i64>>>;

#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    records: usize,
}

/// Until killed.
pub fn run(bootstrap: &str, topic: &str, group: &str, uri: &str, batch: &str) {
    let batch: usize = batch.parse().expect("a batch size");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let consumer = consumer(bootstrap, group);
    consumer.subscribe(&[topic]).expect("a topic's name");
    let done = Done::default();
    let mut batches: HashMap<i32, Batch> = HashMap::new();
    let mut tasks: HashMap<i32, mpsc::Sender<(Bytes, i64)>> = HashMap::new();
    let mut committed = Instant::now();
    loop {
        let polled = consumer.poll(Duration::from_millis(100));
        if let Some(Ok(message)) = polled {
            let partition = message.partition();
            let filling = batches.entry(partition).or_default();
            if filling.records == 0 {
                begin(&mut filling.body, bootstrap, topic, partition);
            }
            add(&mut filling.body, topic, &message);
            filling.records += 1;
            if filling.records == batch {
                let task = tasks.entry(partition).or_insert_with(|| {
                    let (sender, batches) = mpsc::channel(WAITING.div_ceil(batch));
                    runtime.spawn(deliver(uri.to_owned(), partition, batches, Arc::clone(&done)));
                    sender
                });
                let mut full = std::mem::take(filling).body;
                // The last comma closes the list.
                full.pop();
                full.extend_from_slice(b"]}}");
                filling.body.reserve(full.len());
                task.blocking_send((full.into(), message.offset() + 1)).expect("its task runs for ever");
            }
        }
        if committed.elapsed() >= Duration::from_millis(100) {
            committed = Instant::now();
            commit(&consumer, topic, &done);
        }
    }
}

const WRITES: &str = "writing to memory does not fail";

fn begin(body: &mut Vec<u8>, bootstrap: &str, topic: &str, partition: i32) {
    let head = r#"{"eventSource":"SelfManagedKafka","bootstrapServers":""#;
    write!(body, r#"{head}{bootstrap}","records":{{"{topic}-{partition}":["#).expect(WRITES);
}

fn add(body: &mut Vec<u8>, topic: &str, message: &BorrowedMessage<'_>) {
    let (partition, offset) = (message.partition(), message.offset());
    let timestamp = message.timestamp().to_millis().unwrap_or_default();
    write!(body, r#"{{"topic":"{topic}","partition":{partition},"offset":{offset},"timestamp":{timestamp},"#)
        .expect(WRITES);
    body.extend_from_slice(br#""timestampType":"CREATE_TIME","#);
    if let Some(key) = message.key() {
        body.extend_from_slice(br#""key":""#);
        base64_simd::STANDARD.encode_append(key, body);
        body.extend_from_slice(br#"","#);
    }
    body.extend_from_slice(br#""value":""#);
    base64_simd::STANDARD.encode_append(message.payload().unwrap_or_default(), body);
    body.extend_from_slice(br#"","headers":["#);
    // There are none here, but who may not lose any has to look.
    for header in message.headers().iter().flat_map(|headers| headers.iter()) {
        write!(body, r#"{{"{}":{:?}}},"#, header.key, header.value.unwrap_or_default()).expect(WRITES);
    }
    body.extend_from_slice(b"]},");
}

/// The options that make it fast are the bridge's.
fn consumer(bootstrap: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.max.bytes", "8388608")
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .expect("a consumer can be made")
}

async fn deliver(uri: String, partition: i32, mut batches: mpsc::Receiver<(Bytes, i64)>, done: Done) {
    let client =
        reqwest::Client::builder().http1_only().tcp_nodelay(true).build().expect("a client can be made");
    while let Some((body, next)) = batches.recv().await {
        post(&client, &uri, body).await;
        done.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, next);
    }
}

fn commit(consumer: &BaseConsumer, topic: &str, done: &Done) {
    let mut list = TopicPartitionList::new();
    for (partition, next) in done.lock().unwrap_or_else(PoisonError::into_inner).drain() {
        list.add_partition_offset(topic, partition, Offset::Offset(next)).expect("a partition and an offset");
    }
    if list.count() > 0 {
        consumer.commit(&list, CommitMode::Async).expect("a commit can be begun");
    }
}
