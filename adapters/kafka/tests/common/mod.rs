//! A real Kafka, and the other side of it: topics, records, what the group has committed.
#![allow(dead_code)] // Every test file uses a part of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use klr_contract::{Arrival, Kind, Log, Partition, Place, Position, Record};
use klr_kafka::{Config, Security, Start};
use klr_test_support::servers::Kafka;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// The broker all tests of a file share.
pub async fn kafka() -> Option<&'static Kafka> {
    tokio::task::spawn_blocking(Kafka::shared).await.unwrap()
}

/// A topic of one test, and its group.
pub struct Scene {
    pub bootstrap: String,
    pub topic: String,
    pub group: String,
    pub producer: FutureProducer,
}

impl Scene {
    pub async fn new(bootstrap: &str, partitions: i32) -> Self {
        Self::with(bootstrap, partitions, &[]).await
    }

    pub async fn with(bootstrap: &str, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let scene = Self::without_topic(bootstrap);
        scene.create(partitions, settings).await;
        scene
    }

    /// Everything but the topic itself.
    pub fn without_topic(bootstrap: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            bootstrap: bootstrap.to_owned(),
            topic: format!("orders.eu-{n}"),
            group: format!("group-{n}"),
            // Else what a broker refuses at first (its topic is young) is sent again behind what came after it.
            producer: plain(bootstrap)
                .set("linger.ms", "0")
                .set("enable.idempotence", "true")
                .create()
                .unwrap(),
        }
    }

    pub async fn create(&self, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<_> = plain(&self.bootstrap).create().unwrap();
        let mut topic = NewTopic::new(&self.topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let results = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    pub fn admin(&self) -> AdminClient<rdkafka::client::DefaultClientContext> {
        plain(&self.bootstrap).create().unwrap()
    }

    pub fn config(&self) -> Config {
        Config {
            bootstrap: vec![self.bootstrap.clone()],
            topic: self.topic.clone(),
            group: self.group.clone(),
            start: Start::TrimHorizon,
            arn: None,
            security: Security::default(),
            registry: None,
            drain_timeout: Duration::from_secs(20),
            once: false,
        }
    }

    pub async fn send(&self, partition: i32, value: &str) -> i64 {
        self.send_record(FutureRecord::to(&self.topic).partition(partition).payload(value).key("k")).await
    }

    pub async fn send_record(&self, record: FutureRecord<'_, str, str>) -> i64 {
        self.producer
            .send(record, PATIENCE)
            .await
            .map(|sent| sent.offset)
            .map_err(|(error, _)| error)
            .unwrap()
    }

    /// Many at once, in order.
    pub async fn send_all(&self, partition: i32, values: impl IntoIterator<Item = String>) {
        let values: Vec<_> = values.into_iter().collect();
        let mut sent = Vec::with_capacity(values.len());
        for value in &values {
            let mut record = FutureRecord::<str, str>::to(&self.topic).partition(partition).payload(value);
            sent.push(loop {
                match self.producer.send_result(record) {
                    Ok(sent) => break sent,
                    Err((_, back)) => record = back,
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            });
        }
        for sent in sent {
            sent.await.unwrap().map_err(|(error, _)| error).unwrap();
        }
    }

    /// What the group has committed, by partition.
    pub async fn committed(&self, partitions: i32) -> BTreeMap<i32, i64> {
        let (bootstrap, topic, group) = (self.bootstrap.clone(), self.topic.clone(), self.group.clone());
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = plain(&bootstrap).set("group.id", group).create().unwrap();
            let mut list = TopicPartitionList::new();
            for partition in 0..partitions {
                list.add_partition(&topic, partition);
            }
            let list = consumer.committed_offsets(list, PATIENCE).unwrap();
            let known = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
            list.elements().iter().filter_map(|e| Some((e.partition(), known(e.offset())?))).collect()
        })
        .await
        .unwrap()
    }

    /// Waits until the group has committed this.
    pub async fn expect_committed(&self, expected: &[(i32, i64)]) {
        let expected: BTreeMap<_, _> = expected.iter().copied().collect();
        let mut seen = BTreeMap::new();
        for _ in 0..200 {
            seen = self.committed(expected.len() as i32).await;
            if seen == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("committed is {seen:?}, not {expected:?}");
    }
}

pub fn plain(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

/// Reads until `done` says so about everything that came; a retry is waited out.
pub async fn read_until(log: &dyn Log, mut done: impl FnMut(&[Arrival]) -> bool) -> Vec<Arrival> {
    let mut all = Vec::new();
    let reading = timeout(PATIENCE, async {
        while !done(&all) {
            match log.next(1000).await {
                Ok(arrivals) => all.extend(arrivals),
                Err(error) => {
                    assert!(matches!(error.kind(), Kind::Retry { .. }), "{error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    if reading.await.is_err() {
        panic!("what was waited for did not come; came: {all:?}");
    }
    all
}

pub async fn read_records(log: &dyn Log, count: usize) -> Vec<Record> {
    let all = read_until(log, |all| records(all).len() >= count).await;
    records(&all)
}

pub fn records(arrivals: &[Arrival]) -> Vec<Record> {
    let record =
        |arrival: &Arrival| if let Arrival::Record(record) = arrival { Some(record.clone()) } else { None };
    arrivals.iter().filter_map(record).collect()
}

pub fn place(record: &Record) -> (Partition, i64) {
    match &record.place {
        Place::At { partition, position: Position::Offset(offset), .. } => (*partition, *offset),
        other => panic!("a Kafka record is at an offset, this one at {other:?}"),
    }
}

pub fn through(record: &Record) -> (Partition, Position) {
    let (partition, offset) = place(record);
    (partition, Position::Offset(offset))
}

pub fn json(record: &Record) -> serde_json::Value {
    serde_json::from_slice(record.json.as_ref().unwrap()).unwrap()
}

/// The value, as text.
pub fn value(record: &Record) -> String {
    let bytes = STANDARD.decode(json(record)["value"].as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

pub fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(value).collect()
}
