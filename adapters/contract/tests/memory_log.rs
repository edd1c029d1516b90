//! The in-memory log keeps the promises, and its side doors do what they say.
#![cfg(feature = "conformance")]

use std::time::Duration;

use async_trait::async_trait;
use klr_contract::conformance::log::{Harness, Subject, all};
use klr_contract::memory::log::Topic;
use klr_contract::{Arrival, Error, Kind, Log, Record};

struct Memory;

#[async_trait]
impl Harness for Memory {
    async fn create(&self, partitions: u32) -> Box<dyn Subject> {
        Box::new(Memories(Topic::new(partitions)))
    }
}

struct Memories(Topic);

#[async_trait]
impl Subject for Memories {
    async fn open(&self) -> Box<dyn Log> {
        Box::new(self.0.join())
    }

    async fn append(&self, partition: u32, bodies: &[String]) {
        for body in bodies {
            self.0.append(partition, body);
        }
    }

    fn body(&self, record: &Record) -> String {
        let json = record.json.as_ref().expect("shaped");
        let json: serde_json::Value = serde_json::from_slice(json).expect("JSON");
        json["body"].as_str().expect("text").to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    all(&Memory).await;
}

#[tokio::test(start_paused = true)]
async fn lost_without_warning_is_gained_anew() {
    let topic = Topic::new(1);
    topic.append(0, "a");
    let log = topic.join();
    let [Arrival::Gained(first), Arrival::Record(_)] = &log.next(9).await.unwrap()[..] else {
        panic!("gained, a")
    };
    topic.lose(0);
    let arrivals = log.next(9).await.unwrap();
    let [Arrival::Lost(lost), Arrival::Gained(second), Arrival::Record(_)] = &arrivals[..] else {
        panic!("lost, gained, a: {arrivals:?}")
    };
    assert_eq!(first, lost);
    assert_ne!(first.epoch, second.epoch);
}

#[tokio::test(start_paused = true)]
async fn asked_back_it_moves_when_released() {
    let topic = Topic::new(1);
    topic.append(0, "a");
    let log = topic.join();
    let [Arrival::Gained(partition), _] = log.next(9).await.unwrap()[..] else { panic!("gained, a") };
    topic.revoke(0);
    let [Arrival::Losing(_)] = log.next(9).await.unwrap()[..] else { panic!("losing") };
    log.release(partition, Some(klr_contract::Position::Offset(0))).await.unwrap();
    let [Arrival::Gained(again)] = log.next(9).await.unwrap()[..] else { panic!("gained, without a") };
    assert_ne!(partition, again);
    assert_eq!(topic.committed(0), 1);
}

#[tokio::test(start_paused = true)]
async fn markers_ends_and_failures_are_told() {
    let topic = Topic::new(1);
    let log = topic.join();
    log.next(0).await.unwrap();
    topic.fail(&Error::retry("memory-test", "a storm"));
    assert_eq!(log.next(9).await.unwrap_err().kind(), Kind::Retry { after: None });
    topic.append(0, "a");
    topic.pass(0);
    topic.seal(0);
    let arrivals = log.next(9).await.unwrap();
    let [Arrival::Record(_), Arrival::Passed(..), Arrival::Ended(_)] = &arrivals[..] else {
        panic!("a, passed, ended: {arrivals:?}")
    };
    let more = tokio::time::timeout(Duration::from_secs(9), log.next(9)).await;
    assert!(more.is_err(), "the end is told once");
}
