//! The promises of a queue, kept against both dialects of SQS there are without AWS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::time::Duration;

use async_trait::async_trait;
use klr_contract::conformance::queue::{Harness, Subject, fifo, standard};
use klr_sqs::Queue;
use klr_test_support::servers::{ElasticMq, Moto};
use server::{Remote, Server};

struct Subjects(Server);

struct OnServer {
    queue: Queue,
    remote: Remote,
}

impl Subjects {
    async fn subject(&self, visibility: Duration, fifo: bool) -> Box<dyn Subject> {
        let remote = self.0.create(visibility, fifo).await;
        Box::new(OnServer { queue: remote.open().await, remote })
    }
}

#[async_trait]
impl Harness for Subjects {
    async fn create(&self, visibility: Duration) -> Box<dyn Subject> {
        self.subject(visibility, false).await
    }

    async fn create_fifo(&self, visibility: Duration) -> Box<dyn Subject> {
        self.subject(visibility, true).await
    }
}

#[async_trait]
impl Subject for OnServer {
    fn queue(&self) -> &dyn klr_contract::Queue {
        &self.queue
    }

    async fn send(&self, body: &str, group: Option<&str>) {
        self.remote.send(body, group).await;
    }

    async fn count(&self) -> usize {
        self.remote.count().await
    }
}

#[tokio::test]
async fn elasticmq_standard() {
    let Some(server) = ElasticMq::shared() else { return };
    standard(&Subjects(Server::at(&server.endpoint).await)).await;
}

#[tokio::test]
async fn elasticmq_fifo() {
    let Some(server) = ElasticMq::shared() else { return };
    fifo(&Subjects(Server::at(&server.endpoint).await)).await;
}

#[tokio::test]
async fn moto_standard() {
    let Some(server) = Moto::shared() else { return };
    standard(&Subjects(Server::at(&server.endpoint).await)).await;
}

#[tokio::test]
async fn moto_fifo() {
    let Some(server) = Moto::shared() else { return };
    fifo(&Subjects(Server::at(&server.endpoint).await)).await;
}
