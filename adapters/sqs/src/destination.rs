//! A queue as a destination.

use async_trait::async_trait;
use aws_sdk_sqs::{error::BuildError, types::MessageAttributeValue};
use klr_aws::{Arn, NO_QUEUE, failure};
use klr_contract::{Attribute, Error, FailureRecord};

use crate::{Config, Queue};

/// A standard queue that takes messages; a failure record is one, without the payload.
#[derive(Debug)]
pub struct Destination(Queue);

impl Destination {
    /// A client for the queue. Finds credentials; does not call the queue yet.
    pub async fn open(queue: &Arn, endpoint: Option<&str>) -> Self {
        let config = Config {
            arn: queue.to_string(),
            region: queue.region.clone(),
            account: queue.account.clone(),
            name: queue.resource.clone(),
            endpoint: endpoint.map(str::to_owned),
            windowed: false,
        };
        Self(Queue::open(config).await)
    }

    /// Sends a message. `Ok`: it is stored on several servers.
    pub async fn send(&self, body: &str, attributes: &[Attribute]) -> Result<(), Error> {
        let sent = self.call(body, attributes).await;
        sent.map_err(|error| match error.code() {
            // Its text speaks of the queue that is read.
            NO_QUEUE => Error::retry(NO_QUEUE, format!("there is no queue {}: create it", self.0.config.arn)),
            _ => error,
        })
    }

    async fn call(&self, body: &str, attributes: &[Attribute]) -> Result<(), Error> {
        let mut call = self.0.client.send_message().queue_url(self.0.url().await?).message_body(body);
        for Attribute { name, kind, value } in attributes {
            let value = MessageAttributeValue::builder().data_type(*kind).string_value(value).build();
            let wrong = |error: BuildError| Error::stop("aws-refused", error.to_string());
            call = call.message_attributes(*name, value.map_err(wrong)?);
        }
        call.send().await.map(drop).map_err(|error| failure("SQS", "SendMessage", &error))
    }
}

#[async_trait]
impl klr_contract::Destination for Destination {
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        self.send(&String::from_utf8_lossy(&record.json), &[]).await
    }
}
