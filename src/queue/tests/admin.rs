//! What a person can do with it.

use std::sync::Arc;

use axum::body::Body;
use futures::FutureExt;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use super::world::{World, error, event, eventually, open};
use crate::queue::{Outcome, Queue, Settings, Which, router};

async fn ask(queue: &Arc<Queue>, method: &str, path: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let answer = router(Arc::clone(queue)).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn json(queue: &Arc<Queue>, method: &str, path: &str) -> Value {
    let (status, body) = ask(queue, method, path).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_kept_shown_and_sent_again() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(Settings { retries: 0, ..Settings::default() });
    world.answers("f", (0..3).map(|_| error("no")));
    world.answers("g", [Outcome::Gone]);
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    for n in 0..3 {
        queue.accept(event("f", n)).await.unwrap();
    }
    queue.accept(event("g", 3)).await.unwrap();
    eventually("all have failed", || queue.waiting().iter().map(|of| of.failed).sum::<usize>() == 4).await;
    let listed = json(&queue, "GET", "/queue").await;
    assert_eq!(listed[0]["function"], "f");
    assert_eq!((&listed[0]["failed"], &listed[0]["inFlight"]), (&3.into(), &0.into()));
    let id = event("f", 1).id;
    let shown = json(&queue, "GET", "/queue/events?function=f").await;
    assert_eq!(shown.as_array().unwrap().len(), 3);
    assert_eq!((&shown[0]["condition"], &shown[0]["attempts"]), (&"RetriesExhausted".into(), &1.into()));
    assert_eq!(shown[0].get("payload"), None);
    let shown = json(&queue, "GET", &format!("/queue/events?id={id}")).await;
    assert_eq!((&shown[0]["payload"]["n"], &shown[0]["answer"]["errorMessage"]), (&1.into(), &"no".into()));
    let shown = json(&queue, "GET", "/queue/events?function=g").await;
    assert_eq!(shown[0]["condition"], "FunctionGone");

    // The shelf is on disk as well.
    running.stop().await;
    queue.close().await;
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    assert_eq!(json(&queue, "POST", &format!("/queue/redrive?id={id}")).await["redriven"], 1);
    eventually("it succeeded", || queue.size().events == 3).await;
    assert_eq!(json(&queue, "POST", "/queue/redrive?function=f").await["redriven"], 2);
    eventually("they succeeded", || queue.size().events == 1).await;
    assert_eq!(ask(&queue, "POST", "/queue/purge").await.0, 400);
    assert_eq!(ask(&queue, "GET", "/queue/events?id=x").await.0, 400);
    assert_eq!(json(&queue, "POST", "/queue/purge?function=g").await["purged"], 1);
    assert_eq!(queue.size().events, 0);
    assert_eq!(json(&queue, "GET", "/queue").await, Value::Array(Vec::new()));
    running.stop().await;
}

/// The server drops a handler whose caller has gone, wherever it waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_errand_is_finished_without_who_sent_for_it() {
    let (directory, world) = (TempDir::new().unwrap(), Arc::new(World::default()));
    world.set(Settings { retries: 0, ..Settings::default() });
    world.answers("f", [Outcome::Gone]);
    let queue = open(directory.path()).await;
    let running = world.run(&queue);
    queue.accept(event("f", 0)).await.unwrap();
    eventually("it has failed", || queue.waiting().iter().any(|of| of.failed == 1)).await;
    assert!(ask(&queue, "POST", "/queue/redrive").now_or_never().is_none(), "it waits for the disk");
    eventually("it succeeded", || queue.size().events == 0).await;
    running.stop().await;
    queue.accept(event("f", 1)).await.unwrap();
    let path = format!("/queue/purge?id={}", event("f", 1).id);
    assert!(ask(&queue, "POST", &path).now_or_never().is_none());
    eventually("it is gone", || queue.size().events == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_got_the_key_of_one_that_was_found_is_not_taken_for_it() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path()).await;
    queue.accept(event("f", 0)).await.unwrap();
    let keys = queue.agenda.schedule().waiting(&|_| true, usize::MAX);
    let found = queue.find(keys.clone(), &Which::default()).await.unwrap();
    // It is settled, and another comes.
    assert_eq!(queue.purge(&Which::default()).await.unwrap(), 1);
    queue.accept(event("g", 1)).await.unwrap();
    assert_eq!(queue.agenda.schedule().waiting(&|_| true, usize::MAX), keys);
    assert!(queue.take(found).await.unwrap().is_empty());
    let waiting = queue.waiting();
    assert_eq!((waiting.len(), waiting[0].function.as_str(), waiting[0].ready), (1, "g", 1));
    let found = queue.find(keys, &Which::default()).await.unwrap();
    assert_eq!(queue.take(found).await.unwrap().len(), 1);
    assert_eq!(queue.waiting(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_can_be_thrown_away() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path()).await;
    for n in 0..200 {
        queue.accept(event(if n % 2 == 0 { "f" } else { "g" }, n)).await.unwrap();
    }
    assert_eq!(queue.show(&Which::default()).await.unwrap().len(), 100);
    let one = Which { ids: [event("f", 8).id].into(), ..Which::default() };
    assert_eq!(queue.purge(&one).await.unwrap(), 1);
    assert_eq!(
        queue.purge(&Which { function: Some("g".to_owned()), ..Which::default() }).await.unwrap(),
        100
    );
    assert_eq!(queue.size().events, 99);
    queue.close().await;
    assert_eq!(open(directory.path()).await.size().events, 99);
}
