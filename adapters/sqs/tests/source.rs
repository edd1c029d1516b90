//! What the conformance suite does not ask of an SQS queue.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_sdk_sqs::{
    primitives::Blob,
    types::{MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue},
};
use klr_contract::{Kind, Queue as _, Shape as _};
use klr_sqs::{Queue, Shape};
use klr_test_support::servers::{ElasticMq, Moto};
use serde_json::Value;
use server::{Server, config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn elasticmq_gives_lambdas_record() {
    let Some(server) = ElasticMq::shared() else { return };
    gives_lambdas_record(&server.endpoint).await;
}

#[tokio::test]
async fn moto_gives_lambdas_record() {
    let Some(server) = Moto::shared() else { return };
    gives_lambdas_record(&server.endpoint).await;
}

/// Everything a producer can put into a message, through a real server into the event.
async fn gives_lambdas_record(endpoint: &str) {
    let remote = Server::at(endpoint).await.create(MINUTE, false).await;
    let body = "quote \" slash / tab \t line \n é 中 😀 \u{2028} end";
    let attribute = |data_type: &str| MessageAttributeValue::builder().data_type(data_type);
    let trace = MessageSystemAttributeValue::builder()
        .data_type("String")
        .string_value("Root=1-5759e988-bd862e3fe1be46a994272793");
    let sent = remote
        .client
        .send_message()
        .queue_url(&remote.url)
        .message_body(body)
        .message_attributes("text", attribute("String").string_value("a \"b\"").build().unwrap())
        .message_attributes("count", attribute("Number").string_value("6").build().unwrap())
        .message_attributes(
            "bytes",
            attribute("Binary").binary_value(Blob::new([0, 1, 2, 255])).build().unwrap(),
        )
        .message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, trace.build().unwrap())
        .send()
        .await
        .unwrap();
    let batch = remote.open().await.receive(10, 5 * SECOND, None).await.unwrap();
    let event = Shape.event(&batch);
    serde_json::from_slice::<aws_lambda_events::sqs::SqsEvent>(&event).unwrap();
    let event: Value = serde_json::from_slice(&event).unwrap();
    let record = &event["Records"][0];
    assert_eq!(record["body"], body);
    assert_eq!(record["messageId"], sent.message_id.unwrap());
    assert_eq!(record["md5OfBody"], sent.md5_of_message_body.unwrap());
    assert_eq!(record["md5OfMessageAttributes"], sent.md5_of_message_attributes.unwrap());
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(record["attributes"]["AWSTraceHeader"], "Root=1-5759e988-bd862e3fe1be46a994272793");
    assert!(record["attributes"].as_object().unwrap().values().all(Value::is_string));
    let bytes = serde_json::json!(
        { "binaryValue": "AAEC/w==", "stringListValues": [], "binaryListValues": [], "dataType": "Binary" }
    );
    assert_eq!(record["messageAttributes"]["bytes"], bytes);
    assert_eq!(record["messageAttributes"]["text"]["stringValue"], "a \"b\"");
    assert_eq!(record["messageAttributes"]["count"]["dataType"], "Number");
    assert_eq!(record["eventSourceARN"], remote.config.arn);
}

#[tokio::test]
async fn a_missing_queue_is_named_as_aws_names_it() {
    let Some(elasticmq) = ElasticMq::shared() else { return };
    let Some(moto) = Moto::shared() else { return };
    for endpoint in [&elasticmq.endpoint, &moto.endpoint] {
        let queue = Queue::open(config("not-there", endpoint)).await;
        let error = queue.receive(1, Duration::ZERO, None).await.unwrap_err();
        assert_eq!(error.code(), "aws-no-queue");
        let text = error.to_string();
        let words = "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. \
            SQS Error Message: The specified queue does not exist.";
        assert!(text.starts_with(words), "{text}");
        assert!(matches!(error.kind(), Kind::Retry { after: Some(_) }), "it may be made any time");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_worth_another_try() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Queue::open(config("q", &endpoint)).await.visibility().await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Retry { .. }), "{error}");
    assert_eq!(error.code(), "aws-unreachable");
}

/// Whoever changes a mapping waits for the poll that is under way: away from AWS, where a poll costs nothing, not for long.
#[tokio::test]
async fn a_long_poll_is_a_short_one_away_from_aws() {
    let Some(server) = ElasticMq::shared() else { return };
    let remote = Server::at(&server.endpoint).await.create(MINUTE, false).await;
    let queue = remote.open().await;
    let start = std::time::Instant::now();
    assert!(queue.receive(1, MINUTE, None).await.unwrap().is_empty());
    let waited = start.elapsed();
    assert!((SECOND..5 * SECOND).contains(&waited), "{waited:?}");
}

/// ElasticMQ knows attempt ids as AWS does; moto does not.
#[tokio::test]
async fn a_fifo_receive_whose_answer_was_lost_gives_the_same_messages() {
    let Some(server) = ElasticMq::shared() else { return };
    let remote = Server::at(&server.endpoint).await.create(MINUTE, true).await;
    remote.send("one", Some("g")).await;
    remote.send("two", Some("g")).await;
    let lossy = Lossy::before(&server.endpoint, 2).await;
    let queue = Queue::open(config(&remote.config.name, &lossy.endpoint)).await;
    let messages = queue.receive_messages(10, Duration::ZERO, None).await.unwrap();
    let bodies: Vec<_> = messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["one", "two"]);
    assert_eq!(lossy.left.load(Ordering::SeqCst), 0, "two answers were lost on the way");
}

#[tokio::test]
async fn a_standard_receive_whose_answer_was_lost_is_not_repeated() {
    let Some(server) = ElasticMq::shared() else { return };
    let remote = Server::at(&server.endpoint).await.create(MINUTE, false).await;
    for n in 0..20 {
        remote.send(&n.to_string(), None).await;
    }
    let lossy = Lossy::before(&server.endpoint, 1).await;
    let queue = Queue::open(config(&remote.config.name, &lossy.endpoint)).await;
    let error = queue.receive_messages(10, Duration::ZERO, None).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Retry { .. }), "{error}");
    let rest = queue.receive_messages(10, Duration::ZERO, None).await.unwrap();
    assert_eq!(rest.len(), 10, "only the ten of the lost answer are hidden");
}

/// A wire that swallows the answers to the first few receives and cuts the connection.
struct Lossy {
    endpoint: String,
    left: Arc<AtomicU32>,
}

impl Lossy {
    async fn before(endpoint: &str, losses: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lossy = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            left: Arc::new(AtomicU32::new(losses)),
        };
        let upstream = endpoint.trim_start_matches("http://").to_owned();
        let left = lossy.left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&upstream).await.unwrap();
                tokio::spawn(carry(client, server, left.clone()));
            }
        });
        lossy
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, left: Arc<AtomicU32>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut receiving = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let text = String::from_utf8_lossy(&asked[..count]);
                receiving |= text.contains("AmazonSQS.ReceiveMessage");
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                let lose = |left: u32| left.checked_sub(1);
                if receiving && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose).is_ok() { return }
                if client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
