//! Promise: `klr run --once` drains what is there and leaves: exit 0 when all of it was settled, 1 when a record was given
//! up or left behind.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klr_test_support::handed::Place;
use klr_test_support::kafka::{Topic, places};
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::servers::{ElasticMq, Kafka};
use klr_test_support::sink::{Answer, Sink};
use klr_test_support::sqs::{self, Counts, Queue};

const PATIENCE: Duration = Duration::from_secs(60);

fn once(mapping: &str) -> Bridge {
    Setup::run(env!("CARGO_BIN_EXE_klr")).args(["--once"]).resources("orders.yaml", mapping).start()
}

fn kafka_mapping(topic: &Topic, sink: &Sink, more: &[&str]) -> String {
    let to = format!("sink: {{ uri: '{}' }}", sink.uri);
    topic.mapping(&[&["startingPosition: TRIM_HORIZON", &to], more].concat())
}

#[test]
fn kafka_is_drained_to_the_end_as_it_was_at_the_start() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Arc::new(Topic::create(kafka, 3));
    topic.fill(500, 10);
    let ends = topic.ends();
    let late = Arc::clone(&topic);
    let sink = Sink::start(move |request| {
        if request.index == 0 {
            late.fill(10, 10);
        }
        Answer::status(200)
    });
    let mut bridge = once(&kafka_mapping(&topic, &sink, &[]));
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0), "{}", bridge.stderr());
    let delivered: usize = sink.requests().iter().map(|request| places(&request.body).len()).sum();
    assert_eq!(delivered, 1_500, "not what came later");
    assert_eq!(topic.group().committed(), ends);

    bridge.start_again();
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0), "{}", bridge.stderr());
    assert_eq!(topic.group().committed(), topic.ends(), "the next run takes the rest");
}

#[test]
fn an_empty_topic_is_drained_at_once() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 3);
    let sink = Sink::start(|_| Answer::status(200));
    let mut bridge = once(&kafka_mapping(&topic, &sink, &[]));
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0), "{}", bridge.stderr());
    assert_eq!(sink.count(), 0);
}

#[test]
fn a_member_beside_one_that_owns_everything_leaves() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 1);
    topic.fill(10, 10);
    let sink = Sink::start(|_| Answer::status(200));
    let mapping = kafka_mapping(&topic, &sink, &[]);
    let mut owner = Setup::run(env!("CARGO_BIN_EXE_klr")).resources("orders.yaml", &mapping).start();
    owner.wait_ready();
    assert!(sink.wait_for(1, PATIENCE));
    let mut bridge = once(&mapping);
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0), "{}", bridge.stderr());
    assert!(owner.ready());
}

#[test]
fn kafka_records_that_are_given_up_make_it_exit_1() {
    let Some(kafka) = Kafka::shared() else { return };
    let topic = Topic::create(kafka, 1);
    topic.fill(10, 10);
    let bad = Place { partition: 0, offset: 4 };
    let sink = Sink::start(move |request| {
        let failing = places(&request.body).contains(&bad);
        Answer::status(if failing { 500 } else { 200 })
    });
    let mapping = kafka_mapping(&topic, &sink, &["batchSize: 2", "maximumRetryAttempts: 0"]);
    let mut bridge = once(&mapping);
    assert_eq!(bridge.wait_exit(PATIENCE), Some(1), "{}", bridge.stderr());
    assert_eq!(topic.group().committed(), BTreeMap::from([(0, 10)]), "given up is behind us, as on AWS");
    assert_eq!(bridge.stderr().matches("records given up").count(), 1, "{}", bridge.stderr());
}

#[test]
fn a_queue_is_drained_until_two_long_polls_came_back_empty() {
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "once", 30);
    queue.send_all(&(0..35).map(|n| n.to_string()).collect::<Vec<_>>());
    let sink = Sink::start(|_| Answer::status(200));
    let began = Instant::now();
    let mut bridge = once(&queue.mapping(&sink.uri, "batchSize: 10"));
    assert_eq!(bridge.wait_exit(Duration::from_secs(90)), Some(0), "{}", bridge.stderr());
    // On a server that is not AWS a long poll is 2 s (klr-sqs says why).
    assert!(began.elapsed() >= Duration::from_secs(4), "only {:?} of long polls", began.elapsed());
    assert_eq!(queue.counts(), Counts::EMPTY);
    assert_eq!(sink.requests().iter().map(|request| sqs::bodies(request).len()).sum::<usize>(), 35);
}

#[test]
fn a_message_left_to_the_queue_makes_it_exit_1() {
    let Some(server) = ElasticMq::shared() else { return };
    // Hidden for longer than the run: it comes only once.
    let queue = Queue::standard(&server.endpoint, "once-left", 120);
    queue.send_all(&["good".to_owned(), "bad".to_owned()]);
    let sink = Sink::start(|request| {
        let failing = sqs::bodies(request).contains(&"bad".to_owned());
        Answer::status(if failing { 500 } else { 200 })
    });
    let mut bridge = once(&queue.mapping(&sink.uri, "batchSize: 1"));
    assert_eq!(bridge.wait_exit(Duration::from_secs(90)), Some(1), "{}", bridge.stderr());
    assert_eq!(queue.counts(), Counts { visible: 0, hidden: 1 });
}
