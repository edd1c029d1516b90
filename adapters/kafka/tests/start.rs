//! Where reading begins, and where it goes on.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use std::time::Duration;

use common::{PATIENCE, Scene, place, read_records, read_until, through, values};
use jiff::Timestamp;
use klr_contract::{Arrival, Kind, Log};
use klr_kafka::{Source, Start};
use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::timeout;

async fn gained(log: &Source) {
    read_until(log, |all| all.iter().any(|a| matches!(a, Arrival::Gained(_)))).await;
}

/// Opened, killed before anything was delivered, opened again: what arrived in between is not lost.
#[tokio::test]
async fn latest_is_fixed_at_the_first_start() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    scene.send(0, "before").await;
    let mut config = scene.config();
    config.start = Start::Latest;
    let log = Source::open(config.clone()).unwrap();
    gained(&log).await;
    scene.expect_committed(&[(0, 1), (1, 0)]).await;
    drop(log);
    scene.send(0, "between").await;
    scene.send(1, "between").await;
    let log = Source::open(config).unwrap();
    let seen = read_records(&log, 2).await;
    assert_eq!(values(&seen), ["between", "between"]);
    log.close().await.unwrap();
}

#[tokio::test]
async fn trim_horizon_is_the_oldest() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send_all(0, ["a", "b"].map(str::to_owned)).await;
    let log = Source::open(scene.config()).unwrap();
    assert_eq!(values(&read_records(&log, 2).await), ["a", "b"]);
    scene.expect_committed(&[(0, 0)]).await;
}

#[tokio::test]
async fn at_timestamp_is_the_first_of_that_time() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    for (n, ms) in [1_000_000, 2_000_000, 3_000_000].into_iter().enumerate() {
        let value = n.to_string();
        let record =
            rdkafka::producer::FutureRecord::<str, str>::to(&scene.topic).partition(0).payload(&value);
        scene.send_record(record.timestamp(ms)).await;
    }
    let old = rdkafka::producer::FutureRecord::<str, str>::to(&scene.topic).partition(1).payload("old");
    scene.send_record(old.timestamp(1_500_000)).await;
    let mut config = scene.config();
    config.start = Start::AtTimestamp(Timestamp::from_millisecond(2_000_000).unwrap());
    let log = Source::open(config).unwrap();
    assert_eq!(values(&read_records(&log, 2).await), ["1", "2"]);
    // Partition 1 has nothing that young: it begins at its end.
    scene.expect_committed(&[(0, 1), (1, 1)]).await;
}

/// A group that has read before goes on, whatever the starting position says.
#[tokio::test]
async fn a_committed_group_goes_on() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send_all(0, ["a", "b", "c"].map(str::to_owned)).await;
    let log = Source::open(scene.config()).unwrap();
    let seen = read_records(&log, 3).await;
    log.checkpoint(&[through(&seen[0])]).await.unwrap();
    log.close().await.unwrap();
    let mut config = scene.config();
    config.start = Start::Latest;
    let log = Source::open(config).unwrap();
    assert_eq!(values(&read_records(&log, 2).await), ["b", "c"]);
}

/// A member that never commits sits in the group already, so the position cannot be committed from outside: it is when the
/// partition is assigned.
#[tokio::test]
async fn latest_holds_in_a_group_with_members() {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    scene.send(0, "before").await;
    scene.send(1, "before").await;
    let (bootstrap, group, topic) = (scene.bootstrap.clone(), scene.group.clone(), scene.topic.clone());
    let (joined, is_in) = tokio::sync::oneshot::channel();
    let (leave, mut left) = tokio::sync::oneshot::channel::<()>();
    let other = tokio::task::spawn_blocking(move || {
        let mut options = common::plain(&bootstrap);
        options.set("group.id", group).set("partition.assignment.strategy", "cooperative-sticky");
        options.set("enable.auto.commit", "false");
        let consumer: BaseConsumer = options.create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        let mut joined = Some(joined);
        while left.try_recv().is_err() {
            consumer.poll(Duration::from_millis(50));
            if consumer.assignment().unwrap().count() > 0
                && let Some(joined) = joined.take()
            {
                joined.send(()).unwrap();
            }
        }
    });
    is_in.await.unwrap();
    let mut config = scene.config();
    config.start = Start::Latest;
    let log = Source::open(config).unwrap();
    gained(&log).await;
    leave.send(()).unwrap();
    other.await.unwrap();
    scene.expect_committed(&[(0, 1), (1, 1)]).await;
    scene.send(0, "after").await;
    scene.send(1, "after").await;
    assert_eq!(values(&read_records(&log, 2).await), ["after", "after"]);
}

