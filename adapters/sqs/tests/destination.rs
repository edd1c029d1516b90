//! Failure records into a real queue.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::time::Duration;

use bytes::Bytes;
use klr_contract::{Destination as _, FailureRecord, Kind};
use klr_sqs::Destination;
use klr_test_support::servers::ElasticMq;
use server::Server;

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
async fn a_record_is_a_message_without_its_payload() {
    let Some(server) = ElasticMq::shared() else { return };
    let remote = Server::at(&server.endpoint).await.create(Duration::from_secs(60), false).await;
    let queue = remote.config.arn.parse().unwrap();
    Destination::open(&queue, Some(&server.endpoint)).await.put(&record()).await.unwrap();
    let call = remote.client.receive_message().queue_url(&remote.url).wait_time_seconds(5);
    let messages = call.send().await.unwrap().messages.unwrap();
    let bodies: Vec<_> = messages.iter().map(|message| message.body().unwrap()).collect();
    assert_eq!(bodies, [JSON]);
}

#[tokio::test]
async fn a_queue_that_comes_later_is_an_error_until_then() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = "arn:aws:sqs:us-east-1:123456789012:comes-later".parse().unwrap();
    let destination = Destination::open(&queue, Some(&server.endpoint)).await;
    let error = destination.put(&record()).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no queue arn:aws:sqs:"), "{error}");
    assert!(matches!(error.kind(), Kind::Retry { .. }));
    let client = Server::at(&server.endpoint).await.client;
    client.create_queue().queue_name("comes-later").send().await.unwrap();
    destination.put(&record()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error_until_it_is_up() {
    let Some(mut server) = tokio::task::spawn_blocking(ElasticMq::start).await.unwrap() else { return };
    let queue = "arn:aws:sqs:us-east-1:123456789012:outage".parse().unwrap();
    let create = async |endpoint: &str| {
        let client = Server::at(endpoint).await.client;
        client.create_queue().queue_name("outage").send().await.unwrap();
    };
    create(&server.endpoint).await;
    let destination = Destination::open(&queue, Some(&server.endpoint)).await;
    destination.put(&record()).await.unwrap();
    server.stop();
    assert!(matches!(destination.put(&record()).await.unwrap_err().kind(), Kind::Retry { .. }));
    server.start_again();
    create(&server.endpoint).await;
    destination.put(&record()).await.unwrap();
}
