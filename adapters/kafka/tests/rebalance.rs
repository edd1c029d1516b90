//! Members come and go.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{PATIENCE, Scene, place, read_records, read_until, records, through, value, values};
use klr_contract::{Arrival, Log, Partition};
use klr_kafka::Source;
use tokio::time::timeout;

fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| format!("{n}"))
}

fn losing(arrivals: &[Arrival]) -> Vec<Partition> {
    let losing =
        |arrival: &Arrival| if let Arrival::Losing(partition) = arrival { Some(*partition) } else { None };
    arrivals.iter().filter_map(losing).collect()
}

fn gained(arrivals: &[Arrival]) -> usize {
    arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Gained(_))).count()
}

/// What is released after `Losing` is committed before another member begins, and nothing is handed out twice.
#[tokio::test]
async fn what_was_done_moves_with_the_partition() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    for partition in 0..2 {
        scene.send_all(partition, numbered(0..10)).await;
    }
    let first = Source::open(scene.config()).unwrap();
    let seen = read_records(&first, 20).await;
    let second = Source::open(scene.config()).unwrap();
    let moved = losing(&read_until(&first, |all| !losing(all).is_empty()).await);
    let [moved] = moved[..] else { panic!("one of two moves: {moved:?}") };
    // A little is still at work: the group waits.
    let waits = timeout(Duration::from_secs(1), read_until(&second, |all| gained(all) > 0)).await;
    assert!(waits.is_err(), "nobody gets it before it is released");
    let done = seen.iter().filter(|record| place(record).0 == moved).nth(6).unwrap();
    first.release(moved, Some(through(done).1)).await.unwrap();
    let got = read_records(&second, 3).await;
    assert_eq!(values(&got), ["7", "8", "9"]);
    second.checkpoint(&[through(&got[2])]).await.unwrap();
    scene.expect_committed(&[(moved.index as i32, 10), (1 - moved.index as i32, 0)]).await;
}

/// A replica more than there are partitions has reached its source too, or it would never be ready.
#[tokio::test]
async fn a_member_without_a_partition_hears_that_it_is_one() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let first = Source::open(scene.config()).unwrap();
    read_until(&first, |all| gained(all) == 1).await;
    let second = Source::open(scene.config()).unwrap();
    let heard = timeout(PATIENCE, second.next(100)).await.expect("it hears something").unwrap();
    assert!(heard.is_empty(), "{heard:?}");
}

/// An engine that does not let go does not hold the group for ever: after the drain timeout what it had checkpointed is
/// committed, and it hears that the rest is lost.
#[tokio::test]
async fn who_does_not_let_go_loses() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    for partition in 0..2 {
        scene.send_all(partition, numbered(0..10)).await;
    }
    let mut config = scene.config();
    config.drain_timeout = Duration::from_secs(1);
    let first = Source::open(config).unwrap();
    let seen = read_records(&first, 20).await;
    let second = Source::open(scene.config()).unwrap();
    let arrivals = read_until(&first, |all| all.iter().any(|a| matches!(a, Arrival::Lost(_)))).await;
    let lost = losing(&arrivals)[0];
    let old = seen.iter().rfind(|record| place(record).0 == lost).unwrap();
    first.checkpoint(&[through(old)]).await.expect("an old epoch is ignored");
    let got = read_records(&second, 10).await;
    assert_eq!(values(&got), values(&seen[..10]), "what was not done comes again");
}

/// While the engine takes nothing at all (its buffers are full) a rebalance still goes through, and no record is lost over
/// the pause.
#[tokio::test]
async fn a_full_engine_does_not_hold_the_group() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 2).await;
    let large = |n: usize| format!("{n:06}{}", "x".repeat(10_000));
    for partition in 0..2 {
        scene.send_all(partition, (0..1000).map(large)).await;
    }
    let first = Source::open(scene.config()).unwrap();
    let gained_here = read_until(&first, |all| gained(all) == 2).await;
    let mut seen = records(&gained_here);
    let second = Source::open(scene.config()).unwrap();
    // Nothing is wanted; the thread finds the inbox full, pauses after ten seconds, and hears of the rebalance.
    let start = Instant::now();
    let moved = timeout(PATIENCE, async {
        loop {
            let moved = losing(&first.next(0).await.unwrap());
            if let [moved] = moved[..] {
                break moved;
            }
        }
    })
    .await
    .expect("a rebalance is heard of without taking records");
    assert!(start.elapsed() < Duration::from_secs(30));
    first.release(moved, None).await.unwrap();
    let other = read_records(&second, 1000).await;
    let kept =
        |seen: &[klr_contract::Record]| seen.iter().filter(|r| place(r).0.index != moved.index).count();
    while kept(&seen) < 1000 {
        let more = timeout(PATIENCE, first.next(100)).await.expect("it goes on after the pause").unwrap();
        seen.extend(records(&more));
    }
    let numbers = |records: Vec<&klr_contract::Record>| {
        records.iter().map(|r| value(r)[..6].parse().unwrap()).collect()
    };
    let all: Vec<usize> = (0..1000).collect();
    let of_kept: Vec<usize> = numbers(seen.iter().filter(|r| place(r).0.index != moved.index).collect());
    assert_eq!(of_kept, all, "order and completeness survive the pause");
    let of_moved: Vec<usize> = numbers(other.iter().collect());
    assert_eq!(of_moved, all);
}

/// Everything works on a runtime with a single worker thread, two members on it.
#[test]
fn one_worker_thread_is_enough() {
    let Some(kafka) = klr_test_support::servers::Kafka::shared() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let task = async {
        let scene = Scene::new(&kafka.bootstrap, 4).await;
        for partition in 0..4 {
            scene.send_all(partition, numbered(0..25)).await;
        }
        let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let member = |log: Source| {
            let seen = seen.clone();
            async move {
                while seen.lock().unwrap().len() < 200 {
                    let Ok(arrivals) = timeout(Duration::from_millis(100), log.next(10)).await else {
                        continue;
                    };
                    for arrival in arrivals.unwrap_or_default() {
                        match arrival {
                            Arrival::Record(record) => {
                                log.checkpoint(&[through(&record)]).await.unwrap();
                                let (partition, offset) = place(&record);
                                seen.lock().unwrap().insert((partition.index, offset));
                            }
                            Arrival::Losing(partition) => log.release(partition, None).await.unwrap(),
                            _ => {}
                        }
                    }
                }
                log.close().await.unwrap();
            }
        };
        let first = tokio::spawn(member(Source::open(scene.config()).unwrap()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let second = tokio::spawn(member(Source::open(scene.config()).unwrap()));
        for partition in 0..4 {
            scene.send_all(partition, numbered(25..50)).await;
        }
        timeout(PATIENCE, async { (first.await.unwrap(), second.await.unwrap()) })
            .await
            .expect("all 200 come");
        scene.expect_committed(&[(0, 50), (1, 50), (2, 50), (3, 50)]).await;
    };
    runtime.block_on(async { tokio::spawn(task).await.unwrap() });
}
