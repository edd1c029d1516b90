//! A topic of the mapping's own cluster as an on-failure destination.

use std::time::Duration;

use async_trait::async_trait;
use klr_contract::{Error, FailureRecord};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::token::{Keeper, Producer};
use crate::{Config, client, error};

/// How long a message may wait for room among those that are on their way.
const ROOM: Duration = Duration::from_secs(30);

/// A topic that takes failure records: each is a message, with the payload in it and the record's own key.
pub struct Destination {
    producer: FutureProducer<Producer>,
    topic: String,
}

impl Destination {
    /// A producer for a topic on the cluster the mapping reads from. Connects in its own time; within a runtime.
    pub fn open(config: &Config, topic: &str) -> Result<Self, Error> {
        let context = Producer(Keeper::of(config.security.sasl.as_ref()));
        let producer = client::producer(config).create_with_context(context);
        let producer = producer.map_err(|refused| error::configuration(&refused))?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    fn explain(&self, refused: &KafkaError) -> Error {
        let context = format!("on-failure topic {}: {refused}", self.topic);
        match refused.rdkafka_error_code() {
            Some(Code::TopicAuthorizationFailed) => Error::retry(
                "kafka.authorization",
                format!("Cluster failed to authorize Lambda: allow Write on the topic: {context}"),
            ),
            Some(Code::MessageSizeTooLarge) => Error::retry(
                "kafka.too_large",
                format!(
                    "a failure record is larger than its topic takes: raise the topic's max.message.bytes: {context}"
                ),
            ),
            // What librdkafka says of brokers that do not answer in time.
            Some(Code::MessageTimedOut) => error::unreachable(&context),
            _ => error::classify(refused, &context).unwrap_or_else(|| error::unreachable(&context)),
        }
    }
}

#[async_trait]
impl klr_contract::Destination for Destination {
    /// Waits for the delivery report: all replicas that are in sync have the message.
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        let value = record.with_object();
        let mut message = FutureRecord::to(&self.topic).payload(&value[..]);
        if let Some(key) = &record.key {
            message = message.key(&key[..]);
        }
        let sent = self.producer.send(message, ROOM).await;
        sent.map(drop).map_err(|(refused, _)| self.explain(&refused))
    }
}
