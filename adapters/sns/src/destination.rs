use async_trait::async_trait;
use aws_sdk_sns::Client;
use klr_aws::{Arn, failure};
use klr_contract::{Error, FailureRecord};

/// A standard topic that takes failure records: each is a message, without the payload.
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
}

#[async_trait]
impl klr_contract::Destination for Destination {
    async fn put(&self, record: &FailureRecord) -> Result<(), Error> {
        let message = String::from_utf8_lossy(&record.json);
        let call = self.client.publish().topic_arn(&self.topic).message(message);
        // An answer means that the message is stored. Whether a subscriber gets it is the topic's affair.
        call.send().await.map(drop).map_err(|error| failure("SNS", "Publish", &error))
    }
}
