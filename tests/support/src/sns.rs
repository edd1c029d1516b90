//! A topic on moto, read through a queue there.

use crate::client::send;
use crate::sqs::Queue;

/// A topic with one subscriber.
#[derive(Debug)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    queue: Queue,
}

impl Topic {
    /// A new topic, and a queue for what is published to it.
    pub fn create(endpoint: &str, name: &str) -> Self {
        let queue = Queue::standard(endpoint, name, 30);
        let created = ask(endpoint, &format!("Action=CreateTopic&Name={}", queue.name));
        let arn = created.split_once("<TopicArn>").and_then(|(_, rest)| rest.split_once("</TopicArn>"));
        let arn = arn.expect("a created topic has an ARN").0.to_owned();
        ask(endpoint, &format!("Action=Subscribe&Protocol=sqs&TopicArn={arn}&Endpoint={}", queue.arn()));
        Self { arn, queue }
    }

    /// The notifications that came since it was asked last, each as its subscriber got it.
    pub fn take(&self) -> Vec<String> {
        self.queue.take_bodies()
    }
}

/// moto checks no signatures, but sees from them which service is meant.
fn ask(endpoint: &str, form: &str) -> String {
    let headers = [
        ("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sns/aws4_request"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let answer =
        send("POST", endpoint, &headers, format!("{form}&Version=2010-03-31")).expect("moto answers");
    assert_eq!(answer.status, 200, "{form}: {}", answer.text());
    answer.text()
}
