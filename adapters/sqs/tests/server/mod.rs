//! Queues on a real server.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    types::QueueAttributeName::{
        ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible, ContentBasedDeduplication,
        FifoQueue, VisibilityTimeout,
    },
};
use klr_sqs::{Config, Queue};

/// A server, called by its own client: what the tests do behind the adapter's back.
pub struct Server {
    pub endpoint: String,
    pub client: Client,
}

/// A queue on it.
pub struct Remote {
    pub client: Client,
    pub url: String,
    pub config: Config,
    sent: AtomicU32,
}

impl Server {
    pub async fn at(endpoint: &str) -> Self {
        let config = klr_aws::config("us-east-1", "SQS", Some(endpoint)).await;
        Self { endpoint: endpoint.to_owned(), client: Client::new(&config) }
    }

    pub async fn create(&self, visibility: Duration, fifo: bool) -> Remote {
        let name = format!("q-{}{}", uuid::Uuid::new_v4(), if fifo { ".fifo" } else { "" });
        let mut call = self
            .client
            .create_queue()
            .queue_name(&name)
            .attributes(VisibilityTimeout, visibility.as_secs().to_string());
        if fifo {
            call = call.attributes(FifoQueue, "true").attributes(ContentBasedDeduplication, "false");
        }
        let url = call.send().await.unwrap().queue_url.unwrap();
        Remote {
            client: self.client.clone(),
            url,
            config: config(&name, &self.endpoint),
            sent: AtomicU32::new(0),
        }
    }
}

impl Remote {
    pub async fn send(&self, body: &str, group: Option<&str>) {
        let n = self.sent.fetch_add(1, Ordering::Relaxed);
        let call = self.client.send_message().queue_url(&self.url).message_body(body);
        let call = match group {
            Some(group) => call.message_group_id(group).message_deduplication_id(n.to_string()),
            None => call,
        };
        call.send().await.unwrap();
    }

    /// Hidden ones too.
    pub async fn count(&self) -> usize {
        let counts = [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible];
        let call =
            self.client.get_queue_attributes().queue_url(&self.url).set_attribute_names(Some(counts.into()));
        let answer = call.send().await.unwrap();
        answer.attributes().unwrap().values().map(|count| count.parse::<usize>().unwrap()).sum()
    }

    pub async fn open(&self) -> Queue {
        Queue::open(self.config.clone()).await
    }
}

/// The account is AWS's example, which is not ElasticMQ's.
pub fn config(name: &str, endpoint: &str) -> Config {
    Config {
        arn: format!("arn:aws:sqs:us-east-1:123456789012:{name}"),
        region: "us-east-1".to_owned(),
        account: "123456789012".to_owned(),
        name: name.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        windowed: false,
    }
}
