//! The broker goes away and comes back; records as large as they come.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use common::{PATIENCE, Scene, json, read_records, read_until, records, through, values};
use klr_contract::{Arrival, Kind, Log};
use klr_kafka::Source;
use klr_test_support::servers::{Kafka, Options};
use tokio::time::timeout;

/// A crash of the broker: a checkpoint that was on its way is made when it is back, reading goes on, nothing is skipped.
#[tokio::test]
async fn a_crash_of_the_broker_loses_nothing() {
    let Some(mut kafka) = tokio::task::spawn_blocking(Kafka::start).await.unwrap() else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send_all(0, (0..20).map(|n| n.to_string())).await;
    let log = std::sync::Arc::new(Source::open(scene.config()).unwrap());
    let seen = read_records(&*log, 20).await;
    log.checkpoint(&[through(&seen[4])]).await.unwrap();
    let mut kafka = tokio::task::spawn_blocking(move || {
        kafka.kill();
        kafka
    })
    .await
    .unwrap();
    let (its, at) = (log.clone(), through(&seen[9]));
    let checkpoint = tokio::spawn(async move { its.checkpoint(&[at]).await });
    let error =
        timeout(PATIENCE, log.next(10)).await.expect("told that nobody answers").expect_err("no records");
    assert!(matches!(error.kind(), Kind::Retry { .. }), "{error}");
    let _kafka = tokio::task::spawn_blocking(move || {
        kafka.start_again();
        kafka
    })
    .await
    .unwrap();
    // Before there is anything to read: else a topic that is quiet would be a problem for ever.
    let back = async {
        loop {
            if let Ok(heard) = log.next(0).await {
                break heard;
            }
        }
    };
    let heard = timeout(PATIENCE, back).await.expect("told that somebody answers again");
    scene.send(0, "20").await;
    let arrivals = read_until(&*log, |all| {
        records(all).iter().any(|record| values(std::slice::from_ref(record)) == ["20"])
    });
    let arrivals = arrivals.await;
    // The group may have found itself anew, then what was not done comes again.
    let gained = heard.iter().chain(&arrivals).any(|arrival| matches!(arrival, Arrival::Gained(_)));
    timeout(PATIENCE, checkpoint).await.expect("made when the broker is back").unwrap().unwrap();
    if !gained {
        assert_eq!(values(&records(&arrivals)), ["20"]);
        scene.expect_committed(&[(0, 10)]).await;
    }
}

/// Larger than everything that bounds the prefetch, and larger than Lambda could take: it must come, to be refused by name.
#[tokio::test]
async fn a_record_may_be_as_large_as_the_broker_takes() {
    let options =
        Options { properties: "message.max.bytes=20000000".to_owned(), heap: Some("512m".to_owned()) };
    let Some(kafka) = tokio::task::spawn_blocking(|| Kafka::start_with(options)).await.unwrap() else {
        return;
    };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let producer: rdkafka::producer::FutureProducer =
        common::plain(&kafka.bootstrap).set("message.max.bytes", "20000000").create().unwrap();
    for size in [1, 6_500_000, 2, 12_000_000, 3] {
        let value = vec![b'x'; size];
        let record = rdkafka::producer::FutureRecord::<str, [u8]>::to(&scene.topic).payload(&value);
        producer.send(record, PATIENCE).await.map_err(|(error, _)| error).unwrap();
    }
    let log = Source::open(scene.config()).unwrap();
    let seen = read_records(&log, 5).await;
    let sizes: Vec<_> =
        seen.iter().map(|record| json(record)["value"].as_str().unwrap().len() / 4 * 3).collect();
    assert_eq!(sizes, [3, 6_500_001, 3, 12_000_000, 3]);
}

/// A partition that is stuck keeps its own bytes and nobody else's.
#[tokio::test]
async fn bytes_are_held_by_their_partition_alone() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    for partition in 0..2 {
        scene.send_all(partition, (0..50).map(|n| format!("{n:>1000}"))).await;
    }
    let log = Source::open(scene.config()).unwrap();
    let seen = read_records(&log, 100).await;
    let mut fragments: Vec<_> = seen
        .iter()
        .map(|record| (record.json.as_ref().unwrap().as_ptr_range(), common::place(record).0))
        .collect();
    fragments.sort_by_key(|(range, _)| range.start);
    // One comma lies between neighbours in a buffer, more than that between two allocations.
    let neighbours: Vec<_> =
        fragments.windows(2).filter(|two| two[1].0.start as usize - two[0].0.end as usize == 1).collect();
    assert!(neighbours.len() > 50, "fragments lie side by side: {}", neighbours.len());
    assert!(neighbours.iter().all(|two| two[0].1 == two[1].1), "partitions share a buffer");
}