/// Told while it is not there, read as soon as it is.
#[tokio::test]
async fn a_missing_topic_is_waited_for() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::without_topic(&kafka.bootstrap);
    let log = Source::open(scene.config()).unwrap();
    for _ in 0..2 {
        let error = timeout(PATIENCE, log.next(1)).await.unwrap().unwrap_err();
        assert_eq!(error.code(), "kafka.topic", "{error}");
        assert!(matches!(error.kind(), Kind::Retry { .. }), "{error}");
        assert!(error.to_string().contains(&scene.topic), "{error}");
    }
    scene.create(1, &[]).await;
    scene.send(0, "a").await;
    assert_eq!(values(&read_records(&log, 1).await), ["a"]);
    log.close().await.unwrap();
}

/// What the group would read next was deleted while it was away, and while it was there.
#[tokio::test]
async fn a_position_that_fell_off_goes_to_the_beginning() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send_all(0, (0..10).map(|n| n.to_string())).await;
    let log = Source::open(scene.config()).unwrap();
    let seen = read_records(&log, 10).await;
    log.checkpoint(&[through(&seen[2])]).await.unwrap();
    log.close().await.unwrap();
    delete_before(&scene, 7).await;
    let log = Source::open(scene.config()).unwrap();
    assert_eq!(values(&read_records(&log, 3).await), ["7", "8", "9"]);

    // Closed while the rest goes, the broker refuses the offset it asks for next.
    let (partition, _) = place(&read_again(&scene, &log).await);
    log.flow(partition, false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.send_all(0, (11..20).map(|n| n.to_string())).await;
    delete_before(&scene, 15).await;
    log.flow(partition, true);
    assert_eq!(values(&read_records(&log, 5).await), ["15", "16", "17", "18", "19"]);
}

/// Deleted and made anew under the same name while it is read: the offsets begin again, and so does the epoch.
#[tokio::test]
async fn a_topic_made_anew_begins_again() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    scene.send_all(0, (0..10).map(|n| n.to_string())).await;
    let log = Source::open(scene.config()).unwrap();
    let seen = read_records(&log, 10).await;
    log.checkpoint(&[through(&seen[9])]).await.unwrap();
    scene.admin().delete_topics(&[&scene.topic], &AdminOptions::new()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.create(1, &[]).await;
    // A producer that knew the old topic takes a while to notice.
    let again = Scene {
        group: scene.group.clone(),
        topic: scene.topic.clone(),
        ..Scene::without_topic(&kafka.bootstrap)
    };
    again.send_all(0, ["new 0", "new 1"].map(str::to_owned)).await;
    let last = |all: &[Arrival]| common::records(all).iter().any(|record| common::value(record) == "new 1");
    let mut losing = Vec::new();
    let mut all = Vec::new();
    timeout(PATIENCE, async {
        while !last(&all) {
            let arrivals = log.next(100).await.unwrap_or_default();
            losing.extend(
                arrivals.iter().filter_map(|a| if let Arrival::Losing(p) = a { Some(*p) } else { None }),
            );
            for partition in losing.drain(..) {
                log.release(partition, None).await.unwrap();
            }
            if arrivals.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            all.extend(arrivals);
        }
    })
    .await
    .unwrap_or_else(|_| panic!("the new records come"));
    let mut fresh = common::records(&all);
    // One that is lost once more on the way, and gained, is read from its beginning again.
    let whole = place(fresh.iter().find(|record| common::value(record) == "new 1").unwrap()).0;
    fresh.retain(|record| place(record).0 == whole);
    assert_eq!(values(&fresh), ["new 0", "new 1"]);
    assert_ne!(whole, place(&seen[0]).0, "another epoch");
}

async fn read_again(scene: &Scene, log: &Source) -> klr_contract::Record {
    scene.send(0, "10").await;
    read_records(log, 1).await.remove(0)
}

async fn delete_before(scene: &Scene, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&scene.topic, 0, Offset::Offset(offset)).unwrap();
    scene.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
}

/// `klr run --once`: to the end as it was, empty partitions included, and not a record further.
#[tokio::test]
async fn once_ends_at_the_end_it_had() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 3).await;
    scene.send_all(0, (0..100).map(|n| n.to_string())).await;
    scene.send(1, "only").await;
    let mut config = scene.config();
    config.once = true;
    let log = Source::open(config).unwrap();
    let ended = |all: &[Arrival]| all.iter().filter(|a| matches!(a, Arrival::Ended(_))).count();
    let mut late = false;
    let mut all = Vec::new();
    while ended(&all) < 3 {
        all.extend(timeout(PATIENCE, log.next(10)).await.unwrap().unwrap_or_default());
        if !late && !all.is_empty() {
            late = true;
            scene.send(0, "late").await;
            scene.send(2, "late").await;
        }
    }
    assert_eq!(common::records(&all).len(), 101);
    assert!(timeout(Duration::from_secs(2), log.next(10)).await.is_err(), "nothing follows the end");
    log.close().await.unwrap();
}
