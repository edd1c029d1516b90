//! Events onto a real bus, read through a queue.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_eventbridge::types::Target;
use klr_eventbridge::{Destination, Event};
use klr_test_support::servers::Moto;
use serde_json::{Value, json};

const BUS: &str = "arn:aws:events:us-east-1:123456789012:event-bus/results";

fn event() -> Event<'static> {
    Event {
        source: "lambda",
        detail_type: "Lambda Function Invocation Result - Success",
        resources: vec![
            BUS.to_owned(),
            "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST".to_owned(),
        ],
        detail: r#"{"version":"1.0"}"#,
        time: "2019-11-14T00:38:06.021Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn an_event_is_put_as_it_is() {
    let Some(server) = tokio::task::spawn_blocking(Moto::shared).await.unwrap() else { return };
    let endpoint = Some(server.endpoint.as_str());
    let sqs = aws_sdk_sqs::Client::new(&klr_aws::config("us-east-1", "SQS", endpoint).await);
    let config = klr_aws::config("us-east-1", "EVENTBRIDGE", endpoint).await;
    let events = aws_sdk_eventbridge::Client::new(&config);
    let url = sqs.create_queue().queue_name("results").send().await.unwrap().queue_url.unwrap();
    events.create_event_bus().name("results").send().await.unwrap();
    let rule = events.put_rule().name("all").event_bus_name("results");
    rule.event_pattern(r#"{"source":["lambda"]}"#).send().await.unwrap();
    let target =
        Target::builder().id("queue").arn("arn:aws:sqs:us-east-1:123456789012:results").build().unwrap();
    events.put_targets().event_bus_name("results").rule("all").targets(target).send().await.unwrap();

    Destination::open(&BUS.parse().unwrap(), endpoint).await.send(event()).await.unwrap();
    let messages = sqs.receive_message().queue_url(url).wait_time_seconds(5).send().await.unwrap();
    let messages = messages.messages.unwrap();
    let [message] = &messages[..] else { panic!("expected one message, got {}", messages.len()) };
    let seen: Value = serde_json::from_str(message.body().unwrap()).unwrap();
    assert_eq!(seen["source"], "lambda");
    assert_eq!(seen["detail-type"], "Lambda Function Invocation Result - Success");
    assert_eq!(seen["detail"], json!({"version": "1.0"}));
    assert_eq!(seen["resources"], json!(event().resources));
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error() {
    // Nobody listens on the port of discard.
    let destination = Destination::open(&BUS.parse().unwrap(), Some("http://127.0.0.1:9")).await;
    let error = destination.send(event()).await.unwrap_err();
    assert_eq!(error.code(), "aws-unreachable");
}
