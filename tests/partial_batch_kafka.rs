//! Promise: of a Kafka batch whose function answers `batchItemFailures`, exactly the listed records are delivered again, and
//! nothing is committed past the lowest of them until it is done; a reply that cannot be trusted settles nothing.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use klr_test_support::eventually;
use klr_test_support::kafka::{Topic, failures, places};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::Kafka;
use klr_test_support::sink::{Answer, Request, Sink};

const PATIENCE: Duration = Duration::from_secs(60);
const REPORT: &str = "functionResponseTypes: [ReportBatchItemFailures]";

/// A topic of two partitions with five records each that come as one batch: all of it was there before, and the window is
/// long enough for both partitions to answer.
fn ten(kafka: &Kafka) -> Topic {
    let topic = Topic::create(kafka, 2);
    topic.fill(5, 10);
    topic
}

fn bridge(topic: &Topic, sink: &Sink, more: &[&str]) -> Bridge {
    let to = format!("sink: {{ uri: '{}' }}", sink.uri);
    let window = "maximumBatchingWindowInSeconds: 2";
    let own = ["startingPosition: TRIM_HORIZON", "batchSize: 10", window, &to];
    let mapping = topic.mapping(&[&own, more].concat());
    Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", &mapping).start()
}

/// Partition and offset of each record, in order.
fn pairs(request: &Request) -> Vec<(i32, i64)> {
    let mut pairs: Vec<_> =
        places(&request.body).iter().map(|place| (place.partition, place.offset)).collect();
    pairs.sort_unstable();
    pairs
}

fn whole() -> Vec<(i32, i64)> {
    (0..2).flat_map(|partition| (0..5).map(move |offset| (partition, offset))).collect()
}

#[test]
fn kafka_only_the_listed_records_come_again_and_hold_the_commit() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = ten(kafka);
    let fixed = Arc::new(AtomicBool::new(false));
    let (well, name) = (Arc::clone(&fixed), topic.name.clone());
    let sink = Sink::start(move |request| match (request.index, well.load(Ordering::SeqCst)) {
        (0, _) => Answer::json(failures(&name, &[(0, 1), (0, 3), (1, 2)])),
        (_, false) => Answer::json(failures(&name, &[(0, 3), (1, 2)])),
        (_, true) => Answer::json(r#"{"batchItemFailures":[]}"#),
    });
    let bridge = bridge(&topic, &sink, &[REPORT]);
    assert!(sink.wait_for(3, PATIENCE), "{}", bridge.stderr());
    let requests: Vec<_> = sink.requests().iter().take(3).map(pairs).collect();
    assert_eq!(requests, [whole(), vec![(0, 1), (0, 3), (1, 2)], vec![(0, 3), (1, 2)]]);

    let group = topic.group();
    let held = BTreeMap::from([(0, 3), (1, 2)]);
    assert!(group.wait_committed(&held, PATIENCE), "{:?}", group.committed());
    topic.fill(1, 10);
    let tried = sink.count();
    assert!(sink.wait_for(tried + 1, PATIENCE));
    assert!(
        sink.requests().iter().skip(2).all(|request| pairs(request) == [(0, 3), (1, 2)]),
        "later ones wait"
    );
    assert_eq!(group.committed(), held, "nothing is committed past the lowest that failed");

    fixed.store(true, Ordering::SeqCst);
    assert!(group.wait_committed(&topic.ends(), PATIENCE), "{:?}", group.committed());
    let last = sink.requests().pop().unwrap();
    assert_eq!(pairs(&last), [(0, 5), (1, 5)]);
}

/// AWS: one bad entry, and the whole batch has failed.
#[test]
fn kafka_a_reply_that_cannot_be_trusted_settles_nothing() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = ten(kafka);
    let name = topic.name.clone();
    let lies = [
        failures(&name, &[(0, 1), (0, 99)]),
        failures("orders", &[(0, 1)]),
        r#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#.to_owned(),
        format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{{"partition":"{name}-0","offset":"1"}}}}]}}"#),
        r#"{"batchItemFailures":[{}]}"#.to_owned(),
        r#"{"batchItemFailures":{}}"#.to_owned(),
    ];
    let attempts = lies.len() + 1;
    let sink = Sink::start(move |request| Answer::json(lies.get(request.index).cloned().unwrap_or_default()));
    let bridge = bridge(&topic, &sink, &[REPORT]);
    assert!(sink.wait_for(attempts - 1, PATIENCE), "{}", bridge.stderr());
    assert_eq!(topic.group().committed().values().sum::<i64>(), 0);
    assert!(topic.group().wait_committed(&topic.ends(), PATIENCE));
    let requests: Vec<_> = sink.requests().iter().map(pairs).collect();
    assert_eq!(requests, vec![whole(); attempts]);
}

#[test]
fn kafka_without_the_setting_no_reply_is_read() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = ten(kafka);
    let name = topic.name.clone();
    let sink = Sink::start(move |_| Answer::json(failures(&name, &[(0, 1)])));
    let bridge = bridge(&topic, &sink, &[]);
    let ends = topic.ends();
    let all = || topic.group().committed() == ends;
    assert!(eventually(PATIENCE, all), "{}", bridge.stderr());
    assert_eq!(sink.requests().iter().map(pairs).collect::<Vec<_>>(), [whole()]);
}
