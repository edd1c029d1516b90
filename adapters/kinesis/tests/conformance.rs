//! The contract's promises, on a real server of Kinesis' API.
#![allow(clippy::unwrap_used)] // A test that cannot set its scene has failed.

mod common;

use async_trait::async_trait;
use common::{Scene, body};
use klr_contract::conformance::log::{Harness, Subject, all};
use klr_contract::{Log, Record};
use klr_test_support::servers::KinesisMock;

struct Kinesis(&'static str);

struct Stream(Scene);

#[async_trait]
impl Harness for Kinesis {
    async fn create(&self, partitions: u32) -> Box<dyn Subject> {
        Box::new(Stream(Scene::new(self.0, partitions).await))
    }
}

#[async_trait]
impl Subject for Stream {
    async fn open(&self) -> Box<dyn Log> {
        Box::new(self.0.open().await)
    }

    async fn append(&self, partition: u32, bodies: &[String]) {
        self.0.put(partition as usize, bodies).await;
    }

    fn body(&self, record: &Record) -> String {
        body(record)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(server) = KinesisMock::shared() else { return };
    all(&Kinesis(&server.endpoint)).await;
}
