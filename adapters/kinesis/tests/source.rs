//! What the conformance suite does not ask of a stream.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{MAPPING, Scene, bodies, body, numbered, place, read_records, read_until, records};
use jiff::Timestamp;
use klr_contract::{Arrival, Log, Mark, Shape as _};
use klr_kinesis::{Config, OnLostPosition, Shape, Start};
use klr_test_support::servers::KinesisMock;
use tokio::time::{sleep, timeout};

fn gained(all: &[Arrival]) -> usize {
    all.iter().filter(|arrival| matches!(arrival, Arrival::Gained(_))).count()
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_lambdas_record() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 1).await;
    let before = Timestamp::now();
    scene.put(0, &text(&["hello"])).await;
    let seen = read_records(&scene.open().await, 1).await;
    let batch: Vec<_> = records(&seen).into_iter().cloned().collect();
    let event: serde_json::Value = serde_json::from_slice(&Shape.event(&batch)).unwrap();
    let record = &event["Records"][0];
    let number = record["kinesis"]["sequenceNumber"].as_str().unwrap();
    assert_eq!(record["eventID"], format!("shardId-000000000000:{number}"));
    assert_eq!(record["kinesis"]["partitionKey"], "key");
    assert_eq!(record["kinesis"]["data"], "aGVsbG8=");
    assert_eq!(record["eventSourceARN"], scene.config.arn.to_string());
    let arrival = record["kinesis"]["approximateArrivalTimestamp"].as_f64().unwrap();
    assert!((arrival - before.as_millisecond() as f64 / 1000.0).abs() < 60.0);
}

/// A split and a merge while it is read: every record once, a parent's before its children's.
#[tokio::test(flavor = "multi_thread")]
async fn parents_come_before_children() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 1).await;
    let (low, high) = ("0", "300000000000000000000000000000000000000");
    scene.put_at(low, &text(&["p1"])).await;
    scene.put_at(high, &text(&["p2"])).await;
    scene.split(0).await;
    scene.put_at(low, &text(&["a1"])).await;
    scene.put_at(high, &text(&["b1"])).await;
    scene.merge(1, 2).await;
    scene.put_at(low, &text(&["m1"])).await;
    let log = scene.open().await;
    let mut seen = Vec::new();
    let read = async {
        while seen.len() < 5 {
            for arrival in log.next(100).await.unwrap() {
                match arrival {
                    Arrival::Record(record) => {
                        log.checkpoint(&[place(&record)]).await.unwrap();
                        seen.push(body(&record));
                    }
                    Arrival::Ended(partition) => log.release(partition, None).await.unwrap(),
                    _ => {}
                }
            }
        }
    };
    timeout(common::PATIENCE, read).await.unwrap();
    assert_eq!(seen[..2], ["p1", "p2"]);
    let mut middle = seen[2..4].to_vec();
    middle.sort();
    assert_eq!(middle, ["a1", "b1"]);
    assert_eq!(seen[4], "m1");
    for shard in 0..3 {
        let row = scene.table.row(MAPPING, &format!("shardId-{shard:012}")).unwrap();
        assert_eq!((row.mark, row.owner), (Mark::Ended, None));
    }
}

/// Opened, killed before anything was delivered, opened again: what arrived in between is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn latest_is_fixed_at_the_first_start() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 2).await;
    scene.put(0, &text(&["before"])).await;
    sleep(Duration::from_millis(50)).await;
    let config = Config { start: Start::Latest, ..scene.config.clone() };
    let log = scene.open_as(config.clone()).await;
    read_until(&log, |all| gained(all) == 2).await;
    drop(log);
    scene.put(0, &text(&["between 0"])).await;
    scene.put(1, &text(&["between 1"])).await;
    let log = scene.open_as(config).await;
    let mut seen = bodies(&read_records(&log, 2).await);
    seen.sort();
    assert_eq!(seen, ["between 0", "between 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_timestamp_is_the_first_of_that_time() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 1).await;
    scene.put(0, &text(&["old"])).await;
    sleep(Duration::from_millis(50)).await;
    let moment = Timestamp::now();
    sleep(Duration::from_millis(50)).await;
    scene.put(0, &text(&["young"])).await;
    let config = Config { start: Start::AtTimestamp(moment), ..scene.config.clone() };
    let log = scene.open_as(config).await;
    assert_eq!(bodies(&read_records(&log, 1).await), ["young"]);
}

/// Deleted and made again under its name: told, and read as the setting says.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_made_again_is_recognised() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 1).await;
    scene.put(0, &numbered(0..5)).await;
    let log = scene.open().await;
    let seen = read_records(&log, 5).await;
    log.checkpoint(&[place(records(&seen)[4])]).await.unwrap();
    log.close().await.unwrap();
    scene.delete().await;
    scene.create(1).await;
    scene.put(0, &text(&["new"])).await;
    let stop = Config { on_lost_position: OnLostPosition::Stop, ..scene.config.clone() };
    let error = timeout(common::PATIENCE, scene.open_as(stop).await.next(1)).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.kind()), ("shards-position-lost", klr_contract::Kind::Stop), "{error}");
    let log = scene.open().await;
    assert_eq!(bodies(&read_records(&log, 1).await), ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_is_named_as_aws_names_it() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 1).await;
    scene.delete().await;
    let log = scene.open().await;
    let error = timeout(common::PATIENCE, log.next(1)).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "kinesis-no-stream");
    let words = format!("Stream not found: {}", scene.config.arn);
    assert!(error.to_string().starts_with(&words), "{error}");
    scene.create(1).await;
    scene.put(0, &text(&["a"])).await;
    assert_eq!(bodies(&read_records(&log, 1).await), ["a"]);
}

/// The reader dies with a part of its work checkpointed; another takes its shards over.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_members_shards_are_read_on() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 2).await;
    let first = scene.open().await;
    read_until(&first, |all| gained(all) == 2).await;
    for shard in 0..2 {
        scene.put(shard, &numbered(0..10)).await;
    }
    let seen = read_records(&first, 20).await;
    let third = records(&seen).into_iter().find(|record| body(record) == "3").unwrap();
    first.checkpoint(&[place(third)]).await.unwrap();
    drop(first);
    let second = scene.open().await;
    let seen = read_records(&second, 16).await;
    assert_eq!(records(&seen).len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_at_the_end_it_had() {
    let Some(server) = KinesisMock::shared() else { return };
    let scene = Scene::new(&server.endpoint, 2).await;
    scene.put(0, &numbered(0..20)).await;
    let log = scene.open_as(Config { once: true, ..scene.config.clone() }).await;
    sleep(Duration::from_millis(50)).await;
    scene.put(0, &text(&["late"])).await;
    scene.put(1, &text(&["late"])).await;
    let ended =
        |all: &[Arrival]| all.iter().filter(|arrival| matches!(arrival, Arrival::Ended(_))).count() == 2;
    let seen = read_until(&log, ended).await;
    assert_eq!(bodies(&seen), numbered(0..20));
}
