//! Promise: of a batch whose function answers `batchItemFailures`, exactly the listed records are delivered again, and the
//! others are settled; a reply that cannot be trusted settles nothing; without the setting no reply is read.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::time::{Duration, SystemTime};

use klr_test_support::eventually;
use klr_test_support::klr::Setup;
use klr_test_support::servers::ElasticMq;
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::{self, Counts, Queue};
use serde_json::Value;

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const REPORT: &str = "functionResponseTypes: [ReportBatchItemFailures]";
/// Seconds; the shortest that leaves a slow machine room to answer.
const VISIBILITY: u32 = 5;

fn letters() -> Vec<String> {
    ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec()
}

/// Lists the records with these bodies as failed.
fn listing(request: &Request, failed: &[&str]) -> String {
    let records = sqs::records(request);
    sqs::failures(records.iter().filter(|record| failed.contains(&record["body"].as_str().unwrap())))
}

fn sorted(mut bodies: Vec<String>) -> Vec<String> {
    bodies.sort();
    bodies
}

fn first_received(record: &Value) -> SystemTime {
    let at = sqs::text(record, "attributes.ApproximateFirstReceiveTimestamp").parse().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_millis(at)
}

fn emptied(queue: &Queue) -> bool {
    eventually(Duration::from_secs(20), || queue.counts() == Counts::EMPTY)
}

#[test]
fn sqs_only_the_listed_messages_come_again_after_their_visibility_timeout() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "partial", VISIBILITY);
    queue.send_all(&letters());
    let sink = Sink::start(|request| match request.index {
        0 => Answer::json(listing(request, &["b", "d"])),
        _ => Answer::json("null"),
    });
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, REPORT)).start();

    assert!(sink.wait_for(1, Duration::from_secs(20)));
    let left = Counts { visible: 0, hidden: 2 };
    assert!(eventually(Duration::from_secs(4), || queue.counts() == left), "a, c and e are deleted at once");
    assert!(emptied(&queue));
    let requests = sink.requests();
    let delivered: Vec<_> = requests.iter().map(|request| sorted(sqs::bodies(request))).collect();
    assert_eq!(delivered[0], letters());
    // The queue has them visible again one by one, and a poll may come in between.
    assert_eq!(sorted(delivered[1..].concat()), ["b", "d"]);
    for request in &requests[1..] {
        for record in sqs::records(request) {
            assert_eq!(sqs::text(&record, "attributes.ApproximateReceiveCount"), "2");
            let since_received = request.at.duration_since(first_received(&record)).unwrap();
            assert!(since_received >= Duration::from_secs(VISIBILITY.into()), "{since_received:?}");
        }
    }
}

#[test]
fn sqs_the_list_may_come_inside_a_cloudevent() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "wrapped", VISIBILITY);
    queue.send_all(&letters());
    let sink = Sink::start(|request| {
        let data = if request.index == 0 { listing(request, &["c"]) } else { "null".to_owned() };
        let event = format!(r#"{{"specversion":"1.0","id":"1","source":"f","type":"reply","data":{data}}}"#);
        Answer::status(200).header("content-type", "application/cloudevents+json; charset=utf-8").body(event)
    });
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, REPORT)).start();

    assert!(sink.wait_for(2, Duration::from_secs(20)) && emptied(&queue));
    let delivered: Vec<_> = sink.requests().iter().map(|request| sorted(sqs::bodies(request))).collect();
    assert_eq!(delivered, [letters(), vec!["c".to_owned()]]);
}

/// What is wrong with the first reply to each of the mappings.
fn untrustworthy(request: &Request) -> String {
    let records = sqs::records(request);
    let one = records[0]["messageId"].clone();
    match request.uri.path() {
        "/not-json" => "{\"batchItemFailures\":".to_owned(),
        "/unknown" => r#"{"batchItemFailures":[{"itemIdentifier":"nobody"}]}"#.to_owned(),
        "/one-bad-entry" => format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{one}}},{{"foo":1}}]}}"#),
        "/null" => r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#.to_owned(),
        path => unreachable!("nobody delivers to {path}"),
    }
}

#[test]
fn sqs_a_reply_that_cannot_be_trusted_fails_the_whole_batch() {
    let Some(server) = ElasticMq::shared() else { return };
    let paths = ["not-json", "unknown", "one-bad-entry", "null"];
    let queues = paths.map(|path| Queue::standard(&server.endpoint, path, VISIBILITY));
    queues.iter().for_each(|queue| queue.send_all(&letters()));
    let start = SystemTime::now();
    let sink = Sink::start(move |request| {
        let again = sqs::records(request)[0]["attributes"]["ApproximateReceiveCount"] != "1";
        if again { Answer::json("{}") } else { Answer::json(untrustworthy(request)) }
    });
    let mapping = |(queue, path): (&Queue, &str)| queue.mapping(&format!("{}/{path}", sink.uri), REPORT);
    let mappings: String = queues.iter().zip(paths).map(mapping).collect();
    let _bridge = Setup::run(KLR).resources("m.yaml", &mappings).start();

    for (queue, path) in queues.iter().zip(paths) {
        assert!(emptied(queue), "{path} after {:?}", start.elapsed());
        let requests = sink.requests();
        let to_path = requests.iter().filter(|request| request.uri.path() == format!("/{path}"));
        let delivered: Vec<_> = to_path.map(|request| sorted(sqs::bodies(request))).collect();
        assert_eq!(delivered[0], letters(), "{path}");
        // The queue has them visible again one by one, and a poll may come in between.
        assert_eq!(sorted(delivered[1..].concat()), letters(), "{path}");
    }
}

#[test]
fn sqs_without_the_setting_the_reply_is_not_read() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "unread", VISIBILITY);
    queue.send_all(&letters());
    let sink = Sink::start(|request| Answer::json(listing(request, &["a", "b", "c", "d", "e"])));
    let _bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, "")).start();

    assert!(sink.wait_for(1, Duration::from_secs(20)) && emptied(&queue));
    assert_eq!(sink.count(), 1);
}

#[test]
fn sqs_where_the_answer_goes_elsewhere_nothing_is_settled() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "elsewhere", VISIBILITY);
    queue.send_all(&letters());
    // A queue before the function, say: taken, and the function's own answer will never come back.
    let sink = Sink::start(|_| Answer::status(202));
    let mut bridge = Setup::run(KLR).resources("m.yaml", &queue.mapping(&sink.uri, REPORT)).start();

    assert_eq!(bridge.wait_exit(Duration::from_secs(40)), Some(2), "a person must change something");
    assert!(bridge.stderr().contains("ReportBatchItemFailures"), "{}", bridge.stderr());
    let all = Counts { visible: 5, hidden: 0 };
    assert!(eventually(Duration::from_secs(10), || queue.counts() == all), "{:?}", queue.counts());
}
