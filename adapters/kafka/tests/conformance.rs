//! The contract's promises, on a real Kafka.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use async_trait::async_trait;
use common::Scene;
use klr_contract::conformance::log::{Harness, Subject, all};
use klr_contract::{Log, Record};
use klr_kafka::Source;

struct Kafka(&'static str);

#[async_trait]
impl Harness for Kafka {
    async fn create(&self, partitions: u32) -> Box<dyn Subject> {
        Box::new(Topic(Scene::new(self.0, partitions as i32).await))
    }
}

struct Topic(Scene);

#[async_trait]
impl Subject for Topic {
    async fn open(&self) -> Box<dyn Log> {
        Box::new(Source::open(self.0.config()).unwrap())
    }

    async fn append(&self, partition: u32, bodies: &[String]) {
        self.0.send_all(partition as i32, bodies.iter().cloned()).await;
    }

    fn body(&self, record: &Record) -> String {
        common::value(record)
    }
}

#[tokio::test]
async fn conforms() {
    let Some(kafka) = common::kafka().await else { return };
    all(&Kafka(&kafka.bootstrap)).await;
}
