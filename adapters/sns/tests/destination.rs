//! Failure records into a real topic, read through a queue.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use klr_contract::{Destination as _, FailureRecord, Kind};
use klr_sns::Destination;
use klr_test_support::servers::Moto;
use serde_json::Value;

const JSON: &str = r#"{"requestContext":{"condition":"RetryAttemptsExhausted"},"version":"1.0"}"#;

fn record() -> FailureRecord {
    FailureRecord {
        json: Bytes::from_static(JSON.as_bytes()),
        payload: Some(Bytes::from_static(b"{}")),
        request_id: String::new(),
        mapping: String::new(),
        shard: "s".to_owned(),
        timestamp: "2019-11-14T00:38:06.021Z".parse().unwrap(),
        key: None,
    }
}

#[tokio::test]
async fn a_record_is_the_text_of_a_notification() {
    let Some(server) = tokio::task::spawn_blocking(Moto::shared).await.unwrap() else { return };
    let endpoint = Some(server.endpoint.as_str());
    let sqs = aws_sdk_sqs::Client::new(&klr_aws::config("us-east-1", "SQS", endpoint).await);
    let sns = aws_sdk_sns::Client::new(&klr_aws::config("us-east-1", "SNS", endpoint).await);
    let url = sqs.create_queue().queue_name("failed").send().await.unwrap().queue_url.unwrap();
    let topic = sns.create_topic().name("failed").send().await.unwrap().topic_arn.unwrap();
    let queue = "arn:aws:sqs:us-east-1:123456789012:failed";
    sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(queue).send().await.unwrap();

    let destination = Destination::open(&topic.parse().unwrap(), endpoint).await;
    destination.put(&record()).await.unwrap();
    let messages = sqs.receive_message().queue_url(url).wait_time_seconds(5).send().await.unwrap();
    let messages = messages.messages.unwrap();
    let [message] = &messages[..] else { panic!("expected one message, got {}", messages.len()) };
    let notification: Value = serde_json::from_str(message.body().unwrap()).unwrap();
    assert_eq!(
        (notification["Type"].as_str(), notification["Message"].as_str()),
        (Some("Notification"), Some(JSON))
    );
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_an_error() {
    let Some(server) = tokio::task::spawn_blocking(Moto::shared).await.unwrap() else { return };
    let topic = "arn:aws:sns:us-east-1:123456789012:nowhere".parse().unwrap();
    let destination = Destination::open(&topic, Some(&server.endpoint)).await;
    let error = destination.put(&record()).await.unwrap_err();
    assert!(error.to_string().contains("SNS Error Code: NotFound"), "{error}");
    assert!(matches!(error.kind(), Kind::Retry { .. }));
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error() {
    let topic = "arn:aws:sns:us-east-1:123456789012:failed".parse().unwrap();
    // Nobody listens on the port of discard.
    let destination = Destination::open(&topic, Some("http://127.0.0.1:9")).await;
    let error = destination.put(&record()).await.unwrap_err();
    assert_eq!(error.code(), "aws-unreachable");
}
