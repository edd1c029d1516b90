//! Events through their whole life.

use std::sync::{Arc, atomic::Ordering};

use tempfile::TempDir;

use super::world::{DELAYS, World, error, event, eventually, open};
use crate::queue::{Outcome, Queue, Settings};

fn everywhere(retries: u32) -> Settings {
    Settings {
        retries,
        on_success: Some("success".to_owned()),
        on_failure: Some("failure".to_owned()),
        dead_letter: Some("letters".to_owned()),
        ..Settings::default()
    }
}

fn empty(queue: &Queue) -> bool {
    queue.reader.live().events == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_is_told_and_nothing_is_left() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(everywhere(2));
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    queue.accept(event("f", 1)).await.unwrap();
    eventually("it is settled", || empty(&queue)).await;
    let [(to, record)] = &world.taken()[..] else { panic!("{:?}", world.taken()) };
    assert_eq!(to, "success");
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!((&record["requestPayload"]["n"], &record["responsePayload"]), (&1.into(), &"done".into()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_retried_under_the_same_id_and_then_told() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(everywhere(2));
    world.answers("f", (1..=3).map(|n| error(&n.to_string())));
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    queue.accept(event("f", 7)).await.unwrap();
    eventually("it is settled", || empty(&queue)).await;
    let attempts = world.attempts();
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|(_, id, _)| *id == event("f", 7).id));
    let waited = |n: usize| attempts[n].2.duration_since(attempts[n - 1].2).unsigned_abs();
    // Due times are whole milliseconds.
    let slack = std::time::Duration::from_millis(2);
    assert!(waited(1) + slack >= DELAYS.retry && waited(2) + slack >= 2 * DELAYS.retry, "{attempts:?}");
    let [(first, record), (second, letter)] = &world.taken()[..] else { panic!() };
    assert_eq!((first.as_str(), second.as_str()), ("failure", "letters"));
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["responsePayload"]["errorMessage"], "3");
    assert_eq!(letter["n"], 7);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_and_outages_spend_no_attempt() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(everywhere(0));
    let throttled = || Outcome::Throttled { after: None };
    let down = || Outcome::Unreachable("down".to_owned());
    world.answers("f", [throttled(), down(), throttled(), Outcome::Unreachable("panic".to_owned())]);
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    queue.accept(event("f", 1)).await.unwrap();
    eventually("it is settled", || empty(&queue)).await;
    assert_eq!(world.attempts().len(), 5);
    assert_eq!(world.taken()[0].1["requestContext"]["approximateInvokeCount"], 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_concurrency_it_is_given_up_unseen() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(Settings { paused: true, ..everywhere(2) });
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    queue.accept(event("f", 1)).await.unwrap();
    eventually("it is settled", || empty(&queue)).await;
    assert!(world.attempts().is_empty());
    let taken = world.taken();
    assert_eq!(taken[0].1["requestContext"]["condition"], "ZeroReservedConcurrency");
    assert_eq!(taken[0].1["requestContext"]["approximateInvokeCount"], 0);
    assert!(taken[0].1.get("responseContext").is_none());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_hangs_holds_up_nobody_else() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    let hang = || Outcome::Unreachable("hang".to_owned());
    world.answers("stuck", std::iter::repeat_with(hang).take(100));
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    for n in 0..20 {
        queue.accept(event("stuck", n)).await.unwrap();
    }
    for n in 100..150 {
        queue.accept(event("quick", n)).await.unwrap();
    }
    eventually("the others have had theirs", || queue.reader.live().events == 20).await;
    drop(running);
}

/// The function has run; only the word of it is late. A restart does not run it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_is_tried_again_and_the_function_is_not() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(everywhere(0));
    world.answers("f", [error("once")]);
    world.refusals.store(usize::MAX, Ordering::SeqCst);
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    queue.accept(event("f", 1)).await.unwrap();
    eventually("some tries failed", || usize::MAX - world.refusals.load(Ordering::SeqCst) >= 6).await;
    running.stop().await;
    queue.close().await;
    let queue = open(directory.path()).await;
    world.refusals.store(1, Ordering::SeqCst);
    let running = world.run(&queue);
    eventually("it is settled", || empty(&queue)).await;
    assert_eq!(world.attempts().len(), 1);
    let taken = world.taken();
    let mut to: Vec<_> = taken.iter().map(|(to, _)| to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["failure", "letters"], "each once");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_sent_is_given_up_at_once() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    *world.hopeless.lock().unwrap() = Some("letters".to_owned());
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    // Another has it: nothing is left.
    world.set(everywhere(0));
    world.answers("f", [error("once")]);
    queue.accept(event("f", 1)).await.unwrap();
    eventually("it is settled", || empty(&queue)).await;
    assert_eq!(world.taken().len(), 1);
    // Nobody has it: it is kept as one that failed.
    world.set(Settings { on_failure: None, ..everywhere(0) });
    world.answers("g", [error("once")]);
    queue.accept(event("g", 2)).await.unwrap();
    eventually("it is kept", || queue.waiting().iter().any(|waiting| waiting.failed == 1)).await;
    assert_eq!((world.attempts().len(), world.taken().len()), (2, 1));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_survives_a_restart() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(everywhere(1));
    let queue = open(directory.path()).await;
    for n in 0..100 {
        queue.accept(event("f", n)).await.unwrap();
    }
    assert!(world.attempts().is_empty(), "nobody runs it");
    queue.close().await;
    let queue = open(directory.path()).await;
    world.answers("f", [error("once")]);
    let running = world.run(&queue);
    eventually("all are settled", || empty(&queue)).await;
    assert_eq!((world.attempts().len(), world.taken().len()), (101, 100));
    running.stop().await;
    queue.close().await;
    assert!(empty(&*open(directory.path()).await));
}
