//! Enhanced fan-out, on the one server that has it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use aws_sdk_kinesis::types::ConsumerStatus;
use common::{Scene, bodies, body, numbered, place, read_records, records};
use klr_contract::{Arrival, Log};
use klr_kinesis::Config;
use klr_test_support::servers::LocalStack;
use tokio::time::timeout;

/// A stream with a consumer, and the mapping that names it.
async fn consumer(server: &LocalStack, shards: u32) -> (Scene, Config) {
    let scene = Scene::new(&server.endpoint, shards).await;
    let answer = scene.client.register_stream_consumer().stream_arn(scene.config.arn.to_string());
    let consumer = answer.consumer_name("app").send().await.unwrap().consumer.unwrap();
    loop {
        let call = scene.client.describe_stream_consumer().consumer_arn(&consumer.consumer_arn);
        let status = call.send().await.unwrap().consumer_description.unwrap().consumer_status;
        if status == ConsumerStatus::Active {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let config = Config { arn: consumer.consumer_arn.parse().unwrap(), ..scene.config.clone() };
    assert!(config.is_consumer());
    (scene, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_pushed_and_read_on_after_a_restart() {
    let Some(server) = LocalStack::shared() else { return };
    let (scene, config) = consumer(server, 1).await;
    scene.put(0, &numbered(0..20)).await;
    let log = scene.open_as(config.clone()).await;
    let seen = read_records(&log, 20).await;
    assert_eq!(bodies(&seen), numbered(0..20));
    // AWS does not say which ARN an event has: the mapping's.
    let json: serde_json::Value = serde_json::from_slice(records(&seen)[0].json.as_ref().unwrap()).unwrap();
    assert_eq!(json["eventSourceARN"], config.arn.to_string());
    scene.put(0, &numbered(20..25)).await;
    assert_eq!(bodies(&read_records(&log, 5).await), numbered(20..25));
    log.checkpoint(&[place(records(&seen)[9])]).await.unwrap();
    log.close().await.unwrap();
    let log = scene.open_as(config).await;
    assert_eq!(bodies(&read_records(&log, 15).await), numbered(10..25));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_flow_is_taken_up_without_a_gap() {
    let Some(server) = LocalStack::shared() else { return };
    let (scene, config) = consumer(server, 1).await;
    scene.put(0, &numbered(0..5)).await;
    let log = scene.open_as(config).await;
    let seen = read_records(&log, 5).await;
    let (partition, _) = place(records(&seen)[0]);
    log.flow(partition, false);
    scene.put(0, &numbered(5..10)).await;
    let quiet = timeout(std::time::Duration::from_secs(5), log.next(100)).await;
    assert!(quiet.is_err(), "{quiet:?}");
    log.flow(partition, true);
    assert_eq!(bodies(&read_records(&log, 5).await), numbered(5..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_shard_ends_and_its_children_follow() {
    let Some(server) = LocalStack::shared() else { return };
    let (scene, config) = consumer(server, 1).await;
    scene.put(0, &numbered(0..3)).await;
    let log = scene.open_as(config).await;
    let first = read_records(&log, 3).await;
    let (_, last) = place(records(&first)[2]);
    let mut seen = bodies(&first);
    scene.split(0).await;
    scene.put_at("0", &numbered(3..4)).await;
    let read = async {
        while seen.len() < 4 {
            for arrival in log.next(100).await.unwrap_or_default() {
                match arrival {
                    Arrival::Record(record) => seen.push(body(&record)),
                    // The three are done, and are said to be now.
                    Arrival::Ended(partition) => log.release(partition, Some(last.clone())).await.unwrap(),
                    _ => {}
                }
            }
        }
    };
    timeout(common::PATIENCE, read).await.unwrap();
    assert_eq!(seen, numbered(0..4));
}
