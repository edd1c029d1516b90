//! The in-memory queue keeps the promises of a queue, and those of SQS the simulations lean on.
#![cfg(feature = "conformance")]

use std::time::Duration;

use async_trait::async_trait;
use klr_contract::{
    Queue as _,
    conformance::queue::{Harness, Subject, fifo, standard},
    memory::queue::Queue,
};

struct Memory;

struct InMemory(Queue);

#[async_trait]
impl Harness for Memory {
    async fn create(&self, visibility: Duration) -> Box<dyn Subject> {
        Box::new(InMemory(Queue::new(visibility)))
    }

    async fn create_fifo(&self, visibility: Duration) -> Box<dyn Subject> {
        Box::new(InMemory(Queue::new(visibility).fifo()))
    }
}

#[async_trait]
impl Subject for InMemory {
    fn queue(&self) -> &dyn klr_contract::Queue {
        &self.0
    }

    async fn send(&self, body: &str, group: Option<&str>) {
        self.0.send(body, group);
    }

    async fn count(&self) -> usize {
        self.0.len()
    }
}

#[tokio::test(start_paused = true)]
async fn keeps_the_promises_of_a_standard_queue() {
    standard(&Memory).await;
}

#[tokio::test(start_paused = true)]
async fn keeps_the_promises_of_a_fifo_queue() {
    fifo(&Memory).await;
}

#[tokio::test(start_paused = true)]
async fn received_too_often_is_dead() {
    let visibility = Duration::from_secs(5);
    let queue = Queue::new(visibility).max_receives(2);
    queue.send("poison", None);
    for _ in 0..2 {
        assert_eq!(queue.receive(10, visibility, None).await.unwrap().len(), 1);
    }
    assert_eq!(queue.receives(), [("poison".to_owned(), 2)]);
    assert!(queue.receive(10, 2 * visibility, None).await.unwrap().is_empty());
    assert_eq!(queue.dead(), ["poison"]);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_old_receipt_has_lost_its_power() {
    let visibility = Duration::from_secs(5);
    let queue = Queue::new(visibility);
    queue.send("late", None);
    let old = queue.receive(1, visibility, None).await.unwrap().remove(0).place;
    queue.receive(1, 2 * visibility, None).await.unwrap();
    assert_eq!(queue.delete(&[old]).await.unwrap().len(), 1);
    assert_eq!(queue.len(), 1);
}
