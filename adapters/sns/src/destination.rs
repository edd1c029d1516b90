use async_trait::async_trait;
use aws_sdk_sns::{Client, error::BuildError, types::MessageAttributeValue};
use klr_aws::{Arn, failure};
use klr_contract::{Attribute, Error, FailureRecord};

/// A standard topic that takes messages; a failure record is one, without the payload.
#[derive(Debug)]
pub struct Destination {
    client: Client,
    topic: String,
}

impl Destination {
    /// A client for the topic. Finds credentials; does not call the topic yet.
    pub async fn open(topic: &Arn, endpoint: Option<&str>) -> Self {
        let client = Client::new(&klr_aws::config(&topic.region, "SNS", endpoint).await);
        Self { client, topic: topic.to_string() }
    }

    /// Publishes a message. `Ok`: it is stored. Whether a subscriber gets it is the topic's affair.
    pub async fn send(&self, message: &str, attributes: &[Attribute]) -> Result<(), Error> {
        let mut call = self.client.publish().topic_arn(&self.topic).message(message);
        for Attribute { name, kind, value } in attributes {
            let value = MessageAttributeValue::builder().data_type(*kind).string_value(value).build();
            let wrong = |error: BuildError| Error::stop("aws-refused", error.to_string());
            call = call.message_attributes(*name, value.map_err(wrong)?);
        }
        call.send().await.map(drop).map_err(|error| failure("SNS", "Publish", &error))
    }
}

#[async_trait]
impl klr_contract::Destination for Destination {
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        self.send(&String::from_utf8_lossy(&record.json), &[]).await
    }
}
