//! An in-process broker: librdkafka's mock cluster, for the demo and for a look without a broker. It keeps nothing on disk
//! and knows no TLS, no SASL and no transactions.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
};

/// How long a record may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// The broker is not to be had, or does not take a record.
#[derive(Debug, thiserror::Error)]
#[error("the embedded broker")]
pub struct EmbeddedError(#[from] rdkafka::error::KafkaError);

/// A broker that lives as long as this value.
pub struct Embedded {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: FutureProducer,
}

impl Embedded {
    /// Starts a broker with one topic.
    pub fn start(topic: &str, partitions: i32) -> Result<Self, EmbeddedError> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(topic, partitions, 1)?;
        let producer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create()?;
        Ok(Self { cluster, producer })
    }

    /// `host:port` of its listener.
    pub fn bootstrap(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Writes one record and waits until it is there.
    pub async fn produce(
        &self,
        topic: &str,
        key: &str,
        value: &str,
        header: (&str, &str),
    ) -> Result<(), EmbeddedError> {
        let headers = OwnedHeaders::new().insert(Header { key: header.0, value: Some(header.1) });
        let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
        self.producer.send(record, PATIENCE).await.map(drop).map_err(|(error, _)| error.into())
    }
}
