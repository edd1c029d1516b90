//! Failure records into a real topic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{PATIENCE, Scene, kafka, plain};
use klr_contract::{Destination as _, FailureRecord, Kind};
use klr_kafka::{Config, Destination, Sasl, Security, Tls};
use klr_test_support::servers::Kafka;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

fn record(key: Option<&'static str>, payload: impl Into<Bytes>) -> FailureRecord {
    FailureRecord {
        json: Bytes::from_static(br#"{"version":"1.0"}"#),
        payload: Some(payload.into()),
        request_id: String::new(),
        mapping: String::new(),
        shard: String::new(),
        timestamp: "2019-11-14T00:38:06.021Z".parse().unwrap(),
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
    }
}

/// What is in a topic of one partition: keys and values.
fn read(bootstrap: &str, topic: &str, count: usize) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let consumer: BaseConsumer =
        plain(bootstrap).set("group.id", "reader").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let end = Instant::now() + PATIENCE;
    let mut messages = Vec::new();
    // A poll may also end without a message when there was something else to do.
    while messages.len() < count && Instant::now() < end {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        messages.push((message.key().map(<[u8]>::to_vec), message.payload().unwrap().to_vec()));
    }
    messages
}

#[tokio::test]
async fn a_record_is_a_message_with_its_payload_and_its_own_key() {
    let Some(kafka) = kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let destination = Destination::open(&scene.config(), &scene.topic).unwrap();
    destination.put(&record(Some("k"), r#"{"records":{}}"#)).await.unwrap();
    destination.put(&record(None, "{}")).await.unwrap();
    // More than a broker takes, uncompressed.
    let large = format!(r#""{}""#, "QUJD".repeat(500_000));
    destination.put(&record(None, large.clone())).await.unwrap();

    let (bootstrap, topic) = (scene.bootstrap.clone(), scene.topic.clone());
    let read = tokio::task::spawn_blocking(move || read(&bootstrap, &topic, 3)).await.unwrap();
    let message = |key: Option<&str>, value: &str| (key.map(|key| key.into()), value.as_bytes().to_vec());
    assert_eq!(read.len(), 3);
    assert_eq!(read[0], message(Some("k"), r#"{"version":"1.0","payload":{"records":{}}}"#));
    assert_eq!(read[1], message(None, r#"{"version":"1.0","payload":{}}"#));
    assert_eq!(read[2], message(None, &format!(r#"{{"version":"1.0","payload":{large}}}"#)));
}

#[tokio::test]
async fn its_connection_is_the_mappings() {
    let Some(kafka) = kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let sasl = Sasl::Password {
        mechanism: klr_kafka::Mechanism::Scram512,
        username: kafka.user.to_owned(),
        password: kafka.password.to_owned(),
    };
    let tls = Tls { ca: Some(std::fs::read_to_string(&kafka.ca).unwrap()), identity: None };
    let config = Config {
        bootstrap: vec![kafka.sasl_bootstrap.clone()],
        security: Security { tls: Some(tls), sasl: Some(sasl) },
        ..scene.config()
    };
    Destination::open(&config, &scene.topic).unwrap().put(&record(None, "{}")).await.unwrap();
}

#[tokio::test]
async fn what_a_topic_does_not_take_is_an_error() {
    let Some(kafka) = kafka().await else { return };
    let scene = Scene::with(&kafka.bootstrap, 1, &[("max.message.bytes", "500")]).await;
    let destination = Destination::open(&scene.config(), &scene.topic).unwrap();
    let noise: Vec<u8> = (0..4000u64).map(|n| b'a' + ((n * n * 2_654_435_761) >> 20) as u8 % 26).collect();
    let error = destination.put(&record(None, noise)).await.unwrap_err();
    assert_eq!((error.code(), matches!(error.kind(), Kind::Retry { .. })), ("kafka.too_large", true));
    destination.put(&record(None, "{}")).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_down_is_an_error_until_it_is_up() {
    let Some(mut kafka) = tokio::task::spawn_blocking(Kafka::start).await.unwrap() else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let destination = Destination::open(&scene.config(), &scene.topic).unwrap();
    destination.put(&record(None, "1")).await.unwrap();
    kafka.kill();
    let error = destination.put(&record(None, "2")).await.unwrap_err();
    assert_eq!(
        (error.code(), matches!(error.kind(), Kind::Retry { .. })),
        ("kafka.unreachable", true),
        "{error}"
    );
    kafka.start_again();
    let taken = tokio::time::timeout(3 * PATIENCE, async {
        while destination.put(&record(None, "3")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    taken.await.unwrap();
}
