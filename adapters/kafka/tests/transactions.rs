//! Transactions: aborted records stay away, markers do not hold the commit.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use std::time::Duration;

use common::{PATIENCE, Scene, read_until, records, through, values};
use klr_contract::{Arrival, Log, Partition, Position};
use klr_kafka::Source;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::time::timeout;

fn passed(arrivals: &[Arrival]) -> Vec<(Partition, Position)> {
    let passed = |arrival: &Arrival| match arrival {
        Arrival::Passed(partition, position, _) => Some((*partition, position.clone())),
        _ => None,
    };
    arrivals.iter().filter_map(passed).collect()
}

/// Sends each list as a transaction, committed or aborted.
async fn transact(scene: &Scene, transactions: Vec<(Vec<&'static str>, bool)>) {
    let (bootstrap, topic) = (scene.bootstrap.clone(), scene.topic.clone());
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer =
            common::plain(&bootstrap).set("transactional.id", &topic).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        for (values, commit) in transactions {
            producer.begin_transaction().unwrap();
            for value in values {
                producer
                    .send(BaseRecord::<str, str>::to(&topic).partition(0).payload(value))
                    .map_err(|(e, _)| e)
                    .unwrap();
            }
            producer.flush(PATIENCE).unwrap();
            if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }
                .unwrap();
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn markers_do_not_hold_the_commit() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    let log = Source::open(scene.config()).unwrap();
    let transactions =
        vec![(vec!["a", "b"], true), (vec!["x", "y"], false), (vec!["c"], true), (vec!["z"], false)];
    transact(&scene, transactions).await;
    // a b marker x y marker c marker z marker: ten places.
    let at_end = |all: &[Arrival]| passed(all).iter().any(|(_, position)| *position == Position::Offset(9));
    let all = read_until(&log, at_end).await;
    let seen = records(&all);
    assert_eq!(values(&seen), ["a", "b", "c"], "what was rolled back is not delivered");
    log.checkpoint(&passed(&all)).await.unwrap();
    scene.expect_committed(&[(0, 10)]).await;
    assert!(log.lag().iter().all(|(_, lag)| *lag == 0));

    // Gained anew right before a marker: it is passed as well.
    log.checkpoint(&[through(&seen[2])]).await.unwrap();
    log.close().await.unwrap();
    transact(&scene, vec![(vec!["gone"], false)]).await;
    let log = Source::open(scene.config()).unwrap();
    let all = read_until(&log, |all| !passed(all).is_empty()).await;
    assert_eq!((records(&all).len(), &passed(&all)[0].1), (0, &Position::Offset(11)));
}

#[tokio::test]
async fn once_ends_behind_markers() {
    let Some(kafka) = common::kafka().await else { return };
    let scene = Scene::new(&kafka.bootstrap, 1).await;
    transact(&scene, vec![(vec!["a"], true), (vec!["x"], false)]).await;
    let mut config = scene.config();
    config.once = true;
    let log = Source::open(config).unwrap();
    let all = read_until(&log, |all| all.iter().any(|a| matches!(a, Arrival::Ended(_)))).await;
    assert_eq!(values(&records(&all)), ["a"]);
    assert_eq!(passed(&all)[0].1, Position::Offset(3));
    let more = timeout(Duration::from_secs(1), log.next(10)).await;
    assert!(more.is_err(), "the end is told once");
}
