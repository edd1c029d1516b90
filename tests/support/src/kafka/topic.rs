use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::Group;
use crate::servers::Kafka;

const PATIENCE: Duration = Duration::from_secs(60);

/// A topic of one test.
pub struct Topic {
    /// Its name; a hyphen and a dot in it, which must not confuse anybody.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    pub(super) bootstrap: String,
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
}

/// A message, whatever it holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    /// Its partition.
    pub partition: i32,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Milliseconds since the epoch; `None` is now.
    pub timestamp: Option<i64>,
}

impl Topic {
    /// A new topic of this server.
    pub fn create(kafka: &Kafka, partitions: i32) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("orders.eu-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin: AdminClient<_> = client(&kafka.bootstrap).create().expect("an admin client can be made");
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let created = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()));
        assert!(created.as_ref().is_ok_and(|topics| topics.iter().all(Result::is_ok)), "{created:?}");
        let producer = client(&kafka.bootstrap)
            .set("linger.ms", "5")
            // Else what a broker refuses at first (its topic is young) is sent again behind what came after it.
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", "200000")
            .create()
            .expect("a producer can be made");
        Self { name, partitions, bootstrap: kafka.bootstrap.clone(), producer }
    }

    /// A mapping that reads this topic with a group of the same name; `lines` are the other fields of its spec.
    pub fn mapping(&self, lines: &[&str]) -> String {
        let group = format!("selfManagedKafkaEventSourceConfig: {{ consumerGroupId: {} }}", self.name);
        self.mapping_without_group(&[&[group.as_str()], lines].concat())
    }

    /// The same, with the group it has by default.
    pub fn mapping_without_group(&self, lines: &[&str]) -> String {
        let servers = format!("[ '{}' ]", self.bootstrap);
        let source =
            format!("selfManagedEventSource: {{ endpoints: {{ KAFKA_BOOTSTRAP_SERVERS: {servers} }} }}");
        self.resource(&[&[source.as_str()], lines].concat())
    }

    /// The same as a mapping of an MSK cluster.
    pub fn msk_mapping(&self, arn: &str, lines: &[&str]) -> String {
        let source = format!("eventSourceArn: {arn}");
        let endpoint = format!("endpoint: {}", self.bootstrap);
        let group = format!("amazonManagedKafkaEventSourceConfig: {{ consumerGroupId: {} }}", self.name);
        self.resource(&[&[source.as_str(), &endpoint, &group], lines].concat())
    }

    fn resource(&self, lines: &[&str]) -> String {
        let head =
            "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: { name: orders }\nspec:\n";
        let topics = format!("topics: [ {} ]", self.name);
        let own = [topics.as_str(), "functionName: process-orders"];
        own.iter().chain(lines).fold(head.to_owned(), |text, line| text + "  " + line + "\n")
    }

    /// The group of [`mapping`](Self::mapping).
    pub fn group(&self) -> Group {
        self.group_named(&self.name)
    }

    /// Any group, seen from this topic.
    pub fn group_named(&self, name: &str) -> Group {
        Group::new(self, name)
    }

    /// Puts a message into the producer's queue.
    pub fn send(&self, message: Message<'_>) {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.name).partition(message.partition);
        record.key = message.key;
        record.payload = message.value;
        record.timestamp = message.timestamp;
        if !message.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(message.headers.len());
            let insert = |all: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| {
                all.insert(Header { key, value: *value })
            };
            record = record.headers(message.headers.iter().fold(headers, insert));
        }
        while let Err((error, back)) = self.producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "producing to {}", self.name);
            std::thread::sleep(Duration::from_millis(5));
            record = back;
        }
    }

    /// Waits until the broker has everything that was sent.
    pub fn flush(&self) {
        self.producer.flush(PATIENCE).expect("the broker takes what is produced");
    }

    /// `each` messages of `size` bytes to every partition, in turns; waits until the broker has them.
    pub fn fill(&self, each: usize, size: usize) {
        let value = vec![b'x'; size];
        for _ in 0..each {
            for partition in 0..self.partitions {
                self.send(Message { partition, value: Some(&value), ..Message::default() });
            }
        }
        self.flush();
    }

    /// The offset after the last record of each partition.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = client(&self.bootstrap).create().expect("a consumer can be made");
        let end = |partition| {
            let marks = consumer.fetch_watermarks(&self.name, partition, PATIENCE);
            (partition, marks.expect("the broker answers").1)
        };
        (0..self.partitions).map(end).collect()
    }
}

pub(super) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}
